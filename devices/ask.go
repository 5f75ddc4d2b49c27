package devices

import (
	"context"
	"errors"
	"time"

	"banyan/model"
)

// Poll says how a poll went that somebody asked for.
type Poll struct {
	Began model.Time // what was read is not older
	Took  time.Duration
	Polls int64 // how many polls were done in this life of the device, this one included
}

// ticket is a wish for one poll that begins later than the wish. All who ask before it begins share it.
type ticket struct {
	ended chan struct{} // closed when poll and err are valid

	// The life's mu guards the rest.
	callers int
	begun   bool
	cancel  context.CancelFunc // once the poll runs for nobody else
	poll    Poll
	err     error
}

// pollNow asks for a poll and waits for it. When the last who asked gives up, the poll is not begun, or cancelled.
func (l *life) pollNow(ctx context.Context) (Poll, error) {
	if _, err := l.opened(ctx); err != nil {
		return Poll{}, err
	}
	l.mu.Lock()
	if l.stuck || l.ending {
		defer l.mu.Unlock()
		if l.ending {
			return Poll{}, l.failure("", model.KindUnavailable, "the device was stopped")
		}
		return Poll{}, l.errStuck()
	}
	if !l.report.held.none() {
		defer l.mu.Unlock()
		return Poll{}, l.errResting(l.report.held)
	}
	if l.ticket == nil {
		l.ticket = &ticket{ended: make(chan struct{})}
	}
	t := l.ticket
	t.callers++
	l.mu.Unlock()
	wake(l.wake)
	select {
	case <-t.ended:
		return t.poll, t.err
	case <-ctx.Done():
		return Poll{}, l.withdraw(ctx, t)
	}
}

func (l *life) withdraw(ctx context.Context, t *ticket) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	t.callers--
	if t.callers == 0 {
		if l.ticket == t {
			l.ticket = nil
		}
		if t.cancel != nil {
			t.cancel()
		}
	}
	detail := "the device had not answered when the time given was over"
	if !t.begun {
		detail = "the poll had not begun when the time given was over: the node or the device is busy"
	}
	return l.failure("", model.KindOf(ctx.Err()), "%s", detail)
}

// cancellable lets the ticket's callers cancel the poll that began for them, and does so if they all left meanwhile.
func (l *life) cancellable(t *ticket, cancel context.CancelFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t.cancel = cancel
	if t.callers == 0 {
		cancel()
	}
}

// answer ends a ticket; there may be none. The caller holds mu.
func (l *life) answer(t *ticket, poll Poll, err error) {
	if t != nil {
		t.poll, t.err = poll, err
		close(t.ended)
	}
}

func (l *life) errStuck() error {
	return l.failure("", model.KindUnavailable, "the device hangs: an earlier poll has not ended yet")
}

// callError is a driver's error for who asked: it names the device, and has a kind that does not hide its text.
func (l *life) callError(err error) error {
	var known *model.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known) && known.Path == *l.path.Load():
		return err
	case errors.As(err, &known):
		return l.failure("", known.Kind, "%w", err)
	}
	return l.failure("", model.KindUnavailable, "the device failed: %w", err)
}

// longestCall is how long a call or a write may take whose caller sets no limit: a device that is silent would keep it for ever.
const longestCall = 30 * time.Second

// do runs a call or a write in the device. It returns within a grace of ctx's end.
func (l *life) do(ctx context.Context, what string, idempotent bool, work func(context.Context, Device, Publisher) error) error {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, longestCall)
		defer cancel()
	}
	device, err := l.opened(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	busy := len(l.errands)
	l.mu.Unlock()
	if busy >= maxErrands {
		return l.failure("", model.KindExhausted, "%d calls run in the device already", busy)
	}
	callCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	pipe := &valve{}
	defer pipe.set(true)
	e, err := l.send(cancel, what, func() error { return work(callCtx, device, &gate{valve: pipe, to: l.sink}) })
	if err != nil {
		return err
	}
	returned := l.wait(callCtx, e)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !returned && !idempotent:
		return l.failure("", model.KindUnknownFate, "the device hangs: it may or may not have been done")
	case !returned && ctx.Err() != nil:
		return l.failure("", model.KindOf(ctx.Err()), "the device hangs: the call did not end when it was told to")
	case !returned:
		return l.failure("", model.KindUnavailable, "the device was stopped")
	case e.err != nil && ctx.Err() != nil:
		return l.failure("", model.KindOf(ctx.Err()), "the device had not answered when the time given was over")
	case e.err != nil && callCtx.Err() != nil:
		return l.failure("", model.KindUnavailable, "the device was stopped")
	}
	return l.callError(e.err)
}
