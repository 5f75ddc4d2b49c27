package follow

import "time"

// At a high rate each publication is a few hundred samples, and telling each by itself costs more than its samples: waking, frames and system calls, at both
// ends. So whoever was told a batch of many, and all that there was, looks again only after a moment, and nobody wakes it meanwhile. Where little comes
// nothing waits, nor does the first batch after a quiet time.
const (
	gatherFrom = 256
	gatherFor  = time.Millisecond
)

// Gather is how long to wait before asking for more, once all was told that there is: once after a batch of many samples, otherwise 0.
func (f *Follower) Gather() time.Duration {
	if !f.many {
		return 0
	}
	f.many = false
	return gatherFor
}
