package store

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzIDs: IDs that come out of files are written as they were read.
func FuzzIDs(f *testing.F) {
	f.Add(make([]byte, 56))
	f.Add([]byte(strings.Repeat("0f", 16)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if id, err := decodeID(raw); err == nil && !bytes.Equal(encodeID(id), raw) {
			t.Errorf("%x came back as %x", raw, encodeID(id))
		}
		var id RestoreID
		if id.UnmarshalText(raw) == nil && !strings.EqualFold(id.String(), string(raw)) {
			t.Errorf("%q was read as %s", raw, id)
		}
	})
}
