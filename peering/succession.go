package peering

import (
	"context"

	"banyan/model"
	"banyan/pki"
)

// succeed has the root of a peer pinned in place of the one that it succeeds, before anything crosses the connection by which that was learnt. The
// connection that is refused for a commit that fails is tried again.
func (h *Hub) succeed(ctx context.Context, who pki.Peer) error {
	if who.Succeeds == nil || h.cfg.Succeed == nil {
		return nil
	}
	if err := h.cfg.Succeed(ctx, who); err != nil {
		return model.Errorf(model.KindUnavailable, "the new root of node %s cannot be pinned: %w", who.Node.Short(), err)
	}
	return nil
}

// Reconnect ends the sessions of all links. Whoever dials comes back at once, and by then both ends show the certificates that they have now: a
// connection stands for as long as it works, and a peer that learnt of a new root only at its end might find that the old one has expired.
func (h *Hub) Reconnect() {
	for _, r := range h.all() {
		r.link.mu.Lock()
		var conns []*provenConn
		if r.link.line != nil {
			conns = append(conns, r.link.line.conn)
		}
		if r.link.current != nil {
			conns = append(conns, r.link.current)
		}
		r.link.mu.Unlock()
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
}

// knocked notes on the link of a peer that somebody who says to be that peer was refused: who only waits to be dialled would not learn why nobody comes.
func (h *Hub) knocked(who pki.Peer, err error) {
	if _, refused := pki.RefusalOf(err); !refused || who.Node.IsZero() {
		return
	}
	for _, r := range h.all() {
		l := r.link
		if l.cfg.Peer != who.Node || l.cfg.Dials || l.cfg.Refused || l.cfg.Role != who.Role().Other() {
			continue
		}
		l.mu.Lock()
		waits := l.status.State == StateConnecting || l.status.State == StateRefused
		l.status.Problem, l.status.Failed, l.problem = err.Error(), l.hub.clock(), err
		l.mu.Unlock()
		if waits {
			l.set(StateRefused, err.Error(), who.Address)
		}
	}
}
