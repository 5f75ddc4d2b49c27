package server

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// TestThrift: where little is made the heap may grow by little, where much is made by as much as ever, within a moment; and it falls only when it was quiet
// for a while.
func TestThrift(t *testing.T) {
	const most = thriftMost
	at, made := time.Unix(1_000_000, 0), uint64(0)
	var to thrift
	for i, step := range []struct {
		after time.Duration
		rate  float64 // bytes in a second
		want  int
	}{
		{5 * time.Second, 0, thriftLeast}, {5 * time.Second, 1_000_000, thriftLeast}, {5 * time.Second, 3_000_000, 30}, {5 * time.Second, 3_100_000, 40},
		{50 * time.Millisecond, 20_000_000, 40},  // a million in a moment says little
		{150 * time.Millisecond, 20_000_000, 40}, // nor do four
		{300 * time.Millisecond, 20_000_000, most}, {5 * time.Second, 0, most}, {5 * time.Second, 0, most}, {5 * time.Second, 4_000_000, most}, {5 * time.Second, 0, most},
		{5 * time.Second, 0, most}, {5 * time.Second, 0, 40}, {5 * time.Second, 0, 40}, {5 * time.Second, 0, 40}, {5 * time.Second, 0, thriftLeast},
	} {
		at = at.Add(step.after)
		made += uint64(step.rate * step.after.Seconds())
		if got := to.look(at, made); got != step.want {
			t.Errorf("look %d, after %.0f bytes in a second for %s: %d percent, want %d", i, step.rate, step.after, got, step.want)
		}
	}
}

// TestCollectorIsNoticed: each run of the collector is, not only the first.
func TestCollectorIsNoticed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	collected := make(chan struct{}, 1)
	watchCollector(ctx, collected)
	for i := range 3 {
		runtime.GC()
		select {
		case <-collected:
		case <-time.After(10 * time.Second):
			t.Fatalf("run %d of the collector went unnoticed", i+1)
		}
	}
}
