package topologies

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// wires is the network between the nodes of one process: connections in memory that can be cut, each way apart. As with TCP over a cable
// that was pulled, a cut loses nothing and tells nobody: what is on the way arrives when it is healed, unless somebody has given up by then.
// It waits on nothing but conditions and timers, so that it runs in fake time as well.
type wires struct {
	mu        sync.Mutex // guards all below
	listeners map[string]*wireListener
	cut       map[way]bool
	lanes     map[*lane]way
	changed   chan struct{} // closed and made anew when a cut or a listener changes
	port      int
}

// way is a direction between two nodes. Who is outside of the network has no name, and is never cut off.
type way struct{ from, to string }

func newWires() *wires {
	return &wires{listeners: map[string]*wireListener{}, cut: map[way]bool{}, lanes: map[*lane]way{}, changed: make(chan struct{}), port: 50_000}
}

func (w *wires) tell() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// set cuts or heals one way.
func (w *wires) set(on way, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut[on] = cut; !cut {
		delete(w.cut, on)
	}
	for l, of := range w.lanes {
		if of == on {
			l.hold(cut)
		}
	}
	w.tell()
}

// sever breaks all connections and listeners of a node, as the end of a process does: nothing that it says from now on is heard.
func (w *wires) sever(node string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for address, l := range w.listeners {
		if l.node == node {
			delete(w.listeners, address)
			l.shut()
		}
	}
	for l, of := range w.lanes {
		if of.from == node || of.to == node {
			l.sever(of.from == node)
		}
	}
	w.tell()
}

// listen is the Listen of a node.
func (w *wires) listen(node, address string) (net.Listener, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listeners[address] != nil {
		return nil, &net.OpError{Op: "listen", Net: "wire", Addr: wireAddr(address), Err: syscall.EADDRINUSE}
	}
	l := &wireListener{wires: w, node: node, address: address, closed: make(chan struct{}), waiting: make(chan *wireConn, 128)}
	w.listeners[address] = l
	w.tell()
	return l, nil
}

// dial is the Dial of a node. Behind a cut nobody answers until it is healed or ctx ends.
func (w *wires) dial(ctx context.Context, node, address string) (net.Conn, error) {
	fail := func(err error) error {
		return &net.OpError{Op: "dial", Net: "wire", Addr: wireAddr(address), Err: err}
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fail(err)
	}
	for {
		w.mu.Lock()
		if !w.cut[way{node, host}] && !w.cut[way{host, node}] {
			break
		}
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, fail(ctx.Err())
		case <-changed:
		}
	}
	defer w.mu.Unlock()
	l := w.listeners[address]
	if l == nil {
		return nil, fail(syscall.ECONNREFUSED)
	}
	w.port++
	there, back := w.lane(way{node, l.node}), w.lane(way{l.node, node})
	here := wireAddr(fmt.Sprintf("%s:%d", node, w.port))
	select {
	case l.waiting <- &wireConn{wires: w, in: there, out: back, local: wireAddr(address), remote: here}:
		return &wireConn{wires: w, in: back, out: there, local: here, remote: wireAddr(address)}, nil
	default:
		delete(w.lanes, there)
		delete(w.lanes, back)
		return nil, fail(syscall.ECONNREFUSED)
	}
}

func (w *wires) lane(on way) *lane {
	l := &lane{}
	l.changed = sync.NewCond(&l.mu)
	w.lanes[l] = on
	return l
}

// forget lets a lane go whose ends are both closed.
func (w *wires) forget(c *wireConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range []*lane{c.in, c.out} {
		if l.over() {
			delete(w.lanes, l)
		}
	}
}

type wireAddr string

// Network names the kind of address.
func (wireAddr) Network() string { return "wire" }

// String is NODE:PORT.
func (a wireAddr) String() string { return string(a) }

// wireListener takes connections for a node.
type wireListener struct {
	wires   *wires
	node    string
	address string
	waiting chan *wireConn
	closed  chan struct{}
	once    sync.Once
}

