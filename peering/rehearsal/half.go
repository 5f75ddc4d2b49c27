package rehearsal

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// half is one direction.
type half struct {
	busy atomic.Bool // the queue is in use: nothing may pass beside it

	mu       sync.Mutex // guards all below
	shaper   shaper
	queue    []chunk
	held     int
	pumping  bool
	err      error // comes behind the queue
	deadline time.Time
	changed  chan struct{} // closed when something of the half is another
}

type chunk struct {
	data []byte
	due  time.Time
	last bool // the connection breaks instead of this
}

// tell wakes whoever waits for a change of the half. mu is held.
func (h *half) tell() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// push appends what was sent now. mu is held.
func (h *half) push(data []byte, e *Effects) {
	c := chunk{data: data}
	if e != nil {
		c.due, c.last = h.shaper.due(time.Now(), len(data), e)
	}
	h.queue = append(h.queue, c)
	h.held += len(data)
	h.busy.Store(true)
	h.tell()
}

// pop takes the first chunk away. mu is held.
func (h *half) pop() {
	h.held -= len(h.queue[0].data)
	h.queue[0] = chunk{}
	h.queue = h.queue[1:]
	h.tell()
}

// first says whether the first chunk has arrived, else how long that takes; 0 for as long as it is blocked. mu is held.
func (h *half) first(e *Effects, blocked bool) (arrived bool, wait time.Duration) {
	switch {
	case len(h.queue) == 0 || blocked:
		return false, 0
	case e == nil:
		return true, 0 // it is over: what was on its way comes at once
	}
	wait = time.Until(h.queue[0].due)
	return wait <= 0, wait
}

func (h *half) until(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deadline = t
	h.tell()
}

// pumpIn takes what comes as soon as it comes, so that each byte has its own delay, until nothing is done to the line any more.
func (c *Conn) pumpIn() {
	h := &c.in
	for {
		buffer := make([]byte, chunkBytes)
		n, err := c.Conn.Read(buffer)
		e, _ := c.effects()
		h.mu.Lock()
		if n > 0 {
			h.push(buffer[:n:n], e)
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded): // the reader is told by its own look at the clock
			h.pumping = false
		case err != nil:
			h.err, h.pumping = err, false
		case e == nil:
			h.pumping = false
		}
		over := !h.pumping
		h.tell()
		full := h.held >= mostHeld
		changed := h.changed
		h.mu.Unlock()
		for full && !over {
			if c.wait(0, time.Time{}, changed, nil) != nil {
				return
			}
			h.mu.Lock()
			full, changed = h.held >= mostHeld, h.changed
			h.mu.Unlock()
		}
		if over {
			return
		}
	}
}

// pumpOut sends what is due until there is nothing left. A connection that was closed gets the rest sent, and is closed for the other end after that.
func (c *Conn) pumpOut() {
	h := &c.out
	for {
		e, lineChanged := c.effects()
		h.mu.Lock()
		arrived, wait := h.first(e, e != nil && e.BlockOut)
		if len(h.queue) == 0 || h.err != nil {
			h.queue, h.held, h.pumping = nil, 0, false
			h.busy.Store(false)
			h.tell()
			h.mu.Unlock()
			return
		}
		next, changed := h.queue[0], h.changed
		h.mu.Unlock()
		if !arrived {
			pause(wait, changed, lineChanged)
			continue
		}
		_, err := c.send(&next)
		h.mu.Lock()
		if err != nil {
			h.err = err
		}
		h.pop()
		h.mu.Unlock()
	}
}

// send sends a chunk, or breaks the connection where that is its fate.
func (c *Conn) send(next *chunk) (int, error) {
	if next.last {
		c.reset()
		return 0, errLost
	}
	return c.Conn.Write(next.data)
}

// pause returns when something may have changed; without a wait only then.
func pause(d time.Duration, changed, lineChanged <-chan struct{}) {
	var due <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
	case <-changed:
	case <-lineChanged:
	}
}
