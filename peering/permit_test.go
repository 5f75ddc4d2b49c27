package peering

import (
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/model"
	"banyan/proto/linkv1"
	"banyan/tree"
)

// hang puts a context of another node into a node's tree, as if it came over links through all of a route.
func (n *node) hang(path string, route ...string) {
	n.next++
	var hops tree.Route
	for _, name := range route {
		hops = append(hops, tree.Hop{Node: newNode(name).hop.Node, Name: name})
	}
	owner := hops[len(hops)-1].Node
	n.tree.Apply([]tree.Put{{
		ID: model.ContextID{Node: owner, Epoch: model.Epoch{Ordinal: 1}, Number: n.next}, Path: model.MustPath(path), Schema: probeSchema, Route: hops,
		Version: model.Version{Epoch: model.Epoch{Ordinal: 1}, Number: n.next},
	}}, nil)
}

func (w *wire) mounted(n *node) string {
	var paths []string
	n.tree.Walk(model.Root, nil, func(c *tree.Context) bool {
		paths = append(paths, strings.TrimPrefix(c.Path.String(), "/m/"))
		return true
	})
	slices.Sort(paths)
	return strings.Join(paths, " ")
}

// What a permit does not cover is not taken, and named; what it covers no longer goes, what it covers again comes back.
func TestPermit(t *testing.T) {
	patterns := func(texts ...string) (list []model.Pattern) {
		for _, text := range texts {
			list = append(list, model.MustPattern(text))
		}
		return list
	}
	with := func(change func(*Permit)) Permit {
		p := Free()
		change(&p)
		return p
	}
	all := "own s/x s/x/z s/y"
	steps := []struct {
		name    string
		permit  Permit
		mounted string
		refused string
	}{
		{"everything", Free(), all, ""},
		{"no node", with(func(p *Permit) { p.Nodes = 0 }), "own", "no node is taken"},
		{"everything again", Free(), all, ""},
		{"neighbours only", with(func(p *Permit) { p.Hops = 0 }), "own s/x s/y", "z ("},
		{"one node", with(func(p *Permit) { p.Nodes = 1 }), "own s/x", "as many as are permitted"},
		{"two nodes", with(func(p *Permit) { p.Nodes = 2 }), "own s/x s/x/z", "y ("},
		{"below one place", with(func(p *Permit) { p.Patterns = patterns("/s/y", "/t/*") }), "own s/y", "hangs where nothing"},
		{"who is here", with(func(p *Permit) { p.Closed = true }), "own s/y", "after new nodes"},
		{"without one", with(func(p *Permit) { p.Revoked = []model.NodeID{newNode("x").hop.Node} }), "own s/y", "revoked"},
		{"everything in the end", Free(), all, ""},
	}
	berlin, hq := newNode("berlin"), newNode("hq")
	berlin.put("/own")
	berlin.hang("/s/x", "x")
	berlin.hang("/s/x/z", "x", "z")
	berlin.hang("/s/y", "y")
	m := mirrorOf(hq, berlin, "/m")
	for _, step := range steps {
		m.Allow(&Permission{Permit: step.permit})
		w := join(t, m, berlin, model.TimeOf(time.Unix(1, 0)))
		if got := w.mounted(hq); got != step.mounted {
			t.Errorf("%s: mounted are %s, want %s", step.name, got, step.mounted)
		}
		if got := m.Refused(); !strings.Contains(got, step.refused) || step.refused == "" && got != "" {
			t.Errorf("%s: refused are %q", step.name, got)
		}
		berlin.put("/own") // a change that crosses as a delta changes nothing of that
		w.settle()
		if got := w.mounted(hq); got != step.mounted {
			t.Errorf("%s, after a delta: mounted are %s, want %s", step.name, got, step.mounted)
		}
		w.provider.Close()
	}
}

// A permit that changes while a session stands takes hold at its next tick: what goes goes at once, and the provider is told; for what comes the session
// is to end.
func TestPermitWithinASession(t *testing.T) {
	berlin, hq := newNode("berlin"), newNode("hq")
	berlin.put("/own")
	berlin.hang("/s/x", "x")
	m := mirrorOf(hq, berlin, "/m")
	w := join(t, m, berlin, model.TimeOf(time.Unix(1, 0)))
	revoked := newNode("x").hop.Node
	m.Allow(&Permission{Permit: Permit{Nodes: Unlimited, Hops: Unlimited, Revoked: []model.NodeID{revoked}}, Told: &linkv1.Permit{
		Nodes: Unlimited, Hops: 3, Revoked: [][]byte{revoked[:]}, Patterns: []string{"/s/*"}, By: "hq\x1b[31m",
	}})
	w.now += model.Time(testBeat)
	w.consumer.Tick(w.now)
	w.settle()
	if got := w.mounted(hq); got != "own" {
		t.Errorf("mounted are %s", got)
	}
	p := w.provider.permit
	if p == nil || p.Hops != 3 || !slices.Contains(p.Revoked, revoked) || !p.Hangs(model.MustPath("/s/x/y")) || p.Hangs(model.MustPath("/t")) || strings.Contains(p.By, "\x1b") {
		t.Errorf("the provider was told %+v", p)
	}
	m.Allow(&Permission{Permit: Free()})
	w.now += model.Time(testBeat)
	w.consumer.Tick(w.now)
	if !w.consumer.anew {
		t.Error("what is permitted again does not come")
	}
}
