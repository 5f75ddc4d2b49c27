package follow

import (
	"bytes"
	"cmp"
	"slices"

	"banyan/fault"
	"banyan/model"
	"banyan/proto"
	"banyan/tree"
)

// Batch is samples to tell, encoded.
type Batch struct {
	Encoded   []byte // a banyan.model.v1.Samples; empty where only Through moved. Others may have it too: it must not be changed
	Samples   int
	Through   uint64
	Conflated int  // of so many of the samples earlier ones may have been left out
	Stop      bool // what is stale ends here: Through is to be told, though there may be no samples
}

// maxBatch is how many samples go into one batch at most.
const maxBatch = 4096

// Samples returns the next batch, and false where there is nothing to tell, or where overlays are to be told first. It may need bindings that were not told
// yet: they are to be told before it.
func (f *Follower) Samples() (Batch, bool) {
	f.reading = true
	for len(f.ready) == 0 {
		// In the middle of a walk nobody knows whether what is later than the follower was told: what is to be told out of turn waits for its end.
		if len(f.fresh) > 0 && !f.reader.Walking() {
			f.takeFresh()
			continue
		}
		if f.takeKept() {
			break
		}
		if f.held != nil && !f.reader.Walking() && f.takeDue() {
			continue
		}
		f.reader.StopAt(f.nextStop())
		run, some := f.reader.Next()
		if !some {
			return Batch{}, false
		}
		if f.overlaysTurned() {
			f.reader.Unread(&run) // what these samples confirm, or do not, is said by the overlays
			return Batch{}, false
		}
		f.take(&run)
	}
	b := f.ready[0]
	f.ready[0] = Batch{}
	if f.ready = f.ready[1:]; len(f.ready) == 0 {
		f.ready = f.room[:0]
	}
	f.at, f.many = b.Through, f.many || b.Samples >= gatherFrom
	return b, true
}

// nextStop is the next position at which a batch must end, 0 where there is none.
func (f *Follower) nextStop() uint64 {
	for _, stop := range f.stops {
		if stop > f.reader.Position() {
			return stop
		}
	}
	return 0
}

// take makes batches of a run.
func (f *Follower) take(run *tree.Run) {
	oldest := run.First
	if run.Lapped {
		oldest = run.Head
	}
	if f.held != nil {
		f.takeHeld(run, oldest)
		return
	}
	if !run.Lapped && f.takeShared(run) {
		return
	}
	f.encode(run, f.cuts(run))
	if !f.view.tree.Holds(oldest) {
		// Meanwhile the ring has moved past the run: a slot of it can have been another context's when it was translated.
		f.ready = nil
		f.reader.Unread(run)
		return
	}
	f.conflated(run)
}

// conflated says of the batches that were made of a run that they may stand for more. All those of a run do, or none.
func (f *Follower) conflated(run *tree.Run) {
	if !run.Skipped {
		return
	}
	for i := range f.ready {
		f.ready[i].Conflated = f.ready[i].Samples
	}
}

// takeFresh makes batches of the latest samples of contexts whose definition has just arrived: those that the ring has been read past, since the
// later ones come from there.
func (f *Follower) takeFresh() {
	var contexts []tree.Index
	count := uint32(0)
	f.view.mu.RLock()
	for index := range f.fresh {
		if count >= maxBatch {
			break
		}
		delete(f.fresh, index)
		if m := &f.view.members[index]; m.schema != nil {
			contexts = append(contexts, index)
			count += m.slots.Count
			if f.held != nil {
				f.held.paceOf(index, m)
			}
		}
	}
	f.view.mu.RUnlock()
	run := f.view.tree.LatestIn(contexts)
	head := run.Next
	if f.held != nil {
		f.held.passFresh(&run, f.at)
	}
	if keepUpTo(&run, f.at) {
		f.owed = head
	}
	if len(run.Slots) == 0 {
		return
	}
	run.Lapped, run.First, run.Next = true, f.at, f.at
	f.encode(&run, f.cuts(&run))
	if !f.view.tree.Holds(head) {
		f.ready = nil
		for _, index := range contexts {
			f.fresh[index] = true
		}
	}
}

