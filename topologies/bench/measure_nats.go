package main

import (
	"fmt"
	"time"
)

// natsPair is a leaf node below a server.
type natsPair struct {
	hub, leaf               *process
	hubAddress, leafAddress string
}

func startNATS(dir string) (*natsPair, error) {
	p := &natsPair{}
	uplink := ""
	for _, address := range []*string{&p.hubAddress, &p.leafAddress, &uplink} {
		var err error
		if *address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	if _, _, err := natsTLS(dir); err != nil {
		return nil, err
	}
	var err error
	if p.hub, err = start("nats-server", "-dir", dir, "-address", p.hubAddress, "-leaf", uplink); err != nil {
		return nil, err
	}
	if err := reachable(uplink); err != nil {
		p.hub.stop()
		return nil, err
	}
	if p.leaf, err = start("nats-server", "-dir", dir, "-address", p.leafAddress, "-remote", uplink); err != nil {
		p.hub.stop()
		return nil, err
	}
	if err := reachable(p.leafAddress); err != nil {
		p.stop()
		return nil, err
	}
	time.Sleep(time.Second) // the leaf node connects to the server
	return p, nil
}

func (p *natsPair) stop() {
	p.leaf.stop()
	p.hub.stop()
}

// trial publishes at a rate at the leaf and counts at the server.
func (p *natsPair) trial(rate float64, lasts time.Duration, latency bool) (published, arrived, time.Duration, error) {
	var sent published
	var seen arrived
	subscriber, err := start("nats-subscriber", "-address", p.hubAddress, fmt.Sprintf("-latency=%v", latency), "-for", lasts.String())
	if err != nil {
		return sent, seen, 0, err
	}
	defer subscriber.stop()
	if _, err := subscriber.line(); err != nil {
		return sent, seen, 0, err
	}
	time.Sleep(300 * time.Millisecond) // the interest reaches the leaf node
	before, err := cpuOf(p.hub.pid(), p.leaf.pid(), subscriber.pid())
	if err != nil {
		return sent, seen, 0, err
	}
	publisher, err := start("nats-publisher", "-address", p.leafAddress, "-rate", fmt.Sprint(rate), "-for", lasts.String())
	if err != nil {
		return sent, seen, 0, err
	}
	if err := publisher.result(&sent); err != nil {
		publisher.stop()
		return sent, seen, 0, err
	}
	publisher.stop()
	publisherCPU := publisher.cmd.ProcessState.UserTime() + publisher.cmd.ProcessState.SystemTime()
	if err := subscriber.result(&seen); err != nil {
		return sent, seen, 0, err
	}
	after, err := cpuOf(p.hub.pid(), p.leaf.pid(), subscriber.pid())
	seen.Missed = sent.Sent - min(sent.Sent, seen.Count)
	return sent, seen, after - before + publisherCPU, err
}

func measureNATS(dir string, want map[string]bool, lasts time.Duration) (result, error) {
	p, err := startNATS(dir)
	if err != nil {
		return result{}, err
	}
	defer p.stop()
	var r result
	if want["P1"] || want["P3"] {
		// As fast as it can; where that loses some, at lower rates until nothing is lost.
		for rate := 0.0; ; {
			_, seen, used, err := p.trial(rate, lasts, false)
			if err != nil {
				return r, err
			}
			achieved := seen.Rate
			if seen.Missed == 0 {
				r.rate, r.cpu = achieved, used/time.Duration(seen.Count)
				break
			}
			rate = achieved * 0.9
		}
	}
	if want["P2"] {
		_, seen, _, err := p.trial(1000, 5*time.Second, true)
		if err != nil {
			return r, err
		}
		r.p50, r.p99 = seen.P50, seen.P99
	}
	return r, nil
}
