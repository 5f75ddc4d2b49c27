package doorstep

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// street is a listener whose connections come from any address, in memory.
type street struct {
	comes chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newStreet() *street { return &street{comes: make(chan net.Conn), done: make(chan struct{})} }

func (s *street) Accept() (net.Conn, error) {
	select {
	case c := <-s.comes:
		return c, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}
func (s *street) Close() error   { s.once.Do(func() { close(s.done) }); return nil }
func (s *street) Addr() net.Addr { return &net.TCPAddr{} }

type from struct {
	net.Conn
	address net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.address }

// house is a listener with its doorstep.
type house struct {
	t      *testing.T
	street *street
	door   *Listener
}

func newHouse(t *testing.T, cfg Config) *house {
	s := newStreet()
	return &house{t: t, street: s, door: New(s, cfg)}
}

// visit comes from an address, and returns both ends.
func (h *house) visit(ip string, port int) (visitor net.Conn, stands *Conn) {
	h.t.Helper()
	here, there := net.Pipe()
	go func() { h.street.comes <- from{there, &net.TCPAddr{IP: net.ParseIP(ip), Port: port}} }()
	c, err := h.door.Accept()
	if err != nil {
		h.t.Fatal(err)
	}
	stands, is := c.(*Conn)
	if !is {
		h.t.Fatalf("accepted a %T", c)
	}
	h.t.Cleanup(func() { _, _ = here.Close(), stands.Close() })
	return here, stands
}

func (c *Conn) isGone() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// TestTimeIsOver: whoever proves nothing goes after 10 s, and whoever has proved who they are stays.
func TestTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, Config{})
		_, silent := h.visit("192.0.2.1", 1)
		_, proved := h.visit("192.0.2.1", 2)
		if !proved.LetIn() {
			t.Fatal("not let in")
		}
		time.Sleep(Within - time.Millisecond)
		if silent.isGone() {
			t.Error("gone too early")
		}
		time.Sleep(2 * time.Millisecond)
		if !silent.isGone() || proved.isGone() {
			t.Errorf("after 10 s: silent gone %v, proved gone %v", silent.isGone(), proved.isGone())
		}
		if silent.LetIn() {
			t.Error("let in when it was gone")
		}
		if now := h.door.Stats(); now.Late != 1 || now.Standing != 0 || now.Inside != 1 {
			t.Errorf("%+v", now)
		}
		_ = proved.Close()
		_ = proved.Close()
		if now := h.door.Stats(); now.Inside != 0 {
			t.Errorf("%+v", now)
		}
	})
}

// TestWhoComesAloneStays: connections of a few addresses never cost one of another its place, however many come; and the newest of an address is not
// behind those before it that do nothing.
func TestWhoComesAloneStays(t *testing.T) {
	for _, sources := range []int{1, 3, 15} {
		t.Run(fmt.Sprint(sources), func(t *testing.T) {
			h := newHouse(t, Config{Room: 16, OfSource: 8})
			_, alone := h.visit("198.51.100.7", 1)
			var newest *Conn
			for i := range 1000 {
				_, newest = h.visit(fmt.Sprintf("192.0.2.%d", i%sources), 1000+i)
				if newest.isGone() {
					t.Fatal("sent away as it came")
				}
				if now := h.door.Stats(); now.Standing > 16 || len(h.door.standing[newest.source]) > 8 {
					t.Fatalf("%+v", now)
				}
			}
			if alone.isGone() {
				t.Error("a flood of others cost it its place")
			}
			if now := h.door.Stats(); now.Crowded == 0 || now.Crowded+uint64(now.Standing) != 1001 {
				t.Errorf("%+v", now)
			}
		})
	}
	h := newHouse(t, Config{Room: 16})
	for i := range 1000 { // each from an address of its own
		_, newest := h.visit(fmt.Sprintf("10.0.%d.%d", i/200, i%200), 1)
		if now := h.door.Stats(); now.Standing > 16 || newest.isGone() {
			t.Fatalf("%+v", now)
		}
	}
}

