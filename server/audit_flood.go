package server

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Limits of rows that nobody had to have a right for: those of refusals and of failed logins. The first ones of a source are written at once; above
// that they are counted, and the counts are written now and then, so that a flood costs neither the disk nor the log's older rows.
const (
	floodBurst    = 20 // rows of one source
	floodEvery    = 3 * time.Second
	floodAll      = 200 // rows of all sources together
	floodAllEvery = 100 * time.Millisecond
	mostSources   = 1_000
)

// flood admits rows, each source so many and all together so many, and counts the others.
type flood struct {
	now func() time.Time

	mu      sync.Mutex // guards the rest
	all     bucket
	sources map[string]*bucket
	left    map[string]int // not written since the last count
}

// bucket holds how many may still be written, and is filled up with time.
type bucket struct {
	room float64
	at   time.Time
}

// take takes one out of a bucket that holds so many at most and gets one more each time that every passes.
func (b *bucket) take(now time.Time, most float64, every time.Duration) bool {
	if b.at.IsZero() {
		b.room = most
	} else {
		b.room = min(most, b.room+float64(now.Sub(b.at))/float64(every))
	}
	b.at = now
	if b.room < 1 {
		return false
	}
	b.room--
	return true
}

// admit says whether a row of a source may be written. One that may not is counted.
func (f *flood) admit(source string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if f.sources == nil {
		f.sources, f.left = map[string]*bucket{}, map[string]int{}
	}
	b := f.sources[source]
	if b == nil {
		if len(f.sources) >= mostSources {
			f.forget(now)
		}
		if len(f.sources) >= mostSources {
			source = "" // many at once share one
		}
		if b = f.sources[source]; b == nil {
			b = &bucket{}
			f.sources[source] = b
		}
	}
	if b.take(now, floodBurst, floodEvery) && f.all.take(now, floodAll, floodAllEvery) {
		return true
	}
	f.left[source]++
	return false
}

// forget drops sources whose buckets are full again.
func (f *flood) forget(now time.Time) {
	maps.DeleteFunc(f.sources, func(_ string, b *bucket) bool {
		return now.Sub(b.at) >= floodBurst*floodEvery
	})
}

// leftOut is a source and how many of its rows were not written.
type leftOut struct {
	source string
	count  int
}

// drain is what was counted since the last time.
func (f *flood) drain() []leftOut {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []leftOut
	for _, source := range slices.Sorted(maps.Keys(f.left)) {
		out = append(out, leftOut{source, f.left[source]})
	}
	clear(f.left)
	return out
}
