package tree

import (
	"math"
	"sync/atomic"

	"banyan/model"
)

// Run is consecutive samples of the ring, by column. Its slices are shared and must not be changed. Boxed is nil where every
// value is a scalar. Lapped says that the reader had fallen out of the ring: the run is then a part of what it is told instead, which is each slot that
// changed since its position, once, in no particular order. Only the last part moves it on. Skipped says that earlier samples of these slots may have been
// conflated away. How many is not known: positions count what is published of all slots, also of those that nobody may be told of.
type Run struct {
	First   uint64 // position of the first sample; of a lapped run, where the reader had stood
	Next    uint64 // position after the last sample; of a lapped run where it stands then
	Head    uint64 // of a lapped run: the ring's when it was collected
	Slots   []Slot
	Bits    []uint64
	Source  []model.Time
	Owner   []model.Time
	Quality []uint16
	Boxed   []model.Value
	Lapped  bool
	Skipped bool

	// Versions are the positions + 1 of a lapped run's samples, and of Latest's, where 0 is never published; those of others follow from First.
	Versions []uint64
	walk     walk // as it was before a lapped run
}

// walk is a reader's way through all slots after it has fallen out of the ring. It is made in parts, since all slots may be ten million. Of each slot the
// latest sample is told if its position lies between where the reader stood and until; a later one comes afterwards, from the ring or by another walk, so that
// nothing goes backwards and nothing comes twice.
type walk struct {
	until uint64 // 0 for none
	slot  Slot   // from which it goes on
}

// walkSamples is how many samples one part has at most, and walkPages how many pages of slots are looked at for it: publishers wait meanwhile.
const (
	walkSamples = 4 * chunkSamples
	walkPages   = 256
)

// Reader follows all samples and learns of every change of the tree. It is woken and then reads from its own position; an
// absent or slow one costs nothing but its memory. It is for one goroutine.
type Reader struct {
	tree     *Tree
	position uint64
	conflate uint64 // up to this position it is told the latest of each slot, though the ring may hold all
	stop     uint64 // a walk that would go beyond it ends there
	walk     walk
	behind   atomic.Uint64 // nothing before it is wanted any more; where the last run began, since that may be put back
	wake     chan struct{}
	idle     atomic.Bool
	seen     uint64 // of Tree.happened
}

// NewReader makes a reader that will see what is published from now on. Close it when done.
func (t *Tree) NewReader() *Reader { return t.NewReaderOn(make(chan struct{}, 1)) }

