package peering

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/proto"
	"banyan/tree"

	pb "google.golang.org/protobuf/proto"
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
	if o, _ := hq.tree.Staleness(model.MustPath("/berlin/sites/a")); o.Hop != "behind berlin" {
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

// What was withdrawn from a tier and granted again is the same as before, but for its values: where they are compared, those of before do not go on being good.
func TestWhatCameBackIsConfirmedAnew(t *testing.T) {
	hq, north, berlin := newNode("hq"), newNode("north"), newNode("berlin")
	berlin.put("/slow")
	berlin.put("/other")
	berlin.publish("/slow", 1, "one", 5)
	below, above := mirrorOf(north, berlin, "/berlin"), mirrorOf(hq, north, "/north")
	lower, upper := join(t, below, berlin, 100*second), join(t, above, north, 100*second)
	want(t, hq, "/north/berlin/slow:load", "1 good")
	upper.consumer.Cut()
	lower.consumer.Cut()
	below.Purge()
	berlin.restarted() // it has published nothing yet
	join(t, below, berlin, 200*second)
	want(t, north, "/berlin/slow:load", "- uncertain/not-yet-read")
	north.tree.Bury(nil, north.tree.ChangeHead()) // so much was removed that what hq has must be compared
	join(t, above, north, 300*second)
	want(t, hq, "/north/berlin/slow:load", "- uncertain/not-yet-read")
}

// shownKind selects what is of one kind.
type shownKind struct {
	everything
	kind string
}

func (s shownKind) Key() string                            { return "kind " + s.kind }
func (s shownKind) Selects(_ model.Path, kind string) bool { return kind == s.kind }

// What is stale is told with the nodes between which it arises only where something is shown that came over them: while a mirror is compared after a change
// of view, it can lie over what came by another way.
func TestHopOfWhatIsHiddenIsNotNamed(t *testing.T) {
	hq, north := newNode("hq"), newNode("north")
	berlin, shown, secret := newNode("berlin").hop, newNode("shown").hop, newNode(canary).hop
	north.put("/unused")
	put := func(path, kind string, by tree.Hop) {
		schema, err := proto.NewSchema(model.Schema{Kind: kind, Variables: probeSchema.Variables})
		if err != nil {
			t.Fatal(err)
		}
		north.next++
		north.tree.Apply([]tree.Put{{
			ID: model.ContextID{Node: by.Node, Number: north.next}, Path: model.MustPath(path), Schema: schema, Route: tree.Route{berlin, by},
			Version: model.Version{Number: north.next},
		}}, nil)
	}
	var heard []string
	stale := func(by tree.Hop) {
		o := tree.Overlay{Path: model.MustPath("/m"), Since: 5, Hop: "berlin > " + by.Name, Nodes: tree.Ends{berlin.Node, by.Node}}
		north.tree.ReplaceOverlays(func(tree.Overlay) bool { return true }, []tree.Overlay{o})
	}
	put("/m/a", "open", shown)
	put("/m/b", "closed", secret)
	stale(secret) // as a new view has it, before what it is of has come
	north.view = follow.NewView(north.tree, model.Root, shownKind{kind: "open"})
	w := joinHeard(t, mirrorOf(hq, north, "/north"), north, 100*second, func(frame pb.Message) { heard = append(heard, fmt.Sprint(frame)) })
	hop := func(want string) {
		t.Helper()
		w.settle()
		if o, _ := hq.tree.Staleness(model.MustPath("/north/m/a")); o.Hop != want {
			t.Errorf("at hq it is stale by %q, want %q", o.Hop, want)
		}
	}
	hop("behind north")
	put("/m/c", "closed", secret) // nothing of it is told
	hop("behind north")
	if all := strings.Join(heard, "\n"); strings.Contains(all, canary) {
		t.Errorf("hq is told %s", all)
	}
	put("/m/d", "open", secret) // now it is
	hop("berlin > " + canary)
	stale(shown)
	hop("berlin > shown")
}
