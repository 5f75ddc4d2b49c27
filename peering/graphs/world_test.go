package graphs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"banyan/access"
	"banyan/follow"
	"banyan/model"
	"banyan/peering"
	"banyan/tree"
)

// world is a graph of nodes with their links in one goroutine, and the model of it.
type world struct {
	t       testing.TB
	rand    *rand.Rand
	now     model.Time
	counter uint64
	net     *network
	nodes   []*node
	links   []*link
	told    int // frames that carry something, since it was set

	lingering []known // found by check
	log       []string
}

// node is a node as much as links need it, and what outlives a restart of it.
type node struct {
	world *world
	index int
	hop   tree.Hop
	epoch model.Epoch
	chain model.Chain
	tree  *tree.Tree
	views map[uint64]*follow.View
	own   map[string]*thing // by path
	first bool              // it speaks the first version

	forgotten uint64 // change number up to which removals are not remembered over a restart
}

func (w *world) note(format string, args ...any) {
	if len(w.log) > 6000 {
		w.log = slices.Delete(w.log, 0, 3000)
	}
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\n%s\nlast steps:\n%s", fmt.Sprintf(format, args...), w, strings.Join(w.log[max(0, len(w.log)-*steps):], "\n"))
}

// String is the graph as it is now.
func (w *world) String() string {
	var b strings.Builder
	for _, l := range w.links {
		if g := l.edge.grant; g != nil {
			fmt.Fprintf(&b, "%s: %s of %+v\n", l, l.edge.mount, *g)
		}
	}
	return b.String()
}

func (w *world) count() uint64 {
	w.counter++
	return w.counter
}

// token is a word that is nowhere else.
func (w *world) token() string { return fmt.Sprintf("tk%06d", w.count()) }

// nodeKey is a node's name.
func nodeKey(index int) string { return names[index] }

var names = func() (list [24]string) {
	for i := range list {
		list[i] = fmt.Sprintf("tk8%05d", i)
	}
	return list
}()

func idKey(id uint64, path string) string { return strconv.FormatUint(id, 10) + path }

func (w *world) addNode() *node {
	n := &node{world: w, index: len(w.nodes), own: make(map[string]*thing), first: w.rand.IntN(6) == 0}
	n.hop.Name = nodeKey(n.index)
	copy(n.hop.Node[:], n.hop.Name)
	n.begin(1)
	w.nodes = append(w.nodes, n)
	return n
}

// begin begins an epoch with an empty tree.
func (n *node) begin(first uint64) {
	n.epoch = model.Epoch{Ordinal: n.chain.Last().Epoch.Ordinal + 1, Random: n.world.count()}
	n.chain = append(slices.Clone(n.chain), model.Begin{Epoch: n.epoch, First: first})
	n.tree = tree.New(tree.Config{
		FirstChange: first, RingFor: 1, Tombstones: n.world.few(), Now: func() time.Time { return time.Unix(0, int64(n.world.now)) },
	})
	n.views = make(map[uint64]*follow.View)
}

// few is how many removals a node remembers: with few of them, who was away has to compare.
func (w *world) few() int { return 2 + w.rand.IntN(2)*40 }

// viewOf is the one view of equal content that a node has as long as it lives.
func (n *node) viewOf(g *grant) *follow.View {
	e := access.Export{Name: "export", Kinds: g.kinds, ExceptKinds: g.exceptKinds, Secrets: g.secrets, People: g.people, Right: model.RightView}
	for _, p := range g.patterns {
		e.Paths = append(e.Paths, model.MustPattern(p))
	}
	for _, h := range g.hide {
		e.Hide = append(e.Hide, access.Hidden{Kind: h.kind, Name: h.entry})
	}
	selected, err := access.NewSelection(e, access.Areas{})
	if err != nil {
		n.world.fail("%v", err)
	}
	made := follow.NewView(n.tree, model.MustPath(g.root), follow.Export(selected))
	if known := n.views[made.ID]; known != nil {
		return known
	}
	n.views[made.ID] = made
	return made
}

