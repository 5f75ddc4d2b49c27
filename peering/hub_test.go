package peering

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"banyan/model"
	"banyan/pki"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pins are the roots of all nodes of a test.
type pins map[model.NodeID]*x509.Certificate

func (p pins) Roots(node model.NodeID) ([]*x509.Certificate, error) {
	if root := p[node]; root != nil {
		return []*x509.Certificate{root}, nil
	}
	return nil, nil
}

// linked is a node with a hub on a real listener.
type linked struct {
	*node
	hub     *Hub
	address string
	stop    func()
}

func newLinked(t *testing.T, name string, known pins) *linked {
	t.Helper()
	return newLinkedBeating(t, name, known, 300*time.Millisecond)
}

func newLinkedBeating(t *testing.T, name string, known pins, beat time.Duration) *linked {
	t.Helper()
	n := &linked{node: newNode(name)}
	authority, err := pki.Create(t.TempDir(), name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	n.hop.Node = authority.ID()
	known[authority.ID()] = authority.Root()
	leaf, err := authority.LinkLeaf(pki.LeafConfig{})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.address = listener.Addr().String()
	n.hub = NewHub(HubConfig{
		Self: n.hop, Epoch: n.epoch, Chain: n.chain, Tree: n.tree, Certificate: leaf.Current, Pins: known,
		Logger: hclog.NewNullLogger(), Beat: beat,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = n.hub.Run(ctx, listener)
	}()
	n.stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(n.stop)
	return n
}

// until waits for something that other goroutines bring about.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (n *linked) reads(address, expected string) func() bool {
	return func() bool { return readingOf(n.node, address) == expected }
}

func provide(from, to *linked, dials bool, addresses ...string) LinkConfig {
	return LinkConfig{Name: "up", Peer: to.hop.Node, Role: pki.RoleProvider, Dials: dials, Addresses: addresses, Exports: []Export{{Name: "up", View: from.view}}}
}

// off is a link that is switched off.
func off(cfg LinkConfig) LinkConfig {
	cfg.Refused, cfg.Refusal = true, pki.Disabled
	return cfg
}

func consume(at, from *linked, dials bool, addresses ...string) LinkConfig {
	m := NewMirror(MirrorConfig{
		Tree: at.tree, Mount: model.MustPath("/m"), Self: at.hop, Peer: tree.Hop{Node: from.hop.Node, Name: from.hop.Name}, Keeper: noKeeper{},
	}, nil, Place{})
	return LinkConfig{Name: "down", Peer: from.hop.Node, Role: pki.RoleConsumer, Dials: dials, Addresses: addresses, Mounts: []Mount{{Name: "down", Mirror: m}}}
}

func TestEitherEndDials(t *testing.T) {
	for _, providerDials := range []bool{true, false} {
		t.Run(fmt.Sprintf("provider dials %v", providerDials), func(t *testing.T) {
			known := pins{}
			hq, berlin := newLinked(t, "hq", known), newLinked(t, "berlin", known)
			const count = 3000 // more than one chunk: it takes the bulk connection
			for i := range count {
				berlin.put(fmt.Sprintf("/d%04d", i))
			}
			berlin.publish("/d0007", 7, "seven", 1)
			down := consume(hq, berlin, !providerDials, "127.0.0.1:1", berlin.address)
			hq.hub.Reconcile([]LinkConfig{down})
			berlin.hub.Reconcile([]LinkConfig{provide(berlin, hq, providerDials, "127.0.0.1:1", hq.address)})
			until(t, "everything is listed", func() bool { contexts, _ := hq.tree.Count(); return contexts == count })
			until(t, "the value is there and good", hq.reads("/m/d0007:load", "7 good"))
			berlin.publish("/d0008", 8, "eight", 2)
			until(t, "a live sample is there", hq.reads("/m/d0008:text", "eight good"))
			until(t, "both ends are up", func() bool {
				a, _ := hq.hub.Status("down")
				b, _ := berlin.hub.Status("up")
				return a.State == StateUp && b.State == StateUp
			})
		})
	}
}

func TestRevokingEndsTheStreamAndTellsWhy(t *testing.T) {
	known := pins{}
	// Heartbeats that would take a minute to miss: the end must come from the revocation.
	hq, berlin := newLinkedBeating(t, "hq", known, 30*time.Second), newLinkedBeating(t, "berlin", known, 30*time.Second)
	berlin.put("/a")
	hq.hub.Reconcile([]LinkConfig{consume(hq, berlin, true, berlin.address)})
	up := provide(berlin, hq, false)
	berlin.hub.Reconcile([]LinkConfig{up})
	until(t, "the listing is there", hq.reads("/m/a:interval", "1s good"))

	up.Refused, up.Refusal = true, pki.Revoked
	berlin.hub.Reconcile([]LinkConfig{up})
	until(t, "hq says that it was revoked", func() bool {
		s, _ := hq.hub.Status("down")
		return s.State == StateRefused && strings.Contains(s.Detail, "revoked")
	})
	until(t, "what was granted is gone", func() bool { contexts, _ := hq.tree.Count(); return contexts == 0 })
}

func TestRefusedStrangers(t *testing.T) {
	known := pins{}
	hq, berlin := newLinked(t, "hq", known), newLinked(t, "berlin", known)
	berlin.put("/a")
	hq.hub.Reconcile([]LinkConfig{consume(hq, berlin, true, berlin.address)})
	until(t, "hq is refused", func() bool {
		s, _ := hq.hub.Status("down")
		return s.State == StateRefused
	})
	if contexts, _ := hq.tree.Count(); contexts != 0 {
		t.Error("a stranger was told something")
	}
}

func TestRestartOfEitherEnd(t *testing.T) {
	known := pins{}
	hq, berlin := newLinked(t, "hq", known), newLinked(t, "berlin", known)
	berlin.put("/a")
	berlin.publish("/a", 1, "one", 1)
	hq.hub.Reconcile([]LinkConfig{consume(hq, berlin, false)})
	berlin.hub.Reconcile([]LinkConfig{provide(berlin, hq, true, hq.address)})
	until(t, "the value is there", hq.reads("/m/a:load", "1 good"))
	berlin.hub.Reconcile([]LinkConfig{off(provide(berlin, hq, true, hq.address))})
	until(t, "it is stale", hq.reads("/m/a:load", "1 uncertain/stale"))
	berlin.publish("/a", 2, "two", 2)
	berlin.hub.Reconcile([]LinkConfig{provide(berlin, hq, true, hq.address)})
	until(t, "the new value is there", hq.reads("/m/a:load", "2 good"))
}
