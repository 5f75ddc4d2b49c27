package settings

import (
	"errors"
	"strings"
	"testing"
)

// FuzzReadSecrets: no file of secrets makes its reader panic, and no error repeats what stands in it.
func FuzzReadSecrets(f *testing.F) {
	for _, seed := range []string{
		"users/alice/password: x", "users: {alice: {password: {file: word.txt}}}", "a: &x {b: *x}", "- a", "a: [b]", "? {a: b}\n: c", "a: !!null", "{file: /etc/passwd}", "a: {file: [x]}",
	} {
		f.Add([]byte(seed))
	}
	open := func(string) ([]byte, error) { return nil, errors.New("there is none") }
	f.Fuzz(func(t *testing.T, source []byte) {
		const canary = "zq8-only-in-the-value-zq8"
		found, err := ReadSecrets("secrets.yaml", append(source, "\nlast: "+canary+"\n"...), open)
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("the error tells a secret: %v", err)
		}
		for name := range found {
			if strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") {
				t.Errorf("a secret is called %q", name)
			}
		}
	})
}
