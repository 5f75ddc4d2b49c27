package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"banyan/access"
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
	audit   *auditor
	log     hclog.Logger
	wake    chan struct{} // a token was used for the first time

	mu     sync.Mutex // guards the rest
	stale  bool
	byHash map[tokenHash]*apiToken
	known  map[model.ContextID]*apiToken
}

// apiToken is a token as it is judged by. It never changes, but for when and from where it was used.
type apiToken struct {
	hash    tokenHash
	id      model.ContextID
	path    model.Path
	user    string
	expires model.Time
	scope   *access.Scope  // nil: all that the user may do
	from    []netip.Prefix // none: from everywhere
	streams atomic.Int64
	allowed allowance

	mu      sync.Mutex // guards the rest
	used    model.Time
	address string // of the last request
	told    bool   // use that is known to the tree
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

// tokenTerms is what is asked for of a token to be made.
type tokenTerms struct {
	name     string
	lifetime time.Duration
	scope    []access.Rule
	scoped   bool
	from     []netip.Prefix
}

// mostNets bounds the networks from which a token can be used.
const mostNets = 100

func readTerms(g given) (tokenTerms, error) {
	t := tokenTerms{name: g.text("name", ""), lifetime: defaultTokenLifetime}
	if v := g["lifetime"]; !v.IsNone() {
		t.lifetime = v.Duration()
	}
	if t.lifetime < minTokenLifetime || t.lifetime > maxTokenLifetime {
		return t, model.Errorf(model.KindInvalid, "a token lives between %s and %s, not %s", minTokenLifetime, maxTokenLifetime, t.lifetime)
	}
	var err error
	if v := g["scope"]; !v.IsNone() {
		t.scoped = true
		if t.scope, err = rulesOf(v); err != nil {
			return t, err
		}
		if _, err = access.NewScope(t.name, t.scope); err != nil {
			return t, err
		}
	}
	t.from, err = parseNets(g.text("from", ""))
	return t, err
}

// parseNets reads networks and addresses, separated by commas.
func parseNets(text string) ([]netip.Prefix, error) {
	var nets []netip.Prefix
	for _, part := range splitList(text) {
		prefix, err := netip.ParsePrefix(part)
		if err != nil {
			var addr netip.Addr
			if addr, err = netip.ParseAddr(part); err == nil {
				prefix, err = addr.WithZone("").Prefix(addr.BitLen())
			}
		}
		if err != nil {
			return nil, model.Errorf(model.KindInvalid, "%.64q is neither a network like 10.1.0.0/16 nor an address", part)
		}
		nets = append(nets, prefix.Masked())
	}
	if len(nets) > mostNets {
		return nil, model.Errorf(model.KindInvalid, "%d networks, at most %d are allowed", len(nets), mostNets)
	}
	return nets, nil
}

// create draws a token for a user and keeps its hash. The conditions are what the right to give it was judged by.
func (t *tokens) create(ctx context.Context, user *tree.Context, terms tokenTerms, conditions []store.Condition) ([]model.Argument, error) {
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
	expires := model.TimeOf(t.now().Add(terms.lifetime))
	settings := []store.Setting{{Name: settingHash, Value: model.Bytes(hash[:])}, {Name: settingExpires, Value: model.Instant(expires)}}
	if terms.scoped {
		settings = append(settings, store.Setting{Name: settingScoped, Value: model.Bool(true)}, store.Setting{Name: settingScope, Value: RulesValue(terms.scope)})
	}
	if len(terms.from) > 0 {
		settings = append(settings, store.Setting{Name: settingFrom, Value: model.String(netsText(terms.from))})
	}
	_, err = t.commits.Do(ctx, store.Commit{
		Conditions: append([]store.Condition{{Target: store.ByID(user.ID)}}, conditions...),
		Changes: []store.Change{
			store.PutSchema{Schema: t.schema},
			store.Create{ID: t.commits.NewID(), Path: path, Label: terms.name, Schema: t.schema.Hash, Settings: settings},
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

func netsText(nets []netip.Prefix) string {
	texts := make([]string, len(nets))
	for i, n := range nets {
		texts[i] = n.String()
	}
	return strings.Join(texts, ",")
}

// changed marks that tokens came or went.
func (t *tokens) changed() {
	t.mu.Lock()
	t.stale = true
	t.mu.Unlock()
}

// find is the token of a hash.
func (t *tokens) find(ctx context.Context, hash tokenHash) *apiToken {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stale {
		t.read(ctx)
	}
	return t.byHash[hash]
}

// byID is the token that is a context, nil for none.
func (t *tokens) byID(ctx context.Context, id model.ContextID) *apiToken {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stale {
		t.read(ctx)
	}
	return t.known[id]
}

// caller is as whom a token acts that is shown from an address; the address is empty where nobody asks but an open stream.
func (t *tokens) caller(ctx context.Context, hash tokenHash, address string) (Caller, bool) {
	found := t.find(ctx, hash)
	if found == nil || model.TimeOf(t.now()) >= found.expires {
		return Caller{}, false
	}
	if _, enabled := enabledUser(t.tree, found.user); !enabled {
		return Caller{}, false
	}
	if address != "" && !t.use(ctx, found, address) {
		return Caller{}, false
	}
	alive := func() bool {
		_, still := t.caller(context.Background(), hash, "")
		return still
	}
	who := principal(found.user, t.node)
	who.Scope = found.scope
	return Caller{
		Principal: who, Expires: found.expires, Alive: alive, token: found, streams: &found.streams, allowance: &found.allowed,
		From: address + ", token " + found.path.Base(), address: address,
	}, true
}

// use notes that a token was used, or refuses it where it may not be used from there.
func (t *tokens) use(ctx context.Context, found *apiToken, address string) bool {
	if !within(found.from, address) {
		t.audit.refused(ctx, store.Audit{
			Who: found.user, From: auditText(address), Operation: "token", Path: found.path.String(), Outcome: outcomeRefused + ": it may not be used from this address",
		})
		return false
	}
	found.mu.Lock()
	defer found.mu.Unlock()
	if found.used == 0 {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
	found.used, found.address, found.told = model.TimeOf(t.now()), address, false
	return true
}

// within reports whether an address, HOST:PORT, lies in one of the networks, or there are none.
func within(nets []netip.Prefix, address string) bool {
	if len(nets) == 0 {
		return true
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return false
	}
	addr := at.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(nets, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// read takes in the tokens that the tree holds; the mutex is held. A token is never changed, so that each is opened once.
func (t *tokens) read(ctx context.Context) {
	byHash, known, complete := map[tokenHash]*apiToken{}, map[model.ContextID]*apiToken{}, true
	for _, c := range tokenContexts(t.tree) {
		token := t.known[c.ID]
		if token == nil {
			var err error
			if token, err = t.open(ctx, &c); err != nil {
				// Where it was removed meanwhile or the caller went away, the next one reads again.
				complete = false
				if ctx.Err() == nil && model.KindOf(err) != model.KindNotFound {
					t.log.Error("a token cannot be used", "path", c.Path, "error", err)
				}
				continue
			}
		}
		known[c.ID], byHash[token.hash] = token, token
	}
	t.byHash, t.known, t.stale = byHash, known, !complete
}

// open reads a token. One whose terms cannot be read is none: what narrows it must not be lost.
func (t *tokens) open(ctx context.Context, c *tree.Context) (*apiToken, error) {
	value, err := t.store.Secret(ctx, c.ID, settingHash)
	if err != nil {
		return nil, err
	}
	raw := value.Bytes()
	if len(raw) != len(tokenHash{}) {
		return nil, model.Errorf(model.KindCorrupt, "its hash is damaged")
	}
	token := &apiToken{
		hash: tokenHash(raw), id: c.ID, path: c.Path, user: c.Path.Parent().Parent().Base(), expires: c.SettingNamed(settingExpires).Time(),
	}
	if c.SettingNamed(settingScoped).Bool() {
		rules, err := rulesOf(c.SettingNamed(settingScope))
		if err != nil {
			return nil, err
		}
		if token.scope, err = access.NewScope("token "+c.Path.Base(), rules); err != nil {
			return nil, err
		}
	}
	if token.from, err = parseNets(c.SettingNamed(settingFrom).Text()); err != nil {
		return nil, err
	}
	if last, there := t.tree.Read(model.Address{Path: c.Path, Name: variableUsed}); there {
		token.used, token.told = last.Sample.Value.Time(), true
	}
	if last, there := t.tree.Read(model.Address{Path: c.Path, Name: variableUsedFrom}); there {
		token.address = last.Sample.Value.Text()
	}
	return token, nil
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
