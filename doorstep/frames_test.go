package doorstep

import (
	"bytes"
	"crypto/tls"
	"math"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// frame is one with a payload of zeros.
func frame(kind, flags byte, length int) []byte {
	return append([]byte{byte(length >> 16), byte(length >> 8), byte(length), kind, flags, 0, 0, 0, 1}, make([]byte, length)...)
}

// TestFramesAreCounted however they are cut into reads, and requests of HTTP/1.1 are.
func TestFramesAreCounted(t *testing.T) {
	var sent bytes.Buffer
	want := 0.0
	for _, f := range []struct {
		kind, flags byte
		length      int
		cost        float64
	}{
		{4, 0, 18, 1}, {1, 4, 30, 2}, {9, 4, 16384, 1}, {0, 0, 0, 1}, {0, 8, 200, 1}, {0, 0, 100, 0.25}, {0, 0, 256, 0}, {0, 0, 16384, 0}, {6, 0, 8, 1}, {3, 0, 4, 1},
		{8, 0, 4, 1}, {2, 0, 5, 1}, {77, 0, 0, 1},
	} {
		sent.Write(frame(f.kind, f.flags, f.length))
		want += f.cost
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	for range 200 {
		for _, begin := range []string{clientPreface, ""} {
			c := &Framed{preface: begin}
			got := 0.0
			for left := append([]byte(begin), sent.Bytes()...); len(left) > 0; {
				n := min(len(left), 1+random.IntN(40))
				got += c.count(left[:n])
				left = left[n:]
			}
			if math.Abs(got-want) > 1e-9 {
				t.Fatalf("seed %d: the frames cost %v, want %v", seed, got, want)
			}
		}
	}
	for text, want := range map[string]float64{
		"GET / HTTP/1.1\r\n\r\n": 2.25, "GET / HTTP/1.1\n\nGET / HTTP/1.1\r\nHost: x\r\n\r\n": 4.25, "PRI * HTTP/2.0\r\n\r\nXM": 2.25, "{": 0.25, "": 0,
	} {
		c := &Framed{preface: clientPreface}
		if got := c.count([]byte(text)); got != want {
			t.Errorf("%q costs %v, want %v", text, got, want)
		}
	}
}

// TestFramesArePaced: one source sends no more than it may on all its connections, what it is sent pays for its frames, another one does not notice, and
// who waits ends with the connection.
func TestFramesArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFrames()
		gone := make(chan struct{})
		ping := frame(6, 0, 8)
		send := func(source string, frames int) time.Duration {
			began := time.Now()
			c := f.Wrap(tls.Client(nil, nil), source, true, gone)
			c.Conn = reads{bytes.NewReader(bytes.Repeat(ping, frames))}
			for p := make([]byte, 4096); ; {
				if _, err := c.Read(p); err != nil {
					return time.Since(began)
				}
			}
		}
		if took := send("a", frameBurst); took != 0 {
			t.Errorf("a burst takes %s", took)
		}
		if took := send("a", 2*frameRate); took < 1900*time.Millisecond || took > 2100*time.Millisecond {
			t.Errorf("two seconds' worth takes %s", took)
		}
		if took := send("b", frameBurst); took != 0 {
			t.Errorf("another source waits %s", took)
		}
		paid := f.Wrap(tls.Client(nil, nil), "a", true, gone)
		paid.Conn = reads{nil}
		if _, err := paid.Write(make([]byte, frameRate*bytesPay)); err != nil {
			t.Fatal(err)
		}
		if took := send("a", frameRate); took > 10*time.Millisecond {
			t.Errorf("what was paid takes %s", took)
		}
		if f.Paced() == 0 {
			t.Error("nobody is counted as paced")
		}
		close(gone)
		if took := send("a", 10*frameRate); took != 0 {
			t.Errorf("a connection that was closed waits %s", took)
		}
	})
}

// reads is a connection that only reads, and takes what is written.
type reads struct{ from *bytes.Reader }

func (r reads) Read(p []byte) (int, error)     { return r.from.Read(p) }
func (reads) Write(p []byte) (int, error)      { return len(p), nil }
func (reads) Close() error                     { return nil }
func (reads) LocalAddr() net.Addr              { return nil }
func (reads) RemoteAddr() net.Addr             { return nil }
func (reads) SetDeadline(time.Time) error      { return nil }
func (reads) SetReadDeadline(time.Time) error  { return nil }
func (reads) SetWriteDeadline(time.Time) error { return nil }

// TestPursesAreForgotten when they are full again: a flood of sources leaves nothing behind.
func TestPursesAreForgotten(t *testing.T) {
	f := NewFrames()
	for i := range 3 * mostPurses {
		f.purse(strings.Repeat("x", 1+i%7) + time.Duration(i).String())
	}
	if n := len(f.purses); n > mostPurses+1 {
		t.Errorf("%d purses", n)
	}
}
