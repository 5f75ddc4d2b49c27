package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"banyan/topologies"
)

// P5: one million contexts with ten variables each are mounted at one consumer.
const (
	millionContexts = 1_000_000
	millionCuts     = 5
	millionPause    = 12 * time.Second // from one cut to the next: a link that is cut again and again is tried at growing distances, until it has stood for a while
	allowedPeak     = 4 << 30
	allowedMount    = 30 * time.Second
	allowedResume   = time.Second
)

// millionResult is what was measured.
type millionResult struct {
	contexts       int
	mount          time.Duration // from the joining until everything is there and good
	cpu, cpuProbe  time.Duration // of the consumer and of the provider, for that
	resumes        []time.Duration
	peak, resident int64
	probePeak      int64
	start          time.Duration // of the consumer after a kill, until it answers
	returned       time.Duration // and until everything is good again
	cpuStart       time.Duration // for that
	again          int64         // resident at its greatest then
}

func measureMillion(ctx context.Context, contexts int, profile string) (*millionResult, error) {
	dir, err := os.MkdirTemp("", "banyan-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	began := time.Now()
	f, err := startFleet(ctx, dir, 1, contexts, profile)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	fmt.Fprintf(os.Stderr, "  made %v\n", time.Since(began))
	r := &millionResult{contexts: contexts}
	began = time.Now() // the probe has joined, and begins to connect
	usedProbe, err := cpuOf(f.probes.pid())
	if err != nil {
		return nil, err
	}
	if r.mount, err = f.good(ctx, began, 3*time.Minute); err != nil {
		return nil, err
	}
	if err := f.whole(ctx); err != nil {
		return nil, err
	}
	if r.cpu, err = cpuOf(f.centre.pid()); err != nil {
		return nil, err
	}
	used, err := cpuOf(f.probes.pid())
	if err != nil {
		return nil, err
	}
	r.cpuProbe = used - usedProbe
	fmt.Fprintf(os.Stderr, "  mounted in %.1f s, %.1f s of the consumer's processor and %.1f s of the provider's\n", r.mount.Seconds(), r.cpu.Seconds(), r.cpuProbe.Seconds())
	for range millionCuts {
		time.Sleep(millionPause)
		took, err := f.resume(ctx)
		if err != nil {
			return nil, err
		}
		r.resumes = append(r.resumes, took)
	}
	if r.resident, r.peak, err = memory(f.centre.pid()); err != nil {
		return nil, err
	}
	if _, r.probePeak, err = memory(f.probes.pid()); err != nil {
		return nil, err
	}
	return r, r.restart(ctx, f, profile)
}

// restart kills the consumer and starts it with what its mirror has.
func (r *millionResult) restart(ctx context.Context, f *fleet, profile string) (err error) {
	time.Sleep(saveTime)
	began := time.Now()
	if r.start, err = f.centre.restart(ctx, profile); err != nil {
		return err
	}
	if r.returned, err = f.good(ctx, began, 3*time.Minute); err != nil {
		return err
	}
	if r.cpuStart, err = cpuOf(f.centre.pid()); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "  started again: answers after %.1f s, good after %.1f s, with %.1f s of processor time\n", r.start.Seconds(), r.returned.Seconds(), r.cpuStart.Seconds())
	if err := f.whole(ctx); err != nil {
		return err
	}
	_, r.again, err = memory(f.centre.pid())
	return err
}

// resume cuts all connections and says how long it is until everything is good again. The pause of reconnecting is in it.
func (f *fleet) resume(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	said, err := f.order("cut")
	if err != nil {
		return 0, err
	}
	took, err := f.good(ctx, began, time.Minute)
	fmt.Fprintf(os.Stderr, "  cut: linked again after %.3f s, good after %.3f s\n", said.Took.Seconds(), took.Seconds())
	return took, err
}

func (r *millionResult) report() {
	slowest := slices.Max(r.resumes)
	fmt.Printf("P5  %d contexts of %d variables mounted at one consumer: %.2f GiB peak resident (%.2f at rest; bar: %.0f GiB), first mount %.1f s (bar: %.0f s), "+
		"resume after a cut %.2f s (slowest of %d; bar: %.0f s); processor time of the mount %.1f s and %.1f s at the provider, whose peak is %.2f GiB; after a kill the consumer "+
		"answers after %.1f s and all is good after %.1f s, with %.1f s of processor time and %.2f GiB: %s\n",
		r.contexts, topologies.ProbeVariables, mebibytes(r.peak)/1024, mebibytes(r.resident)/1024, mebibytes(allowedPeak)/1024, r.mount.Seconds(), allowedMount.Seconds(),
		slowest.Seconds(), len(r.resumes), allowedResume.Seconds(), r.cpu.Seconds(), r.cpuProbe.Seconds(), mebibytes(r.probePeak)/1024,
		r.start.Seconds(), r.returned.Seconds(), r.cpuStart.Seconds(), mebibytes(r.again)/1024,
		verdictOf(r.peak <= allowedPeak && r.mount <= allowedMount && slowest < allowedResume))
}
