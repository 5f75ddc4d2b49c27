package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"

	"banyan/model"
	"banyan/store"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
)

// Bounds of a token's lifetime.
const (
	defaultTokenLifetime = 90 * 24 * time.Hour
	minTokenLifetime     = time.Minute
	maxTokenLifetime     = 10 * 365 * 24 * time.Hour
	mostTokensOfUser     = 100
)

// tokens is the controller of API tokens, which are contexts below their user, and finds whose a presented one is.
type tokens struct {
	passive
	node    string
	now     func() time.Time
	tree    *tree.Tree
	store   *store.Store
	commits *Commits
	schema  *model.Schema
	log     hclog.Logger

	mu     sync.Mutex // guards the rest
	stale  bool
	byHash map[tokenHash]*apiToken
	known  map[model.ContextID]*apiToken
}

type apiToken struct {
	hash    tokenHash
	user    string
	expires model.Time
}

// Check refuses what would make a token of a known text.
func (t *tokens) Check(_ context.Context, p *Proposal) error {
	if p.Op == OpRemove {
		return nil
	}
	return &model.Error{
		Kind: model.KindUnsupported, Detail: "a token is drawn by the node and cannot be changed", Remedy: "call " + functionCreateToken + " of the user",
	}
}

// create draws a token for a user and keeps its hash.
func (t *tokens) create(ctx context.Context, user *tree.Context, arguments []model.Argument) ([]model.Argument, error) {
	lifetime, name := defaultTokenLifetime, ""
	for _, a := range arguments {
		switch a.Name {
		case "name":
			name = a.Value.Text()
		case "lifetime":
			if !a.Value.IsNone() {
				lifetime = a.Value.Duration()
			}
		}
	}
	if lifetime < minTokenLifetime || lifetime > maxTokenLifetime {
		return nil, model.Errorf(model.KindInvalid, "a token lives between %s and %s, not %s", minTokenLifetime, maxTokenLifetime, lifetime)
	}
	folder, err := user.Path.Child("tokens")
	if err != nil {
		return nil, err
	}
	if existing, more := t.tree.Children(folder, "", mostTokensOfUser); more || len(existing) >= mostTokensOfUser {
		return nil, model.Errorf(model.KindExhausted, "the user has %d tokens, no more are allowed: remove some", mostTokensOfUser)
	}
	var number [6]byte
	_, _ = rand.Read(number[:]) // it never fails
	path, err := folder.Child(hex.EncodeToString(number[:]))
	if err != nil {
		return nil, err
	}
	token, hash := drawToken(tokenPrefix)
	expires := model.TimeOf(t.now().Add(lifetime))
	_, err = t.commits.Do(ctx, store.Commit{
		Conditions: []store.Condition{{Target: store.ByID(user.ID)}},
		Changes: []store.Change{
			store.PutSchema{Schema: t.schema},
			store.Create{ID: t.commits.NewID(), Path: path, Label: name, Schema: t.schema.Hash, Settings: []store.Setting{
				{Name: settingHash, Value: model.Bytes(hash[:])}, {Name: settingExpires, Value: model.Instant(expires)},
			}},
		},
	})
	if err != nil {
		return nil, err
	}
	return []model.Argument{
		{Name: "token", Value: model.String(token)}, {Name: "expires", Value: model.Instant(expires)},
		{Name: "path", Value: model.Ref(model.Address{Path: path})},
	}, nil
}

// changed marks that tokens came or went.
func (t *tokens) changed() {
	t.mu.Lock()
	t.stale = true
	t.mu.Unlock()
}

// caller is as whom a token acts.
func (t *tokens) caller(ctx context.Context, hash tokenHash) (Caller, bool) {
	t.mu.Lock()
	if t.stale {
		t.read(ctx)
	}
	found := t.byHash[hash]
	t.mu.Unlock()
	if found == nil || model.TimeOf(t.now()) >= found.expires {
		return Caller{}, false
	}
	if _, enabled := enabledUser(t.tree, found.user); !enabled {
		return Caller{}, false
	}
	alive := func() bool {
		_, still := t.caller(context.Background(), hash)
		return still
	}
	return Caller{Principal: principal(found.user, t.node), Expires: found.expires, Alive: alive}, true
}

// read takes in the tokens that the tree holds; the mutex is held. A token is never changed, so that each is opened once.
func (t *tokens) read(ctx context.Context) {
	byHash, known, complete := map[tokenHash]*apiToken{}, map[model.ContextID]*apiToken{}, true
	for _, c := range tokenContexts(t.tree) {
		token := t.known[c.ID]
		if token == nil {
			value, err := t.store.Secret(ctx, c.ID, settingHash)
			raw := value.Bytes()
			if err != nil || len(raw) != len(tokenHash{}) {
				// Where it was removed meanwhile or the caller went away, the next one reads again.
				complete = false
				if err != nil && ctx.Err() == nil && model.KindOf(err) != model.KindNotFound {
					t.log.Error("a token cannot be read", "path", c.Path, "error", err)
				}
				continue
			}
			token = &apiToken{hash: tokenHash(raw), user: c.Path.Parent().Parent().Base(), expires: c.SettingNamed(settingExpires).Time()}
		}
		known[c.ID], byHash[token.hash] = token, token
	}
	t.byHash, t.known, t.stale = byHash, known, !complete
}

// tokenContexts are the tokens directly below tokens of a user.
func tokenContexts(of *tree.Tree) []tree.Context {
	var found []tree.Context
	of.Walk(usersPath, nil, func(c *tree.Context) bool {
		if own(c) && c.Schema.Kind == KindToken && c.Path.Depth() == usersPath.Depth()+3 {
			found = append(found, *c)
		}
		return true
	})
	return found
}
