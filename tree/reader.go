package tree

import (
	"sync/atomic"

	"banyan/model"
)

// Run is consecutive samples of the ring, by column. Its slices are shared and must not be changed. Boxed is nil where every
// value is a scalar. Lapped says that the reader had fallen out of the ring: the run is then each slot that changed since its position,
// once, in no particular order, and Skipped how many samples were conflated away.
type Run struct {
	First   uint64 // position of the first sample; of a lapped run, where the reader had stood
	Next    uint64 // position after the last sample
	Slots   []Slot
	Bits    []uint64
	Source  []model.Time
	Owner   []model.Time
	Quality []uint16
	Boxed   []model.Value
	Lapped  bool
	Skipped uint64

	// Versions are the positions + 1 of a lapped run's samples, and of Latest's, where 0 is never published; those of others follow from First.
	Versions []uint64
	forced   bool // lapped by ConflateFrom
}

// Reader follows all samples and learns of every change of the tree. It is woken and then reads from its own position; an
// absent or slow one costs nothing but its memory. It is for one goroutine.
type Reader struct {
	tree     *Tree
	position uint64
	conflate bool // the next run is the latest of each slot, though the ring may hold all
	wake     chan struct{}
	idle     atomic.Bool
	seen     uint64 // of Tree.happened
}

// NewReader makes a reader that will see what is published from now on. Close it when done.
func (t *Tree) NewReader() *Reader {
	r := &Reader{tree: t, position: t.ring.head.Load(), wake: make(chan struct{}, 1)}
	r.idle.Store(true)
	t.readersMu.Lock()
	defer t.readersMu.Unlock()
	readers := append([]*Reader(nil), *t.readers.Load()...)
	readers = append(readers, r)
	t.readers.Store(&readers)
	return r
}

// Close takes the reader out of those who are woken.
func (r *Reader) Close() {
	t := r.tree
	t.readersMu.Lock()
	defer t.readersMu.Unlock()
	kept := make([]*Reader, 0, len(*t.readers.Load()))
	for _, other := range *t.readers.Load() {
		if other != r {
			kept = append(kept, other)
		}
	}
	t.readers.Store(&kept)
}

// Wake is signalled after samples, contexts or overlays changed. A signal may be for what was read already.
func (r *Reader) Wake() <-chan struct{} {
	r.idle.Store(true)
	// What happened between the reader's last look and this moment woke nobody.
	if now := r.tree.happened.Load(); now != r.seen {
		r.seen = now
		r.Signal()
	}
	return r.wake
}

// Signal wakes the reader.
func (r *Reader) Signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Position is where the reader stands in the ring.
func (r *Reader) Position() uint64 { return r.position }

// Next returns the samples from the reader's position to the end of its chunk, and false where there are none.
func (r *Reader) Next() (Run, bool) {
	t := r.tree
	if r.position == t.ring.head.Load() {
		return Run{}, false
	}
	t.samples.Lock()
	c := t.ring.at(r.position)
	if c == nil || r.conflate {
		run := t.changedSince(r.position)
		t.samples.Unlock()
		if r.conflate {
			run.Skipped, run.forced, r.conflate = 0, true, false // it may have seen them
		}
		r.position = run.Next
		return run, true
	}
	t.samples.Unlock()
	from, to := int(r.position-c.first), int(c.filled.Load())
	run := Run{
		First: r.position, Next: c.first + uint64(to),
		Slots: c.slots[from:to], Bits: c.bits[from:to], Source: c.source[from:to], Owner: c.owner[from:to], Quality: c.quality[from:to],
	}
	if boxed := c.boxed.Load(); boxed != nil {
		run.Boxed = boxed[from:to]
	}
	r.position = run.Next
	return run, true
}

// changedSince collects each slot whose latest sample has at least the given position. Tree.samples is held.
func (t *Tree) changedSince(position uint64) Run {
	run := Run{First: position, Next: t.ring.head.Load(), Lapped: true}
	for i, p := range t.slots.pages {
		if p.newest <= position {
			continue
		}
		for s := range pageSlots {
			if p.version[s] > position {
				t.appendLatest(&run, p, Slot(i<<pageBits+s))
			}
		}
	}
	run.Skipped = run.Next - run.First - uint64(len(run.Slots))
	return run
}

