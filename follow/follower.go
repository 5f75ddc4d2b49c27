package follow

import (
	"math"
	"slices"

	"banyan/fault"
	"banyan/model"
	"banyan/tree"
)

// Follower is one reader of a view: how far it has come, and what it is to be told next. What it is told of contexts comes in the order of
// change numbers; samples of a context come only after Acknowledge said that its definition has arrived, its latest sample first. A follower that
// falls behind the ring gets the latest sample of each changed variable, and is told of which that is so. No variable's samples ever go
// backwards. It is for one goroutine.
type Follower struct {
	view   *View
	reader *tree.Reader
	at     uint64 // samples were told up to this position of the ring

	through uint64 // told up to this change number
	shown   uint64 // which is as good as this one, of what is shown
	acked   uint64 // acknowledged up to this one
	settled uint64 // acknowledged up to this one, and the latest samples were told
	owed    uint64 // the latest samples of what was acknowledged come from the ring before this position
	listed  uint64 // when acked has reached this, the first listing has arrived
	began   uint64 // the tree's change number when it began
	lost    bool   // removals that it was not told are not known any more
	told    []toldContext
	fresh   map[tree.Index]bool // to be told their latest samples
	skipped map[tree.Index]bool // had samples while they could not be told
	known   map[model.Path]Known

	drops    uint64       // of the view, for which this follower has forgotten what it had made
	overlays uint64       // generation of those that were told
	laid     []model.Path // where those lie that were told
	stale    []Stale      // and what they are
	anew     uint64       // of the view: how much was withdrawn when schemas began to be told anew
	omitted  []model.Path // overlays that were not told, or without their hop, since nothing below them was shown that came over it
	retell   bool         // something is shown there now
	stops    []uint64     // positions at which a batch must end

	ready []Batch // translated, to be told before all else
	room  [1]Batch

	many     bool  // samples were told with the batch before; see Gather
	held     *held // what an interest leaves out, nil where everything is live
	now      model.Time
	reading  bool   // Samples was called
	withheld uint64 // by interests before this one
}

type toldContext struct {
	change uint64
	index  tree.Index
}

// never is the generation of overlays before the first were told, so that also "none" is told once, and a change number that is not reached.
const never = math.MaxUint64

// Known is what a follower says that it has at a path below the view's root, to be compared.
type Known struct {
	ID      model.ContextID
	Version model.Version
	Content uint64 // see Content
	Change  uint64 // with which it was told of it, 0 where that says nothing
}

// Start says from where a follower follows. The zero one has nothing, and is told the latest of everything.
type Start struct {
	Changes  uint64               // it has every change up to this number
	Samples  uint64               // and every sample up to this position of this process; 0: of none
	Conflate bool                 // it may have later samples, too: the latest of each variable is told first
	Known    map[model.Path]Known // and these contexts, to be compared; may be nil
	Wake     chan struct{}        // of capacity 1, is signalled when there may be something to tell; nil for one of the follower's own
}

// NewFollower makes a follower of the view. Close it when done.
func (v *View) NewFollower(start Start) *Follower {
	if start.Wake == nil {
		start.Wake = make(chan struct{}, 1)
	}
	f := &Follower{
		view: v, reader: v.tree.NewReaderOn(start.Wake), through: start.Changes, acked: start.Changes, settled: start.Changes, known: start.Known, shown: start.Changes,
		fresh: make(map[tree.Index]bool), skipped: make(map[tree.Index]bool), overlays: never,
	}
	f.ready = f.room[:0]
	v.mu.RLock()
	f.drops, f.anew = v.drops, v.withdrawn
	v.mu.RUnlock()
	f.began = v.tree.ChangeHead()
	f.listed = max(start.Changes, v.Head())
	if f.known != nil {
		f.listed = never // until it was compared
	}
	switch {
	case start.Conflate:
		f.reader.ConflateFrom(start.Samples)
	case start.Changes > 0 || start.Samples > 0 || start.Known != nil:
		f.reader.ReadFrom(start.Samples)
	}
	f.at = f.reader.Position()
	return f
}

// Close ends the following.
func (f *Follower) Close() { f.reader.Close() }

// Look says that all is asked for now that there is to tell: what has happened before is not signalled for any more.
func (f *Follower) Look() { f.reader.Look() }

// Wake is signalled when there may be something to tell.
func (f *Follower) Wake() <-chan struct{} { return f.reader.Wake() }

// View is the view that is followed.
func (f *Follower) View() *View { return f.view }

// Gone is a context that is to be forgotten.
type Gone struct {
	ID     model.ContextID
	Path   model.Path
	Change uint64
	// Withdrawn says that it may not be shown any more where it is told: nothing of it is to be kept.
	Withdrawn bool
}

// Changes is a stretch of what is to be told.
type Changes struct {
	Entries []Entry
	Gone    []Gone
	Through uint64 // the follower has everything up to here once it has this
	Head    uint64
	Last    uint64 // the follower has everything that it is shown up to Through once it has everything up to here: what is hidden does not move it
	Anew    bool   // something was withdrawn: schemas that no context has are to be forgotten
}

