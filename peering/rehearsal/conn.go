package rehearsal

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"banyan/model"
)

const (
	// mostHeld bounds what is held back in one direction of a connection, bytes: like a send buffer.
	mostHeld   = 256 << 10
	chunkBytes = 16 << 10
)

// Conn is a connection on a line. As net.Conn it is used by one reader and one writer at a time, which is what TLS does.
type Conn struct {
	net.Conn
	line    atomic.Pointer[Line]
	in, out half
	closing sync.Once
	closed  chan struct{}
}

var _ net.Conn = (*Conn)(nil)

// NewConn makes a connection that is on no line yet.
func NewConn(conn net.Conn) *Conn {
	c := &Conn{Conn: conn, closed: make(chan struct{})}
	for _, h := range []*half{&c.in, &c.out} {
		h.changed = make(chan struct{})
		h.shaper.random = rand.New(rand.NewPCG(1, 1))
	}
	return c
}

// Join puts the connection on a line. Where that takes none now, the connection is closed.
func (c *Conn) Join(l *Line) error {
	c.line.Store(l)
	if l.add(c) {
		return nil
	}
	c.reset()
	return &model.Error{Kind: model.KindUnavailable, Detail: "connection refused, since an outage is rehearsed on this link", Remedy: endRemedy}
}

// seed has what is left to chance come from elsewhere.
func (c *Conn) seed(random *rand.Rand) {
	for _, h := range []*half{&c.in, &c.out} {
		h.mu.Lock()
		h.shaper.random = rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
		h.mu.Unlock()
	}
}

// shaped reports whether something is done to the line now.
func (c *Conn) shaped() bool {
	l := c.line.Load()
	return l != nil && l.now.Load() != nil
}

// effects are what is done now, and what is closed when that changes.
func (c *Conn) effects() (*Effects, <-chan struct{}) {
	if l := c.line.Load(); l != nil {
		return l.effects()
	}
	return nil, nil
}

// Read gives what has arrived.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		if c.in.busy.Load() || c.shaped() {
			n, again, err := c.take(p)
			if again {
				continue
			}
			return n, err
		}
		n, err := c.Conn.Read(p)
		if n == 0 || err != nil || !c.shaped() {
			return n, err
		}
		e, _ := c.effects() // it began while this was waiting
		c.in.mu.Lock()
		c.in.push(append([]byte(nil), p[:n]...), e)
		c.in.mu.Unlock()
	}
}

// take reads from the queue; again says that nothing is done to the line any more and all of the queue was taken.
func (c *Conn) take(p []byte) (n int, again bool, err error) {
	h := &c.in
	for {
		e, lineChanged := c.effects()
		blocked := e != nil && e.BlockIn
		h.mu.Lock()
		arrived, wait := h.first(e, blocked)
		switch {
		case arrived && h.queue[0].last:
			h.mu.Unlock()
			c.reset()
			return 0, false, errLost
		case arrived:
			n = copy(p, h.queue[0].data)
			h.held -= n
			if h.queue[0].data = h.queue[0].data[n:]; len(h.queue[0].data) == 0 {
				h.pop()
			}
			h.mu.Unlock()
			return n, false, nil
		case len(h.queue) == 0 && h.err != nil && !blocked:
			err = h.err
			h.mu.Unlock()
			return 0, false, err
		case len(h.queue) == 0 && !h.pumping && e == nil:
			h.busy.Store(false)
			h.mu.Unlock()
			return 0, true, nil
		case !h.pumping && h.err == nil:
			h.pumping = true
			h.busy.Store(true)
			go c.pumpIn()
		}
		changed, deadline := h.changed, h.deadline
		h.mu.Unlock()
		if err := c.wait(wait, deadline, changed, lineChanged); err != nil {
			return 0, false, err
		}
	}
}

var errLost = errors.New("connection lost: too many packets in a row, since an outage is rehearsed")

// wait returns when something may have changed.
func (c *Conn) wait(d time.Duration, deadline time.Time, changed, lineChanged <-chan struct{}) error {
	var due, late <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	if !deadline.IsZero() {
		left := time.Until(deadline)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		timer := time.NewTimer(left)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-due:
	case <-changed:
	case <-lineChanged:
	case <-late:
		return os.ErrDeadlineExceeded
	case <-c.closed:
		return net.ErrClosed
	}
	return nil
}

// Write takes what is to be sent, as far as there is room.
func (c *Conn) Write(p []byte) (int, error) {
	if !c.out.busy.Load() && !c.shaped() {
		return c.Conn.Write(p)
	}
	h := &c.out
	for sent := 0; ; {
		e, lineChanged := c.effects()
		h.mu.Lock()
		if h.err != nil {
			defer h.mu.Unlock()
			return sent, h.err
		}
		for sent < len(p) && h.held < mostHeld {
			n := min(len(p)-sent, chunkBytes)
			h.push(append([]byte(nil), p[sent:sent+n]...), e)
			sent += n
		}
		if !h.pumping && len(h.queue) > 0 {
			h.pumping = true
			go c.pumpOut()
		}
		changed, deadline := h.changed, h.deadline
		h.mu.Unlock()
		if sent == len(p) {
			return sent, nil
		}
		if err := c.wait(0, deadline, changed, lineChanged); err != nil {
			return sent, err
		}
	}
}

// Close ends the connection here. The other end learns of it when all that was sent before has arrived, as it would over a real line.
func (c *Conn) Close() error {
	c.closing.Do(func() { close(c.closed) })
	if !c.out.busy.Load() && !c.shaped() {
		return c.shut()
	}
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0)) // who reads below since before it began is to notice
	if !c.out.busy.Load() {
		_ = c.Conn.SetWriteDeadline(time.Unix(1, 0))
	}
	go c.linger()
	return nil
}

// lingerTime is what the rest of a closed connection gets when nothing holds it back any more.
const lingerTime = 5 * time.Second

// linger closes the connection for the other end when that could know.
func (c *Conn) linger() {
	h := &c.out
	for {
		e, lineChanged := c.effects()
		h.mu.Lock()
		rest, changed := h.pumping && h.err == nil, h.changed
		h.mu.Unlock()
		if !rest && (e == nil || !e.BlockOut) {
			_ = c.shut()
			return
		}
		if e == nil {
			_ = c.Conn.SetWriteDeadline(time.Now().Add(lingerTime))
		}
		pause(0, changed, lineChanged)
	}
}

// shut closes what is below.
func (c *Conn) shut() error {
	if l := c.line.Load(); l != nil {
		l.drop(c)
	}
	return c.Conn.Close()
}

// reset breaks the connection at once, for both ends. It is called with the line's mutex held, too.
func (c *Conn) reset() {
	c.closing.Do(func() { close(c.closed) })
	if tcp, is := c.Conn.(*net.TCPConn); is {
		_ = tcp.SetLinger(0)
	}
	_ = c.Conn.Close()
	for _, h := range []*half{&c.in, &c.out} {
		h.mu.Lock()
		if h.err == nil {
			h.err = syscall.ECONNRESET
		}
		h.tell()
		h.mu.Unlock()
	}
}

// SetDeadline is net.Conn's.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline is net.Conn's.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.until(t)
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline is net.Conn's. What was taken is sent whenever it is due.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.until(t)
	if !t.IsZero() && (c.out.busy.Load() || c.shaped()) {
		return nil
	}
	return c.Conn.SetWriteDeadline(t)
}

// over reports whether the connection is closed here.
func (c *Conn) over() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}
