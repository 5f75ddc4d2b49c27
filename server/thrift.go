package server

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"banyan/store"
)

// A program that collects garbage when the heap has doubled keeps twice what it needs, also where it makes little: a centre with a thousand idle links would
// collect once in a minute and keep a hundred MiB for that. Thrift collects the more often the less is made, so that collecting takes about the same small
// share of a processor.

const (
	thriftEvery = 5 * time.Second
	thriftKeeps = 6 // looks: so long it is remembered that more was made
	// Collecting costs about a nanosecond for each byte that lives. At so many bytes that are made in a second for each percent that the heap may grow, it is
	// done so often that it takes a hundredth of a processor, however much lives.
	thriftBytes = 100_000
	thriftLeast = 20  // percent; less would be felt when more is made all at once
	thriftMost  = 100 // percent, which is what the runtime does by itself
	thriftBacks = 6   // looks: so often what SQLite does not use is given back while little is made
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
	var t thrift
	percent := thriftMost
	for n := 1; ; n++ {
		metrics.Read(sample)
		if now := t.look(sample[0].Value.Uint64()); now != percent {
			percent = now
			debug.SetGCPercent(percent)
		}
		if percent < thriftMost && n%thriftBacks == 0 {
			store.GiveBack()
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// thrift works out by how much the heap may grow before it is collected.
type thrift struct {
	made  uint64 // bytes, since the start
	rates []int  // bytes in a second, of the newest looks
}

// look takes how many bytes were made since the start, and says by how many percent the heap may grow: what the busiest of the newest looks asks for, in steps
// of ten, so that it does not change all the time.
func (t *thrift) look(made uint64) int {
	t.rates = append(t.rates, int(float64(made-t.made)/thriftEvery.Seconds()))
	t.made = made
	if len(t.rates) > thriftKeeps {
		t.rates = t.rates[1:]
	}
	most := 0
	for _, rate := range t.rates {
		most = max(most, rate)
	}
	return max(thriftLeast, min(thriftMost, (most/thriftBytes+9)/10*10))
}
