package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// books are kept outside of the nodes: what was confirmed, what happened, and what did not hold.
type books struct {
	world *world

	mu       sync.Mutex // guards what is below
	happened map[string]int
	wrong    []string
	same     map[string]int // how often the same did not hold again
	written  []*ledger      // by owner
	calls    []*asked
	judged   map[string]int
}

// ledger is what became of the numbers that one setting of one node was set to: ever greater ones, one after the other.
type ledger struct {
	mu        sync.Mutex // guards what is below
	tried     int64
	confirmed []confirmation
	unknown   map[int64]bool
}

type confirmation struct {
	value int64
	at    time.Time
}

// asked is one call of a function that may not be done twice.
type asked struct {
	word    string
	id      string // of one that is kept
	from    *member
	owner   *member
	made    time.Time
	until   time.Time // of one that is kept
	answer  verdict
	problem error
}

// verdict is what who asked was told.
type verdict int

const (
	unknown verdict = iota // nobody could say
	done
	refused
	kept
)

func (b *books) init(w *world) {
	b.world, b.happened, b.same, b.judged = w, map[string]int{}, map[string]int{}, map[string]int{}
	for range w.plan.names {
		b.written = append(b.written, &ledger{unknown: map[int64]bool{}})
	}
}

// print writes a line of progress.
func (b *books) print(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprintln(b.world.cfg.out, line)
}

// note counts something that happened, or was done.
func (b *books) note(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.happened[what]++
}

// mostWrong is how many different things are told of; after that they are counted.
const mostWrong = 50

// fail records that something did not hold. The same is told of once, and then counted.
func (b *books) fail(promise, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	b.mu.Lock()
	first, known := false, b.same[promise] > 0
	b.same[promise]++
	if len(b.wrong) < mostWrong && (!known || b.same[promise] <= 5) {
		first = true
		b.wrong = append(b.wrong, fmt.Sprintf("%s (after %s): %s", promise, time.Since(b.world.began).Round(time.Second), text))
	}
	b.mu.Unlock()
	b.world.log("WRONG: %s: %s", promise, text)
	if first {
		b.world.say("WRONG: %s: %s", promise, text)
	}
}

func (b *books) failed() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	total := 0
	for _, n := range b.same {
		total += n
	}
	return total
}

// counts is what happened, in one line.
func (b *books) counts() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(b.happened)) {
		parts = append(parts, fmt.Sprintf("%s %d", what, b.happened[what]))
	}
	return strings.Join(parts, ", ")
}

// next draws the next number.
func (l *ledger) next() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tried++
	return l.tried
}

// tell records what became of a number.
func (l *ledger) tell(value int64, v verdict) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch v {
	case done:
		l.confirmed = append(l.confirmed, confirmation{value, time.Now()})
	case unknown, kept:
		l.unknown[value] = true
	}
}

// last is the greatest number that was confirmed, 0 for none.
func (l *ledger) last() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.confirmed) == 0 {
		return 0
	}
	return l.confirmed[len(l.confirmed)-1].value
}

// possible reports whether a number may be what stands at the owner: the last one that was confirmed, or one of which nobody knows.
func (l *ledger) possible(value int64) bool {
	last := l.last()
	l.mu.Lock()
	defer l.mu.Unlock()
	return value == last || l.unknown[value]
}

// passed is when a number was known to be replaced, if it was.
func (l *ledger) passed(value int64) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unknown[value] {
		return time.Time{}, false // it may have been done at any time
	}
	at, _ := slices.BinarySearchFunc(l.confirmed, value+1, func(c confirmation, v int64) int { return int(c.value - v) })
	if at == len(l.confirmed) {
		return time.Time{}, false
	}
	return l.confirmed[at].at, true
}
