package http

import (
	"strings"
	"testing"
)

// FuzzHeaders: no line of a setting becomes a second header, or one that says where a message ends.
func FuzzHeaders(f *testing.F) {
	for _, seed := range []string{"A: b", "A: b\nC: d\r\n", "Content-Length: 1", "a:\x00", ": x", "Ä: b", "A: b\rC: d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		headers, err := readHeaders("headers", text)
		if err != nil {
			if len(text) > 80 && strings.Contains(err.Error(), text) {
				t.Error("the error repeats what may be a secret")
			}
			return
		}
		for name, values := range headers {
			for _, v := range values {
				if strings.ContainsAny(name+v, "\r\n\x00") || strings.EqualFold(name, "Content-Length") || strings.EqualFold(name, "Transfer-Encoding") {
					t.Errorf("%q became %q: %q", text, name, v)
				}
			}
		}
	})
}
