package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"
)

// P10: how long a node with a hundred thousand contexts takes from its start until it answers, and what an idle node takes. The
// contexts are those of a device at one node, which mounts them at the other one: of the first they are settings, of the second a mirror with values.
const (
	startContexts   = 100_000
	startPoints     = 10 // of each context
	startRounds     = 5
	saveTime        = 35 * time.Second // until last values are saved
	allowedStart    = 2 * time.Second
	idleSettle      = 30 * time.Second
	allowedIdleNode = 60 << 20
)

// startResult is what was measured.
type startResult struct {
	mounted, own []time.Duration
	cpu          []time.Duration // of the starts with mounted contexts
	idle, peak   int64
}

func measureStart(ctx context.Context, contexts int, profile string) (*startResult, error) {
	r := &startResult{}
	err := inDirectory(func(dir string) error {
		n, err := startNode(ctx, dir, "idle", profile)
		if err != nil {
			return err
		}
		defer n.stop()
		if _, err := n.restart(ctx, profile); err != nil { // nobody has logged in on it when it is looked at but once
			return err
		}
		time.Sleep(idleSettle)
		r.idle, r.peak, err = memory(n.pid())
		fmt.Fprintf(os.Stderr, "  idle node: %.0f MiB, %.0f MiB at its greatest\n", mebibytes(r.idle), mebibytes(r.peak))
		return err
	})
	if err != nil {
		return nil, err
	}
	err = inDirectory(func(dir string) error {
		c, err := startChain(ctx, dir, 1, contexts*startPoints, startPoints, profile)
		if err != nil {
			return err
		}
		defer c.stop()
		time.Sleep(saveTime)
		for range startRounds {
			own, err := c.edge().restart(ctx, profile)
			if err != nil {
				return err
			}
			mounted, err := c.centre().restart(ctx, profile)
			if err != nil {
				return err
			}
			used, err := cpuOf(c.centre().pid())
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "  %d own contexts: answers after %.2f s; as many mounted: after %.2f s, with %.2f s of processor time\n",
				contexts, own.Seconds(), mounted.Seconds(), used.Seconds())
			r.own, r.mounted, r.cpu = append(r.own, own), append(r.mounted, mounted), append(r.cpu, used)
		}
		return nil
	})
	return r, err
}

func (r *startResult) report() {
	own, mounted := slices.Max(r.own), slices.Max(r.mounted)
	fmt.Printf("P10 cold start with %d contexts, the slowest of %d: own ones %.2f s, mounted ones %.2f s (fastest %.2f and %.2f s, processor time %.2f s; bar: %.0f s); "+
		"idle node %.0f MiB resident, %.0f MiB at its greatest (bar: %.0f MiB): %s\n",
		startContexts, len(r.own), own.Seconds(), mounted.Seconds(), slices.Min(r.own).Seconds(), slices.Min(r.mounted).Seconds(), slices.Max(r.cpu).Seconds(),
		allowedStart.Seconds(), mebibytes(r.idle), mebibytes(r.peak), mebibytes(allowedIdleNode),
		verdictOf(max(own, mounted) < allowedStart && r.idle < allowedIdleNode))
}
