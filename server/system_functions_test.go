package server

import "testing"

// TestSystemFunctions: what the node's own context declares is done by something, and nothing is done that is not declared.
func TestSystemFunctions(t *testing.T) {
	calls := (&Node{}).systemCalls()
	for _, f := range nodeSchema.Functions {
		if calls[f.Name] == nil {
			t.Errorf("%s is declared, and nothing does it", f.Name)
		}
		delete(calls, f.Name)
	}
	for name := range calls {
		t.Errorf("%s is not declared", name)
	}
}
