// Package doctor looks whether a machine and a node's directory are in order: room on the disk, permissions, the clock, limits of the system,
// certificates. Each check says what it found and, where something is wrong, what to do.
//
// It owns these checks and what is wrong enough to be told. It does not own the parts of a node that it is told about: who has a link or a device says how
// that is.
package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// State is how a check ended.
type State string

// The states, from good to bad. Unknown is what could not be looked at and Skipped what need not be, which are no
// faults.
const (
	OK      State = "ok"
	Skipped State = "skipped"
	Unknown State = "unknown"
	Warning State = "warning"
	Failed  State = "failed"
)

var badness = []State{OK, Skipped, Unknown, Warning, Failed}

// Finding is one line.
type Finding struct {
	Check  string // what was looked at, in a word or two: the same for every run
	State  State
	Detail string // what is there
	Remedy string // what to do, where something is wrong
}

// Found makes a finding.
func Found(check string, state State, remedy, format string, args ...any) Finding {
	if state == OK {
		remedy = ""
	}
	return Finding{check, state, fmt.Sprintf(format, args...), remedy}
}

// Good is a finding about something that is in order.
func Good(check, format string, args ...any) Finding { return Found(check, OK, "", format, args...) }

// Worst is the worst state of them, OK where there are none.
func Worst(findings []Finding) State {
	worst := OK
	for _, f := range findings {
		if slices.Index(badness, f.State) > slices.Index(badness, worst) {
			worst = f.State
		}
	}
	return worst
}

// Size is a number of bytes as people read it.
func Size(bytes int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	size, unit := float64(bytes), 0
	for size >= 1024 && unit < len(units)-1 {
		size, unit = size/1024, unit+1
	}
	text := fmt.Sprintf("%.1f", size)
	return strings.TrimSuffix(text, ".0") + " " + units[unit]
}
