package devices

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Lateness says how late regular polls begin, since the manager was made. A poll is late when the node, not the device, keeps it waiting: for a
// slot, or for the processor.
type Lateness struct {
	Polls int64
	Max   time.Duration
	P99   time.Duration // 99 of 100 polls were no later; at most an eighth too much
	Share float64       // the greatest part of its interval by which a poll was late
}

// lateness counts in buckets whose bounds grow by an eighth; it is written by all devices and read by whoever wants figures.
type lateness struct {
	polls  atomic.Int64
	max    atomic.Int64
	share  atomic.Uint64 // bits of a float64, which for positive ones grow as it does
	counts [48 * 8]atomic.Int64
}

// bucket is where a duration is counted: its highest bit and the three bits below it.
func bucket(d time.Duration) int {
	n := uint64(max(d, 0) / time.Microsecond)
	if n < 8 {
		return int(n)
	}
	top := bits.Len64(n) - 1
	return min((top-2)*8+int(n>>(top-3)&7), 48*8-1)
}

// bound is the greatest duration that is counted in a bucket.
func bound(bucket int) time.Duration {
	if bucket < 8 {
		return time.Duration(bucket+1) * time.Microsecond
	}
	top := bucket/8 + 2
	return time.Duration((8+bucket%8+1)<<(top-3)) * time.Microsecond
}

func (l *lateness) add(late, interval time.Duration) {
	late = max(late, 0)
	l.polls.Add(1)
	l.counts[bucket(late)].Add(1)
	for most := l.max.Load(); int64(late) > most && !l.max.CompareAndSwap(most, int64(late)); most = l.max.Load() {
	}
	share := math.Float64bits(float64(late) / float64(interval))
	for most := l.share.Load(); share > most && !l.share.CompareAndSwap(most, share); most = l.share.Load() {
	}
}

func (l *lateness) read() Lateness {
	r := Lateness{Polls: l.polls.Load(), Max: time.Duration(l.max.Load()), Share: math.Float64frombits(l.share.Load())}
	var sum int64
	for i := range l.counts {
		if sum += l.counts[i].Load(); sum > 0 && sum*100 >= r.Polls*99 {
			r.P99 = min(bound(i), r.Max)
			break
		}
	}
	return r
}
