package follow

import (
	"math"

	"banyan/model"
	"banyan/proto"
	"banyan/tree"
)

// Follower is one reader of a view: how far it has come, and what it is to be told next. What it is told of contexts comes in the order of
// change numbers; samples of a context come only after Acknowledge said that its definition has arrived, its latest sample first. A follower that
// falls behind the ring gets the latest sample of each changed variable, and the number of those left out. It is for one goroutine.
type Follower struct {
	view   *View
	reader *tree.Reader
	at     uint64 // samples were told up to this position of the ring

	through   uint64 // told up to this change number
	acked     uint64 // acknowledged up to this one
	listed    uint64 // when acked has reached this, the first listing has arrived
	told      []toldContext
	fresh     map[tree.Index]bool // to be told their latest samples
	skipped   map[tree.Index]bool // had samples while they could not be told
	known     map[model.ContextID]Known
	overlays  uint64 // generation of those that were told
	conflated uint64
	scratch   proto.Samples
	encoded   []byte
	rest      tree.Run // of a run too large for one batch
	stops     []uint64 // positions at which a batch must end

	// Slots whose latest sample was told before the ring's samples up to a position, which are therefore old news.
	ahead      map[tree.Slot]uint64
	aheadUntil uint64
}

type toldContext struct {
	change uint64
	index  tree.Index
}

// never is the generation of overlays before the first were told, so that also "none" is told once.
const never = math.MaxUint64

// Known is what a follower says that it has of a context, to be compared.
type Known struct {
	Version model.Version
	Path    model.Path // below the view's root
}

// Start says from where a follower follows.
type Start struct {
	Changes uint64                    // it has every change up to this number
	Samples uint64                    // and every sample up to this position of this process; 0: of none
	Known   map[model.ContextID]Known // and these contexts, to be compared; may be nil
}

// NewFollower makes a follower of the view. Close it when done.
func (v *View) NewFollower(start Start) *Follower {
	f := &Follower{
		view: v, reader: v.tree.NewReader(), through: start.Changes, acked: start.Changes, known: start.Known,
		fresh: make(map[tree.Index]bool), skipped: make(map[tree.Index]bool), overlays: never,
	}
	f.listed = v.tree.ChangeHead()
	f.reader.ReadFrom(start.Samples)
	f.at = f.reader.Position()
	if f.listed < f.through {
		f.listed = f.through
	}
	return f
}

// Close ends the following.
func (f *Follower) Close() { f.reader.Close() }

// Wake is signalled when there may be something to tell.
func (f *Follower) Wake() <-chan struct{} { return f.reader.Wake() }

// View is the view that is followed.
func (f *Follower) View() *View { return f.view }

// Entry is a context as it is told.
type Entry struct {
	Context tree.Context
	Path    model.Path    // below the view's root
	Schema  *model.Schema // as shown
	Setting []Setting     // those that are set and shown
}

// Setting is the value of the setting at an index of the shown schema.
type Setting struct {
	Index int
	Value model.Value
}

// Gone is a context that is to be forgotten.
type Gone struct {
	ID     model.ContextID
	Path   model.Path
	Change uint64
}

// Changes is a stretch of what is to be told.
type Changes struct {
	Entries []Entry
	Gone    []Gone
	Through uint64 // the follower has everything up to here once it has this
	Head    uint64
}

// Changes returns what is to be told next, at most most contexts, and false where there is nothing.
func (f *Follower) Changes(most int) (Changes, bool) {
	v := f.view
	v.mu.Lock()
	defer v.mu.Unlock()
	v.advance()
	if f.through >= v.seen && f.known == nil {
		return Changes{}, false
	}
	d := v.tree.ChangesSince(f.through, most, v.shows)
	changes := Changes{Through: d.Through, Head: d.Head}
	for i := range d.Contexts {
		f.tell(&changes, &d.Contexts[i])
	}
	for _, stone := range d.Tombstones {
		below, inside := v.Root.Below(stone.Path)
		if _, compared := f.known[stone.ID]; !compared && inside && v.selection.Selects(stone.Path, "") {
			changes.Gone = append(changes.Gone, Gone{stone.ID, below, stone.Change})
		}
	}
	f.through = d.Through
	if f.known != nil && f.through >= d.Head {
		f.settle(&changes)
	}
	return changes, true
}

