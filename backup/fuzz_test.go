package backup

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
)

// FuzzOpen: no bytes in place of a backup, before the seal or behind it, make the reader panic, hand out more than the manifest says, or take what
// is no backup for one.
func FuzzOpen(f *testing.F) {
	key, err := NewKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(magic+`1 {"node":"00"}`+"\n"), []byte("x"))
	f.Add([]byte(""), []byte(`{"node":"","parts":[{"name":"../../etc/passwd","size":-1}]}`))
	f.Fuzz(func(t *testing.T, front, inside []byte) {
		if h, _, err := readHeader(bufio.NewReader(bytes.NewReader(front))); err == nil {
			if _, err := h.line(); err != nil && len(front) < maxHeaderBytes/2 {
				t.Errorf("a header was read that cannot be written: %v", err)
			}
		}
		var sealed bytes.Buffer
		sealed.Write(front)
		w, err := age.Encrypt(&sealed, key.identity().Recipient())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(inside)
		_ = w.Close()
		_, err = open(t.Context(), &sealed, key.identity(), func(p Part, from io.Reader) error {
			if strings.Contains(p.Name, "..") || checkName(p.Name) != nil {
				t.Errorf("a part is called %q", p.Name)
			}
			_, err := io.Copy(io.Discard, from)
			return err
		})
		if err == nil {
			t.Error("it was opened")
		}
		var m Manifest
		if json.Unmarshal(inside, &m) == nil && m.check() == nil && len(m.Parts) < len(required) {
			t.Error("a manifest without parts is taken")
		}
		_, _ = settle(inside, "127.0.0.1:1", "")
		_, _ = ParseKey(string(inside))
		_, _ = key.Answer(inside, [32]byte{}, [32]byte{})
	})
}

// FuzzSum: a sum has one form but for the case of its digits.
func FuzzSum(f *testing.F) {
	f.Add([]byte(strings.Repeat("0f", 32)))
	f.Add([]byte(strings.Repeat("g", 64)))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s Sum
		if s.UnmarshalText(text) == nil && !strings.EqualFold(s.String(), string(text)) {
			t.Errorf("%q was read as %s", text, s)
		}
	})
}
