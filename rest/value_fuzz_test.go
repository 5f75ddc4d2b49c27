package rest

import (
	"encoding/json"
	"testing"
)

// FuzzValue: a value that is read is written as JSON that is read as the same.
func FuzzValue(f *testing.F) {
	for _, seed := range []string{"1", "null", "[]", `{"a":[1,"x",null,true]}`, "1e999", `"\ud800"`, "[[[[[[[[", "9007199254740993"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var v, again Value
		if !json.Valid(raw) || v.UnmarshalJSON(raw) != nil {
			return
		}
		first, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%q was read and cannot be written: %v", raw, err)
		}
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatalf("%q was written as %s, which cannot be read: %v", raw, first, err)
		}
		if second, err := json.Marshal(again); err != nil || string(second) != string(first) {
			t.Errorf("%q was written as %s, and then as %s, %v", raw, first, second, err)
		}
	})
}
