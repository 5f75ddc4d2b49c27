package access

import "testing"

// FuzzParsePerson: whoever is read is written the same, and names of both parts are names.
func FuzzParsePerson(f *testing.F) {
	for _, seed := range []string{"alice@hq", "@", "a@b@c", "alice", "\x00@\xff", "ä@ö"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePerson(text)
		if err != nil {
			return
		}
		if p.String() != text || !p.valid() {
			t.Errorf("%q was read as %q", text, p)
		}
	})
}
