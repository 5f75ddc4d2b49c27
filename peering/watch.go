package peering

import (
	"context"
	"math"
	"time"

	"banyan/model"
	"banyan/pki"
)

// tickTime is how far apart looks at the links are at least: what is noticed late by it is part of the second that detection may take beyond two beats.
const tickTime = 100 * time.Millisecond

// never is due after everything else.
const never = model.Time(math.MaxInt64)

// watch looks at each link when something is due there, as a heartbeat or that one is missed, and when it was stirred. Of a thousand links at which nothing
// happens it compares a number each, as often as something is due at one of them.
func (h *Hub) watch(ctx context.Context) {
	for ctx.Err() == nil {
		next := h.lookAround()
		sleep(ctx, tickTime)
		timer := time.NewTimer(time.Duration(min(next, h.now()+model.Time(time.Hour)) - h.now()))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-h.stirred:
		}
		timer.Stop()
	}
}

// lookAround looks at the links where something is due, and says when that is so next.
func (h *Hub) lookAround() model.Time {
	now, next := h.now(), never
	for _, r := range h.all() {
		if l := r.link; model.Time(l.due.Load()) <= now {
			l.due.Store(int64(never)) // who stirs it from here on is not lost
			l.dueAt(l.tick(now))
		}
		next = min(next, model.Time(r.link.due.Load()))
	}
	return next
}

// dueAt lets the link be looked at then, or earlier.
func (l *link) dueAt(at model.Time) {
	for {
		before := l.due.Load()
		if before <= int64(at) || l.due.CompareAndSwap(before, int64(at)) {
			return
		}
	}
}

// stir lets the link be looked at soon: something has happened that is to be told, or shifts what is due.
func (l *link) stir() {
	if l.due.Load() != 0 && l.due.Swap(0) != 0 {
		signal(l.hub.stirred)
	}
}

// tick lets the sessions send heartbeats, notices when they do not pass, and ends then what they do not pass over. It says when it is to be called
// again if nothing happens.
func (l *link) tick(now model.Time) (due model.Time) {
	if l.cfg.Role == pki.RoleConsumer {
		due = l.tickFeeds(now)
	} else {
		due = l.tickSessions(now)
	}
	l.report()
	return due
}
