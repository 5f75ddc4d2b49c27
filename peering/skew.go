package peering

import (
	"fmt"
	"time"
)

// mostSkew is how far the clocks of two nodes may be apart before their link names it. Nothing is ordered by a clock: what is wrong is only what people
// read of times, and certificates once it is hours.
const mostSkew = 30 * time.Second

// wrongClock says how far the peer's clock is off, empty where it is not. The words stay while the figure hardly moves, since each change of them is told. mu is held.
func (l *link) wrongClock() string {
	skew := l.status.Skew
	limit := mostSkew
	if l.named != 0 {
		limit -= time.Second // so that it does not come and go
	}
	switch {
	case skew.Abs() < min(limit, l.hub.halfLife()):
		l.named = 0
		return ""
	case (skew - l.named).Abs() >= 5*time.Second:
		l.named = skew
	}
	direction := "ahead of"
	if l.named < 0 {
		direction = "behind"
	}
	return fmt.Sprintf("the clock of %s is %s %s this one", l.cfg.Name, l.named.Abs().Round(time.Second), direction)
}

// halfLife is half of how long this node's certificates are valid: beyond it a peer with another clock may refuse them.
func (h *Hub) halfLife() time.Duration {
	leaf := h.cfg.Certificate().Leaf
	return leaf.NotAfter.Sub(leaf.NotBefore) / 3 // they reach back by half of their life
}
