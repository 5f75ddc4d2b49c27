package server

import (
	"context"
	"sync"
	"time"

	"banyan/tree"
)

// pulse tells everybody who waits that contexts or staleness changed. One reader of the tree serves them all, so that a stream that watches three
// variables is not woken by a million samples a second of others.
type pulse struct {
	tree              *tree.Tree
	changes, overlays uint64 // as they were at the last look

	mu   sync.Mutex // guards beat
	beat chan struct{}
}

// pulseRest is how long the reader rests after it was woken: samples wake it, too, and mostly for nothing.
const pulseRest = 5 * time.Millisecond

func newPulse(t *tree.Tree) *pulse { return &pulse{tree: t, beat: make(chan struct{})} }

// next is closed when contexts or staleness change after the call.
func (p *pulse) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.beat
}

// until waits for something to become true, and says whether it did before ctx ended.
func (p *pulse) until(ctx context.Context, holds func() bool) bool {
	for {
		changed := p.next()
		if holds() {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// Run works until ctx ends.
func (p *pulse) Run(ctx context.Context) error {
	reader := p.tree.NewReader()
	defer reader.Close()
	reader.Rest()
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		p.look()
		rest.Reset(pulseRest)
		select {
		case <-rest.C:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-reader.Wake():
		case <-ctx.Done():
			return nil
		}
	}
}

// look tells everybody if something changed since the last look.
func (p *pulse) look() {
	changes := p.tree.ChangeHead()
	_, overlays, _, _ := p.tree.OverlaysSince(p.overlays)
	if changes == p.changes && overlays == p.overlays {
		return
	}
	p.changes, p.overlays = changes, overlays
	p.kick()
}

// kick tells everybody who waits to look again.
func (p *pulse) kick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.beat)
	p.beat = make(chan struct{})
}