// Changes returns what is to be told next, at most most contexts, and false where there is nothing.
func (f *Follower) Changes(most int) (Changes, bool) {
	v := f.view
	if f.known == nil && f.through >= v.tree.ChangeHead() {
		return Changes{}, false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.advance()
	f.forget()
	if f.through >= v.seen && f.known == nil {
		return Changes{}, false
	}
	d := v.tree.ChangesOf(f.through, most, v.shows, v.showed)
	needed := f.through // removals up to here are not
	if f.known != nil {
		needed = max(f.through, f.began)
	}
	if f.through > 0 && needed+1 < d.Horizon {
		f.lost = true
		return Changes{}, false
	}
	if d.Head > v.seen {
		v.advance() // the tree has gone on between the two looks: what d holds must be known before it is told
		f.forget()
	}
	changes := Changes{Through: d.Through, Head: d.Head}
	for i := range d.Contexts {
		f.tell(&changes, &d.Contexts[i])
	}
	for _, stone := range d.Tombstones {
		if below, _ := v.Root.Below(stone.Path); !(f.known != nil && f.coveredByComparison(&stone, below)) {
			changes.Gone = append(changes.Gone, Gone{stone.ID, below, stone.Change, stone.Withdrawn})
			changes.Last = max(changes.Last, stone.Change)
			f.retell = f.retell || slices.ContainsFunc(f.laid, func(p model.Path) bool { return p.Contains(stone.Path) })
		}
	}
	f.through = d.Through
	if f.through >= d.Head {
		f.shown = max(f.shown, min(v.last, f.through))
		changes.Last = max(changes.Last, f.shown)
	}
	if f.through >= d.Head && f.anew != v.withdrawn {
		f.anew, changes.Anew = v.withdrawn, true
	}
	if f.known != nil && f.through >= d.Head {
		f.settle(&changes)
	}
	return changes, true
}

// forget lets nothing stay of what the view has forgotten. View.mu is held.
func (f *Follower) forget() {
	if f.drops == f.view.drops {
		return
	}
	f.drops = f.view.drops
	if len(f.ready) == 0 {
		f.room[0] = Batch{}
	}
}

// coveredByComparison reports whether a removal need not be told while a comparison is under way: it is an old one, or settle tells it, or the context is
// there again.
func (f *Follower) coveredByComparison(stone *tree.Tombstone, below model.Path) bool {
	if stone.Change <= f.began {
		return true
	}
	if k, compared := f.known[below]; compared && k.ID == stone.ID {
		return true
	}
	c, there := f.view.tree.Lookup(stone.Path)
	return there && c.ID == stone.ID
}

// tell adds a context to what is told unless the follower has it as it is. View.mu is held.
func (f *Follower) tell(changes *Changes, c *tree.Context) {
	entry, shown := f.view.entry(c)
	if !shown {
		return // it has changed since c was read, under a number that is still to come
	}
	if k, compared := f.known[entry.Path]; compared {
		delete(f.known, entry.Path)
		// One that was gone meanwhile and is back as it was is told: of the values that the follower has none need be true any more.
		same := k.Change == 0 || k.Change == c.Change
		if same && k.ID == c.ID && k.Version == c.Version && k.Content == Content(c.Label, entry.Schema.Hash, entry.Setting, c.Route, entry.Extra) {
			return
		}
		if k.ID != c.ID {
			changes.Gone = append(changes.Gone, Gone{k.ID, entry.Path, 0, true})
		}
	}
	for _, path := range f.omitted {
		f.retell = f.retell || path.Contains(c.Path)
	}
	changes.Entries = append(changes.Entries, entry)
	at := max(c.Change, f.through)
	f.told = append(f.told, toldContext{at, c.Index})
	changes.Last = max(changes.Last, at)
}

// settle ends a comparison: what the follower has and nobody named since is gone. View.mu is held.
func (f *Follower) settle(changes *Changes) {
	v := f.view
	left := f.known
	f.known, f.listed = nil, f.shown
	for below, k := range left {
		path, err := v.Root.Join(below)
		if err != nil {
			changes.Gone = append(changes.Gone, Gone{k.ID, below, 0, true})
			continue
		}
		if c, there := v.tree.Lookup(path); !there || c.ID != k.ID || !v.shows(&c) {
			changes.Gone = append(changes.Gone, Gone{k.ID, below, 0, true})
		}
	}
}

// Lost reports whether the follower has fallen so far behind that removals it was not told are forgotten: only a comparison helps.
func (f *Follower) Lost() bool { return f.lost }

// Acknowledge says that everything told up to a change number has arrived.
func (f *Follower) Acknowledge(changes uint64) {
	changes = min(changes, f.through)
	if changes <= f.acked && len(f.told) == 0 && len(f.skipped) == 0 {
		return
	}
	f.acked = max(f.acked, changes)
	kept := f.told[:0]
	for _, t := range f.told {
		if t.change <= changes {
			delete(f.skipped, t.index)
			f.fresh[t.index] = true
		} else {
			kept = append(kept, t)
		}
	}
	f.told = kept
	if f.acked < f.listed {
		return // what is told comes above; of a million contexts that wait no acknowledgement is to look at each
	}
	f.view.mu.RLock()
	defer f.view.mu.RUnlock()
	for index := range f.skipped {
		if f.active(&f.view.members[index]) {
			delete(f.skipped, index)
			f.fresh[index] = true
		}
	}
}

// active reports whether the follower has the member's definition. While the first listing is under way it has what was acknowledged since its last
// change; afterwards every definition that was ever acknowledged. Before a comparison has ended nobody knows what it has. View.mu is held.
func (f *Follower) active(m *member) bool {
	if f.acked >= f.listed {
		return m.definedAt <= f.acked
	}
	return f.listed != never && m.change <= f.acked
}

// Settled is the change number up to which everything was acknowledged and its latest samples were told.
func (f *Follower) Settled() uint64 {
	if len(f.fresh) == 0 && len(f.ready) == 0 && f.at >= f.owed {
		f.settled = f.acked
	}
	return f.settled
}

// Stale is an overlay as it is told.
type Stale struct {
	Path   model.Path // below the view's root
	Since  model.Time
	Hop    string // empty where nothing is shown that came over it
	Nodes  tree.Ends
	Before uint64
}

// Overlays returns all that is stale in the view when that changed since the last call, and the heads at which it takes effect: it is to be told
// after them. Staleness of all of the root is told at the root.
func (f *Follower) Overlays() (stale []Stale, changes, samples uint64, changed bool) {
	from := f.overlays
	first := from == never
	if f.retell {
		from = never
	}
	all, generation, changes, samples := f.view.tree.OverlaysSince(from)
	if generation == from {
		return nil, 0, 0, false
	}
	f.overlays, f.retell = generation, false
	f.stops, f.omitted, f.laid = f.stops[:0], nil, nil
	for _, o := range all {
		at := o.Path
		if at.Contains(f.view.Root) {
			at = f.view.Root
		}
		below, inside := f.view.Root.Below(at)
		if !inside {
			continue
		}
		told := Stale{below, o.Since, o.Hop, o.Nodes, o.Before}
		switch some, over := f.view.MayShow(at, o.Nodes); {
		case fault.Planted(fault.HiddenStalenessTold):
		case !some:
			f.omitted = append(f.omitted, o.Path)
			continue
		case !over && !fault.Planted(fault.HiddenHopNamed):
			f.omitted = append(f.omitted, o.Path)
			told.Hop, told.Nodes = "", tree.Ends{}
		}
		stale = append(stale, told)
		f.laid = append(f.laid, o.Path)
		if o.Before > f.at {
			f.stops = append(f.stops, o.Before)
		}
	}
	slices.Sort(f.stops)
	if !first && slices.Equal(stale, f.stale) {
		return nil, 0, 0, false // it is something hidden that turned
	}
	f.stale = slices.Clone(stale)
	return stale, changes, samples, true
}

// overlaysTurned reports whether other overlays lie than those that were told, where any were.
func (f *Follower) overlaysTurned() bool {
	return f.overlays != never && f.overlays != f.view.tree.OverlayGeneration()
}

// mostLookedAt bounds how many contexts that are shown are looked at for one that came over a hop. Nearly always it is the first.
const mostLookedAt = 1000

// MayShow reports whether the view shows anything at or below path, and whether any of that came over a hop: the staleness of what is hidden is hidden too,
// and so is where it arises.
func (v *View) MayShow(path model.Path, hop tree.Ends) (some, over bool) {
	left := mostLookedAt
	v.tree.Walk(path, nil, func(c *tree.Context) bool {
		if v.shows(c) {
			some, over = true, hop.On(c.Route)
			left--
		}
		return !over && left > 0
	})
	return some, over
}

// Through reports whether all was asked for that there is, as of the last Look.
func (f *Follower) Through() bool {
	return len(f.ready) == 0 && len(f.fresh) == 0 && f.held == nil && f.reader.Through()
}

// SamplesThrough is the position up to which samples were told.
func (f *Follower) SamplesThrough() uint64 { return f.at }

// ShownThrough is the change number up to which what is shown was told.
func (f *Follower) ShownThrough() uint64 { return f.shown }

// ChangesThrough is the change number up to which changes were told.
func (f *Follower) ChangesThrough() uint64 { return f.through }

// Acknowledged is the change number up to which everything told has arrived.
func (f *Follower) Acknowledged() uint64 { return f.acked }

// Listing reports whether the first listing has not been acknowledged yet.
func (f *Follower) Listing() bool { return f.acked < f.listed }
