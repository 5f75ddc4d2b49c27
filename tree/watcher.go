package tree

import (
	"slices"

	"banyan/model"
)

// watcherQueue is how many samples a narrow watcher may be behind before it gets only the latest of each slot.
const watcherQueue = 1024

// Watcher follows a few slots and costs nothing for the others. It is for one goroutine.
type Watcher struct {
	tree      *Tree
	woken     chan struct{}
	slots     []Slot   // guarded by Tree.samples, as all below
	pending   []uint64 // positions of samples not yet taken
	overflown bool
	listed    bool // in Tree.narrowToWake
}

// Update is one sample that a Watcher saw.
type Update struct {
	Slot     Slot
	Sample   model.Sample
	Received model.Time
}

// Watch registers a watcher on slots. Its first Next returns their latest samples.
func (t *Tree) Watch(slots []Slot) *Watcher {
	w := &Watcher{tree: t, woken: make(chan struct{}, 1), slots: slots, overflown: true}
	t.samples.Lock()
	defer t.samples.Unlock()
	for _, slot := range slots {
		if slot >= t.slots.next {
			continue
		}
		p, s := t.slots.page(slot)
		p.watched[s/64] |= 1 << (s % 64)
		t.watchers[slot] = append(t.watchers[slot], w)
	}
	w.wake()
	return w
}

// Close unregisters the watcher.
func (w *Watcher) Close() {
	t := w.tree
	t.samples.Lock()
	defer t.samples.Unlock()
	for _, slot := range w.slots {
		if slot >= t.slots.next {
			continue
		}
		kept := t.watchers[slot][:0:0]
		for _, other := range t.watchers[slot] {
			if other != w {
				kept = append(kept, other)
			}
		}
		if len(kept) > 0 {
			t.watchers[slot] = kept
			continue
		}
		delete(t.watchers, slot)
		p, s := t.slots.page(slot)
		p.watched[s/64] &^= 1 << (s % 64)
	}
}

// Wake is signalled when there is something for Next.
func (w *Watcher) Wake() <-chan struct{} { return w.woken }

func (w *Watcher) wake() {
	w.listed = false
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// Next appends what came since the last call to updates. conflated says that some samples were left out, the latest of each slot
// being there all the same.
func (w *Watcher) Next(updates []Update) (all []Update, conflated bool) {
	t := w.tree
	t.samples.Lock()
	defer t.samples.Unlock()
	conflated = w.overflown
	for _, position := range w.pending {
		if t.ring.at(position) == nil {
			conflated = true
		}
	}
	if conflated {
		for _, slot := range w.slots {
			if slot < t.slots.next {
				sample, received := t.slots.sample(slot)
				updates = append(updates, Update{slot, sample, received})
			}
		}
	} else {
		for _, position := range w.pending {
			updates = append(updates, t.updateAt(position))
		}
	}
	w.pending, w.overflown = w.pending[:0], false
	return updates, conflated
}

// updateAt reads the sample at a position that the ring holds. Tree.samples is held.
func (t *Tree) updateAt(position uint64) Update {
	c := t.ring.at(position)
	i := position - c.first
	p, s := t.slots.page(c.slots[i])
	sample := model.Sample{Quality: model.QualityFromCode(c.quality[i] &^ flagNone), Source: c.source[i], Owner: c.owner[i]}
	switch boxed := c.boxed.Load(); {
	case c.quality[i]&flagNone != 0:
	case p.kind[s].IsScalar():
		sample.Value = model.Scalar(p.kind[s], c.bits[i])
	case boxed != nil:
		sample.Value = boxed[i]
	}
	return Update{c.slots[i], sample, p.received[s]}
}

// dropWatchers ends the watching of slots that are released: what comes to stand there belongs to another context. Tree.samples is held.
func (t *Tree) dropWatchers(first Slot, count uint32) {
	for slot := first; slot < first+Slot(count); slot++ {
		watchers := t.watchers[slot]
		if len(watchers) == 0 {
			continue
		}
		for _, w := range watchers {
			w.slots = slices.DeleteFunc(slices.Clone(w.slots), func(s Slot) bool { return s == slot })
			w.overflown = true
			w.wake()
		}
		delete(t.watchers, slot)
		p, s := t.slots.page(slot)
		p.watched[s/64] &^= 1 << (s % 64)
	}
}

// tellWatchers notes a position for everyone who watches slot. Tree.samples is held.
func (t *Tree) tellWatchers(slot Slot, position uint64) {
	for _, w := range t.watchers[slot] {
		if len(w.pending) < watcherQueue {
			w.pending = append(w.pending, position)
		} else {
			w.overflown = true
		}
		if !w.listed {
			w.listed = true
			t.narrowToWake = append(t.narrowToWake, w)
		}
	}
}
