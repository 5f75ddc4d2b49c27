//go:build !faults

package fault

import (
	"net"
	"testing"
)

// TestNothingPlanted: an ordinary build has no fault, whatever the environment says.
func TestNothingPlanted(t *testing.T) {
	for _, name := range Names() {
		t.Setenv("BANYAN_FAULT", string(name))
		if Planted(name) {
			t.Errorf("%s is planted in a build without the tag", name)
		}
	}
}

// TestNothingIsHeard: an ordinary build has no way to what crosses a connection in the clear.
func TestNothingIsHeard(t *testing.T) {
	t.Setenv("BANYAN_FAULT_HEAR", t.TempDir())
	conn, other := net.Pipe()
	defer conn.Close()
	defer other.Close()
	if Overheard(conn, "test") != conn {
		t.Error("a build without the tag can be listened to")
	}
}
