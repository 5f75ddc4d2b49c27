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
	count     atomic.Uint64
	missed    atomic.Uint64
	conflated atomic.Uint64 // samples that the node says may stand for more, those that there were when the watching began as well
	first     atomic.Int64  // nanoseconds

	mu        sync.Mutex // guards what follows
	latencies []int64
	buckets   []uint64 // arrivals in each tenth of a second since the first
	measure   bool
}

func newTally(measure bool) *tally { return &tally{measure: measure} }

// add counts n arrivals that were sent at sentAt, nanoseconds.
func (t *tally) add(n uint64, sentAt int64) {
	count := t.count.Add(n)
	if !t.measure && n == 1 {
		if count%clockEvery != 1 {
			return
		}
		n = clockEvery
	}
	now := time.Now().UnixNano()
	t.first.CompareAndSwap(0, now)
	t.mu.Lock()
	defer t.mu.Unlock()
	bucket := int(time.Duration(now-t.first.Load()) / bucketTime)
	for len(t.buckets) <= bucket {
		t.buckets = append(t.buckets, 0)
	}
	t.buckets[bucket] += n
	if t.measure {
		t.latencies = append(t.latencies, now-sentAt)
	}
}

const (
	// clockEvery is of how many single arrivals one reads the clock.
	clockEvery = 256
	bucketTime = 100 * time.Millisecond
)

// rate is the arrivals a second: the median over the tenths of seconds in the middle half of the time that rates were held.
func (t *tally) rate(lasts time.Duration) float64 {
	n := int(lasts / bucketTime)
	if len(t.buckets) < n {
		n = len(t.buckets)
	}
	middle := slices.Clone(t.buckets[n/4 : n-n/4])
	if len(middle) == 0 {
		return 0
	}
	slices.Sort(middle)
	return float64(middle[len(middle)/2]) / bucketTime.Seconds()
}

// arrived is what a watcher says at its end.
type arrived struct {
	Count     uint64
	Missed    uint64
	Conflated uint64  // samples that the node says may stand for more
	Rate      float64 // arrivals a second while the rate was held
	P50, P99  float64 // microseconds, where they were measured
}

// quietTime is how long nothing must arrive before a watcher reports.
const quietTime = 1500 * time.Millisecond

// report waits until nothing arrives any more, and tells.
func (t *tally) report(ctx context.Context, lasts time.Duration) error {
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
	t.mu.Lock()
	defer t.mu.Unlock()
	a := arrived{Count: t.count.Load(), Missed: t.missed.Load(), Conflated: t.conflated.Load(), Rate: t.rate(lasts)}
	t.percentiles(&a)
	return json.NewEncoder(os.Stdout).Encode(a)
}

// since is what has come since it was asked for last.
func (t *tally) since() arrived {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := arrived{Count: t.count.Swap(0), Missed: t.missed.Swap(0), Conflated: t.conflated.Swap(0)}
	t.percentiles(&a)
	t.latencies = t.latencies[:0]
	return a
}

// percentiles are those of the latencies that were measured. mu is held.
func (t *tally) percentiles(a *arrived) {
	slices.Sort(t.latencies)
	if n := len(t.latencies); n > 0 {
		a.P50, a.P99 = float64(t.latencies[n/2])/1e3, float64(t.latencies[n*99/100])/1e3
	}
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
