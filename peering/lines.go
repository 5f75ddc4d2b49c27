package peering

import (
	"context"
	"net"
)

// Lines are the lines that links run over, on which outages can be rehearsed: package rehearsal has them.
type Lines interface {
	// Dial waits as long as dialling over the line of a link takes beyond what it takes anyway, and fails where nobody would answer.
	Dial(ctx context.Context, link string) error
	// Wrap takes a connection of which it is not known yet whose it is. join says of which link, and fails, with the connection closed, where the line
	// of that takes none now.
	Wrap(conn net.Conn) (wrapped net.Conn, join func(link string) error)
	// Forget is told which links there are.
	Forget(there func(link string) bool)
}

// plainLines are lines that nothing is ever done to.
type plainLines struct{}

var _ Lines = plainLines{}

func (plainLines) Dial(context.Context, string) error { return nil }
func (plainLines) Wrap(conn net.Conn) (net.Conn, func(string) error) {
	return conn, func(string) error { return nil }
}
func (plainLines) Forget(func(string) bool) {}

// dialOver opens a connection over the line of a link; of none where link is empty.
func (h *Hub) dialOver(ctx context.Context, link string, to Destination) (Dialled, error) {
	if link == "" {
		return h.cfg.Dial.Dial(ctx, to)
	}
	within, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	if err := h.cfg.Lines.Dial(within, link); err != nil {
		return Dialled{}, err
	}
	dialled, err := h.cfg.Dial.Dial(ctx, to)
	if err != nil {
		return Dialled{}, err
	}
	wrapped, join := h.cfg.Lines.Wrap(dialled.Conn)
	dialled.Conn = wrapped
	return dialled, join(link)
}
