package server

import (
	"sync"
	"time"

	"banyan/model"
)

// Limits of tries at a password.
const (
	mostTries   = 5
	triesWithin = 15 * time.Minute
	mostNames   = 65_536
)

// lockout counts tries by name. A try is counted before it is made, so that many at the same time are no more than one after the other.
type lockout struct {
	now func() time.Time

	mu    sync.Mutex // guards tries
	tries map[string][]time.Time
}

// begin counts a try, or refuses it. It says the same of names that are there and of names that are not.
func (l *lockout) begin(name string) error {
	if model.CheckSegment(name) != nil {
		name = "" // whatever is no name shares one count
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	recent := l.recent(name, now)
	if len(recent) >= mostTries {
		wait := recent[0].Add(triesWithin).Sub(now).Round(time.Second)
		return &model.Error{
			Kind: model.KindExhausted, Op: "login", Detail: "too many tries with a wrong password", Remedy: "try again in " + wait.String(),
		}
	}
	if _, there := l.tries[name]; !there && len(l.tries) >= mostNames {
		l.makeRoom(now)
	}
	if l.tries == nil {
		l.tries = map[string][]time.Time{}
	}
	l.tries[name] = append(recent, now)
	return nil
}

// succeeded forgets what was tried under a name: whoever tried knows the password.
func (l *lockout) succeeded(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.tries, name)
}

func (l *lockout) recent(name string, now time.Time) []time.Time {
	var recent []time.Time
	for _, at := range l.tries[name] {
		if now.Sub(at) < triesWithin {
			recent = append(recent, at)
		}
	}
	return recent
}

// makeRoom drops names whose tries are over, and where there is none the one that was tried longest ago.
func (l *lockout) makeRoom(now time.Time) {
	oldest, since := "", now
	for name, tries := range l.tries {
		last := tries[len(tries)-1]
		if now.Sub(last) >= triesWithin {
			delete(l.tries, name)
		} else if !last.After(since) {
			oldest, since = name, last
		}
	}
	if len(l.tries) >= mostNames {
		delete(l.tries, oldest)
	}
}
