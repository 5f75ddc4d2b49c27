package trials

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"banyan/proto/apiv1"
)

// What a node bears that polls many devices, at 200 polls and 4,000 values a second.
const (
	mostCPU      = 0.5         // of one core
	mostLate     = time.Second // a tenth of 10 s
	pointsOfEach = 20
)

const lonely = "network: scale\nnodes:\n  site: {}\n"

// TestManyDevices polls devices over SNMP, and then has a tenth of them fall silent, so that each of their polls takes the whole timeout: the others
// notice nothing. Before a release there are 2,000 of them, polled every 10 s; otherwise a tenth of that, ten times as often.
func TestManyDevices(t *testing.T) {
	count, rounds := times(200, 2000), times(1, 3)
	interval, timeout, period := time.Second, time.Second, 4*time.Second
	if full() {
		interval, timeout, period = 10*time.Second, 5*time.Second, 40*time.Second
	}
	agents := startAgents(t, count)
	control := startControl(t)
	tr := start(t, lonely, nil)
	tr.dropProfile("site", "scale", scaleProfile())
	tr.createDevices("site", count, interval, timeout, agents)
	s := &scale{trial: tr, control: control, pid: tr.pid("site"), count: count, interval: interval}
	tr.until("all devices answer", 2*time.Minute, func() bool { return s.figure("devices_ok") == float64(count) })
	tr.Logf("all answer; %s", s.late())

	var calm, troubled []window
	for range rounds {
		calm = append(calm, s.window(period))
	}
	tr.Logf("%d devices x %d points every %s: %s; %s", count, pointsOfEach, interval, s.say(calm), s.late())
	for i := 0; i < count; i += 10 {
		agents.silent[i].Store(true)
	}
	tr.until("a tenth is silent", 2*interval+20*time.Second, func() bool { return s.figure("devices_silent") == float64(count/10) })
	for range rounds {
		troubled = append(troubled, s.window(period))
	}
	tr.Logf("with a tenth of them silent: %s; %s", s.say(troubled), s.late())
	s.judge(calm, 1)
	s.judge(troubled, 0.9)
	if late := s.duration("poll_late_p99"); late > mostLate {
		tr.Errorf("one poll in a hundred was late by %s or more", late)
	}
	// Where a timer with nothing to wait for is that late, the machine has too much to do to be a judge of single polls.
	if late := s.duration("poll_late_max"); late > mostLate && control.most() < mostLate/10 {
		tr.Errorf("a poll was late by %s; a timer of this process by %s", late, control.most())
	}
}

// window is what was measured for a while.
type window struct {
	cores float64 // of the node's process
	polls float64 // in one second, of devices that answer
	edges float64 // the share of them by which it may be off, since the machine itself is late where it begins and ends
}

// control is how late a timer is that nobody holds up but the machine: what a node cannot do better.
type control struct{ latest atomic.Int64 }

func startControl(t *testing.T) *control {
	c := &control{}
	var work sync.WaitGroup
	over := make(chan struct{})
	work.Go(func() {
		for {
			due := time.Now().Add(5 * time.Millisecond)
			select {
			case <-over:
				return
			case <-time.After(time.Until(due)):
			}
			c.latest.Store(max(c.latest.Load(), int64(time.Since(due))))
		}
	})
	t.Cleanup(func() {
		close(over)
		work.Wait()
	})
	return c
}

func (c *control) most() time.Duration { return time.Duration(c.latest.Load()) }

// scale measures a node.
type scale struct {
	*trial
	control    *control
	pid, count int
	interval   time.Duration
}

func (s *scale) figure(name string) float64 {
	s.Helper()
	f, _ := strconv.ParseFloat(s.text(name), 64)
	return f
}

func (s *scale) duration(name string) time.Duration {
	s.Helper()
	d, _ := time.ParseDuration(s.text(name))
	return d
}

// late says how late polls were since the start, and for comparison a timer in this process, which has nothing else to do.
func (s *scale) late() string {
	s.Helper()
	return fmt.Sprintf("polls since the start at most %s late, 99 %% within %s (the test's own timer: %s)",
		s.duration("poll_late_max").Round(time.Microsecond), s.duration("poll_late_p99").Round(time.Microsecond), s.control.most().Round(time.Microsecond))
}

func (s *scale) text(name string) string {
	s.Helper()
	v := s.get("site", "/devices:"+name).GetValue()
	if v.GetStringValue() != "" {
		return v.GetStringValue()
	}
	return strconv.FormatFloat(v.GetNumberValue(), 'g', -1, 64)
}

