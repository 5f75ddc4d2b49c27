package devices

import (
	"context"
	"errors"
	"time"

	"banyan/model"
)

// spread places the polls of devices that were started together apart from each other.
type spread struct {
	random      func() float64 // from 0 up to 1
	firstWithin time.Duration
}

// grid is the instants of a device's regular polls: origin, and every interval from there.
type grid struct {
	origin   time.Time
	interval time.Duration
}

// grid places a device's polls at a random phase of its interval. The first poll is not later than firstWithin: nobody waits an
// hour for the first value of a device that is polled every hour.
func (s spread) grid(now time.Time, interval time.Duration) (g grid, first time.Time) {
	r := s.random()
	at := func(within time.Duration) time.Time { return now.Add(time.Duration(r * float64(within))) }
	return grid{origin: at(interval), interval: interval}, at(min(interval, s.firstWithin))
}

// next is the first instant of the grid after now: instants that passed during a long poll are left out.
func (g grid) next(now time.Time) time.Time {
	if now.Before(g.origin) {
		return g.origin
	}
	return g.origin.Add((now.Sub(g.origin)/g.interval + 1) * g.interval)
}

// schedule polls until ctx ends: at the instants of the grid, and whenever somebody asks, which leaves the grid as it is. While the device is
// suspended nothing is polled; afterwards the first poll comes as soon as at a start.
func (l *life) schedule(ctx context.Context) {
	current := l.timingNow()
	plan, due := l.polling.spread.grid(time.Now(), current.interval)
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	resting := l.heed()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			if !resting {
				l.poll(ctx, true, late{due, current.interval})
			}
			due = plan.next(time.Now())
		case <-l.wake:
			if now := l.timingNow(); now != current {
				if now.interval != current.interval {
					plan, _ = l.polling.spread.grid(time.Now(), now.interval)
					due = plan.origin
				}
				current = now
			}
			was := resting
			if resting = l.heed(); was && !resting {
				_, due = l.polling.spread.grid(time.Now(), current.interval)
			}
			l.poll(ctx, false, late{})
		}
		timer.Reset(time.Until(due))
	}
}

// late is when a regular poll was due, of those that come every interval.
type late struct {
	due      time.Time
	interval time.Duration
}

func (l *life) timingNow() timing {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.timing
}

// poll does one poll, regular or because somebody asks; if nobody asks any more when a slot is free, none.
func (l *life) poll(ctx context.Context, regular bool, since late) {
	l.mu.Lock()
	suspect, asked := !l.report.poll.none(), l.ticket != nil
	l.mu.Unlock()
	if !regular && !asked {
		return
	}
	release := l.polling.slots.take(ctx, suspect)
	if release == nil {
		return
	}
	t, limit := l.begin(regular)
	if t == nil && !regular {
		release()
		return
	}
	pollCtx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	l.stopPoll.Store(&cancel)
	defer l.stopPoll.Store(nil)
	if above := l.polling.family.above(l.id); !above.none() {
		release()
		l.mu.Lock()
		l.answer(t, Poll{}, l.errResting(above))
		l.mu.Unlock()
		return
	}
	began := time.Now()
	if regular {
		l.polling.late(suspect).add(began.Sub(since.due), since.interval)
	}
	e, err := l.send(cancel, "poll", func() error { return l.ask(pollCtx, &gate{valve: l.pollPipe, to: l.sink}) })
	if err != nil {
		release()
		return
	}
	if t != nil && !regular {
		l.cancellable(t, cancel)
	}
	returned := l.wait(pollCtx, e)
	release()
	if !returned {
		l.pollPipe.set(true)
	}
	l.ended(ctx, pollCtx, t, e, returned, began, limit)
	if returned {
		return
	}
	select {
	case <-e.ended:
		l.pollPipe.set(false)
		l.mu.Lock()
		l.stuck = false
		l.mu.Unlock()
	case <-ctx.Done():
	}
}

// begin takes over who waits for a poll. Who asks from now on asks for the next one.
func (l *life) begin(regular bool) (*ticket, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.ticket
	l.ticket = nil
	if t != nil {
		t.begun = true
	}
	return t, l.timing.timeout
}

// ended publishes how a poll went and answers who waited for it.
func (l *life) ended(ctx, pollCtx context.Context, t *ticket, e *errand, returned bool, began time.Time, limit time.Duration) {
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		l.answer(t, Poll{}, l.failure("", model.KindUnavailable, "the device was stopped"))
		return
	}
	var err error
	switch {
	case !returned:
		l.stuck = true
		err = l.failure("", model.KindTimeout, "the device hangs: its poll did not end when it was told to")
	case e.err != nil && errors.Is(pollCtx.Err(), context.Canceled):
		// Who asked gave up, or the device is to rest, which says nothing about the device. The poll is counted, the state stays.
		l.report.polls++
		l.publishReport(false)
		l.answer(t, Poll{}, l.errResting(l.polling.family.above(l.id)))
		return
	case e.err != nil && pollCtx.Err() != nil:
		err = l.late(e.err, limit)
	default:
		err = e.err
	}
	f := classify(err)
	if !f.none() && l.report.poll.class != f.class {
		l.log.Warn("device poll failed", "path", l.where(), "state", f.class.state, "error", err)
	} else if f.none() && !l.report.poll.none() {
		l.log.Info("device answers again", "path", l.where())
	}
	l.publishPoll(f, took)
	l.answer(t, Poll{Began: model.TimeOf(began), Took: took, Polls: l.report.polls}, l.callError(err))
	if l.stuck {
		l.answer(l.ticket, Poll{}, l.errStuck())
		l.ticket = nil
	}
}

// late is the error of a poll that took all its time. What the device was waiting for is told where the driver knows it.
func (l *life) late(err error, limit time.Duration) error {
	var known *model.Error
	if errors.As(err, &known) && (known.Kind == model.KindTimeout || known.Kind == model.KindUnavailable) {
		return l.failure("", model.KindTimeout, "no response within %s: %s", limit, plain(err))
	}
	return l.failure("", model.KindTimeout, "no response within %s", limit)
}