// keepUpTo takes the samples out of a run that have a position of at least at, and reports whether there were any.
func keepUpTo(run *tree.Run, at uint64) (some bool) {
	n := 0
	for i := range run.Slots {
		if run.Versions[i] > at {
			some = true
			continue
		}
		run.Slots[n], run.Bits[n], run.Source[n], run.Owner[n] = run.Slots[i], run.Bits[i], run.Source[i], run.Owner[i]
		run.Quality[n], run.Versions[n] = run.Quality[i], run.Versions[i]
		if i < len(run.Boxed) {
			run.Boxed[n] = run.Boxed[i]
		}
		n++
	}
	run.Slots, run.Bits, run.Source, run.Owner = run.Slots[:n], run.Bits[:n], run.Source[:n], run.Owner[:n]
	run.Quality, run.Versions = run.Quality[:n], run.Versions[:n]
	run.Boxed = run.Boxed[:min(n, len(run.Boxed))]
	return some
}

// cut is where a batch of a run ends.
type cut struct {
	end     int    // index in the run
	through uint64 // told with it
	stop    bool
}

// cuts says how a run is cut into batches: at every position before which something is stale, so that whoever is told has exactly the samples before
// it, and where a batch is full.
func (f *Follower) cuts(run *tree.Run) []cut {
	var list []cut
	last := cut{0, run.First, false}
	add := func(end int, through uint64, stop bool) {
		for end-last.end > maxBatch {
			last = cut{last.end + maxBatch, last.through, false}
			if !run.Lapped {
				last.through = run.First + uint64(last.end)
			}
			list = append(list, last)
		}
		last = cut{end, through, stop}
		list = append(list, last)
	}
	sorted := false
	for _, stop := range f.stops {
		switch {
		case stop <= run.First || stop >= run.Next || stop == last.through:
		case !run.Lapped:
			add(int(stop-run.First), stop, true)
		default:
			if !sorted {
				sortByPosition(run)
				sorted = true
			}
			end, _ := slices.BinarySearch(run.Versions, stop+1)
			add(end, stop, true)
		}
	}
	add(len(run.Slots), run.Next, slices.Contains(f.stops, run.Next))
	return list
}

// sortByPosition puts a lapped run into the order of publication.
func sortByPosition(run *tree.Run) {
	order := make([]int, len(run.Slots))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(run.Versions[a], run.Versions[b]) })
	run.Slots, run.Bits, run.Source, run.Owner = ordered(run.Slots, order), ordered(run.Bits, order), ordered(run.Source, order), ordered(run.Owner, order)
	run.Quality, run.Versions = ordered(run.Quality, order), ordered(run.Versions, order)
	if len(run.Boxed) > 0 {
		boxed := make([]model.Value, len(order))
		copy(boxed, run.Boxed)
		run.Boxed = ordered(boxed, order)
	}
}

func ordered[T any](column []T, order []int) []T {
	to := make([]T, len(order))
	for i, from := range order {
		to[i] = column[from]
	}
	return to
}

