package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"banyan/proto/apiv1"
)

// chain is nodes that are linked, the edge first and the centre last.
type chain struct {
	nodes []*node
	path  string // of the edge's root at the centre

	profile string // directory for profiles, of the watcher too
}

const (
	loadDevice = "/devices/load"
	loadGroup  = 1000
	edgeMount  = "/edge"
)

func (c *chain) edge() *node   { return c.nodes[0] }
func (c *chain) centre() *node { return c.nodes[len(c.nodes)-1] }

func (c *chain) stop() {
	for _, n := range c.nodes {
		n.stop()
	}
}

// startChain starts nodes over so many hops, with a device of so many variables at the edge.
func startChain(ctx context.Context, dir string, hops, variables, group int, profile string) (*chain, error) {
	c := &chain{profile: profile}
	for _, name := range []string{"edge", "region", "centre"} {
		if name == "region" && hops == 1 {
			continue
		}
		n, err := startNode(ctx, dir, name, profile)
		if err != nil {
			c.stop()
			return nil, err
		}
		c.nodes = append(c.nodes, n)
	}
	if err := c.link(ctx, variables, group); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// link links each node to the next one, and lets the edge have something to tell.
func (c *chain) link(ctx context.Context, variables, group int) error {
	if err := c.join(ctx); err != nil {
		return err
	}
	_, err := c.edge().trees.Create(ctx, &apiv1.CreateRequest{Path: loadDevice, Kind: "simulator", Texts: map[string]string{
		"points": fmt.Sprint(variables), "group_size": fmt.Sprint(group), "poll_interval": "1h",
	}})
	if err != nil {
		return err
	}
	last := fmt.Sprintf("%s%s/group-%03d:p000", c.path, loadDevice, (variables-1)/group)
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if _, err := c.centre().trees.Get(ctx, &apiv1.GetRequest{Address: last}); err == nil {
			return nil
		} else if time.Since(began) > 60*time.Second {
			return fmt.Errorf("the centre does not have %s: %w", last, err)
		}
	}
}

// join links each node to the next one.
func (c *chain) join(ctx context.Context) error {
	c.path = ""
	for i, below := range c.nodes[:len(c.nodes)-1] {
		mount := edgeMount
		if i > 0 {
			mount = "/" + below.name
		}
		c.path = mount + c.path
		invitation, err := c.nodes[i+1].call(ctx, "/links", "invite", map[string]string{"name": below.name, "role": "consumer", "mount": mount})
		if err != nil {
			return err
		}
		if _, err := below.call(ctx, "/links", "join", map[string]string{"token": invitation["token"]}); err != nil {
			return err
		}
	}
	return nil
}

// trial publishes at a rate at the edge and counts over the public interface of the centre.
func (c *chain) trial(ctx context.Context, rate int, lasts time.Duration, latency bool) (arrived, time.Duration, error) {
	var seen arrived
	watcher, err := start("watcher", "-address", c.centre().at.API, "-dir", c.centre().dir, "-path", c.path+loadDevice, fmt.Sprintf("-latency=%v", latency), "-for", lasts.String(),
		"-profile", c.profile)
	if err != nil {
		return seen, 0, err
	}
	defer watcher.stop()
	if _, err := watcher.line(); err != nil {
		return seen, 0, err
	}
	processes := []int{watcher.pid()}
	for _, n := range c.nodes {
		processes = append(processes, n.pid())
	}
	before, err := cpuOf(processes...)
	if err != nil {
		return seen, 0, err
	}
	for _, r := range []int{rate, 0} {
		if _, err := c.edge().trees.Set(ctx, &apiv1.SetRequest{Address: loadDevice + ":rate", Text: fmt.Sprint(r)}); err != nil {
			return seen, 0, err
		}
		if r != 0 {
			time.Sleep(lasts)
		}
	}
	if err := watcher.result(&seen); err != nil {
		return seen, 0, err
	}
	after, err := cpuOf(processes...)
	return seen, after - before, err
}

// measureChain measures nodes over so many hops. from is the rate that is tried first.
func measureChain(ctx context.Context, want map[string]bool, o *options, hops, variables int, from float64) (r result, err error) {
	err = inDirectory(func(dir string) error {
		c, err := startChain(ctx, dir, hops, variables, loadGroup, o.profile)
		if err != nil {
			return err
		}
		defer c.stop()
		if want["P1"] || want["P3"] {
			if r, err = c.highest(ctx, o.lasts, from); err != nil {
				return err
			}
		}
		if !want["P2"] {
			return nil
		}
		seen, _, err := c.trial(ctx, 1000, 5*time.Second, true)
		r.p50, r.p99 = seen.P50, seen.P99
		return err
	})
	return r, err
}

// mostSteps bounds how many rates are tried.
const mostSteps = 10

// measureAt holds one rate over one hop, whatever is missed: for a profile, or to compare two builds of this program by turns.
func measureAt(ctx context.Context, o *options) error {
	return inDirectory(func(dir string) error {
		c, err := startChain(ctx, dir, 1, o.variables, loadGroup, o.profile)
		if err != nil {
			return err
		}
		defer c.stop()
		seen, used, err := c.trial(ctx, int(o.rate), o.lasts, false)
		if err != nil {
			return err
		}
		fmt.Printf("one hop, %.0f/s: %d missed, %d ns processor time each\n", seen.Rate, seen.Missed, used.Nanoseconds()/int64(max(1, seen.Count)))
		return nil
	})
}

// highest looks for the highest rate at which no count is missed: upwards in large steps, then between the last that passed and the first that did not.
func (c *chain) highest(ctx context.Context, lasts time.Duration, from float64) (result, error) {
	var best result
	passed, failed := 0.0, 0.0
	for rate, step := from, 0; step < mostSteps && (failed == 0 || failed/passed > 1.1); step++ {
		seen, used, err := c.trial(ctx, int(rate), lasts, false)
		if err != nil {
			return best, err
		}
		achieved := seen.Rate
		fmt.Fprintf(os.Stderr, "  asked for %.0f/s: %.0f/s, %d missed (%d told to stand for more), %d ns processor time each\n", rate, achieved, seen.Missed, seen.Conflated, used.Nanoseconds()/int64(max(1, seen.Count)))
		if seen.Missed == 0 && achieved > rate*0.8 {
			passed = rate
			if achieved > best.rate {
				best = result{rate: achieved, cpu: used / time.Duration(seen.Count)}
			}
		} else {
			failed = rate
		}
		switch {
		case failed == 0:
			rate *= 2
		case passed == 0:
			rate /= 2
		default:
			rate = (passed + failed) / 2
		}
	}
	if best.rate == 0 {
		return best, fmt.Errorf("some updates were missed at every rate")
	}
	return best, nil
}
