package hostile

import (
	"slices"
	"testing"
)

// TestEveryMessageHasABomb reads the descriptors of the protocol: whoever adds a message, or a field to a oneof, adds a bomb.
func TestEveryMessageHasABomb(t *testing.T) {
	aimed, named := map[string]bool{}, map[string]bool{}
	for _, b := range Bombs() {
		if named[b.Role().String()+b.Name] {
			t.Errorf("two bombs of a %s are called %s", b.Role(), b.Name)
		}
		named[b.Role().String()+b.Name] = true
		if b.Sends == "" || len(b.Aims) == 0 {
			t.Errorf("%s does not say what it sends, and at what it aims", b.Name)
		}
		for _, aim := range b.Aims {
			if !slices.Contains(Wanted(), aim) {
				t.Errorf("%s aims at %s, which there is not", b.Name, aim)
			}
			aimed[aim] = true
		}
	}
	for _, name := range Wanted() {
		if !aimed[name] {
			t.Errorf("no bomb aims at %s", name)
		}
	}
	if len(named) < 40 {
		t.Errorf("there are %d bombs", len(named))
	}
}
