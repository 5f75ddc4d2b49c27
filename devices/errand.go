package devices

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"banyan/model"
)

// grace is how long a call into a driver may go on after its context has ended, before it is left behind: long enough for a
// device that listens to ctx to say goodbye, and short enough for an answer within half a second of the deadline.
const grace = 250 * time.Millisecond

// errand is one call into a driver, in a goroutine of its own, so that one which does not return holds up nobody.
type errand struct {
	what   string
	cancel context.CancelFunc
	ended  chan struct{} // closed when the driver has returned
	err    error         // valid after ended
	lost   bool          // left behind; guarded by the life's mu
}

// send starts an errand. It is refused once the life is ending, since from then on the errands are counted out.
func (l *life) send(cancel context.CancelFunc, what string, work func() error) (*errand, error) {
	e := &errand{what: what, cancel: cancel, ended: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending {
		return nil, l.failure(what, model.KindUnavailable, "the device was stopped")
	}
	l.errands[e] = struct{}{}
	l.calls.Go(func() {
		e.err = l.shielded(what, work)
		l.mu.Lock()
		delete(l.errands, e)
		l.mu.Unlock()
		close(e.ended)
	})
	return e, nil
}

// wait returns true when the driver has returned, and false when it has not although ctx ended a grace ago.
func (l *life) wait(ctx context.Context, e *errand) bool {
	select {
	case <-e.ended:
		return true
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-e.ended:
		return true
	case <-timer.C:
	}
	l.mu.Lock()
	e.lost = true
	l.mu.Unlock()
	l.log.Warn("device does not end what it was told to end", "path", l.where(), "call", e.what)
	return false
}

// shielded turns a driver's panic into an error: one driver's defect is not the end of the node.
func (l *life) shielded(what string, work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			l.log.Error("driver panicked", "path", l.where(), "kind", l.kind.name, "call", what, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = model.Errorf(model.KindInternal, "the %s driver failed in an unforeseen way; the node's log has the details", l.kind.name)
		}
	}()
	return work()
}

// failure is an error that names the device.
func (l *life) failure(op string, kind model.ErrorKind, format string, args ...any) *model.Error {
	err := model.Errorf(kind, format, args...)
	err.Op, err.Path = op, *l.path.Load()
	return err
}

// where is the device's path as it is now.
func (l *life) where() string { return l.path.Load().String() }
