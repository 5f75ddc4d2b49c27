package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"banyan/topologies"

	"github.com/hashicorp/go-hclog"
)

// probesSay is a line of the process with probes: Took is how long it was until what was asked for was so, and Up how many links are up.
type probesSay struct {
	Up   int
	Took time.Duration
}

// runProbes is so many light probes, with so many contexts each. It reads tokens, one for each probe, joins, and then does what each line says: "up" waits
// until all are linked, "cut" resets all connections and waits until all are linked again.
func runProbes(o *options) error {
	stopProfile, err := profileTo(o.profile, "probes")
	if err != nil {
		return err
	}
	defer stopProfile()
	orders := bufio.NewScanner(os.Stdin)
	orders.Buffer(nil, 64<<20)
	if !orders.Scan() {
		return errors.New("there are no tokens")
	}
	var tokens []string
	if err := json.Unmarshal(orders.Bytes(), &tokens); err != nil {
		return err
	}
	probes, err := topologies.JoinProbes(context.Background(), topologies.ProbesConfig{
		Dir: o.dir, Tokens: tokens, Contexts: o.contexts, Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr}),
	})
	if err != nil {
		return err
	}
	defer probes.Close()
	say := json.NewEncoder(os.Stdout)
	if err := say.Encode(probesSay{}); err != nil {
		return err
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for orders.Scan() {
			lines <- orders.Text()
		}
	}()
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	for {
		select {
		case line, more := <-lines:
			if !more {
				return nil // whoever measures has gone
			}
			if err := obey(line, len(tokens), probes, say); err != nil {
				return err
			}
		case <-end:
			return nil
		}
	}
}

// probesTime is how long all probes may take to be linked.
const probesTime = 150 * time.Second

// obey does what a line says.
func obey(line string, count int, probes *topologies.Probes, say *json.Encoder) error {
	began, since := time.Now(), time.Time{}
	if line == "cut" {
		since = began
		probes.Cut()
	}
	for up := probes.Up(since); up < count; up = probes.Up(since) {
		if time.Since(began) > probesTime {
			return fmt.Errorf("after %s %d of %d probes are linked", probesTime, up, count)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return say.Encode(probesSay{count, time.Since(began)})
}
