package peering

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"banyan/model"
	"banyan/proto/linkv1"
	"banyan/tree"
)

// Unlimited is a bound of a permit that bounds nothing.
const Unlimited = 1<<31 - 1

// Permit says which nodes a consumer takes from behind its provider. The zero Permit takes none. The provider's own contexts are always taken, unless it
// is revoked itself.
type Permit struct {
	Nodes    int             // different nodes behind the provider at most
	Hops     int             // nodes between the provider and the owner of a context at most
	Patterns []model.Pattern // where the trees of others may hang, below the mirror's root; everywhere where there are none
	Closed   bool            // no node is taken that is not here already
	Revoked  []model.NodeID  // that are taken from nowhere
}

// Free is the permit that narrows nothing.
func Free() Permit { return Permit{Nodes: Unlimited, Hops: Unlimited} }

func (p *Permit) equal(other *Permit) bool {
	return p.Nodes == other.Nodes && p.Hops == other.Hops && p.Closed == other.Closed && slices.Equal(p.Revoked, other.Revoked) &&
		slices.EqualFunc(p.Patterns, other.Patterns, model.Pattern.Equal)
}

// mostRefusedNodes bounds how many refused nodes are named.
const mostRefusedNodes = 32

// enrolment is what a mirror takes of the nodes behind its provider, in the order in which they came.
type enrolment struct {
	permit  Permit
	nodes   []model.NodeID
	refused map[string]string // owner by name and ID: why
	coming  []model.NodeID    // of nodes: those that came with the delta that is read
	counted bool              // nodes were counted anew within this delta
	again   bool              // the next session compares everything
	here    bool              // what is judged is here already, and came in time
}

// Permission is a permit for a mirror with what the provider is told of it. It is not to be written to.
type Permission struct {
	Permit Permit
	Told   *linkv1.Permit // nil for nothing
}

// Allow says what is taken from now on. It is for any goroutine; a session takes it in at its next tick, and tells the provider.
func (m *Mirror) Allow(p *Permission) {
	if m.allowed.Swap(p) != p {
		m.stirred()
	}
}

// admit takes in what is allowed now: what is not permitted any more is taken out of the tree. It reports whether something that was refused may be
// permitted now; to have it, everything must be compared.
func (m *Mirror) admit() (told *linkv1.Permit, changed, wider bool) {
	allowed := m.allowed.Load()
	if allowed == nil || allowed == m.admitted {
		return nil, false, false
	}
	before, first := m.enrol.permit, m.admitted == nil
	m.admitted = allowed
	if first || !before.equal(&allowed.Permit) {
		wider = len(m.enrol.refused) > 0
		m.enrol.permit, m.enrol.refused = allowed.Permit, nil
		m.evict()
	}
	return allowed.Told, true, wider
}

// forgetChain lets the next session compare everything.
func (m *Mirror) forgetChain() { m.place.Chain, m.enrol.again = nil, true }

// beginAgain forgets what the provider would not tell again: what was taken out of the tree has lost its handles here.
func (m *Mirror) beginAgain() {
	if m.enrol.again {
		m.unbindAll()
		m.place.Chain, m.place.Bindings, m.place.Samples, m.exact, m.enrol.again = nil, 0, 0, false, false
	}
}

// evict takes out of the tree what the permit does not cover. Nodes keep the order in which they came, so that a lower number drops the newest; at the first
// time they come in the order of their paths.
func (m *Mirror) evict() {
	type found struct {
		id model.ContextID
		c  *mirrored
		at tree.Context
	}
	var all []found
	m.all(func(id model.ContextID, c *mirrored) {
		if path, err := m.cfg.Mount.Join(c.path); err == nil {
			if at, there := m.cfg.Tree.Lookup(path); there && at.ID == id {
				all = append(all, found{id, c, at})
			}
		}
	})
	rank := make(map[model.NodeID]int)
	for i, node := range m.enrol.nodes {
		rank[node] = i - len(m.enrol.nodes)
	}
	order := func(f *found) int {
		last := -Unlimited
		for _, hop := range f.at.Route[min(1, len(f.at.Route)):] {
			last = max(last, rank[hop.Node])
		}
		return last
	}
	slices.SortFunc(all, func(a, b found) int {
		if d := order(&a) - order(&b); d != 0 {
			return d
		}
		return strings.Compare(a.c.path.String(), b.c.path.String())
	})
	m.enrol.nodes, m.enrol.here = nil, true
	r := &reading{}
	for i := range all {
		if f := &all[i]; m.refusePermit(f.c.path, f.at.Route) {
			m.forget(r, f.id, f.c, true)
		}
	}
	m.enrol.here = false
	if len(r.gone) > 0 {
		m.remove(r)
		m.cfg.Keeper.Keep(r.gone, nil, m.place)
	}
}

