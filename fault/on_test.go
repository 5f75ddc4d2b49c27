//go:build faults

package fault

import "testing"

func TestChosenFaultIsTheOnlyOne(t *testing.T) {
	before := active
	defer func() { active = before }()
	for _, chosen := range append(Names(), "") {
		active = choose(string(chosen))
		for _, name := range Names() {
			if Planted(name) != (name == chosen) {
				t.Errorf("with %q chosen, Planted(%s) is %v", chosen, name, Planted(name))
			}
		}
		if Planted("") {
			t.Errorf("with %q chosen, the empty name is planted", chosen)
		}
	}
}

func TestMisspeltFaultStopsTheProgram(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a name that is not declared was accepted")
		}
	}()
	choose("rule-order-reverse")
}
