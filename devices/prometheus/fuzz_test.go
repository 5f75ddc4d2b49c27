package prometheus

import "testing"

// FuzzFilter: a filter that is taken matches without error whatever it is asked for.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"*", "a,b*,!c", "[a-", "!", "[]a]", "\\"} {
		f.Add(seed, "node_load1")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		parsed, err := parseFilter(text)
		if err == nil && len(parsed.take) == 0 {
			t.Errorf("%q takes nothing", text)
		}
		_ = parsed.takes(name)
	})
}
