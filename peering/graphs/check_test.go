package graphs

import (
	"fmt"
	"maps"
	"slices"

	"banyan/model"
	"banyan/tree"
)

// copied is a context as a node is to have it.
type copied struct {
	fact    fact
	entries map[string]bool
}

// expected is what a node is entitled to, by path.
func expected(h *holding) map[string]*copied {
	list := make(map[string]*copied)
	for f := range h.all {
		if f.route == "" {
			continue
		}
		c := list[f.path]
		if c == nil {
			c = &copied{entries: make(map[string]bool)}
			list[f.path] = c
		}
		if f.entry == "" {
			c.fact = f
		} else {
			c.entries[f.entry] = true
		}
	}
	return list
}

// check compares what every node has with what it is entitled to, after everything has come to rest. Where links are down, what came over them is
// stale, and may be what it was.
func (w *world) check() {
	entitled := w.net.entitled()
	w.lingering = nil
	for i, n := range w.nodes {
		w.checkNode(n, expected(&entitled[i]))
	}
	for _, l := range w.links {
		l.checkKept()
	}
	if !slices.ContainsFunc(w.links, func(l *link) bool { return l.down }) {
		w.net.forget(entitled)
		for _, late := range w.lingering {
			w.net.spread(w.net.may, late.node, late.fact)
		}
	}
}

func (w *world) checkNode(n *node, expected map[string]*copied) {
	things := w.things()
	var has []tree.Context
	n.tree.Walk(model.Root, nil, func(c *tree.Context) bool {
		has = append(has, *c)
		return true
	})
	found := 0
	for i := range has {
		c := &has[i]
		path := c.Path.String()
		if len(c.Route) == 0 {
			if n.own[path] == nil {
				w.fail("%s has %s, which it does not own", n.hop.Name, path)
			}
			continue
		}
		if w.waits(n, path) {
			delete(expected, path)
			w.checkStale(n, c)
			continue
		}
		want := expected[path]
		if want == nil || want.fact.id != c.ID.Number {
			w.fail("%s has %s (%v) to which it is not entitled", n.hop.Name, path, c.ID)
		}
		found++
		w.checkContext(n, c, want, things[c.ID.Number])
	}
	if found == len(expected) {
		return
	}
	for _, path := range slices.Sorted(maps.Keys(expected)) {
		if _, there := n.tree.Lookup(model.MustPath(path)); !there && !w.waits(n, path) {
			w.fail("%s does not have %s, to which it is entitled: %+v", n.hop.Name, path, expected[path].fact)
		}
	}
}

// waits reports whether a path of a node's lies behind a link that is down.
func (w *world) waits(n *node, path string) bool {
	for _, l := range w.links {
		rel, inside := below(l.edge.mount, path)
		if l.consumer != n || !inside || l.edge.grant == nil && l.withdrawn == nil {
			continue
		}
		return l.down || l.edge.grant != nil && w.waits(l.provider, under(l.edge.grant.root, rel))
	}
	return false
}

func (w *world) things() map[uint64]*thing {
	things := make(map[uint64]*thing)
	for _, n := range w.nodes {
		for _, t := range n.own {
			things[t.id] = t
		}
	}
	return things
}

// checkStale holds what came over a link that is down: nothing of it is good.
func (w *world) checkStale(n *node, c *tree.Context) {
	for _, v := range c.Schema.Variables {
		if r, _ := n.tree.Read(model.Address{Path: c.Path, Name: v.Name}); r.Sample.Quality.Level == model.Good && !r.Sample.Value.IsNone() {
			w.fail("%s has %s:%s as good behind a link that is down", n.hop.Name, c.Path, v.Name)
		}
	}
}

func (w *world) checkContext(n *node, c *tree.Context, want *copied, t *thing) {
	if c.Label != want.fact.token || c.Schema.Kind != want.fact.kind || len(c.Route) != len(want.fact.route) {
		w.fail("%s has %+v, not %+v", n.hop.Name, c, want.fact)
	}
	for i, hop := range c.Route {
		if hop.Node != w.nodes[want.fact.route[i]].hop.Node {
			w.fail("%s has %s by %v, not by %v", n.hop.Name, c.Path, c.Route.Names(), []byte(want.fact.route))
		}
	}
	entries := make(map[string]bool)
	for _, s := range c.Schema.Settings {
		entries[s.Name] = true
	}
	for _, v := range c.Schema.Variables {
		entries[v.Name] = true
	}
	if !maps.Equal(entries, want.entries) {
		w.fail("%s has %s with %v, not with %v", n.hop.Name, c.Path, entries, want.entries)
	}
	for i := range t.entries {
		if e := &t.entries[i]; entries[e.name] {
			w.checkEntry(n, c, want, t, e)
		}
	}
}

