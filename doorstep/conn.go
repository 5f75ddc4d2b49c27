package doorstep

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"banyan/fault"
)

// Conn is a connection that stands on the doorstep until it is let in. It lies below TLS. Until then it gets the bytes and the time that its listener
// says: what it sends beyond waits, since who may send more can have sent it right behind the proof; when the time is over it is closed.
type Conn struct {
	net.Conn
	door   *Listener
	source string
	since  time.Time
	timer  *time.Timer
	in     chan struct{} // closed when it is let in
	inside atomic.Bool
	gone   chan struct{} // closed with the connection
	once   sync.Once     // closes gone

	stands, counted bool // on the doorstep, inside; the listener's mutex guards both

	left    int         // used by the one that reads, until it is let in
	wrote   atomic.Bool // the greeting is answered
	working atomic.Bool // it has the place at the bench

	mu       sync.Mutex // guards the rest
	deadline time.Time  // for reading
	moved    chan struct{}
}

// LetIn says that the other end has proved who it is: nothing is counted any more. False says that there are as many inside as there may be; then it stays
// where it is.
func (c *Conn) LetIn() bool {
	if c.inside.Load() {
		return true
	}
	l := c.door
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case c.counted:
		return true
	case !c.stands:
		return false // it was sent away just now
	case l.cfg.Most > 0 && l.stats.Inside >= l.cfg.Most:
		l.stats.Full++
		return false
	}
	l.leave(c)
	l.stats.Inside++
	c.counted = true
	c.timer.Stop()
	c.inside.Store(true)
	close(c.in)
	return true
}

// Inside says whether it was let in.
func (c *Conn) Inside() bool { return c.inside.Load() }

// Left is how long it may still stand here.
func (c *Conn) Left() time.Duration { return c.door.cfg.Within - time.Since(c.since) }

// Gone is closed with the connection.
func (c *Conn) Gone() <-chan struct{} { return c.gone }

// Source is where it comes from, as Source of its address.
func (c *Conn) Source() string { return c.source }

// late sends away who has not proved who they are.
func (c *Conn) late() {
	c.door.mu.Lock()
	standing := c.stands && !fault.Planted(fault.StrangersStay)
	if standing {
		c.door.stats.Late++
		c.door.leave(c)
	}
	c.door.mu.Unlock()
	if standing {
		_ = c.Close()
	}
}

// Close closes the connection and gives its place back.
func (c *Conn) Close() error {
	c.once.Do(func() {
		close(c.gone)
		c.rest()
		l := c.door
		l.mu.Lock()
		defer l.mu.Unlock()
		l.leave(c)
		if c.counted {
			c.counted = false
			l.stats.Inside--
		}
		c.timer.Stop()
	})
	return c.Conn.Close()
}

// Read is net.Conn's. While nothing was answered yet, what it returns is worked on at the bench.
func (c *Conn) Read(p []byte) (int, error) {
	if c.inside.Load() {
		return c.Conn.Read(p)
	}
	c.rest()
	if c.left <= 0 {
		if err := c.await(); err != nil {
			return 0, err
		}
		return c.Conn.Read(p)
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	if n > 0 && !c.wrote.Load() {
		c.work()
	}
	return n, err
}

// Write is net.Conn's.
func (c *Conn) Write(p []byte) (int, error) {
	if !c.wrote.Load() {
		c.wrote.Store(true)
		c.rest()
	}
	return c.Conn.Write(p)
}

// work waits for the place at the bench.
func (c *Conn) work() {
	select {
	case c.door.cfg.Bench.place <- struct{}{}:
		c.working.Store(true)
	case <-c.gone:
	}
	select {
	case <-c.gone: // whoever closed it has looked already
		c.rest()
	default:
	}
}

// rest gives the place at the bench back.
func (c *Conn) rest() {
	if c.working.CompareAndSwap(true, false) {
		<-c.door.cfg.Bench.place
	}
}

// await waits until it is let in, and ends as a read does: with the connection, or at the deadline for reading.
func (c *Conn) await() error {
	for {
		c.mu.Lock()
		if c.moved == nil {
			c.moved = make(chan struct{})
		}
		moved, deadline := c.moved, c.deadline
		c.mu.Unlock()
		var over <-chan time.Time
		if !deadline.IsZero() {
			timer := time.NewTimer(time.Until(deadline))
			defer timer.Stop()
			over = timer.C
		}
		select {
		case <-c.in:
			return nil
		case <-c.gone:
			return net.ErrClosed
		case <-over:
			return os.ErrDeadlineExceeded
		case <-moved:
		}
	}
}

// SetDeadline is net.Conn's.
func (c *Conn) SetDeadline(t time.Time) error {
	c.move(t)
	return c.Conn.SetDeadline(t)
}

// SetReadDeadline is net.Conn's.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.move(t)
	return c.Conn.SetReadDeadline(t)
}

func (c *Conn) move(t time.Time) {
	if c.inside.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if c.moved != nil {
		close(c.moved)
		c.moved = nil
	}
}
