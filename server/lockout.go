package server

import (
	"slices"
	"strings"
	"sync"
	"time"

	"banyan/doorstep"
	"banyan/model"
)

// Limits of tries at a password. A source is what package doorstep takes for one.
const (
	mostTries         = 5
	mostTriesOfSource = 50
	triesWithin       = 15 * time.Minute
	mostCounted       = 65_536 // names, and sources
)

// lockout counts tries by name and by source. A try is counted before it is made, so that many at the same time are no more than one after the other.
// What a source has too many of is refused before a name is counted, so that one source locks out a few names and not all.
type lockout struct {
	now func() time.Time

	mu      sync.Mutex // guards the rest
	names   tries
	sources tries
}

// tries are the times of what was tried lately, by what is counted.
type tries map[string][]time.Time

// begin counts a try, or refuses it. It says the same of names that are there and of names that are not, and of a name and of a source.
func (l *lockout) begin(name, source string) error {
	name, source = triedName(name), doorstep.SourceOf(source)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.names == nil {
		l.names, l.sources = tries{}, tries{}
	}
	if until := l.sources.locked(source, now, mostTriesOfSource); !until.IsZero() {
		return locked(until.Sub(now))
	}
	if until := l.names.locked(name, now, mostTries); !until.IsZero() {
		return locked(until.Sub(now))
	}
	l.names.add(name, now)
	l.sources.add(source, now)
	return nil
}

// triedName is what a name counts as: whatever is no name shares one count.
func triedName(name string) string {
	if model.CheckSegment(name) != nil {
		return ""
	}
	return name
}

func locked(wait time.Duration) error {
	return &model.Error{
		Kind: model.KindExhausted, Op: "login", Detail: "too many tries with a wrong password", Remedy: "try again in " + wait.Round(time.Second).String(),
	}
}

// succeeded forgets what was tried under a name, and this try of the source: whoever tried knows the password.
func (l *lockout) succeeded(name, source string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.names, name)
	source = doorstep.SourceOf(source)
	if of := l.sources[source]; len(of) > 1 {
		l.sources[source] = of[:len(of)-1]
	} else {
		delete(l.sources, source)
	}
}

// lock is a name or a source that is refused for now.
type lock struct {
	what  string // the name, or the address
	name  bool
	tries int
	until time.Time
}

// locks are those that hold now: names first, each in order.
func (l *lockout) locks() []lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	collect := func(t tries, most int, name bool) []lock {
		var found []lock
		for what := range t {
			if until := t.locked(what, now, most); !until.IsZero() {
				found = append(found, lock{what, name, len(t[what]), until})
			}
		}
		slices.SortFunc(found, func(a, b lock) int { return strings.Compare(a.what, b.what) })
		return found
	}
	return append(collect(l.names, mostTries, true), collect(l.sources, mostTriesOfSource, false)...)
}

// unlock forgets what was tried under a name or from a source, and says whether it was locked.
func (l *lockout) unlock(what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	was := !l.names.locked(what, now, mostTries).IsZero() || !l.sources.locked(what, now, mostTriesOfSource).IsZero()
	delete(l.names, what)
	delete(l.sources, what)
	return was
}

// locked is until when no more may be tried, the zero time where one more may. It forgets what is over.
func (t tries) locked(what string, now time.Time, most int) time.Time {
	recent := slices.DeleteFunc(t[what], func(at time.Time) bool { return now.Sub(at) >= triesWithin })
	if len(recent) > 0 {
		t[what] = recent
	} else {
		delete(t, what)
	}
	if len(recent) < most {
		return time.Time{}
	}
	return recent[len(recent)-most].Add(triesWithin)
}

func (t tries) add(what string, now time.Time) {
	if _, there := t[what]; !there && len(t) >= mostCounted {
		t.makeRoom(now)
	}
	t[what] = append(t[what], now)
}

// makeRoom drops what is over, and where nothing is what was tried longest ago.
func (t tries) makeRoom(now time.Time) {
	oldest, since := "", now
	for what, times := range t {
		last := times[len(times)-1]
		if now.Sub(last) >= triesWithin {
			delete(t, what)
		} else if !last.After(since) {
			oldest, since = what, last
		}
	}
	if len(t) >= mostCounted {
		delete(t, oldest)
	}
}
