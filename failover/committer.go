package failover

import (
	"context"

	"banyan/model"
	"banyan/store"
	"banyan/tree"
)

// Committer makes commits durable, and visible in the live tree. Its methods may be called by several goroutines.
type Committer interface {
	// Submit returns when the commit is confirmed or refused. A refusal is an error of package model of its own kind. When ctx ends, a commit
	// whose turn has not come is taken back, and one whose turn has come has an unknown fate (model.KindUnknownFate): submitted again with
	// the same request ID it is done once.
	Submit(ctx context.Context, commit store.Commit) (store.Result, error)
	// Run works until ctx ends or a write fails. Commits that wait then are refused.
	Run(ctx context.Context) error
	// Failed is closed when a write has failed: nothing is confirmed from then on, and the process is to end, so that the next start reads
	// what really is on disk.
	Failed() <-chan struct{}
	// FullSince is when the disk was found full, 0 while it has room. Until it has, every commit is refused with model.KindExhausted, and nothing
	// else happens.
	FullSince() model.Time
}

// Numbers gives change numbers and shows what got them. *tree.Tree is one.
type Numbers interface {
	Reserve(count int) (first uint64)
	Apply(puts []tree.Put, removals []tree.Removal) (first uint64)
	Release()
}

var _ Numbers = (*tree.Tree)(nil)