// TestFullInside: as many as there may be, and the next when one has gone.
func TestFullInside(t *testing.T) {
	h := newHouse(t, Config{Most: 2})
	_, a := h.visit("192.0.2.1", 1)
	_, b := h.visit("192.0.2.1", 2)
	_, c := h.visit("192.0.2.1", 3)
	if !a.LetIn() || !b.LetIn() || c.LetIn() || c.isGone() {
		t.Fatal("two of three are let in")
	}
	_ = a.Close()
	if !c.LetIn() {
		t.Error("there is room, and it is not let in")
	}
	if now := h.door.Stats(); now.Full != 1 || now.Inside != 2 || now.Standing != 0 {
		t.Errorf("%+v", now)
	}
}

// TestBytesWait: what is more than 64 KiB waits for the proof, and ends with the connection, at its deadline, or when it is let in.
func TestBytesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, Config{})
		flood := func(visitor net.Conn) {
			go func() { _, _ = visitor.Write(make([]byte, 3*Bytes)) }()
		}
		readAll := func(c *Conn, most int) (int, error) {
			n, err := io.ReadFull(c, make([]byte, most))
			return n, err
		}
		visitor, c := h.visit("192.0.2.1", 1)
		flood(visitor)
		began := time.Now()
		if n, err := readAll(c, 2*Bytes); n != Bytes || !errors.Is(err, net.ErrClosed) || time.Since(began) != Within {
			t.Errorf("a stranger's flood: %d bytes, %v after %s", n, err, time.Since(began))
		}

		visitor, c = h.visit("192.0.2.1", 2)
		flood(visitor)
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := readAll(c, 2*Bytes); n != Bytes || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("at the deadline: %d bytes, %v", n, err)
		}
		_ = c.SetReadDeadline(time.Time{})
		go func() {
			time.Sleep(2 * time.Second)
			_ = c.SetReadDeadline(time.Unix(1, 0)) // as net/http ends a read that goes on beside a handler
		}()
		if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a deadline that is set while it waits: %d bytes, %v", n, err)
		}
		_ = c.SetReadDeadline(time.Time{})
		go func() {
			time.Sleep(time.Second)
			c.LetIn()
		}()
		if n, err := readAll(c, 2*Bytes); n != 2*Bytes || err != nil {
			t.Errorf("let in while it waits: %d bytes, %v", n, err)
		}
	})
}

// TestOneAtTheBench: greetings are worked on one after the other, and nobody keeps the place: not who sends half of one, nor who leaves.
func TestOneAtTheBench(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, Config{})
		read := func(c *Conn, done chan<- *Conn) {
			go func() {
				if n, _ := c.Read(make([]byte, 8)); n > 0 {
					done <- c
				}
			}()
		}
		var all []*Conn
		done := make(chan *Conn, 8)
		for i := range 4 {
			visitor, c := h.visit("192.0.2.1", i)
			read(c, done)
			_, _ = visitor.Write([]byte{22})
			all = append(all, c)
			synctest.Wait()
		}
		if len(done) != 1 {
			t.Fatalf("%d greetings are worked on", len(done))
		}
		first := <-done
		read(first, done) // it was half of one: it waits for the rest, and others work
		synctest.Wait()
		second := <-done
		go func() { _, _ = second.Write([]byte{1}) }() // answered
		synctest.Wait()
		third := <-done
		_ = third.Close()
		synctest.Wait()
		if len(done) != 1 {
			t.Fatalf("%d greetings are worked on after three", len(done))
		}
		time.Sleep(Within + time.Second) // the last one does nothing: its place is free when its time is over
		if n := len(h.door.cfg.Bench.place); n != 0 {
			t.Errorf("%d places are taken when all have gone", n)
		}
		for _, c := range all {
			if !c.isGone() {
				t.Error("one is still there")
			}
		}
	})
}

func TestSource(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1:99": "192.0.2.1", "[::ffff:192.0.2.1]:99": "192.0.2.1", "[2001:db8:1:2:3::4]:5": "2001:db8:1:2::/64", "[fe80::1%eth0]:5": "fe80::/64",
		"pipe": "", "": "",
	} {
		if got := SourceOf(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
