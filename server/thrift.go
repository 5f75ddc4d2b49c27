package server

import (
	"context"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"time"

	"banyan/store"
)

// A program that collects garbage when the heap has doubled keeps twice what it needs, also where it makes little: a centre with a thousand idle links would
// collect once in a minute and keep a hundred MiB for that. Thrift collects the more often the less is made, so that collecting takes about the same small
// share of a processor.

const (
	thriftEvery  = 5 * time.Second
	thriftWindow = time.Second      // what is made in less is taken for what is made in that
	thriftKeeps  = 30 * time.Second // so long it is remembered that more was made
	// Collecting costs about a nanosecond for each byte that lives. At so many bytes that are made in a second for each percent that the heap may grow, it is
	// done so often that it takes a hundredth of a processor, however much lives.
	thriftBytes = 100_000
	thriftLeast = 20               // percent; less would be felt when more is made all at once
	thriftMost  = 100              // percent, which is what the runtime does by itself
	thriftBacks = 30 * time.Second // so often what SQLite does not use is given back while little is made
)

// KeepThrift lets the whole program keep no more garbage than pays, until ctx ends. A program calls it once. Where GOGC is set in the environment it does nothing.
func KeepThrift(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	ticker := time.NewTicker(thriftEvery)
	defer ticker.Stop()
	defer debug.SetGCPercent(thriftMost)
	collected := make(chan struct{}, 1)
	watchCollector(ctx, collected)
	var t thrift
	percent, back := thriftMost, time.Now()
	for {
		now := time.Now()
		metrics.Read(sample)
		if wanted := t.look(now, sample[0].Value.Uint64()); wanted != percent {
			percent = wanted
			debug.SetGCPercent(percent)
		}
		if percent < thriftMost && now.Sub(back) >= thriftBacks {
			store.GiveBack()
			back = now
		}
		select {
		case <-ticker.C:
		case <-collected:
		case <-ctx.Done():
			return
		}
	}
}

// watchCollector signals each time that the collector has run: where much begins to be made all at once it runs too often until somebody looks.
func watchCollector(ctx context.Context, collected chan<- struct{}) {
	type sentinel struct{ _ *byte }
	runtime.AddCleanup(&sentinel{}, func(collected chan<- struct{}) {
		if ctx.Err() != nil {
			return
		}
		select {
		case collected <- struct{}{}:
		default:
		}
		watchCollector(ctx, collected)
	}, collected)
}

// thrift works out by how much the heap may grow before it is collected.
type thrift struct {
	made  uint64 // bytes, since the start
	at    time.Time
	rates []madeRate // of the newest looks
}

// madeRate is how many bytes were made in a second until a moment.
type madeRate struct {
	at   time.Time
	rate float64
}

// look takes how many bytes were made since the start, and says by how many percent the heap may grow: what the busiest time of the newest ones asks for, in
// steps of ten, so that it does not change all the time.
func (t *thrift) look(now time.Time, made uint64) int {
	took := now.Sub(t.at)
	rate := float64(made-t.made) / max(took, thriftWindow).Seconds()
	if took >= thriftWindow {
		t.made, t.at = made, now
	}
	if n := len(t.rates); n > 0 && now.Sub(t.rates[n-1].at) < thriftWindow {
		t.rates[n-1].rate = max(t.rates[n-1].rate, rate)
	} else {
		t.rates = append(t.rates, madeRate{now, rate})
	}
	t.rates = slices.DeleteFunc(t.rates, func(r madeRate) bool { return now.Sub(r.at) >= thriftKeeps })
	most := 0.0
	for _, r := range t.rates {
		most = max(most, r.rate)
	}
	return max(thriftLeast, min(thriftMost, int(math.Ceil(most/thriftBytes/10))*10))
}