func (w *world) checkEntry(n *node, c *tree.Context, want *copied, t *thing, e *entry) {
	at := model.Address{Path: c.Path, Name: e.name}
	v := t.values[e.name]
	var has model.Value
	if e.variable {
		r, _ := n.tree.Read(at)
		has = r.Sample.Value
		good := r.Sample.Quality.Level == model.Good && !has.IsNone()
		if v == nil && has.IsNone() {
			return
		}
		if good != (v != nil && v.confirmed) {
			w.fail("%s has %s %v, %s; its owner has %+v\n%s", n.hop.Name, at, has, r.Sample.Quality, v, w.trail(want, e))
		}
		if !good {
			w.lingers(n, want, e, has)
			return
		}
	} else {
		if has = c.SettingNamed(e.name); v == nil || e.secret {
			if !has.IsNone() {
				w.fail("%s has %s %v, which is not to be seen", n.hop.Name, at, has)
			}
			return
		}
	}
	if !w.same(want.fact.links, v.Value, has) {
		w.fail("%s has %s %v, its owner has %v", n.hop.Name, at, has, v.Value)
	}
}

// trail is what each node on the way has of an entry.
func (w *world) trail(want *copied, e *entry) string {
	text := ""
	path := want.fact.path
	for _, i := range want.fact.links {
		l := w.links[i]
		r, _ := l.consumer.tree.Read(model.Address{Path: model.MustPath(path), Name: e.name})
		stale, _, _, _ := l.consumer.tree.OverlaysSince(1 << 62)
		text += fmt.Sprintf("%s has %v %s, with %+v over it\n", l.consumer.hop.Name, r.Sample.Value, r.Sample.Quality, stale)
		rel, _ := below(l.edge.mount, path)
		path = under(l.edge.grant.root, rel)
	}
	return text
}

// known is a fact at a node.
type known struct {
	node int
	fact fact
}

// lingers says that a node has a value, as one that is not good, which its owner does not confirm any more since it was restarted: whoever is granted
// the variable may be told it still.
func (w *world) lingers(n *node, want *copied, e *entry, has model.Value) {
	f := want.fact
	f.entry, f.secret = e.name, e.secret
	switch has.Type() {
	case model.TypeInt64:
		i := has.Int64()
		f.token = numberToken(i)
	case model.TypeString:
		f.token = has.Text()
	default:
		return
	}
	w.lingering = append(w.lingering, known{n.index, f})
}

// same reports whether a value at the end of a route can be what its owner has. A reference may have become one to the outside on each hop, and must
// where the grant shows nothing at its path.
func (w *world) same(links string, owners, has model.Value) bool {
	switch owners.Type() {
	case model.TypeRef:
		to, inside := owners.Ref()
		path := to.Path.String()
		for i := len(links) - 1; i >= 0 && inside; i-- {
			e := w.net.edges[links[i]]
			rel, within := below(e.grant.root, path)
			inside = within && e.grant.showsPath(path)
			path = under(e.mount, rel)
		}
		got, gotInside := has.Ref()
		return has.Type() == model.TypeRef && (!gotInside || inside && got.Path.String() == path && got.Name == to.Name)
	case model.TypeTable:
		if has.Type() != model.TypeTable || len(has.Table().Rows) != len(owners.Table().Rows) {
			return false
		}
		for i, row := range owners.Table().Rows {
			for j, cell := range row {
				if !w.same(links, cell, has.Table().Rows[i][j]) {
					return false
				}
			}
		}
		return true
	default:
		return has.Type() == owners.Type() && has.String() == owners.String()
	}
}

// checkKept compares what is kept of a mirror with what hangs in the tree.
func (l *link) checkKept() {
	count := 0
	l.consumer.tree.Walk(l.mount(), nil, func(c *tree.Context) bool {
		rel, _ := l.mount().Below(c.Path)
		if r, there := l.kept.rows[rel]; !there || r.ID != c.ID || r.Label != c.Label || r.Schema.Hash != c.Schema.Hash || fmt.Sprint(r.Settings) != fmt.Sprint(c.Settings) {
			l.world.fail("%s keeps %+v of %+v", l, r, c)
		}
		count++
		return true
	})
	if count != len(l.kept.rows) || (l.edge.grant != nil || l.withdrawn != nil) && count != l.mirror.Count() {
		l.world.fail("%s keeps %d contexts, counts %d and has %d", l, len(l.kept.rows), l.mirror.Count(), count)
	}
}
