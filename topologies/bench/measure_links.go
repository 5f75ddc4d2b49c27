package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// P7: a thousand linked probes that are idle but for heartbeats, and what they take of the centre; and the same after the centre was killed and started again.
const (
	linkedProbes    = 1000
	linkedContexts  = 10 // of each probe
	linkedSettle    = 60 * time.Second
	linkedMeasured  = 20 * time.Second
	allowedResident = 200 << 20
	allowedShare    = 0.05
	allowedReturn   = 120 * time.Second
)

// linkedResult is what was measured.
type linkedResult struct {
	probes        int
	alone         int64 // resident before the first probe joined
	joined        time.Duration
	before, after idleLinks // and after the restart
	start         time.Duration
	returned      time.Duration
	peak          int64 // of the restarted centre
}

// idleLinks is what a centre takes while nothing happens.
type idleLinks struct {
	resident int64
	share    float64 // of a processor
}

func measureLinked(ctx context.Context, probes int, profile string) (*linkedResult, error) {
	dir, err := os.MkdirTemp("", "banyan-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r := &linkedResult{probes: probes}
	began := time.Now()
	f, err := startFleet(ctx, dir, probes, linkedContexts, profile)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	r.alone = f.alone
	if _, err := f.order("up"); err != nil {
		return nil, err
	}
	if _, err := f.good(ctx, time.Time{}, time.Minute); err != nil {
		return nil, err
	}
	r.joined = time.Since(began)
	fmt.Fprintf(os.Stderr, "  %d probes joined in %.1f s\n", probes, r.joined.Seconds())
	if r.before, err = f.idle(); err != nil {
		return nil, err
	}
	began = time.Now()
	if r.start, err = f.centre.restart(ctx, profile); err != nil {
		return nil, err
	}
	if r.returned, err = f.good(ctx, began, 2*allowedReturn); err != nil {
		return nil, err
	}
	if err := f.whole(ctx); err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "  all are back %.1f s after the centre was started again, which answers after %.1f s\n", r.returned.Seconds(), r.start.Seconds())
	if _, r.peak, err = memory(f.centre.pid()); err != nil {
		return nil, err
	}
	r.after, err = f.idle()
	return r, err
}

// idle waits until nothing is left of what happened, and says what the centre takes then.
func (f *fleet) idle() (is idleLinks, err error) {
	time.Sleep(linkedSettle)
	if f.profiled {
		f.centre.idles()
	}
	before, err := cpuOf(f.centre.pid())
	if err != nil {
		return is, err
	}
	began := time.Now()
	time.Sleep(linkedMeasured)
	after, err := cpuOf(f.centre.pid())
	if err != nil {
		return is, err
	}
	is.share = (after - before).Seconds() / time.Since(began).Seconds()
	is.resident, _, err = memory(f.centre.pid())
	if f.profiled {
		f.centre.stands()
	}
	fmt.Fprintf(os.Stderr, "  idle: %.0f MiB, %.1f %% of a processor\n", mebibytes(is.resident), 100*is.share)
	return is, err
}

func (r *linkedResult) report() {
	resident, share := max(r.before.resident, r.after.resident), max(r.before.share, r.after.share)
	fmt.Printf("P7  %d linked probes, idle: centre %.0f MiB resident, %.0f MiB before the first joined (bar: %.0f MiB), %.1f %% of a processor (bar: %.0f %%); "+
		"after a kill and a start %.0f MiB, %.1f %%, all back and good after %.1f s (bar: %.0f s; the centre answers after %.1f s; peak meanwhile %.0f MiB): %s\n",
		r.probes, mebibytes(r.before.resident), mebibytes(r.alone), mebibytes(allowedResident), 100*r.before.share, 100*allowedShare,
		mebibytes(r.after.resident), 100*r.after.share, r.returned.Seconds(), allowedReturn.Seconds(), r.start.Seconds(), mebibytes(r.peak),
		verdictOf(resident <= allowedResident && share <= allowedShare && r.returned <= allowedReturn))
}
