package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"banyan/pki"
)

// X50: what it costs a node to show the same content to fifty consumers, beside what it costs to show it to one. What carries bytes to each of them is
// left out: fifty connections are fifty connections. What is left should be done once. Consumers are in a process of their own.
const (
	fifty        = 50
	fiftyRounds  = 3
	fiftyLasts   = 15 * time.Second
	fiftyTries   = 3 // of each measurement, where the machine was too slow
	allowedFifty = 2.0
	allowedLeft  = 0.02 // of the samples, where a consumer was too slow for the ring
)

// fiftyResult is what was measured in each round.
type fiftyResult struct {
	one, many []shared
}

// measureFifty runs the rounds.
func measureFifty(profile string) (*fiftyResult, error) {
	dir, err := os.MkdirTemp("", "banyan-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if _, err := pki.Create(sharerDir(dir), "sharer", time.Now()); err != nil {
		return nil, err
	}
	for i := range fifty {
		if _, err := pki.Create(consumerDir(dir, i), fmt.Sprintf("consumer-%02d", i), time.Now()); err != nil {
			return nil, err
		}
	}
	r := &fiftyResult{}
	for round := range fiftyRounds {
		fmt.Fprintf(os.Stderr, "  round %d of %d\n", round+1, fiftyRounds)
		for _, phase := range []struct {
			into      *[]shared
			consumers int
		}{{&r.one, 1}, {&r.many, fifty}} {
			file := ""
			if profile != "" {
				file = filepath.Join(profile, fmt.Sprintf("sharer-%d-%d.pprof", phase.consumers, round+1))
			}
			took, err := shareWith(dir, phase.consumers, file)
			for try := 1; errors.Is(err, errSlow) && try < fiftyTries; try++ {
				took, err = shareWith(dir, phase.consumers, file)
			}
			if err != nil {
				return nil, err
			}
			*phase.into = append(*phase.into, took)
		}
	}
	return r, nil
}

// errSlow is that consumers were too slow for the ring: what was measured is another work then.
var errSlow = errors.New("the machine is too slow for this load")

// shareWith measures the sharing node with so many consumers.
func shareWith(dir string, consumers int, profile string) (took shared, err error) {
	number, lasts := fmt.Sprint(consumers), fiftyLasts
	if consumers == 1 {
		lasts *= sharedOnce
	}
	sharer, err := start("sharer", "-dir", dir, "-consumers", number, "-for", lasts.String(), "-profile", profile)
	if err != nil {
		return took, err
	}
	defer sharer.stop()
	address, err := sharer.line()
	if err != nil {
		return took, err
	}
	drains, err := start("drain", "-dir", dir, "-consumers", number, "-address", address)
	if err != nil {
		return took, err
	}
	defer drains.stop()
	if err := sharer.result(&took); err != nil {
		return took, err
	}
	var told uint64
	_ = drains.cmd.Process.Signal(syscall.SIGTERM)
	if err := drains.result(&told); err != nil {
		return took, err
	}
	share := float64(told) / float64(consumers) / float64(took.All)
	fmt.Fprintf(os.Stderr, "    %d consumers: %.2f s, and %.2f s of carrying, for %d samples; each was told %.2f %%\n",
		consumers, took.Own.Seconds(), took.Carried.Seconds(), took.Samples, 100*share)
	if share < 1-allowedLeft {
		return took, fmt.Errorf("%d consumers were told %.1f %% of what was published: %w", consumers, 100*share, errSlow)
	}
	return took, nil
}

// perSample is the processor time that one published sample costs, nanoseconds.
func (s shared) perSample() float64 { return float64(s.Own.Nanoseconds()) / float64(max(1, s.Samples)) }

// report prints the ratio over all rounds, and those of single ones.
func (r *fiftyResult) report() {
	var one, many shared
	var ratios []float64
	for i := range r.one {
		one.Own, one.Samples = one.Own+r.one[i].Own, one.Samples+r.one[i].Samples
		many.Own, many.Samples = many.Own+r.many[i].Own, many.Samples+r.many[i].Samples
		ratios = append(ratios, r.many[i].perSample()/r.one[i].perSample())
	}
	ratio := many.perSample() / one.perSample()
	fmt.Printf("X50 one export, %.0f samples/s, %d consumers beside one, processor time outside of TLS, HTTP/2 and system calls: %.0f and %.0f ns a sample, %.2f times (single rounds %.2f to %.2f; bar: %.1f times): %s\n",
		sharedBatch/sharedEvery.Seconds(), fifty, many.perSample(), one.perSample(), ratio, slices.Min(ratios), slices.Max(ratios), allowedFifty, verdictOf(ratio <= allowedFifty))
}
