package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/store"
	"banyan/tree"
)

// Limits of sessions.
const (
	sessionIdle     = 12 * time.Hour
	sessionLifetime = 7 * 24 * time.Hour
	mostSessions    = 10_000
)

// Bearer tokens of sessions and of programs tell themselves apart, for people who find one in a file.
const (
	sessionPrefix = "bsn_"
	tokenPrefix   = "btk_"
)

type tokenHash [sha256.Size]byte

// drawToken draws 256 bits, and the hash by which they are known.
func drawToken(prefix string) (token string, hash tokenHash) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // it never fails
	token = prefix + base64.RawURLEncoding.EncodeToString(secret[:])
	return token, sha256.Sum256([]byte(token))
}

// Caller is somebody who has proved who they are.
type Caller struct {
	Principal access.Principal
	Expires   model.Time
	Alive     func() bool // false once the session or the token has ended; it counts as use of a session
	session   *session    // nil for a token
}

// session is somebody who is logged in. Sessions live in memory: a restart of the node ends them.
type session struct {
	user    model.ContextID
	name    string
	hash    tokenHash
	expires time.Time
	used    time.Time
}

// sessions is who is logged in here.
type sessions struct {
	node      string
	now       func() time.Time
	tree      *tree.Tree
	store     *store.Store
	passwords *passwords
	lockout   lockout

	mu     sync.Mutex // guards byHash and what changes in a session
	byHash map[tokenHash]*session
}

func newSessions(node string, now func() time.Time, t *tree.Tree, s *store.Store) *sessions {
	return &sessions{
		node: node, now: now, tree: t, store: s, passwords: newPasswords(),
		lockout: lockout{now: now}, byHash: map[tokenHash]*session{},
	}
}

// login opens a session. Whether the name or the password was wrong, or the user is disabled, nobody learns, nor by how long it took.
func (s *sessions) login(ctx context.Context, name, password string) (token string, expires model.Time, err error) {
	if err := s.lockout.begin(name); err != nil {
		return "", 0, err
	}
	user, hash, err := s.find(ctx, name)
	if err != nil {
		return "", 0, err
	}
	good, err := s.passwords.verify(ctx, hash, password)
	if err != nil {
		return "", 0, err
	}
	if !good {
		return "", 0, &model.Error{
			Kind: model.KindUnauthenticated, Op: "login", Detail: "name or password is wrong", Remedy: "after five tries a name is locked for a quarter of an hour",
		}
	}
	s.lockout.succeeded(name)
	token, key := drawToken(sessionPrefix)
	now := s.now()
	opened := &session{user: user, name: name, hash: key, expires: now.Add(sessionLifetime), used: now}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	if len(s.byHash) >= mostSessions {
		return "", 0, model.Errorf(model.KindExhausted, "%d sessions are open, no more are allowed", mostSessions)
	}
	s.byHash[key] = opened
	return token, model.TimeOf(opened.expires), nil
}

// find is the user called name and the hash of the password, an empty one where nobody can log in so.
func (s *sessions) find(ctx context.Context, name string) (model.ContextID, string, error) {
	user, enabled := enabledUser(s.tree, name)
	if !enabled {
		return model.ContextID{}, "", nil
	}
	hash, err := s.store.Secret(ctx, user.ID, settingPassword)
	if model.KindOf(err) == model.KindNotFound {
		return model.ContextID{}, "", nil // removed meanwhile
	}
	return user.ID, hash.Text(), err
}

// enabledUser is the user of a name, where there is one who may log in.
func enabledUser(t *tree.Tree, name string) (tree.Context, bool) {
	path, err := usersPath.Child(name)
	if err != nil {
		return tree.Context{}, false
	}
	c, there := t.Lookup(path)
	if !there || !own(&c) || c.Schema.Kind != KindUser || !c.SettingNamed(settingEnabled).Bool() {
		return tree.Context{}, false
	}
	return c, true
}

// caller is whose session a token is.
func (s *sessions) caller(hash tokenHash) (Caller, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.byHash[hash]
	if found == nil {
		return Caller{}, false
	}
	now := s.now()
	user, enabled := enabledUser(s.tree, found.name)
	if !enabled || user.ID != found.user || found.over(now) {
		s.end(found)
		return Caller{}, false
	}
	found.used = now
	alive := func() bool {
		_, still := s.caller(hash)
		return still
	}
	return Caller{principal(found.name, s.node), model.TimeOf(found.expires), alive, found}, true
}

func (s *session) over(now time.Time) bool {
	return !now.Before(s.expires) || now.Sub(s.used) >= sessionIdle
}

// principal is somebody who is logged in at this node.
func principal(name, node string) access.Principal {
	return access.Principal{Chain: access.Chain{Person: access.Person{Name: name, Node: node}}}
}

// logout ends a session.
func (s *sessions) logout(c *Caller) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(c.session)
}

// endOf ends all sessions of a user.
func (s *sessions) endOf(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, open := range s.byHash {
		if open.name == name {
			s.end(open)
		}
	}
}

// end ends a session; its mutex is held.
func (s *sessions) end(open *session) {
	if open != nil && s.byHash[open.hash] == open {
		delete(s.byHash, open.hash)
	}
}

// sweep ends what is over; the mutex is held.
func (s *sessions) sweep(now time.Time) {
	for _, open := range s.byHash {
		if open.over(now) {
			s.end(open)
		}
	}
}

// count is how many sessions are open.
func (s *sessions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byHash)
}
