//go:build !faults

package fault

import "time"

// Planted reports whether the fault is active: never, in a build without the tag "faults".
func Planted(Name) bool { return false }

// Now is the machine's clock.
func Now() time.Time { return time.Now() }
