package graphs

import (
	"maps"
	"slices"
)

// The model says who is entitled to what. It knows nodes, what each owns, links with what is exported over them, and nothing of how anything is told:
// no views, change numbers, sessions or frames.

// mostHops is how many nodes may lie between a context's owner and whoever mounts it.
const mostHops = 16

// people are what an export keeps back where it does not include people.
var people = struct{ patterns, kinds []string }{[]string{"/users/**", "/roles/**"}, []string{"user", "role", "token", "foreign-user"}}

// fact is something that a node knows of, where in its tree, and how it came there. With an empty entry it is the context itself.
type fact struct {
	path  string
	id    uint64 // of the context
	owner int
	kind  string
	entry string
	// secret is an entry that not every export shows, and whose value never leaves its owner.
	secret bool
	token  string // what it is now: the label, a value; empty for an entry as such
	route  string // a byte for each node on the way: the nearest first, the owner last; empty at the owner
	links  string // a byte for each link on the way, in the same order
}

// grant is what a provider exports over a link.
type grant struct {
	root                         string
	patterns, kinds, exceptKinds []string
	hide                         []hidden
	secrets, people              bool
}

type hidden struct{ kind, entry string }

// shows reports whether the grant reaches a fact of the provider's.
func (g *grant) shows(f *fact) bool {
	if _, inside := below(g.root, f.path); !inside || !g.showsContext(f.path, f.kind) {
		return false
	}
	return f.entry == "" || g.showsEntry(f.kind, f.entry, f.secret) && !(f.secret && f.token != "")
}

func (g *grant) showsContext(path, kind string) bool {
	return g.showsPath(path) && (g.people || !slices.Contains(people.kinds, kind)) &&
		(len(g.kinds) == 0 || slices.Contains(g.kinds, kind)) && !slices.Contains(g.exceptKinds, kind)
}

func (g *grant) showsPath(path string) bool {
	_, inside := below(g.root, path)
	return inside && selected(g.patterns, path) && (g.people || !selected(people.patterns, path))
}

func selected(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return selects(p, path) })
}

func (g *grant) showsEntry(kind, entry string, secret bool) bool {
	return (g.secrets || !secret) && !slices.Contains(g.hide, hidden{"", entry}) && !slices.Contains(g.hide, hidden{kind, entry})
}

// edge is a link: what provider grants to consumer, and where that hangs.
type edge struct {
	index              int
	provider, consumer int
	mount              string
	grant              *grant // nil where there is no link any more
}

// pass is a fact of the provider's as the consumer has it, and false where it does not reach it.
func (e *edge) pass(f *fact) (fact, bool) {
	if e.grant == nil || !e.grant.shows(f) || len(f.route)+1 > mostHops {
		return fact{}, false
	}
	g := *f
	g.route, g.links = string(rune(e.provider))+f.route, string(rune(e.index))+f.links
	for i := range len(g.route) {
		if int(g.route[i]) == e.consumer {
			return fact{}, false // it has been here before
		}
	}
	rel, _ := below(e.grant.root, f.path)
	g.path = under(e.mount, rel)
	return g, true
}

// holding is what one node may know.
type holding struct {
	all  map[fact]bool
	by   index // nil where nothing is looked for
	ever index // and what it may have known since the beginning
}

// index finds facts by token, and by what else is looked for: see keysOf.
type index map[string][]*fact

func newHoldings(nodes int) []holding {
	list := make([]holding, nodes)
	for i := range list {
		list[i].all = make(map[fact]bool)
	}
	return list
}

// network is the model of a graph.
type network struct {
	owned []map[fact]bool // by node: true now
	edges []*edge
	may   []holding // by node: what may have reached it since forget was called
}

func newNetwork(nodes int) *network {
	n := &network{may: newHoldings(nodes)}
	for i := range nodes {
		n.owned = append(n.owned, make(map[fact]bool))
		n.may[i].by, n.may[i].ever = make(index), make(index)
	}
	return n
}

func (h *holding) add(f fact) bool {
	if h.all[f] {
		return false
	}
	h.all[f] = true
	if h.by == nil {
		return true
	}
	for _, key := range keysOf(&f) {
		h.by[key] = append(h.by[key], &f)
		h.ever[key] = append(h.ever[key], &f)
	}
	return true
}

// keysOf are what a fact is found by.
func keysOf(f *fact) []string {
	switch {
	case f.entry == "":
		keys := []string{f.token, "kind " + f.kind, idKey(f.id, f.path), nodeKey(f.owner)}
		for i := range len(f.route) {
			keys = append(keys, nodeKey(int(f.route[i])))
		}
		return slices.Compact(keys)
	case f.token != "":
		return []string{f.token}
	default:
		return []string{"entry " + f.entry, f.path + ":" + f.entry}
	}
}

// spread takes a fact that a node may know now, and follows it to wherever it may go.
func (n *network) spread(to []holding, node int, f fact) {
	if !to[node].add(f) {
		return
	}
	for _, e := range n.edges {
		if e.provider != node {
			continue
		}
		if g, passes := e.pass(&f); passes {
			n.spread(to, e.consumer, g)
		}
	}
}

// own says that a fact is true at its owner.
func (n *network) own(f fact) {
	n.owned[f.owner][f] = true
	n.spread(n.may, f.owner, f)
}

// disown says that a fact is not true any more. Whoever had it may have it until everything was told.
func (n *network) disown(f fact) { delete(n.owned[f.owner], f) }

// edit gives a link another grant: what its provider may know now may go over it.
func (n *network) edit(e *edge, g *grant) {
	e.grant = g
	for f := range maps.Clone(n.may[e.provider].all) {
		if passed, passes := e.pass(&f); passes {
			n.spread(n.may, e.consumer, passed)
		}
	}
}

// entitled is what each node is entitled to: exactly what the grants let through of what is true now.
func (n *network) entitled() []holding {
	to := newHoldings(len(n.owned))
	for i := range n.owned {
		for f := range n.owned[i] {
			n.spread(to, i, f)
		}
	}
	return to
}

// forget says that everything was told: no node has anything beyond what it is entitled to.
func (n *network) forget(entitled []holding) {
	for i := range n.may {
		n.may[i].all, n.may[i].by = make(map[fact]bool), make(index)
		for f := range entitled[i].all {
			n.may[i].add(f)
		}
	}
}

// mayTell reports whether something that is found by key may go over a link: its provider may know it, and the grant shows it.
func (n *network) mayTell(e *edge, key string) bool {
	return e.grant != nil && slices.ContainsFunc(n.may[e.provider].by[key], e.grant.shows)
}

// everShown is mayTell for what may be long gone.
func (n *network) everShown(e *edge, key string) bool {
	return e.grant != nil && slices.ContainsFunc(n.may[e.provider].ever[key], e.grant.shows)
}
