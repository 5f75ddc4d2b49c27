//go:build faults

package fault

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// active is read once, when the program starts.
var active = choose(os.Getenv("BANYAN_FAULT"))

// Planted reports whether the fault is the one that BANYAN_FAULT names.
func Planted(name Name) bool { return name == active && name != "" }

// choose is the fault called text, none for the empty text.
func choose(text string) Name {
	if text != "" && !slices.Contains(Names(), Name(text)) {
		panic(fmt.Sprintf("BANYAN_FAULT=%q is not a planted fault: use one of %q", text, Names()))
	}
	return Name(text)
}

// clockFile is the file with how far the clock of the program is off, like "1h" or "-90s". It can be written while the program runs, as a clock can be
// set. Without it the clock is right.
var clockFile = os.Getenv("BANYAN_FAULT_CLOCK")

// off is what the file said last.
var off struct {
	sync.Mutex
	by     time.Duration
	looked time.Time
}

// lookAfter is how often the file is read.
const lookAfter = 50 * time.Millisecond

// Now is the machine's clock, moved by what the clock's file says. It has no part that only ever runs: whoever measures by it measures wrong when it
// is set, as by a time that was stored.
func Now() time.Time {
	now := time.Now()
	if clockFile == "" {
		return now
	}
	off.Lock()
	defer off.Unlock()
	if now.Sub(off.looked) >= lookAfter {
		off.looked, off.by = now, readOffset(clockFile)
	}
	return now.Round(0).Add(off.by)
}

func readOffset(path string) time.Duration {
	text, err := os.ReadFile(path)
	if err != nil || len(strings.TrimSpace(string(text))) == 0 {
		return 0
	}
	by, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		panic(fmt.Sprintf("%s, which BANYAN_FAULT_CLOCK names: %v", path, err))
	}
	return by
}
