package model

import "testing"

// FuzzNames: fates, severities, rights and types are read as they are written, and nothing else is read.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"pending", "unknown", "fate-9", "critical", "none", "view", "administer", "float64", "type-12", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		check := func(what, written string, err error) {
			if err == nil && written != text {
				t.Errorf("%s %q was read as %q", what, text, written)
			}
		}
		fate, err := ParseFate(text)
		check("fate", fate.String(), err)
		severity, err := ParseSeverity(text)
		check("severity", severity.String(), err)
		right, err := ParseRight(text)
		check("right", right.String(), err)
		kind, err := ParseType(text)
		check("type", kind.String(), err)
	})
}
