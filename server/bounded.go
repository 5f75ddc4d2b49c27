package server

import (
	"net"
	"sync"
	"sync/atomic"
)

// bounded is a listener with a most of open connections: those above it wait in the system's queue.
type bounded struct {
	net.Listener
	room   chan struct{}
	closed chan struct{}
	once   sync.Once // closes closed
	open   *atomic.Int64
}

// newBounded makes one that counts open connections.
func newBounded(l net.Listener, most int, open *atomic.Int64) *bounded {
	return &bounded{Listener: l, room: make(chan struct{}, most), closed: make(chan struct{}), open: open}
}

// Accept waits for a connection and room for it.
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.room <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	conn, err := b.Listener.Accept()
	if err != nil {
		<-b.room
		return nil, err
	}
	b.open.Add(1)
	return &boundedConn{Conn: conn, leave: sync.OnceFunc(func() {
		b.open.Add(-1)
		<-b.room
	})}, nil
}

// Close ends accepting.
func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

type boundedConn struct {
	net.Conn
	leave func()
}

// Close closes the connection and gives its place back.
func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}
