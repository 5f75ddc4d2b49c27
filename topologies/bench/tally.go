package main

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// tally counts arrivals, and how long some of them took.
type tally struct {
	count  atomic.Uint64
	missed atomic.Uint64
	first  atomic.Int64 // nanoseconds
	last   atomic.Int64

	mu        sync.Mutex // guards latencies
	latencies []int64
	measure   bool
}

func newTally(measure bool) *tally { return &tally{measure: measure} }

// add counts n arrivals that were sent at sentAt, nanoseconds.
func (t *tally) add(n uint64, sentAt int64) {
	if !t.measure && t.count.Add(n)%1024 != n%1024 && n == 1 {
		return // the clock is read for one in 1,024 only
	}
	now := time.Now().UnixNano()
	t.first.CompareAndSwap(0, now)
	t.last.Store(now)
	if t.measure {
		t.count.Add(n)
		t.mu.Lock()
		t.latencies = append(t.latencies, now-sentAt)
		t.mu.Unlock()
	}
}

// arrived is what a watcher says at its end.
type arrived struct {
	Count    uint64
	Missed   uint64
	Seconds  float64 // between the first and the last arrival
	P50, P99 float64 // microseconds, where they were measured
}

// quietTime is how long nothing must arrive before a watcher reports.
const quietTime = 1500 * time.Millisecond

// report waits until nothing arrives any more, and tells.
func (t *tally) report(ctx context.Context) error {
	before := uint64(0)
	for {
		select {
		case <-time.After(quietTime):
		case <-ctx.Done():
			return ctx.Err()
		}
		now := t.count.Load()
		if now > 0 && now == before {
			break
		}
		before = now
	}
	a := arrived{Count: t.count.Load(), Missed: t.missed.Load(), Seconds: float64(t.last.Load()-t.first.Load()) / 1e9}
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.Sort(t.latencies)
	if n := len(t.latencies); n > 0 {
		a.P50, a.P99 = float64(t.latencies[n/2])/1e3, float64(t.latencies[n*99/100])/1e3
	}
	return json.NewEncoder(os.Stdout).Encode(a)
}

// pace says how many are due at a rate; without a rate a handful at a time.
type pace struct {
	rate  float64
	began time.Time
	done  uint64
}

func newPace(rate float64, began time.Time) *pace { return &pace{rate: rate, began: began} }

func (p *pace) due(now time.Time) uint64 {
	if p.rate <= 0 {
		return 256
	}
	until := uint64(now.Sub(p.began).Seconds() * p.rate)
	n := until - p.done
	p.done = until
	if n == 0 {
		time.Sleep(50 * time.Microsecond)
	}
	return n
}