// Accept waits for the next connection.
func (l *wireListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.waiting:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close frees the address.
func (l *wireListener) Close() error {
	l.wires.mu.Lock()
	if l.wires.listeners[l.address] == l {
		delete(l.wires.listeners, l.address)
	}
	l.wires.mu.Unlock()
	l.shut()
	return nil
}

func (l *wireListener) shut() { l.once.Do(func() { close(l.closed) }) }

// Addr is where it listens.
func (l *wireListener) Addr() net.Addr { return wireAddr(l.address) }

// laneBytes is how much is on the way before a writer waits, as much as a small socket buffer.
const laneBytes = 256 << 10

// lane carries bytes one way.
type lane struct {
	mu      sync.Mutex // guards all below
	changed *sync.Cond
	data    []byte
	held    bool // cut: nothing arrives
	ended   bool // the writer has closed
	left    bool // the reader has closed
	severed bool // the process at one end is gone
	// What the ends know at once of themselves: their own process is gone.
	writerGone, readerGone bool

	read, write deadline
}

func (l *lane) hold(held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = held
	l.changed.Broadcast()
}

func (l *lane) sever(writer bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.severed = true
	l.writerGone = l.writerGone || writer
	l.readerGone = l.readerGone || !writer
	l.changed.Broadcast()
}

func (l *lane) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended && l.left
}

// take reads. What had arrived before the other end closed is read first; a severed lane gives nothing more.
func (l *lane) take(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.left || l.readerGone:
			return 0, net.ErrClosed
		case l.read.passed():
			return 0, os.ErrDeadlineExceeded
		case l.held:
		case l.severed:
			return 0, syscall.ECONNRESET
		case len(l.data) > 0:
			n := copy(p, l.data)
			l.data = l.data[n:]
			l.changed.Broadcast()
			return n, nil
		case l.ended:
			return 0, io.EOF
		case len(p) == 0:
			return 0, nil
		}
		l.changed.Wait()
	}
}

// give writes, and waits while too much is on the way.
func (l *lane) give(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	written := 0
	for {
		switch {
		case l.ended || l.writerGone:
			return written, net.ErrClosed
		case l.write.passed():
			return written, os.ErrDeadlineExceeded
		case !l.held && (l.severed || l.left):
			return written, syscall.EPIPE
		case written == len(p):
			return written, nil
		case len(l.data) < laneBytes:
			n := min(len(p)-written, laneBytes-len(l.data))
			l.data = append(l.data, p[written:written+n]...)
			written += n
			l.changed.Broadcast()
			continue
		}
		l.changed.Wait()
	}
}

// deadline is when an end of a lane waits no more. The lane's lock guards it.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (l *lane) setDeadline(d *deadline, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	if d.at = at; !at.IsZero() {
		d.timer = time.AfterFunc(time.Until(at), func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.changed.Broadcast()
		})
	}
	l.changed.Broadcast()
}

// wireConn is one end of a connection.
type wireConn struct {
	wires         *wires
	in, out       *lane
	local, remote net.Addr
}

var _ net.Conn = (*wireConn)(nil)

// Read waits for bytes.
func (c *wireConn) Read(p []byte) (int, error) { return c.in.take(p) }

// Write sends bytes.
func (c *wireConn) Write(p []byte) (int, error) { return c.out.give(p) }

// Close ends both ways; what was written still arrives.
func (c *wireConn) Close() error {
	for _, end := range []struct {
		lane   *lane
		closed *bool
		limit  *deadline
	}{{c.in, &c.in.left, &c.in.read}, {c.out, &c.out.ended, &c.out.write}} {
		end.lane.mu.Lock()
		*end.closed = true
		if end.limit.timer != nil {
			end.limit.timer.Stop()
		}
		end.lane.changed.Broadcast()
		end.lane.mu.Unlock()
	}
	c.wires.forget(c)
	return nil
}

// LocalAddr is this end.
func (c *wireConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the other end.
func (c *wireConn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline limits how long reads and writes wait.
func (c *wireConn) SetDeadline(at time.Time) error {
	c.in.setDeadline(&c.in.read, at)
	c.out.setDeadline(&c.out.write, at)
	return nil
}

// SetReadDeadline limits how long reads wait.
func (c *wireConn) SetReadDeadline(at time.Time) error {
	c.in.setDeadline(&c.in.read, at)
	return nil
}

// SetWriteDeadline limits how long writes wait.
func (c *wireConn) SetWriteDeadline(at time.Time) error {
	c.out.setDeadline(&c.out.write, at)
	return nil
}
