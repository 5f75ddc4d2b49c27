//go:build faults

package fault

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

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

func TestClockIsOffByWhatItsFileSays(t *testing.T) {
	defer func(before string) { clockFile = before }(clockFile)
	clockFile = filepath.Join(t.TempDir(), "clock")
	for _, c := range []struct {
		text string
		want time.Duration
	}{{"", 0}, {"1h\n", time.Hour}, {"-90s", -90 * time.Second}} {
		if err := os.WriteFile(clockFile, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		off.looked = time.Time{}
		if by := time.Until(Now()) - c.want; by.Abs() > 10*time.Second {
			t.Errorf("%q moves the clock by %s more than it says", c.text, by)
		}
	}
}