// refusePermit reports whether a context is not taken, and notes whose and why. A node that is taken counts from then on.
func (m *Mirror) refusePermit(path model.Path, route tree.Route) bool {
	if m.admitted == nil {
		return false
	}
	p := &m.enrol.permit
	for _, hop := range route {
		if slices.Contains(p.Revoked, hop.Node) {
			return m.refuseNode(hop, "it is revoked here")
		}
	}
	if len(route) < 2 {
		return false
	}
	owner := route[len(route)-1]
	var fresh []model.NodeID
	for _, hop := range route[1:] {
		if !slices.Contains(m.enrol.nodes, hop.Node) && !slices.Contains(fresh, hop.Node) {
			fresh = append(fresh, hop.Node)
		}
	}
	switch {
	case p.Nodes == 0:
		return m.refuseNode(owner, "no node is taken from behind the provider")
	case len(route)-2 > p.Hops:
		return m.refuseNode(owner, fmt.Sprintf("there are %d nodes between, and %d are permitted", len(route)-2, p.Hops))
	case len(p.Patterns) > 0 && !hangs(p.Patterns, path):
		return m.refuseNode(owner, "it hangs where nothing of others is permitted")
	case len(fresh) == 0:
		return false
	case p.Closed && !m.enrol.here:
		return m.refuseNode(owner, "it came after new nodes were permitted")
	case len(m.enrol.nodes)+len(fresh) > p.Nodes:
		if m.recount(); len(m.enrol.nodes)+len(fresh) > p.Nodes {
			return m.refuseNode(owner, fmt.Sprintf("there are %d nodes already, as many as are permitted", len(m.enrol.nodes)))
		}
	}
	m.enrol.nodes, m.enrol.coming = append(m.enrol.nodes, fresh...), append(m.enrol.coming, fresh...)
	return false
}

// hangs reports whether a path is at or below one that a pattern names.
func hangs(patterns []model.Pattern, path model.Path) bool {
	for at := path; ; at = at.Parent() {
		if slices.ContainsFunc(patterns, func(p model.Pattern) bool { return p.Matches(at) }) {
			return true
		}
		if at.IsRoot() {
			return false
		}
	}
}

// recount forgets nodes of which nothing is here any more, once in each delta at most.
func (m *Mirror) recount() {
	if m.enrol.counted {
		return
	}
	m.enrol.counted = true
	here := m.Nodes()
	m.enrol.nodes = slices.DeleteFunc(m.enrol.nodes, func(n model.NodeID) bool { return here[n] == 0 && !slices.Contains(m.enrol.coming, n) })
}

// Nodes counts the contexts that come through each node behind the provider.
func (m *Mirror) Nodes() map[model.NodeID]int {
	here := make(map[model.NodeID]int)
	m.cfg.Tree.Walk(m.cfg.Mount, nil, func(c *tree.Context) bool {
		for _, hop := range c.Route[min(1, len(c.Route)):] {
			here[hop.Node]++
		}
		return true
	})
	return here
}

func (m *Mirror) refuseNode(hop tree.Hop, why string) bool {
	if m.enrol.refused == nil {
		m.enrol.refused = make(map[string]string)
	}
	if name := hop.Name + " (" + hop.Node.Short() + ")"; len(m.enrol.refused) < mostRefusedNodes || m.enrol.refused[name] != "" {
		m.enrol.refused[name] = why
	}
	return true
}

// Refused says which nodes behind the provider are not taken, and why; empty where all are.
func (m *Mirror) Refused() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(m.enrol.refused)) {
		list = append(list, name+": "+m.enrol.refused[name])
	}
	return strings.Join(list, "; ")
}

// Permitted is what a consumer lets its provider enrol, as the provider was told.
type Permitted struct {
	Link, Export string // over which, and for which export it was told
	Nodes, Hops  int
	Until        model.Time // 0 for ever
	Patterns     []model.Pattern
	Revoked      []model.NodeID
	By           string // names of the nodes that narrowed it
}

// MostRevoked is how many nodes a permit revokes at most.
const MostRevoked = 10_000

const (
	mostPermitPatterns = 64
	mostByBytes        = 256
)

// readPermit reads what a consumer permits. What is out of bounds ends the session.
func readPermit(wire *linkv1.Permit) (Permitted, error) {
	p := Permitted{
		Nodes: int(min(wire.GetNodes(), Unlimited)), Hops: int(min(wire.GetHops(), Unlimited)), Until: model.Time(wire.GetUntil()), By: cleanText(wire.GetBy()),
	}
	if len(wire.GetPatterns()) > mostPermitPatterns || len(wire.GetRevoked()) > MostRevoked || len(p.By) > mostByBytes {
		return p, model.Errorf(model.KindExhausted, "received a permit that is out of bounds")
	}
	for _, text := range wire.GetPatterns() {
		pattern, err := model.ParsePattern(text)
		if err != nil {
			return p, err
		}
		p.Patterns = append(p.Patterns, pattern)
	}
	for _, raw := range wire.GetRevoked() {
		var id model.NodeID
		if copy(id[:], raw) != len(id) || len(raw) != len(id) {
			return p, model.Errorf(model.KindInvalid, "received a node's ID of %d bytes", len(raw))
		}
		p.Revoked = append(p.Revoked, id)
	}
	return p, nil
}

// Hangs reports whether the tree of another node may hang at a path below the export's root.
func (p *Permitted) Hangs(path model.Path) bool {
	return len(p.Patterns) == 0 || hangs(p.Patterns, path)
}

// permitted hands on what the consumer permits.
func (s *providerSession) permitted(machine *Provider) {
	p := machine.permit
	if p == nil || s.link.hub.cfg.Permitted == nil {
		return
	}
	machine.permit = nil
	p.Link, p.Export = s.link.cfg.Name, s.export.Name
	s.link.hub.cfg.Permitted(*p)
}

// again ends sessions whose mirrors are to be compared anew, since more is permitted than before; the next ones begin at once. link.mu is held.
func (l *link) again() {
	for _, f := range l.feeds {
		if f.session != nil && f.session.anew() {
			f.session.end(model.Errorf(model.KindUnavailable, "more is permitted than before: everything is compared"))
		}
	}
}

// anew reports whether the session is to end, and lets the next one compare everything.
func (s *consumerSession) anew() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || !s.machine.anew {
		return false
	}
	s.machine.anew = false
	s.machine.mirror.forgetChain()
	return true
}
