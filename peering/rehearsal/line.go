package rehearsal

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"banyan/model"
)

// Line is the line of one link: all its connections, those that stand and those that come.
type Line struct {
	now     atomic.Pointer[Effects] // nil for none
	running atomic.Bool

	mu      sync.Mutex // guards all below
	conns   map[*Conn]struct{}
	changed chan struct{} // closed when now is another
	random  *rand.Rand
}

// NewLine makes a line that nothing is done to.
func NewLine() *Line {
	return &Line{conns: make(map[*Conn]struct{}), changed: make(chan struct{})}
}

// Run does to the line what a plan says, until the plan is over or ctx ends; told is called with each change. Afterwards nothing is done to it. One plan
// runs at a time.
func (l *Line) Run(ctx context.Context, plan Plan, told func(Effects)) error {
	if !l.running.CompareAndSwap(false, true) {
		return model.Errorf(model.KindExists, "an outage is rehearsed on this line already")
	}
	defer l.running.Store(false)
	defer l.turn(Effects{})
	l.mu.Lock()
	l.random = rand.New(rand.NewPCG(plan.Seed, 0))
	for c := range l.conns {
		c.seed(l.random)
	}
	l.mu.Unlock()
	began, was, first := time.Now(), Effects{}, true
	for {
		since := time.Since(began)
		if since >= plan.For {
			return nil
		}
		e, next := plan.At(since)
		if e != was || first {
			l.turn(e)
			told(e)
			was, first = e, false
		}
		timer := time.NewTimer(next)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// turn makes the effects another, and wakes all who wait for that.
func (l *Line) turn(e Effects) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.none() {
		l.now.Store(nil)
	} else {
		l.now.Store(&e)
	}
	close(l.changed)
	l.changed = make(chan struct{})
	if e.Cut {
		for c := range l.conns {
			c.reset()
		}
		clear(l.conns)
	}
}

// effects are those of now, nil for none, and what is closed when they are others.
func (l *Line) effects() (*Effects, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now.Load(), l.changed
}

// Dial waits as long as a connection would take that is dialled now beyond what it takes anyway, and fails where none would come about.
func (l *Line) Dial(ctx context.Context) error {
	for {
		e, changed := l.effects()
		switch {
		case e == nil:
			return nil
		case e.refuses():
			return &model.Error{Kind: model.KindUnavailable, Detail: "connection refused, since an outage is rehearsed on this link", Remedy: endRemedy}
		}
		var answered <-chan time.Time
		if !e.silent() {
			if e.Delay == 0 {
				return nil
			}
			timer := time.NewTimer(2 * e.Delay)
			defer timer.Stop() //nolint:gocritic // effects change a few times at most while somebody dials
			answered = timer.C
		}
		select {
		case <-answered:
			return nil
		case <-changed:
		case <-ctx.Done():
			return &model.Error{Kind: model.KindUnavailable, Detail: "nobody answers, since an outage is rehearsed on this link", Remedy: endRemedy}
		}
	}
}

const endRemedy = "it ends by itself; to end it now, call end_rehearsal of the link"

// mostConns is from how many connections on those that are closed here, and not yet for the other end, are not kept for it.
const mostConns = 64

// add takes a connection; false where none comes about now.
func (l *Line) add(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.now.Load(); e != nil && e.refuses() {
		return false
	}
	if l.random != nil {
		c.seed(l.random)
	}
	if len(l.conns) >= mostConns {
		for old := range l.conns {
			if old.over() {
				old.reset()
				delete(l.conns, old)
			}
		}
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *Line) drop(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// Lines are the lines of all links of a node, by name.
type Lines struct {
	mu    sync.Mutex // guards lines
	lines map[string]*Line
}

// Line is the line of a link, the same each time.
func (s *Lines) Line(link string) *Line {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lines == nil {
		s.lines = make(map[string]*Line)
	}
	if s.lines[link] == nil {
		s.lines[link] = NewLine()
	}
	return s.lines[link]
}

// Forget drops the lines of links that are not there any more, unless something is still going on there.
func (s *Lines) Forget(there func(link string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, l := range s.lines {
		l.mu.Lock()
		idle := len(l.conns) == 0 && !l.running.Load()
		l.mu.Unlock()
		if idle && !there(name) {
			delete(s.lines, name)
		}
	}
}

// Dial waits, or fails, as the line of a link does.
func (s *Lines) Dial(ctx context.Context, link string) error { return s.Line(link).Dial(ctx) }

// Wrap takes a connection whose link is not known yet; join says which it is, and fails where its line takes none now.
func (s *Lines) Wrap(conn net.Conn) (wrapped net.Conn, join func(link string) error) {
	c := NewConn(conn)
	return c, func(link string) error { return c.Join(s.Line(link)) }
}
