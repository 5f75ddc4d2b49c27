package peering

import (
	"math"
	"slices"

	"banyan/fault"
	"banyan/model"
	"banyan/proto/linkv1"
	"banyan/tree"
)

// staleness is what is stale below one mount, laid over the tree: the cut of the link itself, what the provider told of what lies behind it, and
// what a restart of the provider left unconfirmed. What becomes stale does so at once; it ends when what was told with its end has been applied.
type staleness struct {
	tree  *tree.Tree
	mount model.Path

	link    *tree.Overlay // the link is cut, or has not caught up
	restart *tree.Overlay
	told    []toldStale
	next    *toldSet // in place of told, once its heads are applied
	catchUp *heads   // the link's own overlay ends when these are applied
	changes uint64
	samples uint64
}

// toldStale is an overlay that the provider told. before counts in the provider's ring, local in this node's.
type toldStale struct {
	overlay tree.Overlay
	before  uint64
	reached bool // every sample before it has been applied, and Before says where that was
}

type heads struct{ changes, samples uint64 }

type toldSet struct {
	at   heads
	told []toldStale
}

func (s *staleness) has(h heads) bool { return s.changes >= h.changes && s.samples >= h.samples }

// cut makes everything stale since a moment. A cut that lasts keeps the moment it began with.
func (s *staleness) cut(since model.Time, hop string, nodes tree.Ends) {
	s.catchUp = nil
	if s.link != nil || fault.Planted(fault.StaleNeverSet) {
		return
	}
	s.link = &tree.Overlay{Path: s.mount, Since: since, Hop: hop, Nodes: nodes}
	s.lay()
}

// heal ends the cut once the heads of the first beat after it are applied.
func (s *staleness) heal(at heads) {
	if s.link == nil || s.catchUp != nil {
		return
	}
	if fault.Planted(fault.GoodBeforeCatchUp) {
		at = heads{}
	}
	s.catchUp = &at
	s.settle()
}

// again says that positions up to which something is stale are told and reached anew: those of an epoch that has ended mean nothing any more, and
// samples of before them may be told once more.
func (s *staleness) again() {
	for _, t := range s.limited() {
		t.before, t.reached = math.MaxUint64, true
	}
	s.samples = 0
}

// compared says that what the provider told was of other contexts than those that it will tell: it tells what is stale again. The link is cut.
func (s *staleness) compared() {
	s.told, s.next = nil, nil
	s.lay()
}

// restarted says that the provider has a new epoch: what it publishes from now on is fresh, the rest has not been confirmed since a moment.
func (s *staleness) restarted(since model.Time, peer tree.Hop) {
	if s.restart != nil {
		since = min(since, s.restart.Since)
	}
	s.again()
	s.restart = &tree.Overlay{
		Path: s.mount, Since: since, Hop: peer.Name + " was restarted", Nodes: tree.Ends{1: peer.Node}, Before: s.tree.Head(),
	}
	s.lay()
}

// mostStale is how many overlays a provider may tell: one for each mount on the way to the owners, and one for each restart.
const mostStale = 2 * mostHopsTold

// tell takes all that is stale at the provider, with the heads at which what is no longer named ends.
func (s *staleness) tell(wire *linkv1.Overlays) error {
	if len(wire.GetStale()) > mostStale {
		return model.Errorf(model.KindExhausted, "the provider tells more than %d paths that are stale", mostStale)
	}
	set := &toldSet{at: heads{wire.GetChanges(), wire.GetSamples()}}
	for _, w := range wire.GetStale() {
		below, err := model.ParsePath(w.GetPath())
		if err != nil {
			return err
		}
		path, err := s.mount.Join(below)
		if err != nil {
			return err
		}
		nodes, err := readEnds(w.GetNodes())
		if err != nil {
			return err
		}
		t := toldStale{overlay: tree.Overlay{Path: path, Since: model.Time(w.GetSince()), Hop: cleanText(w.GetHop()), Nodes: nodes}, before: w.GetBefore()}
		if t.before != 0 {
			t.overlay.Before = s.tree.Head()
			t.reached = s.samples >= t.before
			for _, old := range s.limited() {
				if old.before == t.before && old.overlay.Path == path && old.reached {
					t.overlay.Before, t.reached = old.overlay.Before, true
				}
			}
		}
		set.told = append(set.told, t)
	}
	s.next = set
	s.lay()
	s.settle()
	return nil
}

// applied says how far the mirror has come, and ends what ends there.
func (s *staleness) applied(changes, samples uint64) {
	s.changes, s.samples = changes, samples
	if s.next != nil || s.catchUp != nil || s.unreached() {
		s.settle()
	}
}

// limited are the overlays with a position, of what was told last and of what is still in force beside it.
func (s *staleness) limited() (list []*toldStale) {
	add := func(told []toldStale) {
		for i := range told {
			if told[i].before != 0 {
				list = append(list, &told[i])
			}
		}
	}
	add(s.told)
	if s.next != nil {
		add(s.next.told)
	}
	return list
}

func (s *staleness) unreached() bool {
	return slices.ContainsFunc(s.limited(), func(t *toldStale) bool { return !t.reached })
}

func (s *staleness) settle() {
	changed := false
	if s.next != nil && s.has(s.next.at) {
		s.told, s.next, changed = s.next.told, nil, true
	}
	for _, t := range s.limited() {
		if !t.reached && s.samples >= t.before {
			t.overlay.Before, t.reached, changed = s.tree.Head(), true, true
		}
	}
	if s.catchUp != nil && s.has(*s.catchUp) {
		s.link, s.catchUp, changed = nil, nil, true
	}
	if changed {
		s.lay()
	}
}

// clear takes everything away.
func (s *staleness) clear() {
	s.link, s.restart, s.told, s.next, s.catchUp = nil, nil, nil, nil, nil
	s.lay()
}

// lay puts the overlays over the tree. Of two over the same path the older one counts.
func (s *staleness) lay() {
	type key struct {
		path    model.Path
		limited bool
	}
	laid := make(map[key]tree.Overlay)
	add := func(o tree.Overlay) {
		k := key{o.Path, o.Before != 0}
		if other, there := laid[k]; there {
			o.Before = max(o.Before, other.Before)
			if other.Since < o.Since {
				o.Since, o.Hop, o.Nodes = other.Since, other.Hop, other.Nodes
			}
		}
		laid[k] = o
	}
	if s.link != nil {
		add(*s.link)
	}
	if s.restart != nil {
		add(*s.restart)
	}
	for _, t := range s.told {
		add(t.overlay)
	}
	if s.next != nil {
		for _, t := range s.next.told {
			add(t.overlay)
		}
	}
	list := make([]tree.Overlay, 0, len(laid))
	for _, o := range laid {
		list = append(list, o)
	}
	s.tree.ReplaceOverlays(func(o tree.Overlay) bool { return s.mount.Contains(o.Path) }, list)
}
