package doctor

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// How far clocks may be apart: times of values are compared by people, and certificates by machines.
const (
	skewed      = 2 * time.Second
	veryWrong   = 2 * time.Minute
	leastYear   = 2025
	jumpedBy    = time.Second
	remembersIt = 24 * time.Hour
)

// Clock looks whether something keeps the clock of the machine right.
func Clock(now time.Time) []Finding {
	const remedy = "have chrony, systemd-timesyncd or another NTP client keep it right"
	if now.Year() < leastYear {
		return []Finding{Found("clock", Failed, remedy, "it says %s", now.UTC().Format(time.RFC3339))}
	}
	var state unix.Timex
	_, err := unix.Adjtimex(&state)
	switch {
	case err != nil:
		return []Finding{Found("clock", Unknown, "", "whether it is kept right cannot be read: %v", err)}
	case state.Status&unix.STA_UNSYNC != 0:
		return []Finding{Found("clock", Warning, remedy, "nobody keeps it right: the system says that it is not synchronised")}
	}
	return []Finding{Good("clock", "it is synchronised, to %s at most", time.Duration(state.Maxerror)*time.Microsecond)}
}

// Skew judges how far the clock of another node is ahead of this one's, negative for behind.
func Skew(name string, skew time.Duration) (Finding, bool) {
	off := skew.Abs()
	if off < skewed {
		return Finding{}, false
	}
	state := Warning
	if off >= veryWrong {
		state = Failed
	}
	direction := "ahead of"
	if skew < 0 {
		direction = "behind"
	}
	return Found("clock", state, "look at both clocks: times of values are those of the node that measured them", "the clock of %s is %s %s this one", name, off.Round(100*time.Millisecond), direction), true
}

// Jumps notices when the clock is set: the time that people see moves otherwise than the one that only ever runs.
type Jumps struct {
	mu         sync.Mutex // guards all below
	wall, runs time.Time
	last       time.Time
	by         time.Duration
	count      int
}

// Look is called every few seconds, with what the clock shows and with time.Now.
func (j *Jumps) Look(shown, runs time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.runs.IsZero() {
		j.look(shown, shown.Round(0).Sub(j.wall), runs.Sub(j.runs))
	}
	j.wall, j.runs = shown.Round(0), runs
}

func (j *Jumps) look(now time.Time, wall, runs time.Duration) {
	if by := wall - runs; by.Abs() >= jumpedBy {
		j.last, j.by = now, by
		j.count++
	}
}

// Findings tells of a jump, for a day.
func (j *Jumps) Findings(now time.Time) []Finding {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.count == 0 || now.Sub(j.last) > remembersIt {
		return nil
	}
	return []Finding{Found("clock", Warning, "look what sets it; a machine that slept shows the same", "it jumped by %s at %s, %d times since the start",
		j.by.Round(time.Millisecond), j.last.UTC().Format(time.RFC3339), j.count)}
}
