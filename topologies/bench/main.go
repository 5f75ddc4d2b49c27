// Command bench measures the bars of the product on this machine, beside the peers that a user would take instead, in one run: absolute figures
// drift from machine to machine, ratios do less. Every participant is a process of its own; processor time is read from outside.
//
// It owns the measuring and the table. It does not own what is measured: nodes are banyan/server, the peer is the NATS server as a Go module.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	only := flag.String("only", "", "bars to measure, separated by commas, like P1,P3; all when empty")
	lasts := flag.Duration("for", 3*time.Second, "how long each rate is held")
	role := flag.String("role", "", "what this process does for the one that measures")
	dir := flag.String("dir", "", "directory, of a role")
	name := flag.String("name", "", "name of the node, of a role")
	address := flag.String("address", "", "where to listen or to connect, of a role")
	leaf := flag.String("leaf", "", "where the NATS server takes leaf nodes, of a role")
	remote := flag.String("remote", "", "where the NATS leaf node connects, of a role")
	path := flag.String("path", "", "what to follow, of a role")
	rate := flag.Float64("rate", 0, "updates a second, of a role; 0 is as fast as it can")
	latency := flag.Bool("latency", false, "measure latency, of a role")
	profile := flag.String("profile", "", "directory for a processor profile of each node")
	cpu := flag.Int("cpu", -1, "processor to run on, of a role")
	real := flag.Bool("real", false, "real-time priority, of a role")
	consumers := flag.Int("consumers", 1, "how many consumers there are, of a role")
	variables := flag.Int("variables", 100_000, "how many variables there are")
	flag.Parse()
	if err := (place{*cpu, *real}).take(); err != nil {
		return err
	}
	switch *role {
	case "":
		return measure(context.Background(), wanted(*only), *lasts, *variables, *profile)
	case "node":
		return runNode(*dir, *name, *profile)
	case "watcher":
		return runWatcher(*address, *dir+"/ca.pem", *dir+"/token", *path, *latency, *lasts)
	case "reader":
		return runReader(*address, *dir, *path)
	case "sharer":
		return runSharer(*dir, *consumers, *lasts, *profile)
	case "drain":
		return runDrain(*dir, *address, *consumers)
	case "prober":
		return runProber(*address, *dir, *path, *lasts)
	case "nats-server":
		return runNATSServer(*dir, *address, *leaf, *remote)
	case "nats-publisher":
		return runNATSPublisher(*address, *rate, *lasts)
	case "nats-subscriber":
		return runNATSSubscriber(*address, *latency, *lasts)
	default:
		return errors.New("no such role: " + *role)
	}
}

// bars are what is measured, by their IDs.
var bars = []string{"P1", "P2", "P3", "R8", "X50"}

func wanted(only string) map[string]bool {
	want := make(map[string]bool)
	for _, bar := range bars {
		if only == "" || strings.Contains(","+only+",", ","+bar+",") {
			want[bar] = true
		}
	}
	return want
}

// result is one side's figures.
type result struct {
	rate     float64       // updates a second, every one seen
	cpu      time.Duration // per update, all processes of the hop
	p50, p99 float64       // microseconds at 1,000 a second
}

func measure(ctx context.Context, want map[string]bool, lasts time.Duration, variables int, profile string) error {
	if len(want) == 0 {
		return fmt.Errorf("none of these bars is measured yet; there are %s", strings.Join(bars, ", "))
	}
	if want["R8"] {
		fmt.Fprintln(os.Stderr, "measuring a monitoring server behind a reporting one ...")
		roles, err := measureRoles(ctx, lasts, profile)
		if err != nil {
			return fmt.Errorf("roles: %w", err)
		}
		defer roles.report()
	}
	if want["X50"] {
		fmt.Fprintln(os.Stderr, "measuring one export shown to one consumer, and to fifty ...")
		shown, err := measureFifty(profile)
		if err != nil {
			return fmt.Errorf("fifty consumers: %w", err)
		}
		defer shown.report()
	}
	if !want["P1"] && !want["P2"] && !want["P3"] {
		return nil
	}
	dir, err := os.MkdirTemp("", "banyan-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	fmt.Fprintln(os.Stderr, "measuring the NATS leaf node ...")
	peer, err := measureNATS(dir, want, lasts)
	if err != nil {
		return fmt.Errorf("NATS: %w", err)
	}
	fmt.Fprintln(os.Stderr, "measuring two linked nodes ...")
	ours, err := measureNodes(ctx, dir, want, lasts, variables, profile)
	if err != nil {
		return fmt.Errorf("nodes: %w", err)
	}
	report(want, ours, peer, variables)
	return nil
}

func verdictOf(holds bool) string {
	if holds {
		return "met"
	}
	return "not met"
}

// report prints a line a bar.
func report(want map[string]bool, ours, peer result, variables int) {
	if want["P1"] {
		ratio := ours.rate / peer.rate
		fmt.Printf("P1  one hop, %d variables, every update seen: %.0f/s, NATS leaf node %.0f/s, %.1f times (bar: 10 times): %s\n",
			variables, ours.rate, peer.rate, ratio, verdictOf(ratio >= 10))
	}
	if want["P2"] {
		fmt.Printf("P2  one hop, 1,000/s, p50 and p99: %.0f and %.0f us, NATS leaf node %.0f and %.0f us (bar: at most those): %s\n",
			ours.p50, ours.p99, peer.p50, peer.p99, verdictOf(ours.p50 <= peer.p50 && ours.p99 <= peer.p99))
	}
	if want["P3"] {
		fmt.Printf("P3  one hop, processor time per update, publisher, both nodes and watcher: %d ns, NATS %d ns (bar: 150 ns): %s\n",
			ours.cpu.Nanoseconds(), peer.cpu.Nanoseconds(), verdictOf(ours.cpu <= 150*time.Nanosecond))
	}
}
