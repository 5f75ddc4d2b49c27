package pki

import (
	"sync"
	"time"
)

// How many refusals of strangers are written to the log.
const (
	notesRate  = 5 // a second
	notesBurst = 100
)

// Notes bounds how many refusals of strangers are written to the log, for all connections that share it: they cost a stranger nothing, and a line each would
// fill the disk. The next line that is written says how many were not.
type Notes struct {
	mu    sync.Mutex // guards the rest
	spent float64
	at    time.Time
	left  int
}

// take says whether one more may be written, and how many were not since the last one.
func (n *Notes) take(now time.Time) (left int, write bool) {
	if n == nil {
		return 0, true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.spent = max(0, n.spent-notesRate*now.Sub(n.at).Seconds())
	n.at = now
	if n.spent+1 > notesBurst {
		n.left++
		return 0, false
	}
	n.spent++
	left, n.left = n.left, 0
	return left, true
}
