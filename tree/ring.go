package tree

import (
	"sync/atomic"
	"time"

	"banyan/model"
)

const chunkSamples = 4096

// chunk is 4,096 consecutive samples by column. Entries below filled never change, so readers use them without a lock and
// several may encode the same chunk at once.
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
}

// ring keeps the most recent samples in chunks: at least keepChunks of them, more while they are younger than keepFor, never more
// than maxChunks. It is guarded by Tree.samples; head may be read without.
type ring struct {
	chunks    []*chunk
	head      atomic.Uint64 // position of the next sample
	keepFor   time.Duration
	maxChunks int
}

const keepChunks = 16

// firstPosition is that of the first sample, so that 0 can mean none.
const firstPosition = 1

func (r *ring) oldest() uint64 {
	if len(r.chunks) == 0 {
		return r.head.Load()
	}
	return r.chunks[0].first
}

// current is the chunk to write to, a new one where the last is full.
func (r *ring) current(now model.Time) *chunk {
	if n := len(r.chunks); n > 0 && r.chunks[n-1].filled.Load() < chunkSamples {
		return r.chunks[n-1]
	}
	drop := 0
	for len(r.chunks)-drop >= keepChunks {
		old := r.chunks[drop]
		young := time.Duration(now-old.began) < r.keepFor
		if young && len(r.chunks)-drop < r.maxChunks {
			break
		}
		drop++
	}
	if drop > 0 {
		n := copy(r.chunks, r.chunks[drop:])
		clear(r.chunks[n:])
		r.chunks = r.chunks[:n]
	}
	c := &chunk{first: r.head.Load(), began: now}
	r.chunks = append(r.chunks, c)
	return c
}

// at is the chunk that holds position, nil where the ring has passed it or has not reached it.
func (r *ring) at(position uint64) *chunk {
	if len(r.chunks) == 0 || position < r.chunks[0].first || position >= r.head.Load() {
		return nil
	}
	return r.chunks[(position-r.chunks[0].first)/chunkSamples]
}
