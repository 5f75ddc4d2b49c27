package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// run lets storms and calms follow each other until the time is over, with a calm last.
func (w *world) run(ctx context.Context) {
	looking, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { w.measure(looking) })
	work.Go(func() { w.watchFreshness(looking) })
	w.calm(ctx)
	for round := uint64(1); time.Since(w.began) < w.cfg.lasts && ctx.Err() == nil; round++ {
		asking := w.load(ctx, w.cfg.seed^round<<32)
		storm := min(w.cfg.storm, max(w.cfg.lasts-time.Since(w.began), time.Second))
		if w.cfg.still {
			wait(ctx, storm)
		} else {
			w.storm(ctx, storm)
		}
		asking()
		w.calm(ctx)
	}
	stop()
	work.Wait()
}

// brief is how it stands, in one line.
func (w *world) brief() string {
	g := &w.gauges
	g.mu.Lock()
	defer g.mu.Unlock()
	least, greatest := 0.0, 0.0
	for i := range w.members {
		of := g.samples[[2]int{i, 0}]
		if len(of) == 0 {
			continue
		}
		now := of[len(of)-1].of
		if least == 0 || now < least {
			least = now
		}
		greatest = max(greatest, now)
	}
	return fmt.Sprintf("%s; resident %.0f to %.0f MiB; %d wrong", w.books.counts(), least, greatest, w.books.failed())
}

// outcome is what a soak came to.
type outcome struct {
	wrong map[string]int // what did not hold, and how often
	grows []string       // figures with their nodes
}

// report prints what the soak came to.
func (w *world) report() *outcome {
	var b strings.Builder
	lasted := time.Since(w.began).Round(time.Second)
	fmt.Fprintf(&b, "\nSOAK of %s, seed %d, %d nodes, %d links\n  %s\n", lasted, w.cfg.seed, len(w.members), len(w.links), w.plan)
	fmt.Fprintf(&b, "  happened: %s\n  calls were said to be: %v\n\n", w.books.counts(), w.books.judged)
	o := &outcome{wrong: w.books.same, grows: w.trends(&b, lasted)}
	fmt.Fprintf(&b, "\n  A figure GROWS when its slope (the median of the slopes of all pairs of samples within lives, after the first quarter) makes more over the time measured than\n"+
		"  both a least amount (%s) and a share of its median, and at least %.0f %% of the pairs grow.\n", leasts(), mostPairs*100)
	for _, text := range w.books.wrong {
		fmt.Fprintf(&b, "  WRONG: %s\n", text)
	}
	fmt.Fprintf(&b, "\n  %d things did not hold, %d figures grow. Again: make soak ONLY=network DURATION=%s SEED=%d\n", w.books.failed(), len(o.grows), w.cfg.lasts, w.cfg.seed)
	w.books.print(b.String())
	return o
}

// trends prints how each figure of each node moved, and returns those that grow.
func (w *world) trends(b *strings.Builder, lasted time.Duration) (grows []string) {
	// The warm-up is the first quarter, and as much of each life, ten minutes at most: what was just started grows, and of short lives that is all there is.
	from, youth := lasted/4, min(10*time.Minute, lasted/4)
	fmt.Fprintf(b, "  %-22s %-14s %8s %10s %10s %10s %12s %7s  %s\n", "FIGURE", "NODE", "SAMPLES", "FIRST", "MEDIAN", "LAST", "PER HOUR", "RISING", "VERDICT")
	line := func(what, node string, t *trend, scale float64, verdict string) {
		fmt.Fprintf(b, "  %-22s %-14s %8d %10.1f %10.1f %10.1f %+12.2f %6.0f%%  %s\n", strings.TrimSpace(what), node, t.samples, t.first*scale, t.median*scale, t.last*scale, t.perHour*scale, t.rising*100, verdict)
	}
	g := &w.gauges
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, f := range figures {
		for _, m := range w.members {
			t := trendOf(warm(g.samples[[2]int{m.index, i}], from, youth), f.rule)
			verdict := "flat"
			switch {
			case t.samples < leastSamples, t.longest < youth:
				verdict = "lives too short"
			case t.grows:
				verdict = "GROWS"
				grows = append(grows, f.name+" of "+m.name)
			}
			line(f.name+" "+f.unit, m.name, &t, 1, verdict)
		}
	}
	for _, m := range w.members {
		t := trendOf(warm(g.disk[m.index], from, 0), rule{})
		line("disk MiB", m.name, &t, 1.0/(1<<20), fmt.Sprintf("for %.0f commits", g.commits[m.index]))
	}
	return grows
}

// leastSamples are needed for a verdict.
const leastSamples = 10

func leasts() string {
	var parts []string
	for _, f := range figures {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s %g %s", f.name, f.rule.least, f.unit)))
	}
	return strings.Join(parts, ", ")
}