// encode translates a run, giving keys where they are missing, and makes a batch ready for each cut. It says by which state of
// the view, and whether nothing was left out of which the follower has not the definition.
func (f *Follower) encode(run *tree.Run, cuts []cut) (by viewState, all bool) {
	v := f.view
	v.refresh()
	e := v.takeEncoder()
	defer v.giveBack(e)
	from := 0
	for _, c := range cuts {
		whole := false // everything is told, as it is
		for {
			e.columns.Reset()
			v.mu.RLock()
			var missing, inactive []tree.Index
			if whole = f.translateKeys(run, from, c.end, &e.columns); !whole {
				e.columns.Reset()
				missing, inactive = f.translate(run, from, c.end, &e.columns)
			}
			by = v.state()
			all = len(inactive) == 0 && f.hasAll(by)
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
		columns := e.columns
		if whole {
			columns.Bits, columns.Source, columns.Owner, columns.Quality = run.Bits[from:c.end], run.Source[from:c.end], run.Owner[from:c.end], run.Quality[from:c.end]
		}
		e.encoded = columns.Append(e.encoded[:0])
		f.ready = append(f.ready, Batch{Encoded: bytes.Clone(e.encoded), Samples: len(e.columns.Keys), Through: c.through, Stop: c.stop})
		from = c.end
	}
	return by, all
}

// translateKeys puts the keys of a part of a run into columns where all of it is to be told as it is, and reports whether it is: then the run's own columns
// stand for the others. View.mu is held for reading.
func (f *Follower) translateKeys(run *tree.Run, from, end int, to *proto.Samples) bool {
	v := f.view
	if len(run.Boxed) > 0 || !f.hasAll(v.state()) {
		return false
	}
	to.Keys = slices.Grow(to.Keys, end-from)[:end-from]
	for i, slot := range run.Slots[from:end] {
		if int(slot>>pageBits) >= len(v.pages) {
			return false
		}
		key := v.pages[slot>>pageBits].key[slot&pageMask]
		if key <= unbound {
			return false
		}
		to.Keys[i] = key
	}
	return true
}

// translate puts a part of a run, as far as the follower may be told it, into columns, and says which shown contexts have no key yet and which ones may
// not be told yet. View.mu is held for reading.
func (f *Follower) translate(run *tree.Run, from, end int, to *proto.Samples) (missing, inactive []tree.Index) {
	v := f.view
	all := v.newest <= f.acked && f.acked >= f.listed
	for i := from; i < end; i++ {
		slot := run.Slots[i]
		if int(slot>>pageBits) >= len(v.pages) {
			continue
		}
		p, s := v.pages[slot>>pageBits], slot&pageMask
		key := p.key[s]
		if key <= unbound {
			if key == unbound {
				missing = appendNew(missing, p.member[s])
			}
			continue
		}
		if !all && !f.active(&v.members[p.member[s]]) {
			inactive = appendNew(inactive, p.member[s])
			continue
		}
		if len(run.Boxed) > i && run.Quality[i]&tree.NoValue == 0 && !run.Boxed[i].IsNone() {
			to.Boxed = append(to.Boxed, proto.Boxed{Index: len(to.Keys), Value: v.Relative(run.Boxed[i])})
		}
		to.Keys = append(to.Keys, key)
		to.Bits = append(to.Bits, run.Bits[i])
		to.Source = append(to.Source, run.Source[i])
		to.Owner = append(to.Owner, run.Owner[i])
		to.Quality = append(to.Quality, run.Quality[i])
	}
	return missing, inactive
}

func appendNew(list []tree.Index, index tree.Index) []tree.Index {
	if n := len(list); n > 0 && list[n-1] == index {
		return list
	}
	return append(list, index)
}

// Relative translates a reference to the view's root: what lies outside of it is told as outside.
func (v *View) Relative(value model.Value) model.Value {
	switch value.Type() {
	case model.TypeRef:
		return v.relativeRef(value)
	case model.TypeTable:
		return v.relativeTable(value)
	default:
		return value
	}
}

func (v *View) relativeRef(value model.Value) model.Value {
	to, inside := value.Ref()
	below, contained := v.Root.Below(to.Path)
	if !inside || !contained || !v.mayName(to) && !fault.Planted(fault.ReferenceTellsPath) {
		return model.RefOutside()
	}
	return model.Ref(model.Address{Path: below, Name: to.Name})
}

// mayName reports whether an address is one of what is shown, or the path of a context that there is not and that would be.
func (v *View) mayName(to model.Address) bool {
	c, there := v.tree.Lookup(to.Path)
	if !there {
		return to.Name == "" && v.names(to.Path, "")
	}
	if !v.names(to.Path, c.Schema.Kind) {
		return false
	}
	if to.Name == "" {
		return true
	}
	shown := v.schemas[c.Schema.Hash]
	if shown == nil {
		var err error
		if shown, err = v.selection.Schema(c.Schema); err != nil {
			return false
		}
	}
	return shown.SettingIndex(to.Name) >= 0 || shown.VariableIndex(to.Name) >= 0 || shown.FunctionIndex(to.Name) >= 0
}

func (v *View) relativeTable(value model.Value) model.Value {
	table := value.Table()
	refs := false
	for _, c := range table.Columns {
		refs = refs || c.Type == model.TypeRef
	}
	if !refs {
		return value
	}
	copied := &model.Table{Columns: table.Columns}
	for _, row := range table.Rows {
		cells := make([]model.Value, len(row))
		for i, cell := range row {
			cells[i] = v.Relative(cell)
		}
		copied.Rows = append(copied.Rows, cells)
	}
	return model.TableValue(copied)
}
