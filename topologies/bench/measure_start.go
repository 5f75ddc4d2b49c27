package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"banyan/proto/apiv1"
	"banyan/server"
)

// P10: how long a node with a hundred thousand contexts takes from its start until it answers, and what an idle node takes. The
// contexts are those of devices at one node, which mounts them at the other one: of the first they are settings, of the second a mirror with values. Both
// run the program that people get, since what this one has in it besides counts as well.
const (
	startContexts   = 100_000
	startPoints     = 10    // of each context
	startDevice     = 2_000 // contexts of each device: one that has all would not make them within the time of a poll on a busy machine
	startRounds     = 5
	madeTime        = 3 * time.Minute  // without one more device
	saveTime        = 35 * time.Second // until last values are saved
	answerTime      = time.Minute
	allowedStart    = 2 * time.Second
	idleSettle      = 30 * time.Second
	allowedIdleNode = 60 << 20
)

// startResult is what was measured.
type startResult struct {
	contexts     int
	mounted, own []time.Duration
	cpu, cpuOwn  []time.Duration // of these starts
	begun        int64           // resident at an idle node right after its start
	idle, after  int64           // later, and later still, when somebody has logged in
	peak         int64
}

func measureStart(ctx context.Context, contexts int) (*startResult, error) {
	if contexts == 0 {
		contexts = startContexts
	}
	r := &startResult{contexts: contexts}
	return r, inDirectory(func(dir string) error {
		program := filepath.Join(dir, "banyan")
		build := exec.Command("go", "build", "-o", program, "./cmd/banyan")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("building the product, from the root of the repository: %w", err)
		}
		if err := r.measureIdle(ctx, dir, program); err != nil {
			return err
		}
		return r.measureStarts(ctx, dir, program)
	})
}

// measureIdle says what a node takes that has nothing to do.
func (r *startResult) measureIdle(ctx context.Context, dir, program string) error {
	n, err := startProduct(ctx, dir, "idle", program)
	if err != nil {
		return err
	}
	defer n.stop()
	if _, _, err := n.restartUntil(ctx, "/system:name"); err != nil {
		return err
	}
	if r.begun, _, err = memory(n.pid()); err != nil {
		return err
	}
	time.Sleep(idleSettle)
	if r.idle, _, err = memory(n.pid()); err != nil {
		return err
	}
	if err := n.login(ctx); err != nil { // hashing a password takes 19 MiB for a moment
		return err
	}
	time.Sleep(idleSettle)
	r.after, r.peak, err = memory(n.pid())
	fmt.Fprintf(os.Stderr, "  idle node: %.0f MiB right after its start, %.0f MiB later, %.0f MiB after a login, %.0f MiB at its greatest\n",
		mebibytes(r.begun), mebibytes(r.idle), mebibytes(r.after), mebibytes(r.peak))
	return err
}

// measureStarts says how long nodes with contexts take to answer.
func (r *startResult) measureStarts(ctx context.Context, dir, program string) error {
	c := &chain{}
	defer c.stop()
	for _, name := range []string{"edge", "centre"} {
		n, err := startProduct(ctx, dir, name, program)
		if err != nil {
			return err
		}
		c.nodes = append(c.nodes, n)
	}
	if err := c.join(ctx); err != nil {
		return err
	}
	began := time.Now()
	last, err := c.furnish(ctx, r.contexts)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "  %d contexts made and mounted in %.0f s\n", r.contexts, time.Since(began).Seconds())
	time.Sleep(saveTime)
	for range startRounds {
		own, usedOwn, err := c.edge().restartUntil(ctx, last)
		if err != nil {
			return err
		}
		mounted, used, err := c.centre().restartUntil(ctx, c.path+last)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "  %d own contexts: answers after %.2f s (%.2f s of processor time); as many mounted: after %.2f s (%.2f s)\n",
			r.contexts, own.Seconds(), usedOwn.Seconds(), mounted.Seconds(), used.Seconds())
		r.own, r.mounted, r.cpu, r.cpuOwn = append(r.own, own), append(r.mounted, mounted), append(r.cpu, used), append(r.cpuOwn, usedOwn)
	}
	return nil
}

