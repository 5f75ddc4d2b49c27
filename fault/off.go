//go:build !faults

package fault

// Planted reports whether the fault is active: never, in a build without the tag "faults".
func Planted(Name) bool { return false }
