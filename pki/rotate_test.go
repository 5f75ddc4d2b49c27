package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banyan/model"
)

// rotated lets the root of an authority be succeeded, a day apart, and gives all its roots, the first one first.
func rotated(t testing.TB, a *Authority, times int) []*x509.Certificate {
	t.Helper()
	roots := []*x509.Certificate{a.Root()}
	for i := range times {
		if err := a.Rotate(testNow.Add(time.Duration(i-times)*24*time.Hour), RootLifetime); err != nil {
			t.Fatal(err)
		}
		roots = append(roots, a.Root())
	}
	return roots
}

// older is an authority whose root is from before testNow.
func older(t testing.TB, name string) *Authority {
	t.Helper()
	a, err := Create(t.TempDir(), name, testNow.Add(-100*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A peer that was away while a root was succeeded takes the newest one by the certificate alone, and learns which root it is to be pinned in place of; at
// both ends, whoever dials.
func TestSuccessionIsFollowed(t *testing.T) {
	for _, missed := range []int{1, 3, mostSuccessions} {
		a, b := older(t, "hq"), older(t, "berlin")
		rootsA, rootsB := rotated(t, a, missed), rotated(t, b, missed)
		s := newScene(t, "link")
		known := pinned{a.ID(): rootsA[:1], b.ID(): rootsB[:1]}
		s.accept.Pins, s.connect.Pins, s.connect.Node = known, known, a.ID()
		s.accept.Certificate, s.connect.Certificate = show(t, a, Identity{Class: ClassLink}, testNow), show(t, b, Identity{Class: ClassLink}, testNow)
		acceptor, dialler := meet(t, accepting(s.accept), connecting(s.connect))
		if acceptor.err != nil || dialler.err != nil {
			t.Fatalf("%d missed: %v, %v", missed, acceptor.err, dialler.err)
		}
		for _, end := range []struct {
			peer  Peer
			roots []*x509.Certificate
		}{{acceptor.peer, rootsB}, {dialler.peer, rootsA}} {
			if !end.peer.Pinned || !end.peer.Root.Equal(end.roots[missed]) || !end.peer.Succeeds.Equal(end.roots[0]) {
				t.Errorf("%d missed: took the root %s", missed, Fingerprint(end.peer.Root))
			}
		}
	}
}

// Who pinned the newer root takes the older one no more, and nobody is led to a root by documents that do not lead there.
func TestSuccessionIsNotForged(t *testing.T) {
	a := older(t, "hq")
	old := a.ring()
	first := show(t, a, Identity{Class: ClassLink}, testNow)
	roots := rotated(t, a, 3)
	newest := a.ring()
	thief := impersonate(t, a)
	thief.held.successions = append([][]byte{}, newest.successions...)
	foreign, _ := impersonate(t, a).Succeed(thief.Root(), testNow.Add(-time.Hour))
	stolen, _ := succeed(old.key, a.ID(), thief.Root(), testNow.Add(-time.Hour)) // by who has the key of the first root
	leafAt := func(at time.Time, by ring, documents ...[]byte) *tls.Certificate {
		by.successions = documents
		signer := &Authority{dir: a.dir, id: a.ID(), held: by}
		return show(t, signer, Identity{Class: ClassLink}, at)()
	}
	leaf := func(by ring, documents ...[]byte) *tls.Certificate { return leafAt(testNow, by, documents...) }
	expired := roots[0].NotAfter.Add(time.Minute)
	tests := []struct {
		name  string
		pins  []*x509.Certificate
		shows *tls.Certificate
		at    time.Time
		taken bool
	}{
		{name: "the newest root, pinned", pins: roots[3:], shows: leaf(newest, newest.successions...), taken: true},
		{name: "the newest root, from the second on", pins: roots[1:2], shows: leaf(newest, newest.successions...), taken: true},
		{name: "the first root after the newest was pinned", pins: roots[3:], shows: first()},
		{name: "the first root with the documents that lead away from it", pins: roots[3:], shows: leaf(old, newest.successions...)},
		{name: "without documents", pins: roots[:1], shows: leaf(newest)},
		{name: "with one missing", pins: roots[:1], shows: leaf(newest, newest.successions[0], newest.successions[2])},
		{name: "signed by who is not the node", pins: roots[:1], shows: leaf(thief.ring(), append(newest.successions[:3:3], foreign)...)},
		{name: "the thief of an old key, at who pinned a newer root", pins: roots[1:2], shows: leaf(thief.ring(), append(newest.successions[:3:3], stolen)...)},
		{name: "when the pinned root has expired", pins: roots[:1], shows: leafAt(expired, newest, newest.successions...), at: expired},
		{name: "the second root then", pins: roots[1:2], shows: leafAt(expired, newest, newest.successions...), at: expired, taken: true},
		{name: "pinned for nobody", shows: leaf(newest, newest.successions...)},
	}
	for _, test := range tests {
		if test.at.IsZero() {
			test.at = testNow
		}
		s := newScene(t, "link")
		b := s.dialler
		s.accept.Clock, s.connect.Clock = func() time.Time { return test.at }, func() time.Time { return test.at }
		s.accept.Certificate = show(t, s.acceptor, Identity{Class: ClassLink}, test.at)
		known := pin(s.acceptor)
		known[a.ID()] = test.pins
		s.accept.Pins = known
		s.connect.Pins = pin(s.acceptor, b)
		s.connect.Certificate = func() *tls.Certificate { return test.shows }
		acceptor, _ := meet(t, accepting(s.accept), connecting(s.connect))
		if (acceptor.err == nil) != test.taken {
			t.Errorf("%s: %v", test.name, acceptor.err)
		}
	}
}

// A node whose root was succeeded can invite and join: what leads from its first root to the newest is its proof. Nobody can claim its ID by another.
func TestJoinAfterSuccession(t *testing.T) {
	a, b := older(t, "hq"), older(t, "berlin")
	rotated(t, a, 2)
	rotated(t, b, 3)
	thief := impersonate(t, b)
	thief.held.first, thief.held.successions = b.ring().first, b.ring().successions
	forger := impersonate(t, b)
	forged, _ := forger.Succeed(forger.Root(), testNow.Add(-time.Hour))
	forger.held.first, forger.held.successions = b.ring().first, [][]byte{forged}
	for _, test := range []struct {
		name  string
		by    *Authority
		taken bool
	}{{"the node", b, true}, {"who shows its documents", thief, false}, {"who writes one", forger, false}} {
		s := newScene(t, "join")
		s.connect.Node = a.ID()
		s.accept.Certificate, s.connect.Certificate = show(t, a, Identity{Class: ClassLink}, testNow), show(t, test.by, Identity{Class: ClassLink}, testNow)
		acceptor, dialler := meet(t, accepting(s.accept), connecting(s.connect))
		if (acceptor.err == nil) != test.taken {
			t.Fatalf("%s: %v, %v", test.name, acceptor.err, dialler.err)
		}
		if test.taken && (!acceptor.peer.Root.Equal(b.Root()) || !dialler.peer.Root.Equal(a.Root()) || acceptor.peer.Node != b.ID() || acceptor.peer.Pinned) {
			t.Errorf("%s: %+v", test.name, acceptor.peer)
		}
	}
}

// The directory has the new root and keeps the ID; the old key is gone from it, and people reach the API by the CAFile of before until its certificate is due.
func TestRotateKeepsTheNode(t *testing.T) {
	a := older(t, "hq")
	id, key, before := a.ID(), a.ring().key, a.Root()
	now := testNow.Add(-30 * 24 * time.Hour)
	clock := func() time.Time { return now }
	if _, err := a.APILeaf([]string{"localhost"}, LeafConfig{Clock: clock}); err != nil {
		t.Fatal(err)
	}
	if err := a.Rotate(now, RootLifetime); err != nil {
		t.Fatal(err)
	}
	again, err := Load(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	if again.ID() != id || a.ID() != id || Fingerprint(again.Root()) == id || !again.Root().Equal(a.Root()) || again.Successions() != 1 {
		t.Fatalf("the node is %s after %s", again.ID(), id)
	}
	old, _ := encodePEM(key)
	if raw, _ := os.ReadFile(filepath.Join(a.dir, RootFile)); bytes.Contains(raw, old) || !again.ring().key.Equal(a.ring().key) {
		t.Error("the old key is still there")
	}
	trusts := func(roots ...*x509.Certificate) func(*tls.Certificate) bool {
		return func(shown *tls.Certificate) bool {
			pool := x509.NewCertPool()
			for _, root := range roots {
				pool.AddCert(root)
			}
			_, err := shown.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "localhost", CurrentTime: now})
			return err == nil
		}
	}
	named := func() []*x509.Certificate {
		raw, _ := os.ReadFile(filepath.Join(a.dir, CAFile))
		var roots []*x509.Certificate
		for _, root := range []*x509.Certificate{before, a.Root()} {
			if bytes.Contains(raw, encodeCertificates(root)) {
				roots = append(roots, root)
			}
		}
		return roots
	}
	leaf, err := again.APILeaf([]string{"localhost"}, LeafConfig{Clock: clock})
	if err != nil || !trusts(before)(leaf.Current()) || len(named()) != 2 || !trusts(named()...)(leaf.Current()) {
		t.Errorf("right after: %v, %d roots are named", err, len(named()))
	}
	now = now.Add(APILifetime * 2 / 3)
	if err := leaf.Renew(); err != nil || trusts(before)(leaf.Current()) || !trusts(named()...)(leaf.Current()) || len(named()) != 1 {
		t.Errorf("when it was due: %v, %d roots are named", err, len(named()))
	}
	rotated(t, again, mostSuccessions+4)
	if last, err := Load(a.dir); err != nil || last.ID() != id || last.Successions() != mostSuccessions {
		t.Errorf("after many: %v", err)
	}
}

// A provisional root is not kept until it is confirmed.
func TestProvisionalRoot(t *testing.T) {
	a := older(t, "hq")
	later := a.Root().NotAfter.Add(time.Hour)
	if _, err := a.LinkLeaf(LeafConfig{Clock: func() time.Time { return later }}); err == nil {
		t.Fatal("an expired root signs")
	}
	if err := a.Provisional(later, RootLifetime); err != nil || !a.IsProvisional() {
		t.Fatal(err)
	}
	if _, err := a.LinkLeaf(LeafConfig{Clock: func() time.Time { return later }}); err != nil {
		t.Fatal(err)
	}
	if kept, err := Load(a.dir); err != nil || kept.Successions() != 0 {
		t.Fatal("it was kept before it was confirmed", err)
	}
	if err := a.Confirm(); err != nil || a.IsProvisional() {
		t.Fatal(err)
	}
	if kept, err := Load(a.dir); err != nil || !kept.Root().Equal(a.Root()) {
		t.Fatal("it was not kept", err)
	}
}

// A RootFile whose successions do not lead to its root is refused.
func TestDamagedSuccessions(t *testing.T) {
	a := older(t, "hq")
	rotated(t, a, 3)
	good := a.ring()
	other := older(t, "berlin")
	rotated(t, other, 3)
	for name, spoil := range map[string]func(*ring){
		"out of order":    func(r *ring) { r.successions[0], r.successions[1] = r.successions[1], r.successions[0] },
		"one missing":     func(r *ring) { r.successions = r.successions[1:] },
		"the last gone":   func(r *ring) { r.successions = r.successions[:2] },
		"another's first": func(r *ring) { r.first = other.ring().first },
		"another's":       func(r *ring) { r.successions = other.ring().successions },
		"none":            func(r *ring) { r.successions = nil },
		"garbage":         func(r *ring) { r.successions[1] = []byte("garbage") },
	} {
		bad := good
		bad.successions = append([][]byte{}, good.successions...)
		spoil(&bad)
		data, err := bad.encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := replaceFile(filepath.Join(a.dir, RootFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(a.dir); model.KindOf(err) != model.KindCorrupt || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
