// Command soak runs a network of real processes, whose shape comes from a seed, under load and under everything that goes wrong in a network, for as
// long as it is told; all the while it looks whether what is promised holds, and at the end it says by how much memory, files and goroutines grew.
//
// It owns the network, the disturbances, the books that are kept outside of it, and the judging. It does not own what is tried: nodes are banyan/server,
// run and spoken to as anybody does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		if err := serve(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	var cfg config
	flag.DurationVar(&cfg.lasts, "for", 10*time.Minute, "how long")
	flag.Uint64Var(&cfg.seed, "seed", 0, "what the network and its fate are made from; drawn when 0")
	flag.StringVar(&cfg.dir, "dir", "", "where the network lies; a temporary directory when empty, which stays where something is wrong")
	flag.DurationVar(&cfg.leaf, "leaf", 10*time.Minute, "how long certificates of links live")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	cfg.out = os.Stdout
	o, err := soak(ctx, cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
	if !o.sound() {
		os.Exit(1)
	}
}

// config is what a soak is told.
type config struct {
	lasts time.Duration
	seed  uint64
	dir   string
	leaf  time.Duration
	out   io.Writer
	// program runs a node, when called with serve and its configuration file; this program when empty.
	program string
	// environment is added to that of a node; nothing when nil.
	environment func(node int) []string
	// storm is how long disturbances last between two calms, 90 s when 0; still keeps everything as it is.
	storm time.Duration
	still bool
	// each is how long each disturbance lasts; drawn when 0.
	each time.Duration
	// only are the names of the disturbances that happen, all when empty.
	only []string
}

func (c *config) validate() error {
	if c.lasts < 5*time.Second {
		return errors.New("-for is at least 5s")
	}
	for c.seed == 0 {
		c.seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	if c.storm == 0 {
		c.storm = min(90*time.Second, max(c.lasts/3, 5*time.Second))
	}
	if c.leaf < time.Minute {
		c.leaf = 10 * time.Minute
	}
	if c.environment == nil {
		c.environment = func(int) []string { return nil }
	}
	if c.program == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		c.program = self
	}
	return nil
}

func soak(ctx context.Context, cfg config) (*outcome, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	w, err := build(ctx, cfg)
	if err != nil {
		return nil, err
	}
	w.run(ctx)
	o := w.report()
	return o, w.end(!o.sound())
}

// sound reports whether everything held and nothing grows.
func (o *outcome) sound() bool { return len(o.wrong) == 0 && len(o.grows) == 0 }
