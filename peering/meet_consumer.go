package peering

import (
	"context"
	"net"
	"slices"
	"time"

	"banyan/model"
	"banyan/pki"
	"banyan/proto/linkv1"
	"banyan/proto/modelv1"
)

// judge has the life of a consumer that asks for this node's judged, before it is told anything. One that tells nothing of itself is of version 1, and is
// taken as it comes.
func (l *link) judge(ctx context.Context, conn *provenConn, request *linkv1.MeetRequest) error {
	if l.hub.cfg.Meet == nil || request.GetChain() == nil {
		return nil
	}
	told, err := readLife(request)
	if err != nil {
		l.offended(err)
		conn.closeSoon()
		return err
	}
	l.judging.Lock() // of two that come at once the second is judged by the first
	defer l.judging.Unlock()
	live := l.servesBeside(conn)
	l.mu.Lock()
	m := Meeting{Link: l.cfg.Name, Address: conn.peer.Address, Told: told, Known: l.known, Heard: max(l.heard, l.status.Heard), Live: live}
	l.mu.Unlock()
	if err := l.hub.cfg.Meet(ctx, m); err != nil {
		conn.refused.Store(true)
		conn.closeSoon() // after the answer
		return err
	}
	l.mu.Lock()
	l.known, l.heard = told.Chain, l.hub.clock()
	l.mu.Unlock()
	return nil
}

// servesBeside reports whether a consumer is proved to be there over another connection.
func (l *link) servesBeside(conn *provenConn) bool {
	l.mu.Lock()
	sessions := slices.Clone(l.sessions)
	l.mu.Unlock()
	now := l.hub.now()
	return slices.ContainsFunc(sessions, func(s *providerSession) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.conn != conn && s.ever && now < s.downAt
	})
}

// tellsLife is who tells of a life of its own.
type tellsLife interface {
	GetChain() *modelv1.Chain
	GetRestores() [][]byte
}

// arrival is a connection that came.
type arrival struct {
	key, address string
	at           model.Time
}

// Two who take turns as often as this within this time are two.
const (
	mostTurns  = 4
	turnsTime  = time.Minute
	sameSerial = " from "
)

// arrived looks whether the connections of a link come from two nodes by turns. A node shows one certificate at a time, and never an older one again; so a
// certificate that comes back after another one, twice, is one of two nodes with one ID. Those that share even that, as copies of a running machine do,
// differ by where they are. It is how clones of version 1 are noticed, which tell nothing of their lives.
func (l *link) arrived(conn *provenConn) {
	host, _, err := net.SplitHostPort(conn.peer.Address)
	if err != nil {
		host = conn.peer.Address
	}
	now := arrival{key: conn.peer.Serial + sameSerial + host, address: conn.peer.Address, at: l.hub.now()}
	l.mu.Lock()
	n := len(l.arrivals)
	if n > 0 && l.arrivals[n-1].key == now.key {
		l.arrivals[n-1] = now
		l.mu.Unlock()
		return
	}
	l.arrivals = append(l.arrivals[max(0, n+1-mostTurns):n:n], now)
	twins := takeTurns(l.arrivals)
	other := l.arrivals[max(0, len(l.arrivals)-2)].address
	l.mu.Unlock()
	if twins && l.hub.cfg.Twins != nil {
		l.hub.cfg.Twins(l.cfg.Name, now.address, other)
	}
}

func takeTurns(list []arrival) bool {
	n := len(list)
	return n == mostTurns && list[0].key == list[2].key && list[1].key == list[3].key && time.Duration(list[n-1].at-list[0].at) < turnsTime
}

// refusedLife is the error of a connection whose consumer was refused and goes on.
func refusedLife() error {
	return pki.Refuse(pki.Cloned, "this life of the node was refused")
}
