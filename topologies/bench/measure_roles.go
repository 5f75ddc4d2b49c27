package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"banyan/proto/apiv1"
)

// R8: what a heavy reader of a reporting server costs the monitoring server behind it. The monitoring process has a processor for itself, everything
// else shares the other one, so that what is measured is what crosses the link. It and who measures run
// with a real-time priority: whatever else the machine does on its processor is not its readers' doing, and the waiting of who measures for
// a processor would count as the monitoring server's.
const (
	roleRounds  = 10
	rolePoints  = 5000
	roleGroup   = 100  // points of one context
	roleRate    = 5000 // updates a second
	allowedRise = 0.10
)

// roleResult is p99 by what was measured: without readers, with them, and without them again.
type roleResult struct{ without, with, again map[string][]float64 }

// measureRoles runs the rounds.
func measureRoles(ctx context.Context, lasts time.Duration, profile string) (*roleResult, error) {
	if runtime.NumCPU() < 2 {
		return nil, errors.New("R8 needs two processors")
	}
	// In memory: on one machine both nodes would share a disk, and setting would wait for the other one's.
	dir, err := os.MkdirTemp("/dev/shm", "banyan-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	monitoring, err := startNodeAt(ctx, place{cpu: 0, real: true}, dir, "monitoring", profile)
	if err != nil {
		return nil, err
	}
	defer monitoring.stop()
	reporting, err := startNodeAt(ctx, place{cpu: 1}, dir, "reporting", profile)
	if err != nil {
		return nil, err
	}
	defer reporting.stop()
	c := &chain{nodes: []*node{monitoring, reporting}}
	if err := c.prepareRoles(ctx); err != nil {
		return nil, err
	}
	r := &roleResult{map[string][]float64{}, map[string][]float64{}, map[string][]float64{}}
	for round := range roleRounds {
		fmt.Fprintf(os.Stderr, "  round %d of %d\n", round+1, roleRounds)
		for _, phase := range []struct {
			into    map[string][]float64
			readers bool
		}{{r.without, false}, {r.with, true}, {r.again, false}} {
			if err := c.roleRound(phase.into, phase.readers, lasts); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// prepareRoles links the two and lets the monitoring server have something to tell.
func (c *chain) prepareRoles(ctx context.Context) error {
	for _, n := range c.nodes {
		for _, limit := range []string{"api_rate", "api_streams"} {
			if _, err := n.trees.Set(ctx, &apiv1.SetRequest{Address: "/system:" + limit, Text: "0"}); err != nil {
				return err
			}
		}
	}
	if _, err := c.edge().trees.Create(ctx, &apiv1.CreateRequest{Path: "/devices/set", Kind: "simulator", Texts: map[string]string{"poll_interval": "1h"}}); err != nil {
		return err
	}
	if err := c.link(ctx, rolePoints, roleGroup); err != nil {
		return err
	}
	_, err := c.edge().trees.Set(ctx, &apiv1.SetRequest{Address: loadDevice + ":rate", Text: fmt.Sprint(roleRate)})
	return err
}

// roleRound measures the monitoring server for so long.
func (c *chain) roleRound(into map[string][]float64, readers bool, lasts time.Duration) error {
	if readers {
		reader, err := start("reader", append(place{cpu: 1}.arguments(),
			"-address", c.centre().at.API, "-dir", c.centre().dir, "-path", edgeMount+loadDevice)...)
		if err != nil {
			return err
		}
		defer reader.stop()
		if _, err := reader.line(); err != nil {
			return err
		}
	}
	prober, err := start("prober", append(place{cpu: 1, real: true}.arguments(),
		"-address", c.edge().at.API, "-dir", c.edge().dir, "-path", loadDevice, "-for", lasts.String())...)
	if err != nil {
		return err
	}
	defer prober.stop()
	var took probed
	if err := prober.result(&took); err != nil {
		return err
	}
	for what, p99 := range map[string]float64{"get": took.Get, "set": took.Set, "publish to watch": took.Watch} {
		into[what] = append(into[what], p99)
	}
	return nil
}

// report prints a line for each thing that was measured, and whether all of it holds.
func (r *roleResult) report() {
	all := true
	var lines []string
	for _, what := range []string{"get", "set", "publish to watch"} {
		without, with, again := median(r.without[what]), median(r.with[what]), median(r.again[what])
		rise := with/min(without, again) - 1
		spread := max(without, again)/min(without, again) - 1
		holds := rise <= max(allowedRise, spread)
		all = all && holds
		lines = append(lines, fmt.Sprintf("    %s: %.0f us without, %.0f us with readers (%+.1f %%), %.0f us without again (A-A spread %.1f %%; single rounds without %.0f to %.0f us)",
			what, without, with, 100*rise, again, 100*spread, slices.Min(slices.Concat(r.without[what], r.again[what])), slices.Max(slices.Concat(r.without[what], r.again[what]))))
	}
	fmt.Printf("R8  a heavy reader at the reporting server, median p99 of the monitoring server over %d rounds (bar: at most 10 %% more, or the A-A spread): %s\n%s\n",
		roleRounds, verdictOf(all), strings.Join(lines, "\n"))
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	if len(sorted) == 0 {
		return 0
	}
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
