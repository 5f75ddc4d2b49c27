package pki

import (
	"errors"
	"net"
	"sync/atomic"
)

// guardedConn lies below TLS. Until it is lifted it lets through a limited number of bytes, and nothing at all of what is not TLS: an
// answer to plaintext, be it an alert, would tell a scanner what listens here.
type guardedConn struct {
	net.Conn
	dialled bool
	lifted  atomic.Bool

	// Used by the one goroutine that makes the handshake, until lifted.
	left      int
	begun     bool
	plaintext bool
	exceeded  bool
	first     string // what plaintext begins with
}

var errGuard = errors.New("the other end broke a rule of the handshake")

// The first byte of a TLS record.
const (
	recordAlert     = 21
	recordHandshake = 22
)

// Read is net.Conn's.
func (g *guardedConn) Read(p []byte) (int, error) {
	if g.lifted.Load() {
		return g.Conn.Read(p)
	}
	if g.plaintext {
		return 0, errGuard
	}
	if g.left <= 0 {
		g.exceeded = true
		return 0, errGuard
	}
	n, err := g.Conn.Read(p[:min(len(p), g.left)])
	if n > 0 && !g.begun {
		g.begun = true
		if p[0] != recordHandshake && !(g.dialled && p[0] == recordAlert) {
			g.plaintext, g.first = true, quoted(string(p[:min(n, 12)]))
			return 0, errGuard
		}
	}
	g.left -= n
	return n, err
}
