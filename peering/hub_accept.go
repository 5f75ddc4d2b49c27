package peering

import (
	"banyan/doorstep"
	"banyan/model"
	"banyan/pki"
	"context"
	"errors"
	"net"
	"sync"
)

// Doorstep is what a connection stands on that was accepted, until it is let in: without that it is closed after a time. A listener may hand out
// connections without one.
type Doorstep interface{ LetIn() bool }

// accept takes connections. How many may be there that have not proved who they are is the listener's.
func (h *Hub) accept(ctx context.Context, listener net.Listener) {
	var work sync.WaitGroup
	defer work.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			h.log.Warn("accepting a connection failed", "error", err)
			sleep(ctx, tickTime)
			continue
		}
		work.Go(func() { h.prove(ctx, conn) })
	}
}

// prove takes a connection whose other end proves to be one that is expected.
func (h *Hub) prove(ctx context.Context, conn net.Conn) {
	config := h.pkiConfig(pki.ProtocolConsumer, pki.ProtocolProvider, pki.ProtocolJoin)
	config.Admit = h.admit
	step, _ := conn.(Doorstep)
	conn, join := h.cfg.Lines.Wrap(conn)
	metered := &meteredConn{Conn: conn}
	secured, who, err := pki.Accept(ctx, doorstep.Gather(metered), config)
	if err != nil {
		h.knocked(who, err) // it is in the log
		return
	}
	if err := h.succeed(ctx, who); err != nil {
		h.log.Error("a connection was not taken", "error", err)
		_ = secured.Close()
		return
	}
	proven := h.newProvenConn(secured, who)
	proven.step = step
	if who.Protocol == pki.ProtocolJoin { // whoever that is: it is let in when its token is good
		h.inlet.hand(proven)
		return
	}
	l := h.linkOf(who)
	if l == nil {
		_ = proven.Close()
		return
	}
	proven.letIn()
	metered.belongs(h.meters.of(l.cfg.Name))
	if join(l.cfg.Name) != nil {
		return // an outage is rehearsed
	}
	l.arrived(proven)
	l.offer(proven)
}

func (h *Hub) pkiConfig(protocols ...string) pki.Config {
	return pki.Config{Certificate: h.cfg.Certificate, Protocols: protocols, Pins: h.cfg.Pins, Clock: h.cfg.Now, Logger: h.log, Notes: &h.notes}
}

// admit decides on a peer that dialled: it needs a link that is agreed this way round.
func (h *Hub) admit(who pki.Peer) error {
	if who.Protocol == pki.ProtocolJoin {
		if h.cfg.Joining == nil {
			return pki.Refuse(pki.InvitationForeign, "nobody is invited")
		}
		return h.cfg.Joining()
	}
	if !who.Pinned {
		return pki.Refuse(pki.UnknownNode, "no link names this node")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	known, reason := false, error(nil)
	for _, r := range h.links {
		cfg := r.link.cfg
		if cfg.Peer != who.Node {
			continue
		}
		known = true
		if cfg.Role == who.Role().Other() && !cfg.Dials {
			if !cfg.Refused {
				return r.link.shuns()
			}
			reason = refuse(cfg.Refusal) // unless another link with this node holds, as after a revoked one was made anew
		}
	}
	if reason != nil {
		return reason
	}
	if known {
		return pki.Refuse(pki.WrongRole, "no link with this node is agreed this way round")
	}
	return pki.Refuse(pki.UnknownNode, "no link names this node")
}

// refuse says why a link may not be used.
func refuse(reason pki.Refusal) *model.Error {
	switch reason {
	case pki.Revoked:
		return pki.Refuse(reason, "the link was revoked")
	case pki.Disabled:
		return pki.Refuse(reason, "the link is switched off")
	default:
		return pki.Refuse(reason, "the link was changed")
	}
}

func (h *Hub) linkOf(who pki.Peer) *link {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.links {
		if cfg := r.link.cfg; cfg.Peer == who.Node && cfg.Role == who.Role().Other() && !cfg.Dials && !cfg.Refused {
			return r.link
		}
	}
	return nil
}
