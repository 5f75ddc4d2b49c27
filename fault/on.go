//go:build faults

package fault

import (
	"fmt"
	"os"
	"slices"
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
