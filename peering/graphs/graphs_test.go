package graphs

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"testing"
	"time"
)

// go test -run TestGraphs -graph.seed N -graph.walks 1 -v repeats one walk.
var (
	firstSeed = flag.Uint64("graph.seed", 1, "first seed")
	onward    = flag.Bool("graph.onward", false, "go on after a walk that fails")
	frames    = flag.Bool("graph.frames", false, "show the frames of a walk that fails, too")
	steps     = flag.Int("graph.steps", 60, "how many steps of a walk that fails are shown")
	walks     = flag.Int("graph.walks", everyday, "how many seeds are tried")
)

// Each node of a graph has what it is entitled to, no link carries anything else, and everything comes to rest.
func TestGraphs(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1000)) // a walk leaves little behind and makes much
	began := time.Now()
	for seed := *firstSeed; seed < *firstSeed+uint64(*walks); seed++ {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { walk(t, seed) }) && !*onward {
			return
		}
	}
	t.Logf("%d walks from seed %d, %.0f a second", *walks, *firstSeed, float64(*walks)/time.Since(began).Seconds())
}

// TestSoakGraphs walks new graphs for as long as BANYAN_SOAK says, from a seed that nobody has tried.
func TestSoakGraphs(t *testing.T) {
	text := os.Getenv("BANYAN_SOAK")
	if text == "" {
		t.Skip("BANYAN_SOAK says how long it runs")
	}
	length, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(1000))
	began, first := time.Now(), uint64(time.Now().UnixNano())
	count := uint64(0)
	for ; time.Since(began) < length; count++ {
		if !t.Run(fmt.Sprint(first+count), func(t *testing.T) { walk(t, first+count) }) {
			return
		}
	}
	t.Logf("%d walks from seed %d, %.0f a second", count, first, float64(count)/time.Since(began).Seconds())
}
