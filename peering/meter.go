package peering

import (
	"net"
	"sync"
	"sync/atomic"
)

// Meter counts what goes over the connections of a link, as the network sees it: TLS and its handshakes belong to it, the headers of TCP and IP do not. It
// outlives the connections.
type Meter struct{ received, sent atomic.Uint64 }

// Read is how many bytes came and went so far.
func (m *Meter) Read() (received, sent uint64) { return m.received.Load(), m.sent.Load() }

// meters are those of all links, by name.
type meters struct {
	mu  sync.Mutex // guards all
	all map[string]*Meter
}

// of is the meter of a link, the same as long as the hub lives.
func (m *meters) of(link string) *Meter {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = make(map[string]*Meter)
	}
	if m.all[link] == nil {
		m.all[link] = &Meter{}
	}
	return m.all[link]
}

func (m *meters) total() (received, sent uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.all {
		in, out := one.Read()
		received, sent = received+in, sent+out
	}
	return received, sent
}

// Carried is how many bytes came and went over a link since the start.
func (h *Hub) Carried(link string) (received, sent uint64) { return h.meters.of(link).Read() }

// meteredConn counts what goes over a connection, from before it is known which link it belongs to.
type meteredConn struct {
	net.Conn

	mu             sync.Mutex // guards all below
	to             *Meter     // nil until then
	received, sent uint64     // until then
}

// Read counts what comes.
func (c *meteredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.count(n, 0)
	return n, err
}

// Write counts what goes.
func (c *meteredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.count(0, n)
	return n, err
}

func (c *meteredConn) count(received, sent int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.to == nil {
		c.received, c.sent = c.received+uint64(received), c.sent+uint64(sent)
		return
	}
	c.to.received.Add(uint64(received))
	c.to.sent.Add(uint64(sent))
}

// belongs says whose connection it is.
func (c *meteredConn) belongs(to *Meter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.to != nil {
		return
	}
	c.to = to
	to.received.Add(c.received)
	to.sent.Add(c.sent)
}
