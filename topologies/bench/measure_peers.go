package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// peer is a chain of servers of another make: messages are published at the first and counted at the last.
type peer struct {
	servers       []*process // the one at the edge first
	first, last   string     // where clients connect
	publish, take string     // roles of the clients
}

// hopsOf are a server and leaves below it, over so many hops; start makes one, which takes those below it at leaves and connects to the one above it.
func hopsOf(hops int, publish, take string, begin func(number int, clients, leaves, above string) (*process, error)) (*peer, error) {
	p := &peer{publish: publish, take: take}
	above := ""
	for number := hops; number >= 0; number-- {
		clients, err := freeAddress()
		if err != nil {
			return nil, errors.Join(err, p.stop())
		}
		leaves := ""
		if number > 0 {
			if leaves, err = freeAddress(); err != nil {
				return nil, errors.Join(err, p.stop())
			}
		}
		server, err := begin(number, clients, leaves, above)
		if err != nil {
			return nil, errors.Join(err, p.stop())
		}
		p.servers = append([]*process{server}, p.servers...)
		for _, address := range []string{clients, leaves} {
			if address == "" {
				continue
			}
			if err := reachable(address); err != nil {
				return nil, errors.Join(err, p.stop())
			}
		}
		if above == "" {
			p.last = clients
		}
		p.first, above = clients, leaves
	}
	time.Sleep(time.Second) // each connects to the one above it
	return p, nil
}

func (p *peer) stop() error {
	for _, server := range p.servers {
		server.stop()
	}
	return nil
}

// trial publishes at a rate at the first server and counts at the last.
func (p *peer) trial(rate float64, lasts time.Duration, latency bool) (seen arrived, used time.Duration, err error) {
	var sent published
	subscriber, err := start(p.take, "-address", p.last, fmt.Sprintf("-latency=%v", latency), "-for", lasts.String())
	if err != nil {
		return seen, 0, err
	}
	defer subscriber.stop()
	if _, err := subscriber.line(); err != nil {
		return seen, 0, err
	}
	time.Sleep(300 * time.Millisecond) // the interest reaches the edge
	pids := []int{subscriber.pid()}
	for _, server := range p.servers {
		pids = append(pids, server.pid())
	}
	before, err := cpuOf(pids...)
	if err != nil {
		return seen, 0, err
	}
	publisher, err := start(p.publish, "-address", p.first, "-rate", fmt.Sprint(rate), "-for", lasts.String())
	if err != nil {
		return seen, 0, err
	}
	err = publisher.result(&sent)
	publisher.stop()
	if err != nil {
		return seen, 0, err
	}
	if err := subscriber.result(&seen); err != nil {
		return seen, 0, err
	}
	after, err := cpuOf(pids...)
	seen.Missed = sent.Sent - min(sent.Sent, seen.Count)
	return seen, after - before + publisher.cmd.ProcessState.UserTime() + publisher.cmd.ProcessState.SystemTime(), err
}

// mostTrials bounds how often a lower rate is tried.
const mostTrials = 12

// measure measures a peer: as fast as it can; where that loses some, at lower rates until nothing is lost.
func (p *peer) measure(what string, want map[string]bool, lasts time.Duration) (r result, err error) {
	defer func() { err = errors.Join(err, p.stop()) }()
	for rate, try := 0.0, 0; want["P1"] || want["P3"]; try++ {
		seen, used, err := p.trial(rate, lasts, false)
		if err != nil {
			return r, fmt.Errorf("%s: %w", what, err)
		}
		fmt.Fprintf(os.Stderr, "  %s: %.0f/s, %d missed\n", what, seen.Rate, seen.Missed)
		if seen.Missed == 0 && seen.Count > 0 {
			r.rate, r.cpu = seen.Rate, used/time.Duration(seen.Count)
			break
		}
		if try == mostTrials {
			return r, fmt.Errorf("%s: some are missed at every rate", what)
		}
		rate = seen.Rate * 0.9
	}
	if want["P2"] {
		seen, _, err := p.trial(1000, 5*time.Second, true)
		if err != nil {
			return r, fmt.Errorf("%s: %w", what, err)
		}
		r.p50, r.p99 = seen.P50, seen.P99
	}
	return r, nil
}

// startNATS starts a NATS server with leaf nodes below it.
func startNATS(dir string, hops int) (*peer, error) {
	if _, _, err := natsTLS(dir); err != nil {
		return nil, err
	}
	return hopsOf(hops, "nats-publisher", "nats-subscriber", func(_ int, clients, leaves, above string) (*process, error) {
		return start("nats-server", "-dir", dir, "-address", clients, "-leaf", leaves, "-remote", above)
	})
}

// startMosquitto starts a mosquitto broker with bridges up to it. Bridges are secured as NATS's leaf nodes are, by certificates of both ends.
func startMosquitto(dir string, hops int) (*peer, error) {
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/mosquitto"); err != nil {
			return nil, errors.New("mosquitto is not there: `make peers` installs it")
		}
	}
	if _, _, err := natsTLS(dir); err != nil {
		return nil, err
	}
	pem := filepath.Join(dir, "nats.pem")
	return hopsOf(hops, "mqtt-publisher", "mqtt-subscriber", func(number int, clients, leaves, above string) (*process, error) {
		file := filepath.Join(dir, fmt.Sprintf("mosquitto-%d.conf", number))
		if err := os.WriteFile(file, []byte(mosquittoConfig(pem, number, clients, leaves, above)), 0o600); err != nil {
			return nil, err
		}
		return startProgram(io.Discard, program, "-c", file) // it complains of who runs it, each time
	})
}

func mosquittoConfig(pem string, number int, clients, leaves, above string) string {
	listener := func(address string) string {
		host, port, _ := strings.Cut(address, ":")
		return "listener " + port + " " + host + "\n"
	}
	// Nothing is dropped as long as there is memory: by default a broker drops what a subscriber is a thousand messages behind with.
	text := "user root\nallow_anonymous true\nlog_type error\nlog_dest stderr\nmax_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true\n" + listener(clients)
	if leaves != "" {
		text += listener(leaves) + fmt.Sprintf("cafile %s\ncertfile %s\nkeyfile %s\nrequire_certificate true\ntls_version tlsv1.3\n", pem, pem, pem)
	}
	if above != "" {
		text += fmt.Sprintf("connection up\naddress %s\ntopic bench/# out 0\nremote_clientid bridge-%d\ncleansession true\nnotifications false\n"+
			"bridge_cafile %s\nbridge_certfile %s\nbridge_keyfile %s\nbridge_tls_version tlsv1.3\nrestart_timeout 1\n", above, number, pem, pem, pem)
	}
	return text
}
