package main

import (
	"net"
	"sync"
	"time"
)

// cut is what a relay does to a link.
type cut int

const (
	through   cut = iota
	silent        // nothing passes, and nobody is told
	silentIn      // nothing passes to the node that listens
	silentOut     // nothing passes to the node that dials
	refusing      // connections end, and new ones end at once
)

func (c cut) String() string {
	return [...]string{"through", "silent", "silent one way", "silent the other way", "refusing"}[c]
}

// relay is the line of a link: it passes on what comes, or not. As with a cable, what is on the way in a silence arrives after it.
type relay struct {
	listener net.Listener
	target   func() string

	mu      sync.Mutex // guards what is below
	now     cut
	changed chan struct{} // closed when now changes
	open    map[net.Conn]bool

	work sync.WaitGroup
}

func newRelay(target func() string) (*relay, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: listener, target: target, changed: make(chan struct{}), open: map[net.Conn]bool{}}
	r.work.Go(r.accept)
	return r, nil
}

func (r *relay) address() string { return r.listener.Addr().String() }

func (r *relay) set(c cut) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = c
	close(r.changed)
	r.changed = make(chan struct{})
	if c == refusing {
		r.drop()
	}
}

// drop ends all connections. The caller holds mu.
func (r *relay) drop() {
	for conn := range r.open {
		if tcp, is := conn.(*net.TCPConn); is {
			_ = tcp.SetLinger(0) // the other end sees a reset
		}
		_ = conn.Close()
	}
	clear(r.open)
}

func (r *relay) close() {
	_ = r.listener.Close()
	r.set(refusing)
	r.work.Wait()
}

func (r *relay) accept() {
	for {
		from, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.work.Go(func() { r.pass(from) })
	}
}

// keep takes a connection into the books, unless none may be now.
func (r *relay) keep(conn net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == refusing {
		_ = conn.Close()
		return false
	}
	r.open[conn] = true
	return true
}

func (r *relay) forget(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
		delete(r.open, conn)
	}
}

func (r *relay) pass(from net.Conn) {
	if !r.keep(from) || !r.wait(silentIn) {
		return
	}
	to, err := net.DialTimeout("tcp", r.target(), 5*time.Second)
	if err != nil || !r.keep(to) {
		r.forget(from)
		return
	}
	var both sync.WaitGroup
	both.Go(func() { r.pour(to, from, silentIn); r.forget(from, to) })
	both.Go(func() { r.pour(from, to, silentOut); r.forget(from, to) })
	both.Wait()
}

// pour copies in one direction.
func (r *relay) pour(to, from net.Conn, stopped cut) {
	chunk := make([]byte, 32<<10)
	for {
		n, err := from.Read(chunk)
		if n > 0 && r.wait(stopped) {
			if _, err := to.Write(chunk[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait returns when something may pass in a direction; false says that the line refuses.
func (r *relay) wait(stopped cut) bool {
	for {
		r.mu.Lock()
		now, changed := r.now, r.changed
		r.mu.Unlock()
		if now != silent && now != stopped {
			return now != refusing
		}
		<-changed
	}
}
