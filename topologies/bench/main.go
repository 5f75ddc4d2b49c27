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

// options are what the program is told: by people what to measure, by itself what a process does for the one that measures.
type options struct {
	only      string
	lasts     time.Duration
	profile   string
	variables int

	dir, name, path string
	address, links  string
	leaf, remote    string
	rate            float64
	latency         bool
	consumers       int
	contexts        int
}

// roles are what a process does for the one that measures.
var roles = map[string]func(*options) error{
	"node":            runNode,
	"watcher":         runWatcher,
	"reader":          func(o *options) error { return runReader(o.address, o.dir, o.path) },
	"sharer":          func(o *options) error { return runSharer(o.dir, o.consumers, o.lasts, o.profile) },
	"drain":           func(o *options) error { return runDrain(o.dir, o.address, o.consumers) },
	"prober":          func(o *options) error { return runProber(o.address, o.dir, o.path, o.lasts) },
	"probes":          runProbes,
	"gauge":           runGauge,
	"nats-server":     func(o *options) error { return runNATSServer(o.dir, o.address, o.leaf, o.remote) },
	"nats-publisher":  func(o *options) error { return runNATSPublisher(o.address, o.rate, o.lasts) },
	"mqtt-publisher":  runMQTTPublisher,
	"mqtt-subscriber": runMQTTSubscriber,
	"nats-subscriber": func(o *options) error { return runNATSSubscriber(o.address, o.latency, o.lasts) },
}

func run() error {
	var o options
	flag.StringVar(&o.only, "only", "", "bars to measure, separated by commas, like P1,P3; all when empty")
	flag.DurationVar(&o.lasts, "for", 3*time.Second, "how long each rate is held")
	flag.StringVar(&o.profile, "profile", "", "directory for a processor profile of each process, and a flame graph of it")
	flag.IntVar(&o.variables, "variables", 100_000, "how many variables there are")
	flag.StringVar(&o.dir, "dir", "", "directory, of a role")
	flag.StringVar(&o.name, "name", "", "name of the node, of a role; without one, part of the names of the noises of R3 that are made")
	flag.StringVar(&o.path, "path", "", "what to follow, of a role")
	flag.StringVar(&o.address, "address", "127.0.0.1:0", "where to listen or to connect, of a role")
	flag.StringVar(&o.links, "links", "127.0.0.1:0", "where to listen for links, of a role")
	flag.StringVar(&o.leaf, "leaf", "", "where the NATS server takes leaf nodes, of a role")
	flag.StringVar(&o.remote, "remote", "", "where the NATS leaf node connects, of a role")
	flag.Float64Var(&o.rate, "rate", 0, "updates a second, of one hop in place of the highest, and of a role; 0 is as fast as it can")
	flag.BoolVar(&o.latency, "latency", false, "measure latency, of a role")
	flag.IntVar(&o.consumers, "consumers", 1, "how many there are, of a role")
	flag.IntVar(&o.contexts, "contexts", 0, "how many contexts each has, of a role")
	role := flag.String("role", "", "what this process does for the one that measures")
	cpu := flag.Int("cpu", -1, "processor to run on, of a role")
	real := flag.Bool("real", false, "real-time priority, of a role")
	flag.Parse()
	if err := (place{*cpu, *real}).take(); err != nil {
		return err
	}
	if *role == "" {
		clean, err := tidily()
		if err != nil {
			return err
		}
		defer clean()
		if err = measure(context.Background(), wanted(o.only), &o); o.profile != "" {
			err = errors.Join(err, drawFlames(o.profile))
		}
		return err
	}
	do := roles[*role]
	if do == nil {
		return errors.New("no such role: " + *role)
	}
	return do(&o)
}

// bars are what is measured, by their IDs.
var bars = []string{"P1", "P2", "P3", "P5", "P7", "P10", "R3", "R8", "X50"}

func wanted(only string) map[string]bool {
	want := make(map[string]bool)
	for _, bar := range bars {
		if only == "" || strings.Contains(","+only+",", ","+bar+",") {
			want[bar] = true
		}
	}
	return want
}

func measure(ctx context.Context, want map[string]bool, o *options) error {
	lasts, profile := o.lasts, o.profile
	if len(want) == 0 {
		return fmt.Errorf("none of these bars is measured yet; there are %s", strings.Join(bars, ", "))
	}
	if want["P5"] {
		fmt.Fprintln(os.Stderr, "measuring a million contexts at one consumer ...")
		contexts := o.contexts
		if contexts == 0 {
			contexts = millionContexts
		}
		million, err := measureMillion(ctx, contexts, profile)
		if err != nil {
			return fmt.Errorf("a million contexts: %w", err)
		}
		defer million.report()
	}
	if want["P7"] {
		fmt.Fprintln(os.Stderr, "measuring a thousand linked probes ...")
		probes := o.consumers
		if probes <= 1 {
			probes = linkedProbes
		}
		linked, err := measureLinked(ctx, probes, profile)
		if err != nil {
			return fmt.Errorf("linked probes: %w", err)
		}
		defer linked.report()
	}
	if want["P10"] {
		fmt.Fprintln(os.Stderr, "measuring the start of a node ...")
		started, err := measureStart(ctx, o.contexts)
		if err != nil {
			return fmt.Errorf("start of a node: %w", err)
		}
		defer started.report()
	}
	if want["R3"] {
		fmt.Fprintln(os.Stderr, "measuring what a neighbour feels of a noisy one ...")
		all, err := measureNoise(ctx, o)
		if err != nil {
			return fmt.Errorf("a noisy neighbour: %w", err)
		}
		defer reportNoise(all)
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
	if o.rate > 0 {
		return measureAt(ctx, o)
	}
	forms, err := measureRates(ctx, want, o)
	if err != nil {
		return err
	}
	forms.report(want)
	return nil
}

func verdictOf(holds bool) string {
	if holds {
		return "met"
	}
	return "not met"
}
