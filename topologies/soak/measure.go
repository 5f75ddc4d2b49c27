package main

import (
	"bufio"
	"context"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// figure is something that is measured of each node.
type figure struct {
	name   string
	unit   string
	metric string  // of the node's metrics; empty for what is looked up from outside
	scale  float64 // from the metric to the unit
	rule   rule
}

// figures are what must not grow. What lies on the disk grows with what was done, by design: the audit log keeps each, and what was asked for is kept for a day.
var figures = []figure{
	{"resident memory", "MiB", "process_resident_memory_bytes", 1.0 / (1 << 20), rule{16, 0.2}},
	{"live heap", "MiB", "go_memstats_next_gc_bytes", 0.5 / (1 << 20), rule{4, 0.2}}, // the collector lets the heap grow to twice of what it left
	{"open files", "", "process_open_fds", 1, rule{8, 0.1}},
	{"goroutines", "", "go_goroutines", 1, rule{16, 0.1}},
	{"disk for a commit", "KiB", "", 1, rule{8, 0.2}},
}

const diskFigure = 4

// gauges are all samples, by node and figure.
type gauges struct {
	mu      sync.Mutex // guards samples
	samples map[[2]int][]sample
	disk    map[int][]sample // bytes
	commits map[int]float64  // of lives that have ended, and of this one
	before  map[int]float64
	life    map[int]int
}

// measure takes samples until ctx ends.
func (w *world) measure(ctx context.Context) {
	g := &w.gauges
	g.samples, g.disk, g.commits, g.before, g.life = map[[2]int][]sample{}, map[int][]sample{}, map[int]float64{}, map[int]float64{}, map[int]int{}
	every := min(max(w.cfg.lasts/500, 250*time.Millisecond), 5*time.Second)
	for ctx.Err() == nil {
		for _, m := range w.members {
			m.measure(ctx, g)
		}
		wait(ctx, every)
	}
}

func (m *member) measure(ctx context.Context, g *gauges) {
	m.mu.Lock()
	life := m.life
	m.mu.Unlock()
	asked, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	c, err := m.at(asked)
	if err != nil {
		return
	}
	text, err := c.Metrics(asked)
	m.mu.Lock()
	same := m.life == life
	m.mu.Unlock()
	if err != nil || !same {
		return
	}
	at, read := time.Since(m.world.began), metrics(text)
	disk := occupied(filepath.Join(m.world.network.Dir(), "nodes", m.name))
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, f := range figures {
		if v, there := read[f.metric]; there {
			g.samples[[2]int{m.index, i}] = append(g.samples[[2]int{m.index, i}], sample{at, life, v * f.scale})
		}
	}
	if g.life[m.index] != life {
		g.life[m.index], g.before[m.index] = life, g.commits[m.index]
	}
	g.commits[m.index] = g.before[m.index] + read["banyan_commits_confirmed_total"]
	g.disk[m.index] = append(g.disk[m.index], sample{at, 0, disk})
	if n := g.commits[m.index]; n > 0 {
		key := [2]int{m.index, diskFigure}
		g.samples[key] = append(g.samples[key], sample{at, 0, disk / 1024 / n})
	}
}

// metrics are the figures without labels of a node's metrics.
func metrics(text string) map[string]float64 {
	found := map[string]float64{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		name, value, is := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); is && err == nil {
			found[name] = v
		}
	}
	return found
}

// occupied is what a directory takes on the disk, bytes. The node's log is left out, which systemd would rotate, and what this program counts there.
func occupied(dir string) float64 {
	total := int64(0)
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "node.log" || d.Name() == "counted" {
			return nil // files come and go while they are looked at
		}
		if info, err := d.Info(); err == nil {
			if stat, is := info.Sys().(*syscall.Stat_t); is {
				total += stat.Blocks * 512
			}
		}
		return nil
	})
	return float64(total)
}