// counted is the number of polls and when it was so.
func (s *scale) counted() (polls float64, at time.Time) {
	s.Helper()
	r := s.get("site", "/devices:polls")
	at, err := time.Parse(time.RFC3339Nano, r.GetTime())
	if err != nil {
		s.Fatal(err)
	}
	polls, _ = strconv.ParseFloat(r.GetValue().GetStringValue(), 64)
	return polls, at
}

// window measures for a while. The node tells its figures every 2 s, with the time of each.
func (s *scale) window(period time.Duration) window {
	s.Helper()
	usedBefore, pollsBefore, began := s.used(), 0.0, time.Now()
	pollsBefore, first := s.counted()
	var polls float64
	var last time.Time
	s.until("the figures move on", 5*period+time.Minute, func() bool {
		polls, last = s.counted()
		return last.Sub(first) >= period
	})
	return window{
		cores: (s.used() - usedBefore).Seconds() / time.Since(began).Seconds(),
		polls: (polls - pollsBefore) / last.Sub(first).Seconds(),
		edges: s.control.most().Seconds() / last.Sub(first).Seconds(),
	}
}

// used is the processor time of the node's process.
func (s *scale) used() time.Duration {
	s.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	if err != nil {
		s.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	total := time.Duration(0)
	for _, field := range fields[11:13] { // in hundredths of a second
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			s.Fatal(err)
		}
		total += time.Duration(n) * 10 * time.Millisecond
	}
	return total
}

func (s *scale) say(windows []window) string {
	spread := func(of func(window) float64) (low, middle, high float64) {
		var all []float64
		for _, w := range windows {
			all = append(all, of(w))
		}
		slices.Sort(all)
		return all[0], all[len(all)/2], all[len(all)-1]
	}
	low, middle, high := spread(func(w window) float64 { return w.cores })
	few, polls, many := spread(func(w window) float64 { return w.polls })
	return fmt.Sprintf("%.3f cores (%.3f to %.3f), %.1f polls/s of those that answer (%.1f to %.1f)", middle, low, high, polls, few, many)
}

// judge holds windows against what is promised: the processor time, and that no device that answers misses polls.
func (s *scale) judge(windows []window, answering float64) {
	s.Helper()
	want := answering * float64(s.count) / s.interval.Seconds()
	for _, w := range windows {
		if w.cores > mostCPU {
			s.Errorf("the node used %.2f cores", w.cores)
		}
		if off := 0.02 + w.edges; w.polls < (1-off)*want || w.polls > (1+off)*want {
			s.Errorf("%.1f polls a second, expected %.1f", w.polls, want)
		}
	}
}

func scaleProfile() string {
	var text strings.Builder
	text.WriteString("kind: snmp\ntitle: Many points\npoints:\n")
	for i := range pointsOfEach {
		fmt.Fprintf(&text, "  point_%02d: {oid: 1.3.6.1.4.1.99999.1.%d.0, type: int64, description: A gauge.}\n", i, i+1)
	}
	return text.String()
}

// dropProfile puts a profile into a node's folder and waits until the node has it.
func (t *trial) dropProfile(node, name, text string) {
	t.Helper()
	folder := filepath.Join(t.network.Dir(), "nodes", node, "profiles")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.until("the node has the profile", 10*time.Second, func() bool {
		answer, err := t.at(node).Tree.Call(context.Background(), &apiv1.CallRequest{Path: "/devices", Function: "profiles"})
		return err == nil && strings.Contains(answer.String(), name)
	})
}

// createDevices creates one device for each agent, sixteen at a time.
func (t *trial) createDevices(node string, count int, interval, timeout time.Duration, agents *agents) {
	t.Helper()
	client := t.at(node)
	work := make(chan int)
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for i := range work {
				_, err := client.Tree.Create(context.Background(), &apiv1.CreateRequest{
					Path: fmt.Sprintf("/devices/d%04d", i), Kind: "snmp",
					Texts: map[string]string{"address": agents.address(i), "profile": "scale", "interfaces": "", "poll_interval": interval.String(), "timeout": timeout.String()},
				})
				if err != nil {
					t.Errorf("creating device %d: %v", i, err)
				}
			}
		})
	}
	began := time.Now()
	for i := range count {
		work <- i
	}
	close(work)
	workers.Wait()
	t.Logf("%d devices were created in %s", count, time.Since(began).Round(time.Millisecond))
}
