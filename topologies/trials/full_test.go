package trials

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/proto/modelv1"

	"connectrpc.com/connect"
)

const (
	refusedWithin = time.Second
	backWithin    = 10 * time.Second
)

// fullWriter sets one setting again and again, and keeps what it was told.
type fullWriter struct {
	node, address string // where it asks, and for what
	own           string // the address at the owner

	mu        sync.Mutex
	tried     int64
	confirmed int64
	unknown   int64         // the newest one of which nobody could say whether it was done
	refused   int           // since the last confirmation
	slowest   time.Duration // refusal
	problem   error         // something else than a refusal as it should be
}

func (w *fullWriter) run(ctx context.Context, t *trial) {
	client := t.at(w.node)
	for ctx.Err() == nil {
		w.mu.Lock()
		w.tried++
		value := w.tried
		w.mu.Unlock()
		asked, cancel := context.WithTimeout(ctx, 20*time.Second)
		began := time.Now()
		_, err := client.Tree.Set(asked, &apiv1.SetRequest{Address: w.address, Text: strconv.FormatInt(value, 10)})
		took := time.Since(began)
		cancel()
		if ctx.Err() != nil {
			return // what became of the last one nobody was told
		}
		w.mu.Lock()
		switch {
		case err == nil:
			w.confirmed, w.refused = value, 0
		case connect.CodeOf(err) == connect.CodeResourceExhausted && answered(err).GetRemedy() != "":
			w.refused++
			w.slowest = max(w.slowest, took)
		case answered(err).GetKind() == uint32(model.KindUnknownFate): // the owner did it, and the disk had no room to record that here
			w.unknown = value
		default:
			w.problem = errors.Join(w.problem, fmt.Errorf("%s after %s: %w", w.address, took, err))
		}
		w.mu.Unlock()
		if err != nil {
			<-time.After(5 * time.Millisecond)
		}
	}
}

// answered is the error of a node.
func answered(err error) *modelv1.Error {
	var sent *connect.Error
	if errors.As(err, &sent) {
		for _, detail := range sent.Details() {
			if value, bad := detail.Value(); bad == nil {
				if wire, is := value.(*modelv1.Error); is {
					return wire
				}
			}
		}
	}
	return nil
}

func (w *fullWriter) state() (confirmed int64, refused int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.confirmed, w.refused
}

// fullTrial is a network of two nodes whose one disk fills up.
type fullTrial struct {
	*trial
	disk    string
	writers []*fullWriter
	stop    func() // the writers
}

const fullNetwork = `network: full
nodes:
  hq: {}
  edge:
    devices:
      /devices/sim: {kind: simulator, points: 10, poll_interval: 200ms}
      /devices/w0: {kind: simulator, poll_interval: 1h}
      /devices/w1: {kind: simulator, poll_interval: 1h}
      /devices/w2: {kind: simulator, poll_interval: 1h}
links:
  - {provider: edge, consumer: hq, dials: provider, export: {paths: ["/**"], right: configure}, mount: /edge}
`

func startFull(t *testing.T, options string) *fullTrial {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("a file system in memory needs root")
	}
	dir := t.TempDir()
	f := &fullTrial{disk: filepath.Join(dir, "network")}
	if err := os.Mkdir(f.disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", f.disk, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(f.disk, syscall.MNT_DETACH) })
	f.trial = startIn(t, dir, fullNetwork, nil)
	f.until("the link is up", 30*time.Second, func() bool { return quality(f.get("hq", "/edge/devices/sim:updates")) == "good" })
	f.writers = []*fullWriter{
		{node: "edge", address: "/devices/w0:seed", own: "/devices/w0:seed"},
		{node: "edge", address: "/devices/w1:seed", own: "/devices/w1:seed"},
		{node: "hq", address: "/edge/devices/w2:seed", own: "/devices/w2:seed"},
	}
	return f
}

// write lets the writers work.
func (f *fullTrial) write() {
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	for _, w := range f.writers {
		f.at(w.node)
		w.confirmed, w.tried = max(w.confirmed, 1), max(w.tried, 1) // what a simulator begins with
		work.Go(func() { w.run(ctx, f.trial) })
	}
	f.stop = sync.OnceFunc(func() {
		cancel()
		work.Wait()
	})
	f.Cleanup(f.stop)
}

// fill takes all room, also what others give back meanwhile, until every writer is refused: there is room for a while in the logs that are there.
func (f *fullTrial) fill() {
	f.Helper()
	f.until("every writer is refused", 60*time.Second, func() bool {
		f.top()
		return f.all(func(_ int64, refused int) bool { return refused > 3 })
	})
}

