package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// tasks are goroutines that belong together: when one ends, all do, and whoever started them waits for them.
type tasks struct {
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu       sync.Mutex // guards problems
	problems []error
}

// newTasks makes a group without tasks, and the context under which they run.
func newTasks(ctx context.Context) (*tasks, context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	return &tasks{cancel: cancel}, ctx
}

// start runs a task until the context ends. A part that ended by itself is not missed in silence: all others end too.
func (t *tasks) start(ctx context.Context, name string, run func(context.Context) error) {
	t.wait.Go(func() {
		defer t.cancel()
		if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.mu.Lock()
			t.problems = append(t.problems, fmt.Errorf("%s: %w", name, err))
			t.mu.Unlock()
		}
	})
}

// ended is closed when all tasks have ended.
func (t *tasks) ended() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		t.wait.Wait()
		close(done)
	}()
	return done
}

// err is what went wrong.
func (t *tasks) err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(t.problems...)
}