// put makes the tree, and the model, have things as they are now, in place of those at the paths that are removed.
func (n *node) put(things []*thing, removed ...*thing) {
	w := n.world
	var puts []tree.Put
	var removals []tree.Removal
	for _, t := range removed {
		w.disown(t)
		removals = append(removals, tree.Removal{Path: model.MustPath(t.path), Version: n.version()})
	}
	for _, t := range things {
		p := tree.Put{
			ID: model.ContextID{Node: n.hop.Node, Epoch: n.chain[0].Epoch, Number: t.id}, Path: model.MustPath(t.path), Label: t.label, Schema: t.schema,
			Settings: make([]model.Value, len(t.schema.Settings)), Version: n.version(),
		}
		for i := range p.Settings {
			if v := t.values[t.schema.Settings[i].Name]; v != nil {
				p.Settings[i] = v.Value
			}
		}
		puts = append(puts, p)
	}
	n.tree.Apply(puts, removals)
	for _, t := range removed {
		delete(n.own, t.path)
	}
	for _, t := range things {
		n.own[t.path] = t
		w.own(t)
	}
}

func (n *node) version() model.Version { return model.Version{Epoch: n.epoch, Number: n.world.count()} }

func (w *world) own(t *thing) {
	for _, f := range t.facts() {
		w.net.own(f)
	}
}

func (w *world) disown(t *thing) {
	for _, f := range t.facts() {
		w.net.disown(f)
	}
}

// publish publishes a sample of one variable.
func (n *node) publish(t *thing, e *entry, v *value) {
	w := n.world
	c, there := n.tree.Lookup(model.MustPath(t.path))
	if !there {
		w.fail("%s does not have its own %s", n.hop.Name, t.path)
	}
	w.disown(t)
	v.confirmed = true
	t.values[e.name] = v
	w.own(t)
	var b tree.Batch
	b.Add(c.Slots.First+tree.Slot(t.schema.VariableIndex(e.name)), model.Sample{Value: v.Value, Source: model.Time(w.count())})
	n.tree.Publish(&b)
}

// forget forgets what variables are, as the tree does when a context gets other slots.
func (t *thing) forget() {
	for _, e := range t.entries {
		if e.variable {
			delete(t.values, e.name)
		}
	}
}

// restart ends a node's epoch and begins the next one: contexts and what is mirrored are kept, samples are not.
func (n *node) restart() {
	w := n.world
	for _, l := range w.links {
		if l.consumer == n || l.provider == n {
			l.cut()
		}
	}
	head := n.tree.ChangeHead()
	d := n.tree.ChangesSince(0, 1<<30, nil)
	var own []tree.Put
	for _, c := range d.Contexts {
		if len(c.Route) == 0 {
			own = append(own, tree.Put{ID: c.ID, Path: c.Path, Label: c.Label, Schema: c.Schema, Settings: c.Settings, Version: c.Version, Number: c.Change})
		}
	}
	n.begin(head + 1)
	if horizon := max(d.Horizon, n.forgotten); horizon > 0 {
		n.tree.Bury(nil, horizon)
	}
	n.tree.Bury(d.Tombstones, 0)
	n.tree.Apply(own, nil)
	for _, t := range n.own {
		for _, e := range t.entries {
			if v := t.values[e.name]; e.variable && v != nil {
				v.confirmed = false
			}
		}
	}
	for _, l := range w.links {
		if l.consumer == n && (l.edge.grant != nil || l.withdrawn != nil) {
			l.load()
		}
	}
}

// load makes the mirror anew from what was kept of it.
func (l *link) load() {
	var rows []peering.Row
	for _, r := range l.kept.rows {
		path, err := l.mount().Join(r.Path)
		if err != nil {
			l.world.fail("%v", err)
		}
		l.consumer.tree.Apply([]tree.Put{{
			ID: r.ID, Path: path, Label: r.Label, Schema: r.Schema, Settings: r.Settings, Version: r.Version, Route: r.Route, Number: r.Local,
		}}, nil)
		rows = append(rows, r)
	}
	at := l.kept.at
	at.Epoch = at.Chain.Last().Epoch
	if len(rows) == 0 {
		at = peering.Place{Heard: at.Heard}
	}
	l.newMirror(rows, at)
}

// kept is what is on disk of a mirror.
type kept struct {
	rows map[model.Path]peering.Row
	at   peering.Place
}

// Keep takes what a mirror learns.
func (k *kept) Keep(gone []peering.Gone, rows []peering.Row, at peering.Place) {
	for _, g := range gone {
		if r, there := k.rows[g.Path]; there && r.ID == g.ID {
			delete(k.rows, g.Path)
		}
	}
	for _, r := range rows {
		k.rows[r.Path] = r
	}
	k.at = at
}

// Forget gives everything up.
func (k *kept) Forget() { k.rows, k.at = make(map[model.Path]peering.Row), peering.Place{} }

// ownPaths are in a fixed order, so that a seed gives one walk.
func (n *node) ownPaths() []string { return slices.Sorted(maps.Keys(n.own)) }