// top takes the room that there is now.
func (f *fullTrial) top() {
	f.Helper()
	filler, err := os.OpenFile(filepath.Join(f.disk, "filler"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		f.Fatal(err)
	}
	defer filler.Close()
	block := make([]byte, 1<<20)
	for size := len(block); size >= 1<<12; {
		if _, err := filler.Write(block[:size]); err != nil {
			size /= 2
		}
	}
}

func (f *fullTrial) free() {
	f.Helper()
	if err := os.Remove(filepath.Join(f.disk, "filler")); err != nil {
		f.Fatal(err)
	}
}

func (f *fullTrial) all(holds func(confirmed int64, refused int) bool) bool {
	for _, w := range f.writers {
		if !holds(w.state()) {
			return false
		}
	}
	return true
}

// lives checks what must go on while the disk is full: reads, what is watched, the link.
func (f *fullTrial) lives() {
	f.Helper()
	watched, cancel := context.WithTimeout(f.Context(), 5*time.Second)
	defer cancel()
	stream, err := f.at("hq").Tree.Watch(watched, &apiv1.WatchRequest{Addresses: []string{"/edge/devices/sim:updates"}})
	if err != nil {
		f.Fatal(err)
	}
	defer stream.Close()
	seen := map[string]bool{}
	for len(seen) < 3 && stream.Receive() {
		for _, r := range stream.Msg().GetReadings() {
			if quality(r) != "good" {
				f.Errorf("while the disk is full a value is %s", quality(r))
			}
			seen[r.GetValue().GetStringValue()] = true
		}
	}
	if len(seen) < 3 {
		f.Errorf("while the disk is full a watch told %d values: %v", len(seen), stream.Err())
	}
	for node, address := range map[string]string{"hq": "/links/edge:state", "edge": "/links/hq:state"} {
		if r := f.get(node, address); r.GetValue().GetStringValue() != "up" {
			f.Errorf("while the disk is full %s at %s is %v, %s", address, node, r.GetValue(), r.GetQuality())
		}
	}
	f.until("the node tells since when its disk is full", time.Second, func() bool { return f.get("edge", "/system:disk_full").GetType() == "time" })
}

// settled checks that what is stored is what was confirmed, at the owner and above. What a writer asked for last, and did not wait for, may still be
// done meanwhile: both are read until they are the same.
func (f *fullTrial) settled() {
	f.Helper()
	for _, w := range f.writers {
		var own, above string
		f.until("above it is the same", 10*time.Second, func() bool {
			own, above = f.get("edge", w.own).GetValue().GetStringValue(), f.get("hq", "/edge"+w.own).GetValue().GetStringValue()
			return own == above
		})
		got, err := strconv.ParseInt(own, 10, 64)
		if err != nil || got < w.confirmed || got > w.tried {
			f.Errorf("%s is %q, confirmed was %d, tried %d", w.own, own, w.confirmed, w.tried)
		}
		if got != w.confirmed && got != w.unknown && got != w.tried { // the last one was not waited for
			f.Errorf("%s is %d: it was refused, and done", w.own, got)
		}
		w.confirmed, w.tried = got, max(got, w.tried)
	}
}

// check reports what the writers met.
func (f *fullTrial) check() {
	f.Helper()
	for _, w := range f.writers {
		w.mu.Lock()
		if w.problem != nil {
			f.Errorf("refused otherwise than with what to do: %v", w.problem)
		}
		if w.slowest > refusedWithin {
			f.Errorf("%s was refused after %s", w.address, w.slowest)
		}
		w.problem = nil
		w.mu.Unlock()
	}
}

// A disk that fills up and gets room again, over and over, beside writers here and above: they are refused within a second and told what to do, all
// else goes on, and with room everything works within ten seconds. Nothing that was confirmed is lost, and nothing that was refused is done.
func TestDiskFull(t *testing.T) {
	f := startFull(t, "size=40m")
	pids := map[string]int{"hq": f.pid("hq"), "edge": f.pid("edge")}
	f.write()
	var slowest, longest time.Duration
	for cycle := range times(5, 500) {
		f.fill()
		f.lives()
		f.free()
		back := f.until("every writer is confirmed", backWithin, func() bool { return f.all(func(_ int64, refused int) bool { return refused == 0 }) })
		f.check()
		longest = max(longest, back)
		for node, pid := range pids {
			if gone(pid) {
				t.Fatalf("cycle %d: %s has ended", cycle, node)
			}
		}
	}
	for _, w := range f.writers {
		slowest = max(slowest, w.slowest)
		t.Logf("%s: %d tried, %d was confirmed last", w.address, w.tried, w.confirmed)
	}
	f.stop()
	f.settled()
	t.Logf("refused within %s, back within %s", slowest, longest)
	f.until("the disk is told to have room", 10*time.Second, func() bool { return f.get("edge", "/system:disk_full").GetType() == "none" })

	// What the mount keeps was written when there was room: after a restart it is there without its provider.
	f.signal(pids["edge"], syscall.SIGTERM)
	f.until("edge has ended", 10*time.Second, func() bool { return gone(pids["edge"]) })
	f.kill(pids["hq"])
	f.restart("hq")
	for _, w := range f.writers {
		if r := f.get("hq", "/edge"+w.own); r.GetValue().GetStringValue() != fmt.Sprint(w.confirmed) {
			t.Errorf("after a restart without its provider %s is %v, it was %d", w.own, r.GetValue(), w.confirmed)
		}
	}
}

// A node that is killed or stopped on a full disk, or started on one, says so and loses nothing.
func TestLifeOnAFullDisk(t *testing.T) {
	for _, c := range []struct {
		name string
		end  syscall.Signal
	}{{"killed", syscall.SIGKILL}, {"stopped", syscall.SIGTERM}} {
		t.Run(c.name, func(t *testing.T) {
			f := startFull(t, "size=24m,nr_inodes=400")
			f.write()
			f.fill()
			pid := f.pid("edge")
			f.stop()
			f.signal(pid, c.end)
			f.until("edge has ended", 10*time.Second, func() bool { return gone(pid) })
			f.signal(f.pid("hq"), syscall.SIGSTOP) // it would give room back while the other starts
			f.top()                                // a node that is stopped gives the room of its log back
			f.startsFull("edge", c.end == syscall.SIGKILL)
			f.free()
			inodes := f.takeInodes()
			f.startsFull("edge", c.end == syscall.SIGKILL)
			if err := os.RemoveAll(inodes); err != nil {
				t.Fatal(err)
			}
			f.signal(f.pid("hq"), syscall.SIGCONT)
			f.restart("edge")
			f.until("the link is up", 30*time.Second, func() bool { return quality(f.get("hq", "/edge/devices/sim:updates")) == "good" })
			f.settled()
			f.write()
			f.until("every writer is confirmed", backWithin, func() bool {
				return f.all(func(confirmed int64, refused int) bool { return refused == 0 && confirmed > 1 })
			})
			f.stop()
			f.settled()
			if found, _ := filepath.Glob(filepath.Join(f.disk, "nodes", "*", "*", "*.damaged")); len(found) > 0 {
				t.Errorf("taken for damaged: %v", found)
			}
		})
	}
}

// startsFull starts a node on a full disk: it says why it cannot, and what to do. One that was killed may find the room that it needs in the log
// that it left, and serve.
func (f *fullTrial) startsFull(node string, mayServe bool) {
	f.Helper()
	self, err := os.Executable()
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(f.Context(), 10*time.Second)
	defer cancel()
	said := &heard{}
	cmd := exec.CommandContext(ctx, self, "serve", filepath.Join(f.disk, "nodes", node, "node.yaml"))
	cmd.Dir, cmd.Stderr = filepath.Join(f.disk, "nodes", node), said
	said.on, said.then = ": serving: ", cancel
	err = cmd.Run()
	if text := said.String(); strings.Contains(text, said.on) {
		if !mayServe {
			f.Errorf("it serves on a full disk, saying %q", text)
		}
	} else if ctx.Err() != nil || err == nil || !strings.Contains(text, "the disk is full") || !strings.Contains(text, "make room") {
		f.Errorf("started on a full disk it ended with %v, saying %q", err, text)
	}
}

// heard keeps what is said, and does something when it hears a word.
type heard struct {
	mu   sync.Mutex // guards what was said
	said bytes.Buffer
	on   string
	then func()
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, err := h.said.Write(p)
	if strings.Contains(h.said.String(), h.on) {
		h.then()
	}
	return n, err
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.said.String()
}

// takeInodes makes files until there can be no more.
func (f *fullTrial) takeInodes() (dir string) {
	f.Helper()
	dir = filepath.Join(f.disk, "inodes")
	if err := os.Mkdir(dir, 0o700); err != nil {
		f.Fatal(err)
	}
	for i := 0; ; i++ {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o600); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				f.Fatal(err)
			}
			return dir
		}
	}
}
