package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// result is one side's figures.
type result struct {
	rate     float64       // updates a second, every one seen
	cpu      time.Duration // per update, all processes, publisher and watcher included
	p50, p99 float64       // microseconds at 1,000 a second
}

// rates are what P1 to P3 say: ours, and the peers' in the same run, by the number of hops.
type rates struct {
	variables          int
	ours, nats, bridge [3]result
	million            result // one hop, a million variables
}

const manyVariables = 1_000_000

// measureRates measures at one hop and at two.
func measureRates(ctx context.Context, want map[string]bool, o *options) (*rates, error) {
	r := &rates{variables: o.variables}
	for hops := 1; hops <= 2; hops++ {
		err := inDirectory(func(dir string) (err error) {
			fmt.Fprintf(os.Stderr, "measuring NATS over %s ...\n", hopsText(hops))
			p, err := startNATS(dir, hops)
			if err != nil {
				return err
			}
			if r.nats[hops], err = p.measure("NATS", want, o.lasts); err != nil || !want["P1"] {
				return err
			}
			fmt.Fprintf(os.Stderr, "measuring mosquitto over %s ...\n", hopsText(hops))
			if p, err = startMosquitto(dir, hops); err != nil {
				return err
			}
			r.bridge[hops], err = p.measure("mosquitto", map[string]bool{"P1": true}, o.lasts)
			return err
		})
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "measuring nodes over %s ...\n", hopsText(hops))
		if r.ours[hops], err = measureChain(ctx, want, o, hops, o.variables, 1e6); err != nil {
			return nil, err
		}
	}
	if !want["P1"] {
		return r, nil
	}
	fmt.Fprintf(os.Stderr, "measuring nodes over %s with %d variables ...\n", hopsText(1), manyVariables)
	var err error
	r.million, err = measureChain(ctx, map[string]bool{"P1": true}, o, 1, manyVariables, r.ours[1].rate/2)
	return r, err
}

func hopsText(hops int) string {
	if hops == 1 {
		return "one hop"
	}
	return "two hops"
}

// inDirectory runs something with a directory that is gone afterwards.
func inDirectory(do func(dir string) error) error {
	dir, err := os.MkdirTemp("", "banyan-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	return do(dir)
}

// report prints a line for each bar and number of hops.
func (r *rates) report(want map[string]bool) {
	for hops := 1; hops <= 2; hops++ {
		ours, nats, bridge, text := &r.ours[hops], &r.nats[hops], &r.bridge[hops], hopsText(hops)
		if want["P1"] {
			fmt.Printf("P1  %s, %d variables, every update seen: %.0f/s\n", text, r.variables, ours.rate)
			compareRates(text+", NATS leaf nodes", ours, nats, 10)
			compareRates(text+", mosquitto bridges, QoS 0", ours, bridge, 50)
		}
		if want["P2"] {
			bar := "bar: at most those"
			holds := ours.p50 <= nats.p50 && ours.p99 <= nats.p99
			verdict := verdictOf(holds)
			if hops > 1 {
				bar, verdict = "no bar", "measured"
			}
			fmt.Printf("P2  %s, 1,000/s, p50 and p99: %.0f and %.0f us, NATS %.0f and %.0f us (%.2f and %.2f times; %s): %s\n",
				text, ours.p50, ours.p99, nats.p50, nats.p99, ours.p50/nats.p50, ours.p99/nats.p99, bar, verdict)
		}
		if want["P3"] {
			each := ours.cpu / time.Duration(hops)
			fmt.Printf("P3  %s, processor time per update and hop, publisher, nodes and watcher: %d ns, NATS %d ns (bar: 150 ns): %s\n",
				text, each.Nanoseconds(), (nats.cpu / time.Duration(hops)).Nanoseconds(), verdictOf(each <= 150*time.Nanosecond))
		}
	}
	if want["P1"] {
		fmt.Printf("P1  one hop, %d variables, every update seen: %.0f/s, %d ns processor time each\n", manyVariables, r.million.rate, r.million.cpu.Nanoseconds())
		compareRates(fmt.Sprintf("one hop, %d variables, NATS leaf nodes", manyVariables), &r.million, &r.nats[1], 10)
		compareRates(fmt.Sprintf("one hop, %d variables, mosquitto bridges, QoS 0", manyVariables), &r.million, &r.bridge[1], 50)
	}
}

// compareRates prints how many times a peer's rate ours is.
func compareRates(what string, ours, peer *result, bar float64) {
	ratio := ours.rate / peer.rate
	fmt.Printf("P1  %s: %.0f/s, ours is %.1f times (bar: %.0f times); processor time of an update over all hops %d ns, of a message %d ns: %s\n",
		what, peer.rate, ratio, bar, ours.cpu.Nanoseconds(), peer.cpu.Nanoseconds(), verdictOf(ratio >= bar))
}
