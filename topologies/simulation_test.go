package topologies

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/tree"
)

func simulate(t *testing.T, source string) *Simulation {
	t.Helper()
	topology, err := Check("test.yaml", []byte(source), drivers)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(context.Background(), topology, Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read is a reading at a node.
func read(t *testing.T, s *Simulation, node, address string) *apiv1.Reading {
	t.Helper()
	c, err := s.Client(context.Background(), node, "admin")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := ask(context.Background(), c, c.Tree.Get, &apiv1.GetRequest{Address: address})
	if err != nil {
		t.Fatalf("%s at %s: %v", address, node, err)
	}
	return r
}

// TestSimulation cuts, heals, kills and restarts in fake time: detection takes two heartbeats, none of them waited for.
func TestSimulation(t *testing.T) {
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))) // a bubble begins in 2000, when no certificate is made
		s := simulate(t, `
network: three
nodes:
  hq: {}
  north: {}
  berlin: {devices: {/devices/sim: {kind: simulator, points: 3, poll_interval: 1s}}}
links:
  - {provider: north, consumer: hq, export: {right: configure}, mount: /north}
  - {provider: berlin, consumer: north, export: {right: configure}, mount: /berlin}
`)
		const value = "/north/berlin/devices/sim:updates"
		quality := func(want string) {
			t.Helper()
			if r := read(t, s, "hq", value); r.GetQuality() != want {
				t.Errorf("it is %s/%s since %s, want %s", r.GetQuality(), r.GetReason(), r.GetSince(), want)
			}
		}
		time.Sleep(5 * time.Second)
		quality("good")
		for _, cut := range []struct {
			name string
			do   func()
		}{
			{"both ways", func() { s.Cut("berlin", "north") }},
			{"up", func() { s.CutOneWay("berlin", "north") }},
			{"down", func() { s.CutOneWay("north", "berlin") }},
		} {
			cut.do()
			time.Sleep(6500 * time.Millisecond) // two beats, 1 s for the further hop, and what looking takes
			quality("uncertain")
			s.Heal("berlin", "north")
			time.Sleep(time.Minute)
			quality("good")
			if t.Failed() {
				t.Logf("cut %s", cut.name)
			}
		}
		if err := s.Kill("berlin"); err != nil {
			t.Error(err)
		}
		if s.Node("berlin") != nil {
			t.Error("it is there after it was killed")
		}
		time.Sleep(6500 * time.Millisecond)
		quality("uncertain")
		if err := s.Restart("berlin"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		quality("good")
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Logf("took %s", time.Since(began))
}

// pair is a connection between two nodes that is open at both ends.
func pair(t *testing.T, w *wires) (a, b net.Conn) {
	t.Helper()
	l, err := w.listen("b", "b:1")
	if err != nil {
		t.Fatal(err)
	}
	if a, err = w.dial(t.Context(), "a", "b:1"); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func TestWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		a, b := pair(t, w)
		sent := make([]byte, 3*laneBytes+7)
		_, _ = rand.Read(sent) // never fails
		go func() {
			if n, err := a.Write(sent); n != len(sent) || err != nil {
				t.Errorf("wrote %d: %v", n, err)
			}
			_ = a.Close()
		}()
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes arrived of %d: %v", len(got), len(sent), err)
		}
		if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("to one who has left: %v", err)
		}
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("from a closed end: %v", err)
		}
		_ = b.Close()
		if len(w.lanes) != 0 {
			t.Errorf("%d lanes are left", len(w.lanes))
		}
	})
}

// TestWireCut: a cut loses nothing and tells nobody, and only the way that is cut is.
func TestWireCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		a, b := pair(t, w)
		w.set(way{"a", "b"}, true)
		if _, err := a.Write([]byte("one")); err != nil {
			t.Errorf("a cut is told to the writer: %v", err)
		}
		_ = b.SetReadDeadline(time.Now().Add(time.Minute))
		buffer := make([]byte, 8)
		if _, err := b.Read(buffer); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("through a cut: %v", err)
		}
		_ = b.SetReadDeadline(time.Time{})
		if _, err := b.Write([]byte("back")); err != nil {
			t.Error(err)
		}
		if n, err := a.Read(buffer); string(buffer[:n]) != "back" {
			t.Errorf("the way back: %q, %v", buffer[:n], err)
		}
		dialled := make(chan error)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := w.dial(ctx, "a", "b:1")
			dialled <- err
		}()
		if err := <-dialled; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dialling through a cut: %v", err)
		}
		w.set(way{"a", "b"}, false)
		if n, err := b.Read(buffer); string(buffer[:n]) != "one" {
			t.Errorf("after the cut: %q, %v", buffer[:n], err)
		}
	})
}

// TestWireSever: who is gone says nothing more; behind a cut, not even that.
func TestWireSever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		a, b := pair(t, w)
		w.set(way{"a", "b"}, true)
		w.sever("a")
		if _, err := a.Write([]byte("goodbye")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the dead speak: %v", err)
		}
		_ = b.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("behind a cut: %v", err)
		}
		_ = b.SetReadDeadline(time.Time{})
		w.set(way{"a", "b"}, false)
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("from the dead: %v", err)
		}
		w.sever("b")
		if _, err := w.dial(t.Context(), "a", "b:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("to the dead: %v", err)
		}
	})
}

// TestEverythingArrives: what a middle tier gets while it is being followed itself is passed on, all of it.
func TestEverythingArrives(t *testing.T) {
	topology, err := ReadFile("three-tier.yaml", drivers)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 { // what was lost depended on what ran when
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
			s, err := Start(context.Background(), topology, Options{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Second)
			left := map[model.Path]bool{}
			s.Node("region-north").Tree().Walk(model.MustPath("/sites"), nil, func(c *tree.Context) bool {
				left[c.Path] = true
				return true
			})
			if len(left) < 20 {
				t.Errorf("region-north has %d contexts of its sites", len(left))
			}
			s.Node("hq").Tree().Walk(model.MustPath("/regions/north/sites"), nil, func(c *tree.Context) bool {
				if below, inside := model.MustPath("/regions/north").Below(c.Path); inside {
					delete(left, below)
				}
				return true
			})
			if len(left) > 0 {
				t.Errorf("hq does not have %v", left)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
