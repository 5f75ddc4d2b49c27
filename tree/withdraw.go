package tree

import (
	"slices"

	"banyan/model"
)

// NoSlot is the slot of no variable. It stands in the ring where a sample of a withdrawn context was.
const NoSlot = ^Slot(0)

// wipe takes every sample of runs of slots out of the ring. Chunks are not changed but replaced, since readers use them without a lock: what one of
// them holds at the moment is gone when it is done with it. Tree.mu is held.
func (t *Tree) wipe(runs []SlotRun) {
	if len(runs) == 0 {
		return
	}
	slices.SortFunc(runs, func(a, b SlotRun) int { return int(a.First) - int(b.First) })
	gone := func(slot Slot) bool {
		at, found := slices.BinarySearchFunc(runs, slot, func(run SlotRun, slot Slot) int {
			switch {
			case slot < run.First:
				return 1
			case slot >= run.First+Slot(run.Count):
				return -1
			}
			return 0
		})
		return found && runs[at].Count > 0
	}
	t.samples.Lock()
	defer t.samples.Unlock()
	t.ring.spare = nil
	for i, c := range t.ring.chunks {
		if slices.ContainsFunc(c.slots[:c.filled.Load()], gone) {
			t.ring.chunks[i] = c.without(gone)
		}
	}
}

// without is a copy of the chunk that has nothing of some slots but that there were samples.
func (c *chunk) without(gone func(Slot) bool) *chunk {
	to := &chunk{first: c.first, began: c.began, bytes: c.bytes, full: c.full, parts: c.parts, slots: c.slots, bits: c.bits, source: c.source, owner: c.owner, quality: c.quality}
	filled := c.filled.Load()
	to.filled.Store(filled)
	boxed := c.boxed.Load()
	if boxed != nil {
		copied := *boxed
		boxed = &copied
		to.boxed.Store(boxed)
	}
	for i := range filled {
		if !gone(to.slots[i]) {
			continue
		}
		to.slots[i], to.bits[i], to.source[i], to.owner[i], to.quality[i] = NoSlot, 0, 0, 0, flagNone
		if boxed != nil {
			boxed[i] = model.Value{}
		}
	}
	return to
}

// ForgetWithdrawn forgets that contexts were there which were withdrawn before a moment. Readers that have not been told of it compare everything.
func (t *Tree) ForgetWithdrawn(before model.Time) {
	t.mu.Lock()
	l := &t.changes
	forgotten := false
	for i := range l.entries {
		if e := &l.entries[i]; e.tombstone != nil && e.tombstone.Withdrawn && e.tombstone.at < before {
			l.horizon = max(l.horizon, e.number+1)
			e.tombstone, forgotten = nil, true
			l.tombstones--
			l.withdrawn--
		}
	}
	t.mu.Unlock()
	if forgotten {
		t.wakeReaders()
	}
}

// Withdrawn is how many contexts are remembered that were withdrawn.
func (t *Tree) Withdrawn() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.changes.withdrawn
}
