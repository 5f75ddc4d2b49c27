package topologies

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/server"
)

//go:embed three-tier.yaml
var threeTier []byte

// DemoConfig is how a demonstration runs.
type DemoConfig struct {
	// Config is how the network runs. It is in a temporary directory that is removed at the end when Dir is empty, else in Dir, where its data
	// stay. Detach has no meaning.
	Config
	// File is the topology; three-tier.yaml, which the program carries with it, when empty.
	File string
	// Node is the one whose tree is shown; the first one of the file when empty.
	Node string
	// Out is where the tree is shown: on a terminal it is redrawn until the end, elsewhere it is written Refreshes times.
	Out io.Writer
	// Program is how people start the program here, for the command that is shown to them; "banyan" when empty.
	Program string
	// Every is the time between refreshes, default 1 s, and Refreshes how many there are where there is no terminal, default 5.
	Every     time.Duration
	Refreshes int

	keep bool // the data
}

func (c *DemoConfig) validate() error {
	if c.Out == nil {
		c.Out = os.Stdout
	}
	if c.Program == "" {
		c.Program = "banyan"
	}
	if c.Every == 0 {
		c.Every = time.Second
	}
	if c.Refreshes == 0 {
		c.Refreshes = 5
	}
	c.Detach = false
	if c.Progress == nil {
		c.Progress = func(line string) { _, _ = fmt.Fprintln(c.Out, line) } // where nobody reads, the demonstration ends soon anyway
	}
	return nil
}

// Demo starts a network and shows the living tree of one of its nodes, with the age of each value, until ctx ends, or somebody presses Ctrl-C, ends
// the process or closes the terminal; without a terminal it ends by itself. All of these are good ends: no process, port or temporary
// directory is left.
func Demo(ctx context.Context, cfg DemoConfig) (err error) {
	if err := cfg.validate(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// Who reads may leave at any time: that is then an error of writing, not the death of this process before it has cleaned up.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	defer signal.Stop(pipes)

	file, tidy, err := cfg.place()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tidy()) }()
	n, err := Up(ctx, cfg.Config, file)
	if err != nil {
		if ctx.Err() != nil {
			err = nil
		}
		return errors.Join(err, cfg.clear())
	}
	defer n.Close()
	err = cfg.show(ctx, n)
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, n.Down(context.WithoutCancel(ctx), cfg.keep))
}

// place chooses directory and file. tidy removes what was made for that.
func (c *DemoConfig) place() (file string, tidy func() error, err error) {
	base, err := os.MkdirTemp("", "banyan-demo-")
	if err != nil {
		return "", nil, err
	}
	tidy = func() error { return os.RemoveAll(base) }
	c.keep = c.Dir != ""
	if !c.keep {
		c.Dir = filepath.Join(base, "network")
	}
	if c.File != "" {
		return c.File, tidy, nil
	}
	file = filepath.Join(base, "three-tier.yaml")
	if err := os.WriteFile(file, threeTier, 0o600); err != nil {
		return "", nil, errors.Join(err, tidy())
	}
	return file, tidy, nil
}

// clear removes what an Up that did not come to its end has made.
func (c *DemoConfig) clear() error {
	n, err := Open(c.Config)
	if model.KindOf(err) == model.KindNotFound {
		return nil // it did not come so far
	}
	if err != nil {
		return err
	}
	defer n.Close()
	return n.Down(context.Background(), c.keep)
}

// show draws the tree until ctx ends, or often enough.
func (c *DemoConfig) show(ctx context.Context, n *Network) error {
	node := c.Node
	if node == "" {
		node = n.topology.Names()[0]
	}
	client, err := n.Client(ctx, node, server.AdminName)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := c.firstPolls(ctx, client); err != nil {
		return err
	}
	screen := newScreen(c.Out)
	defer screen.close()
	ticker := time.NewTicker(c.Every)
	defer ticker.Stop()
	for shown := 1; ; shown++ {
		tree, err := grow(ctx, client, model.Root, &apiv1.Entry{Parent: true})
		if err != nil {
			return err
		}
		head := fmt.Sprintf("%s, seen at %s  %s", n.topology.Name, node, time.Now().UTC().Format(time.RFC3339))
		if screen.terminal {
			// On a line of its own: a window of 80 columns would cut it off.
			head += "  (Ctrl-C ends it)\nmeanwhile: " + c.Program + " --net " + n.cfg.Dir + " --node " + node + " tree"
		} else {
			head += fmt.Sprintf("  (%d of %d)", shown, c.Refreshes)
		}
		if err := screen.draw(head, tree); err != nil || !screen.terminal && shown >= c.Refreshes {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// pollsWithin is how long the first polls of devices are waited for before the first page.
const pollsWithin = 3 * time.Second

func (c *DemoConfig) firstPolls(ctx context.Context, client *Client) error {
	for until := time.Now().Add(pollsWithin); ctx.Err() == nil && time.Now().Before(until); sleep(ctx, linkLooking) {
		tree, err := grow(ctx, client, model.Root, &apiv1.Entry{Parent: true})
		if err != nil || !tree.unread() {
			return err
		}
	}
	return nil
}

// draw shows a tree below the lines of head, on a terminal as much of it as has room.
func (s *screen) draw(head string, tree *branch) error {
	now := time.Now()
	width, height := s.size()
	heads := append(strings.Split(head, "\n"), "")
	rows := fold(onPaper.prune(tree), 0, onPaper.variables, now)
	for at := 0; s.terminal && (at == 0 || at < len(details) && len(rows)+len(heads) > height); at++ {
		rows = fold(details[at].prune(tree), 0, details[at].variables, now)
	}
	lines := s.lines(rows)
	if left := len(lines) + len(heads) - height; s.terminal && left > 0 {
		lines = append(lines[:max(height-len(heads)-1, 0)], fmt.Sprintf("and %d more lines, on a taller window", left+1))
	}
	return s.frame(append(heads, lines...), width)
}

// lines aligns rows and colours them.
func (s *screen) lines(rows []row) []string {
	var name, value, quality, age int
	for _, r := range rows {
		name = max(name, 2*r.indent+len(r.name))
		if r.quality != "" {
			value, quality, age = max(value, len([]rune(r.value))), max(quality, len(r.quality)), max(age, len(r.age))
		}
	}
	lines := make([]string, len(rows))
	for i, r := range rows {
		text := strings.Repeat("  ", r.indent) + r.name
		if r.quality == "" {
			lines[i] = s.paint(bold, text) + " " + s.paint(dim, r.value)
			continue
		}
		colour := green
		switch {
		case strings.HasPrefix(r.quality, "uncertain"):
			colour = yellow
		case strings.HasPrefix(r.quality, "bad"):
			colour = red
		}
		lines[i] = fmt.Sprintf("%s  %s  %s  %*s  %s", pad(text, name), pad(r.value, value), s.paint(colour, pad(r.quality, quality)), age, r.age, s.paint(dim, r.source))
	}
	return lines
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(width-len([]rune(text)), 0))
}