// tell adds a context to what is told unless the follower has it as it is. View.mu is held.
func (f *Follower) tell(changes *Changes, c *tree.Context) {
	v := f.view
	if int(c.Index) >= len(v.members) || v.members[c.Index].schema == nil {
		return
	}
	below, _ := v.Root.Below(c.Path)
	if k, compared := f.known[c.ID]; compared {
		delete(f.known, c.ID)
		if k.Version == c.Version && k.Path == below {
			return
		}
		if k.Path != below {
			changes.Gone = append(changes.Gone, Gone{c.ID, k.Path, 0})
		}
	}
	m := &v.members[c.Index]
	entry := Entry{Context: *c, Path: below, Schema: m.schema}
	for i := range c.Settings {
		definition := &m.full.Settings[i]
		if c.Settings[i].IsNone() || definition.Secret {
			continue
		}
		if at := shownIndex(m, i); at >= 0 {
			entry.Setting = append(entry.Setting, Setting{at, v.Relative(c.Settings[i])})
		}
	}
	changes.Entries = append(changes.Entries, entry)
	f.told = append(f.told, toldContext{c.Change, c.Index})
}

func shownIndex(m *member, i int) int {
	if m.schema == m.full {
		return i
	}
	return m.schema.SettingIndex(m.full.Settings[i].Name)
}

// settle ends a comparison: what the follower has and nobody named since is told as it is, or as gone. View.mu is held.
func (f *Follower) settle(changes *Changes) {
	v := f.view
	left := f.known
	f.known = nil
	for id, k := range left {
		path, err := v.Root.Join(k.Path)
		if err != nil {
			continue
		}
		c, there := v.tree.Lookup(path)
		if !there || c.ID != id || !v.shows(&c) {
			changes.Gone = append(changes.Gone, Gone{id, k.Path, 0})
			continue
		}
		if c.Version != k.Version {
			f.tell(changes, &c)
		}
	}
}