func (t *Tree) appendLatest(run *Run, p *page, slot Slot) {
	s := slot & pageMask
	run.Slots = append(run.Slots, slot)
	run.Bits = append(run.Bits, p.bits[s])
	run.Source = append(run.Source, p.source[s])
	run.Owner = append(run.Owner, p.owner[s])
	run.Quality = append(run.Quality, p.quality[s])
	run.Versions = append(run.Versions, p.version[s])
	if run.Boxed != nil || !p.kind[s].IsScalar() {
		for len(run.Boxed) < len(run.Slots)-1 {
			run.Boxed = append(run.Boxed, model.Value{})
		}
		value := model.Value{}
		if p.boxed != nil {
			value = p.boxed[s]
		}
		run.Boxed = append(run.Boxed, value)
	}
}

// Latest collects the current samples of runs of slots, those without any left out, and the ring's head they are true at. What was
// restored and not published since comes as stale.
func (t *Tree) Latest(runs []SlotRun) Run {
	t.samples.Lock()
	defer t.samples.Unlock()
	run := Run{Next: t.ring.head.Load()}
	for _, r := range runs {
		t.appendRun(&run, r, 0)
	}
	return run
}

// LatestIn is Latest for contexts. A sample that an overlay makes stale up to a position stays stale until the next one, wherever it is told: it
// comes as stale.
func (t *Tree) LatestIn(contexts []Index) Run {
	t.mu.RLock()
	defer t.mu.RUnlock()
	t.samples.Lock()
	defer t.samples.Unlock()
	run := Run{Next: t.ring.head.Load()}
	for _, i := range contexts {
		if int(i) < len(t.contexts.records) && t.contexts.records[i].schema != nil {
			record := &t.contexts.records[i]
			t.appendRun(&run, record.slots, t.overlays.before(record.path))
		}
	}
	return run
}

// appendRun appends the latest samples of a run of slots. Those before a position, and those restored, are stale. Tree.samples is held.
func (t *Tree) appendRun(run *Run, slots SlotRun, before uint64) {
	for slot := slots.First; slot < slots.First+Slot(slots.Count) && slot < t.slots.next; slot++ {
		p, s := t.slots.page(slot)
		if p.version[s] == 0 && p.quality[s]&flagNone != 0 {
			continue
		}
		t.appendLatest(run, p, slot)
		if last := len(run.Quality) - 1; p.version[s] <= before && run.Quality[last] == 0 {
			run.Quality[last] = model.QualityStale.Code()
		}
	}
}

// ReadFrom sets the reader to a position of this process, so that it is told what came since.
func (r *Reader) ReadFrom(position uint64) {
	r.position = min(max(position, firstPosition), r.tree.ring.head.Load())
}

// ConflateFrom is ReadFrom for whoever may have seen some of the samples after position: it is told the latest of each slot first, so that
// nothing it is told is older than what it has.
func (r *Reader) ConflateFrom(position uint64) {
	r.ReadFrom(position)
	r.conflate = r.position != r.tree.ring.head.Load()
}

// Unread puts the reader back before a run.
func (r *Reader) Unread(run *Run) { r.position, r.conflate = run.First, run.forced }

// UnreadFrom puts the reader back to a position within a run.
func (r *Reader) UnreadFrom(position uint64) { r.position = position }

// Holds reports whether the ring still holds every sample from position on. As long as it does, no slot of theirs was given to another
// context.
func (t *Tree) Holds(position uint64) bool {
	t.samples.Lock()
	defer t.samples.Unlock()
	return position >= t.ring.oldest()
}

// SlotRun is the consecutive slots of one context.
type SlotRun struct {
	First Slot
	Count uint32
}

// Head is the position that the next sample will get.
func (t *Tree) Head() uint64 { return t.ring.head.Load() }

func (t *Tree) wakeReaders() {
	t.happened.Add(1)
	for _, r := range *t.readers.Load() {
		if r.idle.Load() && r.idle.CompareAndSwap(true, false) {
			r.Signal()
		}
	}
}
