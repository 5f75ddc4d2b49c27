//go:build !faults

package fault

import "testing"

// TestNothingPlanted: an ordinary build has no fault, whatever the environment says.
func TestNothingPlanted(t *testing.T) {
	for _, name := range Names() {
		t.Setenv("BANYAN_FAULT", string(name))
		if Planted(name) {
			t.Errorf("%s is planted in a build without the tag", name)
		}
	}
}
