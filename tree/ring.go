package tree

import (
	"sync/atomic"
	"time"

	"banyan/fault"
	"banyan/model"
)

const chunkSamples = 4096

// chunk is 4,096 consecutive samples by column. Entries below filled never change, so readers use them without a lock and
// several may encode the same chunk at once: it is used again only when every reader has asked for what comes after it.
type chunk struct {
	first   uint64 // position of entry 0
	began   model.Time
	filled  atomic.Int32
	slots   [chunkSamples]Slot
	bits    [chunkSamples]uint64
	source  [chunkSamples]model.Time
	owner   [chunkSamples]model.Time
	quality [chunkSamples]uint16
	boxed   atomic.Pointer[[chunkSamples]model.Value]
	bytes   int  // of values in boxed; guarded by Tree.samples, as full is
	full    bool // nothing more is to go into it
	parts   []part
}

// part is how many samples of a chunk are of one publisher; guarded by Tree.samples.
type part struct {
	of    *Share
	count int
}

// Share is how many samples of one publisher the ring keeps for readers that lag, beyond its least length. Where there are more, the oldest go, whosever they
// are: a publisher that nobody has bounded may fill the ring.
type Share struct {
	most atomic.Int64
	held int64 // guarded by Tree.samples
}

// SampleCost is what a sample in the ring takes, bytes, about.
const SampleCost = 37

// Bound says how many samples there may be.
func (s *Share) Bound(samples int64) { s.most.Store(samples) }

// over reports whether the ring holds more of a publisher than it may.
func (s *Share) over() bool {
	return s != nil && s.held > s.most.Load() && !fault.Planted(fault.RingOfOneNeighbour)
}

// count counts samples of a publisher that went into a chunk.
func (c *chunk) count(of *Share, samples int) {
	if of == nil {
		return
	}
	of.held += int64(samples)
	for i := range c.parts {
		if c.parts[i].of == of {
			c.parts[i].count += samples
			return
		}
	}
	c.parts = append(c.parts, part{of, samples})
}

// leaves says that a chunk leaves the ring.
func (r *ring) leaves(c *chunk) {
	r.bytes -= c.bytes
	for _, p := range c.parts {
		p.of.held -= int64(p.count)
	}
}

// Bounds of the values in the ring that do not fit in 64 bits: a chunk that holds as much is full before it has all its samples, and the oldest chunks go
// while all of them hold more. A reader that was lapped gets the latest of each variable, as always.
const (
	mostChunkBytes = 1 << 20
	mostRingBytes  = 4 << 20
)

// ring keeps the most recent samples in chunks: at least keepChunks of them, more while they are younger than keepFor and some reader has not passed them,
// never more than maxChunks. It is guarded by Tree.samples; head may be read without.
type ring struct {
	chunks    []*chunk
	head      atomic.Uint64 // position of the next sample
	keepFor   time.Duration
	maxChunks int
	bytes     int      // of values in boxed, all chunks together
	spare     []*chunk // that left the ring and that nobody reads: used again, since what is written all the time had better be in the processor's cache
}

const (
	keepChunks = 16
	mostSpare  = 16
)

// firstPosition is that of the first sample, so that 0 can mean none.
const firstPosition = 1

func (r *ring) oldest() uint64 {
	if len(r.chunks) == 0 {
		return r.head.Load()
	}
	return r.chunks[0].first
}

// current is the chunk to write to, a new one where the last is full. of is who publishes, nil for one that is not bounded.
func (r *ring) current(now model.Time, wanted func() uint64, of *Share) *chunk {
	if n := len(r.chunks); n > 0 && r.chunks[n-1].filled.Load() < chunkSamples {
		return r.chunks[n-1]
	}
	drop, first := 0, wanted()
	for ; r.bytes > mostRingBytes && drop < len(r.chunks); drop++ {
		r.leaves(r.chunks[drop])
	}
	for len(r.chunks)-drop >= keepChunks {
		old := r.chunks[drop]
		young := time.Duration(now-old.began) < r.keepFor && old.first+chunkSamples > first
		if young && len(r.chunks)-drop < r.maxChunks && !of.over() {
			break
		}
		r.leaves(old)
		drop++
	}
	if drop > 0 {
		for _, old := range r.chunks[:drop] {
			if old.first+chunkSamples <= first && old.boxed.Load() == nil && len(r.spare) < mostSpare {
				r.spare = append(r.spare, old)
			}
		}
		n := copy(r.chunks, r.chunks[drop:])
		clear(r.chunks[n:])
		r.chunks = r.chunks[:n]
	}
	c := r.fresh()
	c.first, c.began = r.head.Load(), now
	r.chunks = append(r.chunks, c)
	return c
}

// fresh is an empty chunk. Of one that was used the qualities are good again, and all else is written before it is read.
func (r *ring) fresh() *chunk {
	last := len(r.spare) - 1
	if last < 0 {
		return &chunk{}
	}
	c := r.spare[last]
	r.spare[last] = nil
	r.spare = r.spare[:last]
	c.filled.Store(0)
	c.full, c.bytes = false, 0
	clear(c.quality[:])
	return c
}

// hold counts a value that a chunk holds now, and ends the chunk where that makes it full: what is left of it stays empty, since a position is found by its
// chunk's number.
func (r *ring) hold(c *chunk, at int, size int) {
	if size <= 8 || fault.Planted(fault.RingOfAnyBytes) {
		return
	}
	c.bytes += size
	r.bytes += size
	if c.bytes < mostChunkBytes {
		return
	}
	for i := at + 1; i < chunkSamples; i++ {
		c.slots[i], c.quality[i] = NoSlot, flagNone
	}
	c.full = true
}

// footprint is about what a value takes in memory beside its place: of a table much more than its texts.
func footprint(v model.Value) int {
	if v.Type() == model.TypeTable {
		return 6 * v.Size()
	}
	return v.Size()
}

// at is the chunk that holds position, nil where the ring has passed it or has not reached it.
func (r *ring) at(position uint64) *chunk {
	if len(r.chunks) == 0 || position < r.chunks[0].first || position >= r.head.Load() {
		return nil
	}
	return r.chunks[(position-r.chunks[0].first)/chunkSamples]
}
