package rehearsal

import (
	"math/rand/v2"
	"time"
)

const (
	packetBytes = 1400
	firstResend = 200 * time.Millisecond
	mostResends = 8
)

// shaper says when bytes of one direction arrive that were sent now. It is pure: the time and the chance are handed in.
type shaper struct {
	free   time.Time // the line is busy with what was sent before
	last   time.Time // nothing arrives before what was sent before it
	random *rand.Rand
}

// due is when n bytes arrive, and whether the connection breaks instead then.
func (s *shaper) due(now time.Time, n int, e *Effects) (at time.Time, broken bool) {
	at = now
	if e.Rate > 0 {
		if s.free.After(at) {
			at = s.free
		}
		at = at.Add(time.Duration(float64(n) / float64(e.Rate) * float64(time.Second)))
		s.free = at
	}
	at = at.Add(e.Delay)
	if e.Jitter > 0 {
		at = at.Add(time.Duration(s.random.Int64N(int64(2*e.Jitter)+1)) - e.Jitter)
	}
	pause := firstResend
	for range (n + packetBytes - 1) / packetBytes {
		lost := 0
		for e.Loss > 0 && s.random.Float64() < e.Loss {
			at = at.Add(pause)
			pause *= 2
			if lost++; lost == mostResends {
				return at, true
			}
		}
		if lost > 0 {
			break // what else was lost of these bytes comes in the same pause
		}
	}
	if at.Before(s.last) {
		at = s.last
	}
	s.last = at
	return at, false
}
