package graphs

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"banyan/follow"
	"banyan/model"
)

// firstNumber is the least value of a variable that is a number: smaller ones are other things.
const firstNumber = 1_000_000

func numberToken(n int64) string { return fmt.Sprint("number ", n) }

// walk makes a graph from a seed and does at random what can be done to it.
func walk(t testing.TB, seed uint64) *world {
	w := &world{t: t, rand: rand.New(rand.NewPCG(seed, 11)), now: model.TimeOf(time.Unix(1_000_000, 0))}
	w.build()
	for range 2 + w.rand.IntN(2) {
		w.run(200 + w.rand.IntN(600))
		if w.rand.IntN(2) == 0 {
			w.settle()
			w.check()
		}
		w.heal()
		w.settle()
		w.check()
	}
	for _, l := range w.links {
		l.cut()
	}
	return w
}

// build makes the nodes, some of what they own, and links between them.
func (w *world) build() {
	count := 2 + w.rand.IntN(11)
	if w.rand.IntN(40) == 0 {
		count = mostHops + 2 + w.rand.IntN(3) // longer than anything may travel
	}
	w.net = newNetwork(count)
	for range count {
		w.addNode()
	}
	for i := 1; i < count; i++ {
		other := w.nodes[i-1]
		if w.rand.IntN(3) > 0 && count <= mostHops {
			other = w.nodes[w.rand.IntN(i)]
		}
		if w.rand.IntN(4) == 0 && count <= mostHops {
			w.link(w.nodes[i], other)
		} else {
			w.link(other, w.nodes[i])
		}
	}
	if count > mostHops {
		w.link(w.nodes[count-1], w.nodes[0])
		return
	}
	for range w.rand.IntN(5) {
		w.link(w.nodes[w.rand.IntN(count)], w.nodes[w.rand.IntN(count)])
	}
}

// link links two nodes, which may be linked already, or be the same.
func (w *world) link(consumer, provider *node) {
	mount := fmt.Sprintf("/m/l%d", len(w.links))
	if w.rand.IntN(3) == 0 {
		mount = fmt.Sprintf("%s/l%d", w.path(), len(w.links))
	}
	w.addLink(consumer, provider, mount, w.grant(provider))
}

// path is one of the few paths at which nodes own something.
func (w *world) path() string {
	one, two := []string{"a", "b", "c"}, []string{"a", "x", "y"}
	path := "/own/" + one[w.rand.IntN(len(one))]
	switch w.rand.IntN(12) {
	case 0:
		return "/own"
	case 1:
		return "/users/" + one[w.rand.IntN(len(one))]
	case 2, 3, 4, 5, 6:
		return path
	default:
		return path + "/" + two[w.rand.IntN(len(two))]
	}
}

// grant is some grant of a provider's.
func (w *world) grant(provider *node) *grant {
	g := &grant{root: "/", patterns: []string{"/**"}, people: w.rand.IntN(4) == 0, secrets: w.rand.IntN(3) == 0}
	patterns := []string{"/**", "/own/**", "/m/**", "/own/*/**", "/**/a/**", "/own/a", "/own/b/**", "/own/*/x", "/**/x", "/users/**", "/*/*", "/nothing"}
	if w.rand.IntN(2) == 0 {
		g.patterns = nil
		for range 1 + w.rand.IntN(2) {
			g.patterns = append(g.patterns, patterns[w.rand.IntN(len(patterns))])
		}
	}
	switch w.rand.IntN(6) {
	case 0:
		g.root = "/own"
	case 1:
		g.root = w.path()
	case 2:
		for _, l := range w.links {
			if l.consumer == provider && w.rand.IntN(2) == 0 {
				g.root = l.edge.mount
			}
		}
	}
	for range w.rand.IntN(3) {
		s := shapes[w.rand.IntN(len(shapes))]
		e := s.entries[w.rand.IntN(len(s.entries))]
		switch w.rand.IntN(6) {
		case 0:
			g.kinds = append(g.kinds, s.kind)
		case 1:
			g.exceptKinds = append(g.exceptKinds, s.kind)
		case 2:
			g.hide = append(g.hide, hidden{"", e.name})
		default:
			g.hide = append(g.hide, hidden{s.kind, e.name})
		}
	}
	return g
}