// startProduct makes a node and runs the product's program for it.
func startProduct(ctx context.Context, parent, name, program string) (*node, error) {
	n := &node{name: name, dir: filepath.Join(parent, name), program: program}
	admin, err := server.Init(ctx, n.dir, name, nil)
	if err != nil {
		return nil, err
	}
	n.user, n.password = admin.AdminName, admin.Password
	for _, address := range []*string{&n.at.API, &n.at.Links} {
		if *address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	config := fmt.Sprintf("name: %s\ndata: .\nlisteners: {api: %q, links: %q}\nlog: {level: warn}\n", name, n.at.API, n.at.Links)
	if err := os.WriteFile(filepath.Join(n.dir, "node.yaml"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	if err := n.begin(); err != nil {
		return nil, err
	}
	if err := n.serving(); err != nil {
		return nil, err
	}
	if err := n.login(ctx); err != nil {
		return nil, err
	}
	// A session ends with the node; a token is known again as soon as the node answers.
	made, err := n.call(ctx, "/users/"+n.user, "create_token", map[string]string{"name": "bench"})
	if err != nil {
		return nil, err
	}
	return n, n.asks(made["token"])
}

// furnish lets the edge have devices with so many contexts in all, one after the other, until the centre has them. It returns an address at the edge of
// something that came last.
func (c *chain) furnish(ctx context.Context, contexts int) (last string, err error) {
	for made := 0; made < contexts; made += startDevice {
		device, groups := fmt.Sprintf("/devices/load-%03d", made/startDevice), min(startDevice, contexts-made)
		_, err := c.edge().trees.Create(ctx, &apiv1.CreateRequest{Path: device, Kind: "simulator", Texts: map[string]string{
			"points": fmt.Sprint(groups * startPoints), "group_size": fmt.Sprint(startPoints), "poll_interval": "1h", "timeout": "1m",
		}})
		if err != nil {
			return "", err
		}
		last = fmt.Sprintf("%s/group-%03d:p%03d", device, groups-1, startPoints-1)
		if _, err := c.centre().answers(ctx, c.path+last, madeTime); err != nil {
			return "", err
		}
	}
	return last, nil
}

// answers waits until the node says what something is.
func (n *node) answers(ctx context.Context, address string, most time.Duration) (time.Duration, error) {
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		one, cancel := context.WithTimeout(ctx, 10*time.Second)
		_, err := n.trees.Get(one, &apiv1.GetRequest{Address: address})
		cancel()
		switch {
		case err == nil:
			return time.Since(began), nil
		case time.Since(began) > most:
			return 0, fmt.Errorf("%s does not say after %s what %s is: %w", n.name, most, address, err)
		}
	}
}

// restartUntil kills the node, starts it again and says how long it is from there until it says what something is, and with how much processor time.
func (n *node) restartUntil(ctx context.Context, address string) (took, used time.Duration, err error) {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	began := time.Now()
	if err := n.begin(); err != nil {
		return 0, 0, err
	}
	if _, err := n.answers(ctx, address, answerTime); err != nil {
		return 0, 0, err
	}
	took = time.Since(began)
	used, err = cpuOf(n.pid())
	return took, used, err
}

func (r *startResult) report() {
	own, mounted := slices.Max(r.own), slices.Max(r.mounted)
	fmt.Printf("P10 cold start with %d contexts, the slowest of %d: own ones %.2f s, mounted ones %.2f s (fastest %.2f and %.2f s, processor time at most %.2f and %.2f s; bar: %.0f s); "+
		"idle node %.0f MiB resident, %.0f MiB after a login (bar: %.0f MiB; %.0f MiB at its greatest): %s\n",
		r.contexts, len(r.own), own.Seconds(), mounted.Seconds(), slices.Min(r.own).Seconds(), slices.Min(r.mounted).Seconds(), slices.Max(r.cpuOwn).Seconds(),
		slices.Max(r.cpu).Seconds(), allowedStart.Seconds(), mebibytes(r.idle), mebibytes(r.after), mebibytes(allowedIdleNode), mebibytes(r.peak),
		verdictOf(max(own, mounted) < allowedStart && max(r.begun, r.idle) < allowedIdleNode))
}
