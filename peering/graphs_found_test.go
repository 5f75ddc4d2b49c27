package peering

import (
	"testing"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/proto"
	"banyan/tree"
)

// What walks through random graphs found (see folder graphs), each as small as it can be.

// renamed selects everything, and is another view.
type renamed struct{ everything }

func (renamed) Key() string { return "renamed" }

// restarted is the node after a restart with the contexts that it had.
func (n *node) restarted() {
	contexts := n.tree.ChangesSince(0, 100, nil).Contexts
	n.start(n.chain, n.tree.ChangeHead()+1)
	for _, c := range contexts {
		n.tree.Apply([]tree.Put{{ID: c.ID, Path: c.Path, Schema: c.Schema, Version: c.Version, Number: c.Change}}, nil)
	}
}

// A provider whose export became another one tells the latest of everything again: what a restart behind it left unconfirmed does not come to be good by it.
func TestNewViewConfirmsNothing(t *testing.T) {
	hq, north, berlin := newNode("hq"), newNode("north"), newNode("berlin")
	berlin.put("/slow")
	berlin.publish("/slow", 1, "one", 5)
	below, above := mirrorOf(north, berlin, "/berlin"), mirrorOf(hq, north, "/north")
	lower, upper := join(t, below, berlin, 100*second), join(t, above, north, 100*second)
	lower.consumer.Cut()
	berlin.restarted()
	join(t, below, berlin, 200*second)
	upper.settle()
	want(t, hq, "/north/berlin/slow:load", "1 uncertain/stale")

	upper.consumer.Cut()
	north.view = follow.NewView(north.tree, model.Root, renamed{})
	joinWatched(t, above, north, 300*second, func() {}) // what was compared is acknowledged before any sample is told
	want(t, hq, "/north/berlin/slow:load", "1 uncertain/stale")
}

// A context that its owner has anew has no values: those of before do not go on being good, whether the owner was connected all the time, was not, or
// shows it by another view now.
func TestValuesEndWithWhatTheyWereOf(t *testing.T) {
	for name, renew := range map[string]func(w *wire, m *Mirror, berlin *node){
		"connected": func(w *wire, _ *Mirror, berlin *node) {
			berlin.renew("/a")
			w.settle()
		},
		"cut": func(w *wire, m *Mirror, berlin *node) {
			w.consumer.Cut()
			berlin.renew("/a")
			join(w.t, m, berlin, 200*second)
		},
		"another view": func(w *wire, m *Mirror, berlin *node) {
			w.consumer.Cut()
			berlin.renew("/a")
			berlin.view = follow.NewView(berlin.tree, model.Root, renamed{})
			join(w.t, m, berlin, 200*second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			hq, berlin := newNode("hq"), newNode("berlin")
			berlin.put("/a")
			berlin.publish("/a", 1, "one", 5)
			m := mirrorOf(hq, berlin, "/berlin")
			w := join(t, m, berlin, 100*second)
			want(t, hq, "/berlin/a:load", "1 good")
			renew(w, m, berlin)
			want(t, hq, "/berlin/a:load", "- uncertain/not-yet-read")
		})
	}
}

// What is compared within one view keeps its handles, and what is told for them arrives.
func TestComparedContextsKeepTheirHandles(t *testing.T) {
	hq, berlin := newNode("hq"), newNode("berlin")
	berlin.put("/a")
	berlin.publish("/a", 1, "one", 5)
	m := mirrorOf(hq, berlin, "/berlin")
	w := join(t, m, berlin, 100*second)
	w.consumer.Cut()
	berlin.put("/a", model.Duration(time.Minute))
	berlin.put("/b")
	berlin.tree.Bury(nil, berlin.tree.ChangeHead()) // what was removed before is not known any more
	w = join(t, m, berlin, 200*second)
	want(t, hq, "/berlin/a:interval", "1m0s good")
	want(t, hq, "/berlin/a:load", "1 good")
	berlin.publish("/a", 2, "two", 6)
	w.settle()
	want(t, hq, "/berlin/a:load", "2 good")
}

// renew gives a context other variables for a moment, which costs it the values of those that it has again.
func (n *node) renew(path string) {
	c, _ := n.tree.Lookup(model.MustPath(path))
	other, err := proto.NewSchema(model.Schema{Kind: c.Schema.Kind})
	if err != nil {
		panic(err)
	}
	for _, schema := range []*model.Schema{other, c.Schema} {
		n.next++
		n.tree.Apply([]tree.Put{{ID: c.ID, Path: c.Path, Schema: schema, Version: model.Version{Epoch: n.epoch, Number: n.next}}}, nil)
	}
}

// What was stale by another view is forgotten with it: its paths are of another root.
func TestNewViewForgetsWhatWasStale(t *testing.T) {
	hq, berlin := newNode("hq"), newNode("berlin")
	berlin.put("/sites/a")
	berlin.tree.SetOverlay(tree.Overlay{Path: model.MustPath("/sites"), Since: 5, Hop: "berlin > secret"})
	m := mirrorOf(hq, berlin, "/berlin")
	w := join(t, m, berlin, 100*second)
	if o, _ := hq.tree.Staleness(model.MustPath("/berlin/sites/a")); o.Hop != "berlin > secret" {
		t.Fatalf("the path is stale by %q", o.Hop)
	}
	w.consumer.Cut()
	berlin.view = follow.NewView(berlin.tree, model.MustPath("/sites"), everything{})
	w = &wire{t: t, now: 200 * second, consumer: NewConsumer(m, "link", []byte("0123456789abcdef"), testBeat)}
	w.provider = NewProvider(ProviderConfig{
		Tree: berlin.tree, View: berlin.view, Node: berlin.hop.Node, Name: berlin.hop.Name, Epoch: berlin.epoch, Chain: berlin.chain, Beat: testBeat,
	})
	t.Cleanup(w.provider.Close)
	hello, _ := w.consumer.Next()
	if err := w.provider.Receive(hello, w.now); err != nil {
		t.Fatal(err)
	}
	out, _ := w.provider.Next(w.now)
	w.cross(out)
	stale, _, _, _ := hq.tree.OverlaysSince(1 << 62)
	if len(stale) != 1 || stale[0].Hop != "hq > berlin" {
		t.Errorf("when everything is compared, what is stale is %+v", stale)
	}
}