// run takes steps, frames and other things in any order.
func (w *world) run(steps int) {
	for range steps {
		if w.rand.IntN(5) == 0 {
			w.disturb()
			continue
		}
		w.links[w.rand.IntN(len(w.links))].step(w.rand.IntN(sorts))
	}
}

// disturb does something that is not a frame.
func (w *world) disturb() {
	n := w.nodes[w.rand.IntN(len(w.nodes))]
	l := w.links[w.rand.IntN(len(w.links))]
	switch kind := w.rand.IntN(100); {
	case kind < 20:
		n.change()
	case kind < 48:
		n.measure()
	case kind < 62:
		l.join()
	case kind < 68:
		l.cut()
	case kind < 70:
		l.cut()
		l.down = true
	case kind < 73:
		l.down = false
	case kind < 78:
		w.edit(l)
	case kind < 79:
		w.move(l)
	case kind < 81:
		w.withdraw(l)
	case kind < 83:
		l.want(w.paces())
		w.note("%s: wanted is %v", l, l.wants)
	case kind < 84:
		w.note("%s restarts", n.hop.Name)
		n.restart()
	default:
		w.pass(time.Duration(w.rand.Int64N(int64(beat))))
	}
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	w.now += model.Time(d)
	for _, l := range w.links {
		l.tick()
	}
}

// edit gives a link another grant, up or down.
func (w *world) edit(l *link) {
	if l.edge.grant == nil {
		return
	}
	l.cut()
	g := w.grant(l.provider)
	switch old := *l.edge.grant; w.rand.IntN(4) {
	case 0: // the root is another
		old.root = g.root
		g = &old
	case 1: // something more is hidden
		s := shapes[w.rand.IntN(len(shapes))]
		old.hide = append([]hidden{{s.kind, s.entries[w.rand.IntN(len(s.entries))].name}}, old.hide...)
		g = &old
	case 2: // everything is withdrawn
		if w.rand.IntN(2) == 0 {
			old.patterns = []string{"/nothing"}
			g = &old
		}
	}
	w.note("%s: granted is %+v", l, *g)
	w.net.edit(l.edge, g)
}

// withdraw takes away what is granted, or grants it again.
func (w *world) withdraw(l *link) {
	switch {
	case l.withdrawn != nil:
		w.note("%s is granted again", l)
		w.net.edit(l.edge, l.withdrawn)
		l.withdrawn = nil
	case l.edge.grant != nil:
		w.note("%s is withdrawn", l)
		l.cut()
		l.withdrawn = l.edge.grant
		w.net.edit(l.edge, nil)
	}
}

// move ends a mirror, or hangs it elsewhere.
func (w *world) move(l *link) {
	if l.edge.grant == nil {
		return
	}
	l.end()
	g := l.edge.grant
	w.net.edit(l.edge, nil)
	if w.rand.IntN(3) == 0 {
		w.note("%s is removed", l)
		return
	}
	l.edge.mount = fmt.Sprintf("/m/l%dm%d", l.edge.index, w.count())
	w.note("%s is mounted at %s", l, l.edge.mount)
	l.begin()
	w.net.edit(l.edge, g)
}

// heal lets every link come back.
func (w *world) heal() {
	for _, l := range w.links {
		l.down = false
	}
}

// paces are what a consumer may ask for.
func (w *world) paces() (rules []follow.InterestRule) {
	paces := []follow.Pace{{}, follow.Never, {Interval: time.Second}, {Interval: 20 * time.Second, Deadband: 50}}
	patterns := []string{"/**", "/own/**", "/m/**", "/*/*", "/**/a/**"}
	for range w.rand.IntN(3) {
		rules = append(rules, follow.InterestRule{
			Pattern: model.MustPattern(patterns[w.rand.IntN(len(patterns))]), Pace: paces[w.rand.IntN(len(paces))],
		})
	}
	return rules
}

// settle lets everything arrive that can.
func (w *world) settle() {
	w.told = 0
	for _, l := range w.links {
		l.want(nil)
	}
	most := w.bound()
	for round, quiet := 0, 0; quiet < 3; round++ {
		before := w.told
		for _, l := range w.links {
			l.join()
			l.deaf = false
		}
		for moved := true; moved; {
			moved = false
			for _, l := range w.links {
				l.join()
				for sort := range sorts {
					moved = l.step(sort) || moved
				}
			}
			if w.told > most {
				w.fail("it does not come to rest: %d frames were told, at most %d are expected", w.told, most)
			}
		}
		if quiet++; w.told > before {
			quiet = 0
		}
		w.pass(beat)
		if round > 10+3*len(w.nodes) {
			w.fail("it does not come to rest: after %d heartbeats there is still something to tell", round)
		}
	}
}

