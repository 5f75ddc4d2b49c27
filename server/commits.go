package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"banyan/model"
	"banyan/store"
	"banyan/tree"
)

// committer is what commits need of package failover.
type committer interface {
	Submit(ctx context.Context, commit store.Commit) (store.Result, error)
}

// Commits is the one way in which own contexts change. When Do returns without an error the commit is on disk, the tree shows it, and everybody
// who acts by what the tree says (rights, devices, links) has heard of it.
type Commits struct {
	to     committer
	store  *store.Store
	tree   *tree.Tree
	pulse  *pulse
	now    func() time.Time
	done   atomic.Int64
	counts *counts
	room   func([]store.Change) error // refuses what is too much

	mu        sync.Mutex // one at a time tells the observers
	seen      uint64     // change number up to which they were told
	observers []Observer
}

// Observer is told of own contexts that came, changed or went. It must be quick and must not commit: a mark and a wake is what it does.
type Observer func(changed []tree.Context, removed []tree.Tombstone)

// Do makes a commit. Class and Time are set where they are not.
func (c *Commits) Do(ctx context.Context, commit store.Commit) (store.Result, error) {
	if commit.Class == 0 {
		commit.Class = store.ClassPeople
	}
	if commit.Time == 0 {
		commit.Time = model.TimeOf(c.now())
	}
	if err := c.room(commit.Changes); err != nil {
		return store.Result{}, err
	}
	began := time.Now()
	result, err := c.to.Submit(ctx, commit)
	c.counts.commit(time.Since(began), err)
	if err != nil {
		return result, err
	}
	c.done.Add(1)
	c.tell()
	return result, nil
}

// NewID draws the ID of a context.
func (c *Commits) NewID() model.ContextID { return c.store.NewID() }

// Observe adds an observer, before the node runs. It is told everything once.
func (c *Commits) Observe(o Observer) { c.observers = append(c.observers, o) }

// tell brings the observers up to date with the tree.
func (c *Commits) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.tree.ChangesSince(c.seen, 1<<31-1, own)
	c.seen = d.Through
	if len(d.Contexts) == 0 && len(d.Tombstones) == 0 {
		return
	}
	for _, o := range c.observers {
		o(d.Contexts, d.Tombstones)
	}
	// Whoever looked when the tree changed may have been judged by the rights of before.
	c.pulse.kick()
}