// Acknowledge says that everything told up to a change number has arrived.
func (f *Follower) Acknowledge(changes uint64) {
	if changes <= f.acked {
		return
	}
	f.acked = min(changes, f.through)
	kept := f.told[:0]
	for _, t := range f.told {
		if t.change <= f.acked {
			f.fresh[t.index] = true
		} else {
			kept = append(kept, t)
		}
	}
	f.told = kept
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
// change; afterwards every definition that was ever acknowledged. View.mu is held.
func (f *Follower) active(m *member) bool {
	if f.acked >= f.listed {
		return m.definedAt <= f.acked
	}
	return m.change <= f.acked
}

// Batch is samples to tell, encoded. It is true until the next call.
type Batch struct {
	Encoded   []byte // a banyan.model.v1.Samples; empty where only Through moved
	Samples   int
	Through   uint64
	Conflated uint64
}

// maxBatch is how many samples go into one batch; one of fresh contexts may exceed it by those of one context.
const maxBatch = 4096

// Samples returns the next batch, and false where there is nothing to tell. It may need bindings that were not told yet: they are to be told
// before it.
func (f *Follower) Samples() (Batch, bool) {
	for len(f.fresh) > 0 {
		if b, some := f.freshSamples(); some {
			return b, true
		}
	}
	run := f.rest
	f.rest = tree.Run{}
	if len(run.Slots) == 0 {
		next, some := f.reader.Next()
		if !some {
			return Batch{}, false
		}
		run = next
		f.conflated += run.Skipped
	}
	run = f.stopAt(run)
	if run.Whole() {
		if b, shared := f.sharedSamples(&run); shared {
			f.at = b.Through
			return b, true
		}
	}
	b := f.encode(cut(&run, &f.rest))
	f.at = b.Through
	return b, true
}

// stopAt ends a run at the position before which something is stale, so that whoever is told has exactly the samples before it.
func (f *Follower) stopAt(run tree.Run) tree.Run {
	for _, stop := range f.stops {
		if run.Lapped || stop <= run.First || stop >= run.Next {
			continue
		}
		n := int(stop - run.First)
		front, back := run, run
		front.Next, back.First = stop, stop
		front.Slots, back.Slots = run.Slots[:n], run.Slots[n:]
		front.Bits, back.Bits = run.Bits[:n], run.Bits[n:]
		front.Source, back.Source = run.Source[:n], run.Source[n:]
		front.Owner, back.Owner = run.Owner[:n], run.Owner[n:]
		front.Quality, back.Quality = run.Quality[:n], run.Quality[n:]
		if run.Boxed != nil {
			front.Boxed, back.Boxed = run.Boxed[:n], run.Boxed[n:]
		}
		f.rest = back
		run = front
	}
	return run
}

// cut takes at most maxBatch samples off the front of a run. The position after it is reached only with the last part.
func cut(run, rest *tree.Run) *tree.Run {
	if len(run.Slots) <= maxBatch {
		return run
	}
	front, back := *run, *run
	front.Next = run.First
	front.Slots, back.Slots = run.Slots[:maxBatch], run.Slots[maxBatch:]
	front.Bits, back.Bits = run.Bits[:maxBatch], run.Bits[maxBatch:]
	front.Source, back.Source = run.Source[:maxBatch], run.Source[maxBatch:]
	front.Owner, back.Owner = run.Owner[:maxBatch], run.Owner[maxBatch:]
	front.Quality, back.Quality = run.Quality[:maxBatch], run.Quality[maxBatch:]
	if len(run.Boxed) > maxBatch {
		front.Boxed, back.Boxed = run.Boxed[:maxBatch], run.Boxed[maxBatch:]
	} else {
		back.Boxed = nil
	}
	*rest = back
	return &front
}

// freshSamples tells the latest samples of contexts whose definition has just arrived.
func (f *Follower) freshSamples() (Batch, bool) {
	var runs []tree.SlotRun
	count := uint32(0)
	f.view.mu.RLock()
	for index := range f.fresh {
		if count >= maxBatch {
			break
		}
		delete(f.fresh, index)
		if m := &f.view.members[index]; m.schema != nil {
			runs = append(runs, m.slots)
			count += m.slots.Count
		}
	}
	f.view.mu.RUnlock()
	run := f.view.tree.Latest(runs)
	if len(run.Slots) == 0 {
		return Batch{}, false
	}
	if f.ahead == nil {
		f.ahead = make(map[tree.Slot]uint64)
	}
	for _, slot := range run.Slots {
		f.ahead[slot] = run.Next
	}
	f.aheadUntil = run.Next
	run.Lapped, run.First, run.Next = true, run.Next, f.at
	return f.encode(&run), true
}

// sharedSamples encodes a whole chunk once for all followers that may be told all of it.
func (f *Follower) sharedSamples(run *tree.Run) (Batch, bool) {
	v := f.view
	v.mu.RLock()
	all := v.newest <= f.acked && f.acked >= f.listed && len(v.reborn) == 0 && len(f.ahead) == 0
	v.mu.RUnlock()
	if !all {
		return Batch{}, false
	}
	encoded, samples, there := v.batches.find(run.First)
	if !there {
		b := f.encode(run)
		encoded, samples = append([]byte(nil), b.Encoded...), b.Samples
		v.batches.keep(run.First, encoded, samples)
	}
	return Batch{encoded, samples, run.Next, f.takeConflated()}, true
}

func (f *Follower) takeConflated() uint64 {
	n := f.conflated
	f.conflated = 0
	return n
}

// encode translates and encodes a run, giving keys where they are missing.
func (f *Follower) encode(run *tree.Run) Batch {
	v := f.view
	if f.ahead != nil && run.First >= f.aheadUntil && !run.Lapped {
		f.ahead = nil
	}
	for {
		f.scratch.Reset()
		v.mu.RLock()
		missing, inactive := f.translate(run)
		v.mu.RUnlock()
		if len(missing) == 0 {
			for _, index := range inactive {
				f.skipped[index] = true
			}
			break
		}
		v.mu.Lock()
		for _, index := range missing {
			v.bind(index)
		}
		v.mu.Unlock()
	}
	f.encoded = f.scratch.Append(f.encoded[:0])
	return Batch{f.encoded, len(f.scratch.Keys), run.Next, f.takeConflated()}
}

// Stale is an overlay as it is told.
type Stale struct {
	Path   model.Path // below the view's root
	Since  model.Time
	Hop    string
	Before uint64
}

// Overlays returns all that is stale in the view when that changed since the last call, and the heads at which it takes effect: it is to be told
// after them. Staleness of all of the root is told at the root.
func (f *Follower) Overlays() (stale []Stale, changes, samples uint64, changed bool) {
	all, generation, changes, samples := f.view.tree.OverlaysSince(f.overlays)
	if generation == f.overlays {
		return nil, 0, 0, false
	}
	f.overlays = generation
	f.stops = f.stops[:0]
	for _, o := range all {
		below, inside := f.view.Root.Below(o.Path)
		if !inside {
			if !o.Path.Contains(f.view.Root) {
				continue
			}
			below = model.Root
		} else if !f.view.mayShow(o.Path) {
			continue
		}
		stale = append(stale, Stale{below, o.Since, o.Hop, o.Before})
		if o.Before > f.at {
			f.stops = append(f.stops, o.Before)
		}
	}
	return stale, changes, samples, true
}

// mayShow reports whether the view shows anything at or below path: the staleness of what is hidden is hidden too.
func (v *View) mayShow(path model.Path) bool {
	found := false
	v.tree.Walk(path, nil, func(c *tree.Context) bool {
		found = v.shows(c)
		return !found
	})
	return found
}

// SamplesThrough is the position up to which samples were told.
func (f *Follower) SamplesThrough() uint64 { return f.at }

// ChangesThrough is the change number up to which changes were told.
func (f *Follower) ChangesThrough() uint64 { return f.through }

// Listing reports whether the first listing has not been acknowledged yet.
func (f *Follower) Listing() bool { return f.acked < f.listed }
