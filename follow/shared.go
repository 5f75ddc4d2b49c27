package follow

import (
	"slices"
	"sync"
	"sync/atomic"

	"banyan/tree"
)

// viewState is what an encoded batch is as good as: the newest of the view's definitions, and how many contexts were taken out.
type viewState struct{ newest, drops uint64 }

// state is the present one. View.mu is held.
func (v *View) state() viewState { return viewState{v.newest, v.drops} }

// hasAll reports whether the follower has every definition of the view, so that it may be told whatever others are told.
func (f *Follower) hasAll(of viewState) bool { return of.newest <= f.acked && f.acked >= f.listed }

// takeKept takes what another has encoded from the same position on, where the follower may be told whatever others are told. It looks at
// nothing else: among many that are equally far all but one get what comes in this way.
func (f *Follower) takeKept() bool {
	v, at := f.view, f.reader.Position()
	k := v.batches.at(at).kept.Load()
	if k == nil || k.first != at || f.held != nil || f.reader.Conflates() || f.overlaysTurned() {
		return false
	}
	if now := v.shape.Load(); k.state != now.viewState || now.seen < v.tree.ChangeHead() || !f.mayShare(k.state, at, k.batch.Through) {
		return false
	}
	f.reader.UnreadFrom(k.batch.Through)
	f.ready = append(f.ready, k.batch)
	return true
}

// mayShare reports whether the follower may be told of a stretch of the ring whatever others are told: it has all definitions, and has not to stop on the way.
func (f *Follower) mayShare(state viewState, from, through uint64) bool {
	return f.hasAll(state) && !slices.ContainsFunc(f.stops, func(stop uint64) bool { return stop > from && stop <= through })
}

// takeShared makes a batch of the beginning of a run, or of all of it, where the follower may be told whatever others are told: what one of them has
// encoded from the same position on, or what it encodes for them now. Whoever comes first decides where a batch ends, so that followers that
// are equally far stay so. It reports false where the follower must see for itself.
func (f *Follower) takeShared(run *tree.Run) bool {
	v := f.view
	v.refresh()
	state := v.shape.Load().viewState
	if !f.mayShare(state, run.First, run.Next) {
		return false
	}
	s := v.batches.at(run.First)
	s.mu.Lock() // while one encodes the others wait for what it makes
	defer s.mu.Unlock()
	if k := s.kept.Load(); k != nil && k.first == run.First && k.state == state && k.batch.Through <= run.Next {
		f.reader.UnreadFrom(k.batch.Through)
		f.ready = append(f.ready, k.batch)
		return true
	}
	by, all := f.encode(run, []cut{{len(run.Slots), run.Next, false}})
	if !v.tree.Holds(run.First) {
		f.ready = nil
		f.reader.Unread(run)
		return true
	}
	if all {
		v.keep(s, run.First, by, &f.ready[0])
	}
	return true
}

// keep lets others have a batch, unless contexts were taken out since it was made.
func (v *View) keep(s *sharedBatch, first uint64, by viewState, b *Batch) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.drops == by.drops {
		s.kept.Store(&keptBatch{first, by, *b})
	}
}

// batchCache keeps what was encoded last, so that followers of equal interest share it. It is as good as the definitions that the view had.
type batchCache [64]sharedBatch

// sharedBatch is a place for a batch.
type sharedBatch struct {
	mu   sync.Mutex // held by who encodes
	kept atomic.Pointer[keptBatch]
}

// keptBatch is the batch that begins at a position.
type keptBatch struct {
	first uint64
	state viewState
	batch Batch
}

// clear forgets all. View.mu is held for writing.
func (c *batchCache) clear() {
	for i := range c {
		c[i].kept.Store(nil)
	}
}

// at is the place for a batch that begins at a position.
func (c *batchCache) at(first uint64) *sharedBatch {
	return &c[first*0x9e3779b97f4a7c15>>58]
}
