package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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

// secretPrefixes are how secrets begin that the program itself hands out, those of invitations and recovery keys included; in small letters.
var secretPrefixes = []string{sessionPrefix, tokenPrefix, "banyan1.", "age-secret-key-"}

type tokenHash [sha256.Size]byte

// drawToken draws 256 bits, and the hash by which they are known.
func drawToken(prefix string) (token string, hash tokenHash) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // it never fails
	token = prefix + base64.RawURLEncoding.EncodeToString(secret[:])
	return token, sha256.Sum256([]byte(token))
}

// id names a session to people. Nobody comes from it to the token: it is a piece of a hash of a hash.
func (h tokenHash) id() string {
	sum := sha256.Sum256(h[:])
	return hex.EncodeToString(sum[:6])
}

// Caller is somebody who has proved who they are.
type Caller struct {
	Principal access.Principal
	Expires   model.Time
	Alive     func() bool   // false once the session or the token has ended; it counts as use of a session
	From      string        // the address, and by which session or token; of a stranger the address alone
	address   string        // the address alone
	session   *session      // nil for a token
	token     *apiToken     // nil for a session
	streams   *atomic.Int64 // of the session or the token that are open
	allowance *allowance    // of the session or the token; nil for a stranger
}

// session is somebody who is logged in. Sessions live in memory: a restart of the node ends them.
type session struct {
	id      string
	user    model.ContextID
	name    string
	hash    tokenHash
	began   time.Time
	expires time.Time
	used    time.Time
	from    string // address of the last request
	streams atomic.Int64
	allowed allowance
}

// sessions is who is logged in here.
type sessions struct {
	node      string
	now       func() time.Time
	tree      *tree.Tree
	store     *store.Store
	audit     *auditor
	passwords *passwords
	lockout   lockout

	mu     sync.Mutex // guards byHash and what changes in a session
	byHash map[tokenHash]*session
}

func newSessions(node string, now func() time.Time, t *tree.Tree, s *store.Store, audit *auditor) *sessions {
	return &sessions{
		node: node, now: now, tree: t, store: s, audit: audit, passwords: newPasswords(),
		lockout: lockout{now: now}, byHash: map[tokenHash]*session{},
	}
}

// login opens a session for somebody at an address. Whether the name or the password was wrong, or the user is disabled, nobody learns, nor by how long
// it took. That somebody logged in is on disk before they have the token.
func (s *sessions) login(ctx context.Context, name, password, address string) (token string, expires model.Time, err error) {
	if err := s.lockout.begin(name, address); err != nil {
		s.audit.refused(ctx, loginRow(name, address, outcomeRefused+": locked after too many tries"))
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
		s.audit.refused(ctx, loginRow(name, address, outcomeRefused+": name or password is wrong"))
		return "", 0, &model.Error{
			Kind: model.KindUnauthenticated, Op: "login", Detail: "name or password is wrong", Remedy: "after five tries a name is locked for a quarter of an hour",
		}
	}
	s.lockout.succeeded(name, address)
	token, key := drawToken(sessionPrefix)
	row := loginRow(name, address, outcomeDone)
	row.What = "session " + key.id()
	if err := s.audit.write(ctx, row); err != nil {
		return "", 0, err
	}
	now := s.now()
	opened := &session{id: key.id(), user: user, name: name, hash: key, began: now, expires: now.Add(sessionLifetime), used: now, from: address}
	if err := s.open(opened); err != nil {
		return "", 0, err
	}
	// A password that was changed meanwhile ends the sessions that it finds. This one is to be found, or to find the change.
	if again, still, err := s.find(ctx, name); err != nil || again != user || still != hash {
		s.endWhere(func(one *session) bool { return one == opened })
		return "", 0, cmp.Or(err, error(model.Errorf(model.KindConflict, "the user was changed during the login: try again")))
	}
	return token, model.TimeOf(opened.expires), nil
}

func loginRow(name, address, outcome string) store.Audit {
	who := triedName(name)
	if who == "" {
		who = "what is no name" // it may be a password in the wrong place
	}
	return store.Audit{Who: auditText(who), From: auditText(address), Operation: "login", Outcome: outcome}
}

func (s *sessions) open(opened *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(opened.began)
	if len(s.byHash) >= mostSessions {
		return model.Errorf(model.KindExhausted, "%d sessions are open, no more are allowed", mostSessions)
	}
	s.byHash[opened.hash] = opened
	return nil
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

// caller is whose session a token is, asked for from an address, which is empty where nobody asks but an open stream.
func (s *sessions) caller(hash tokenHash, address string) (Caller, bool) {
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
	if address != "" {
		found.from = address
	}
	alive := func() bool {
		_, still := s.caller(hash, "")
		return still
	}
	return Caller{
		Principal: principal(found.name, s.node), Expires: model.TimeOf(found.expires), Alive: alive, session: found, streams: &found.streams,
		allowance: &found.allowed,
		From:      address + ", session " + found.id, address: address,
	}, true
}

func (s *session) over(now time.Time) bool {
	return !now.Before(s.expires) || now.Sub(s.used) >= sessionIdle
}

// principal is somebody who is logged in at this node.
func principal(name, node string) access.Principal {
	return access.Principal{Chain: access.Chain{Person: access.Person{Name: name, Node: node}}}
}

// endOf ends all sessions of a user, and says how many there were.
func (s *sessions) endOf(name string) int {
	return s.endWhere(func(open *session) bool { return open.name == name })
}

// endWhere ends the sessions that are meant, and says how many there were.
func (s *sessions) endWhere(meant func(*session) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := 0
	for _, open := range s.byHash {
		if meant(open) {
			s.end(open)
			count++
		}
	}
	return count
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

// presence is a session, or a token that is used, as people are shown it.
type presence struct {
	id, user, from, kind string
	since, used, expires model.Time
	streams              int64
}

// present are the sessions of a user, of everybody where none is named.
func (s *sessions) present(user string) []presence {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(s.now())
	var found []presence
	for _, open := range s.byHash {
		if user == "" || open.name == user {
			found = append(found, presence{
				id: open.id, user: open.name, from: open.from, kind: "session", since: model.TimeOf(open.began), used: model.TimeOf(open.used),
				expires: model.TimeOf(open.expires), streams: open.streams.Load(),
			})
		}
	}
	sortPresence(found)
	return found
}

func sortPresence(found []presence) {
	slices.SortFunc(found, func(a, b presence) int {
		if c := strings.Compare(a.user, b.user); c != 0 {
			return c
		}
		if a.since != b.since {
			return int(max(-1, min(1, a.since-b.since)))
		}
		return strings.Compare(a.id, b.id)
	})
}
