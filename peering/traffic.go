package peering

import (
	"sync/atomic"
	"time"
)

// Traffic is what passed over all links of a node since its start.
type Traffic struct {
	Received, Sent uint64        // bytes, before encryption
	WireReceived   uint64        // bytes of the connections themselves, with TLS and its handshakes
	WireSent       uint64        //
	Withheld       uint64        // samples that consumers did not want as often as they came
	Ups            uint64        // how often a link came up
	Failures       uint64        // how often one lost its connection or got none
	Lag            time.Duration // of the newest heartbeat, on the link where it is longest
	Contexts       int           // that are mounted
}

// traffic is counted where it happens.
type traffic struct{ received, sent, withheld, ups, failures atomic.Uint64 }

// Traffic is what passed so far.
func (h *Hub) Traffic() Traffic {
	t := Traffic{Received: h.traffic.received.Load(), Sent: h.traffic.sent.Load(), Ups: h.traffic.ups.Load(), Failures: h.traffic.failures.Load()}
	t.WireReceived, t.WireSent = h.meters.total()
	t.Withheld = h.traffic.withheld.Load()
	for _, r := range h.all() {
		status := r.link.statusNow()
		for i := range status.Feeds {
			if status.Feeds[i].State == StateUp {
				t.Lag = max(t.Lag, status.Feeds[i].Lag)
			}
		}
		t.Contexts += status.Contexts
	}
	return t
}

// Read counts what comes.
func (c *provenConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.traffic.received.Add(uint64(n))
	return n, err
}

// Write counts what goes.
func (c *provenConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.traffic.sent.Add(uint64(n))
	return n, err
}
