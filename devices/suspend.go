package devices

import (
	"context"

	"banyan/model"
)

// heed looks whether the device is to rest because its parent is silent, and suspends or resumes it. It is called by the schedule alone.
func (l *life) heed() (resting bool) {
	above := l.polling.family.above(l.id)
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &l.report
	switch {
	case above.none() && r.held.none():
		return false
	case above.none():
		l.log.Debug("device is polled again", "path", l.where())
		// What was before it rested says nothing about now: it counts as not polled yet.
		r.held, r.poll, r.began = fault{}, fault{}, false
		close(l.resumed)
		l.resumed = nil
		l.publishReport(false)
		return false
	case r.held.none():
		l.log.Debug("device is suspended", "path", l.where(), "reason", above.text)
		l.resumed = make(chan struct{})
		r.held = above
		if stop := l.stopStream.Load(); stop != nil {
			(*stop)()
		}
		l.answer(l.ticket, Poll{}, l.errResting(above))
		l.ticket = nil
		l.fail(above)
	case r.held.text != above.text:
		r.held = above
		l.publishReport(false)
	}
	return true
}

// interrupt ends a poll that runs, since the device is to rest.
func (l *life) interrupt() {
	if stop := l.stopPoll.Load(); stop != nil {
		(*stop)()
	}
}

// errResting is for who wants a poll of a device that rests.
func (l *life) errResting(above fault) error {
	return l.failure("", model.KindUnavailable, "the device is suspended: %s", above.text)
}

// resting is a channel that is closed when the device is suspended no more; nil while it is not.
func (l *life) resting() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.resumed
}

// awake waits until the device is not suspended; false when ctx ended first.
func (l *life) awake(ctx context.Context) bool {
	for resumed := l.resting(); resumed != nil; resumed = l.resting() {
		select {
		case <-resumed:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}