// NewReaderOn is NewReader for whoever waits for other things by the same channel, of capacity 1.
func (t *Tree) NewReaderOn(wake chan struct{}) *Reader {
	r := &Reader{tree: t, position: t.ring.head.Load(), wake: wake}
	r.idle.Store(true)
	r.behind.Store(r.position)
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

// Rest says that the reader reads no samples, until it does: the ring keeps none for it.
func (r *Reader) Rest() { r.behind.Store(math.MaxUint64) }

// Look says that the reader looks now at all that it follows: what has happened before is not signalled for any more.
func (r *Reader) Look() { r.seen = r.tree.happened.Load() }

// Through reports whether the reader is at the ring's head, and nothing has happened since it looked.
func (r *Reader) Through() bool {
	return r.position == r.tree.ring.head.Load() && r.seen == r.tree.happened.Load()
}

// wanted is the first position that some reader has not passed; what every one has is not wanted any more, however young it is.
func (t *Tree) wanted() uint64 {
	first := t.ring.head.Load()
	for _, r := range *t.readers.Load() {
		first = min(first, r.behind.Load())
	}
	return first
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
	r.behind.Store(r.position)
	if r.position == t.ring.head.Load() {
		return Run{}, false
	}
	t.samples.Lock()
	c := t.ring.at(r.position)
	if c == nil || r.position < r.conflate || r.Walking() {
		run := r.step()
		t.samples.Unlock()
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

// Walking reports whether the reader is in the middle of what it is told instead of samples that have left the ring: what has a position above its own may have
// been told already.
func (r *Reader) Walking() bool { return r.walk.until != 0 }

// StopAt lets what the reader is told instead of samples that have left the ring end at a position, if it lies on the way, so that everything before
// it is told before anything after it. 0 is none.
func (r *Reader) StopAt(position uint64) { r.stop = position }

// step is the next part of a walk, which begins where there is none. Tree.samples is held.
func (r *Reader) step() Run {
	t := r.tree
	run := Run{First: r.position, Next: r.position, Head: t.ring.head.Load(), Lapped: true, walk: r.walk}
	if !r.Walking() {
		r.walk = walk{until: run.Head}
		if r.stop > r.position {
			r.walk.until = min(r.stop, run.Head)
		}
	}
	w := &r.walk
	for pages := 0; w.slot < t.slots.next && pages < walkPages && len(run.Slots) < walkSamples; {
		p := t.slots.pages[w.slot>>pageBits]
		end := min(t.slots.next, (w.slot>>pageBits+1)<<pageBits)
		if p.newest <= r.position {
			w.slot = end
			continue
		}
		for pages++; w.slot < end; w.slot++ {
			if at := p.version[w.slot&pageMask]; at > r.position && at <= w.until {
				t.appendLatest(&run, p, w.slot)
			}
		}
	}
	run.Skipped = run.First >= r.conflate // else it may have seen them
	if w.slot < t.slots.next {
		return run
	}
	run.Next = w.until
	r.position, r.walk = run.Next, walk{}
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

// LatestSince looks at contexts from index from on and collects those that were published at a position of at least since, at most most of them, with
// their latest samples as LatestIn tells them. It returns the index to go on from, 0 at the end. What is collected takes the place of what stands in contexts
// and latest, whose memory it uses.
func (t *Tree) LatestSince(from Index, since uint64, most int, contexts []Context, latest *Run) (found []Context, next Index) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	t.samples.Lock()
	defer t.samples.Unlock()
	found = contexts[:0]
	*latest = Run{
		Next: t.ring.head.Load(), Slots: latest.Slots[:0], Bits: latest.Bits[:0], Source: latest.Source[:0], Owner: latest.Owner[:0],
		Quality: latest.Quality[:0], Versions: latest.Versions[:0],
	}
	records := t.contexts.records
	last := min(len(records), int(from)+mostLookedAt)
	for i := max(int(from), int(root)); i < last; i++ {
		r := &records[i]
		if r.schema == nil || !t.publishedSince(r.slots, since) {
			continue
		}
		if len(found) == most || len(latest.Slots) >= mostLookedAt {
			return found, Index(i)
		}
		found = append(found, t.contexts.context(Index(i)))
		t.appendRun(latest, r.slots, t.overlays.before(r.path))
	}
	if last < len(records) {
		next = Index(last)
	}
	return found, next
}

// mostLookedAt bounds how many contexts are looked at, and about how many samples are taken, while publishers wait.
const mostLookedAt = 65_536

func (t *Tree) publishedSince(slots SlotRun, since uint64) bool {
	for slot := slots.First; slot < slots.First+Slot(slots.Count); slot++ {
		if p, s := t.slots.page(slot); p.newest <= since {
			slot |= pageMask // nothing in all of the page
		} else if p.version[s] > since {
			return true
		}
	}
	return false
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
	records, count := t.contexts.records, 0
	for _, i := range contexts {
		if int(i) < len(records) && records[i].schema != nil {
			count += int(records[i].slots.Count)
		}
	}
	run.reserve(count)
	for _, i := range contexts {
		if int(i) < len(records) && records[i].schema != nil {
			t.appendRun(&run, records[i].slots, t.overlays.before(records[i].path))
		}
	}
	return run
}

// reserve makes room for so many samples.
func (run *Run) reserve(count int) {
	run.Slots, run.Bits = make([]Slot, 0, count), make([]uint64, 0, count)
	run.Source, run.Owner = make([]model.Time, 0, count), make([]model.Time, 0, count)
	run.Quality, run.Versions = make([]uint16, 0, count), make([]uint64, 0, count)
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
	r.position, r.walk = min(max(position, firstPosition), r.tree.ring.head.Load()), walk{}
	r.behind.Store(r.position)
}

// ConflateFrom is ReadFrom for whoever may have seen some of the samples after position: it is told the latest of each slot first, so that
// nothing it is told is older than what it has.
func (r *Reader) ConflateFrom(position uint64) {
	r.ReadFrom(position)
	r.conflate = r.tree.ring.head.Load()
}

// Conflates reports whether the next run is the latest of each slot, though the ring may hold all.
func (r *Reader) Conflates() bool { return r.position < r.conflate || r.Walking() }

// Unread puts the reader back before a run.
func (r *Reader) Unread(run *Run) { r.position, r.walk = run.First, run.walk }

// UnreadFrom puts the reader to a position within a run: back, or on where it knows from elsewhere what comes before.
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