// bound is how many frames may be told from now on, if nobody changes anything: a few for each link, and a few for each context where it may be. Walks
// need up to a third of it.
func (w *world) bound() int {
	contexts := 0
	for i := range w.net.may {
		for f := range w.net.may[i].all {
			if f.entry == "" {
				contexts++
			}
		}
	}
	return 4 * (8*len(w.links) + contexts)
}

// change changes something that the node owns.
func (n *node) change() {
	w := n.world
	path := w.path()
	old := n.own[path]
	switch kind := w.rand.IntN(10); {
	case old == nil:
		n.put([]*thing{n.newThing(path)})
	case kind == 0: // another one in its place
		n.put([]*thing{n.newThing(path)}, old)
	case kind <= 2:
		n.put(nil, old)
	case kind <= 4: // moved
		to := w.path()
		if n.own[to] != nil {
			return
		}
		moved := n.copyOf(old)
		moved.path = to
		moved.forget()
		n.put([]*thing{moved}, old)
	case kind <= 6: // another schema of the same kind
		s := shapes[w.rand.IntN(len(shapes))]
		if s.kind != old.kind || s == old.shape {
			return
		}
		w.disown(old)
		changed := n.copyOf(old)
		changed.shape = s
		changed.forget()
		w.set(changed)
		n.put([]*thing{changed})
	default:
		w.disown(old)
		changed := n.copyOf(old)
		w.set(changed)
		n.put([]*thing{changed})
	}
}

func (n *node) newThing(path string) *thing {
	w := n.world
	t := &thing{
		shape: shapes[w.rand.IntN(len(shapes))], id: w.count(), owner: n.index, path: path, label: w.token(), values: make(map[string]*value),
	}
	w.set(t)
	return t
}

func (n *node) copyOf(t *thing) *thing {
	c := *t
	c.values = make(map[string]*value)
	for name, v := range t.values {
		c.values[name] = v
	}
	return &c
}

// set gives a thing another label and other settings.
func (w *world) set(t *thing) {
	t.label = w.token()
	values := make(map[string]*value)
	for i := range t.entries {
		e := &t.entries[i]
		if v := t.values[e.name]; e.variable && v != nil {
			values[e.name] = v
		} else if !e.variable && w.rand.IntN(4) > 0 {
			values[e.name] = w.value(e.kind)
		}
	}
	t.values = values
}

func (w *world) value(kind model.Type) *value {
	switch kind {
	case model.TypeInt64:
		n := int64(firstNumber + w.count())
		return &value{Value: model.Int64(n), token: numberToken(n)}
	case model.TypeString:
		token := w.token()
		return &value{Value: model.String(token), token: token}
	case model.TypeTable:
		token := w.token()
		columns := []model.Column{{Name: "text", Type: model.TypeString}, {Name: "to", Type: model.TypeRef}}
		return &value{Value: model.TableValue(&model.Table{Columns: columns, Rows: [][]model.Value{{model.String(token), w.ref()}}}), token: token}
	default:
		return &value{Value: w.ref()}
	}
}

// ref names something that any node may have.
func (w *world) ref() model.Value {
	path := w.path()
	if l := w.links[w.rand.IntN(len(w.links))]; w.rand.IntN(3) == 0 {
		path = under(l.edge.mount, path)
	}
	to := model.Address{Path: model.MustPath(path)}
	if s := shapes[w.rand.IntN(len(shapes))]; w.rand.IntN(2) == 0 {
		to.Name = s.entries[w.rand.IntN(len(s.entries))].name
	}
	return model.Ref(to)
}

// measure publishes something that the node owns.
func (n *node) measure() {
	paths := n.ownPaths()
	if len(paths) == 0 {
		n.change()
		return
	}
	w := n.world
	for range 1 + w.rand.IntN(3) {
		t := n.own[paths[w.rand.IntN(len(paths))]]
		if e := &t.entries[w.rand.IntN(len(t.entries))]; e.variable {
			n.publish(t, e, w.value(e.kind))
		}
	}
}
