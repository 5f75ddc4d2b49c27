package model

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// String shows the value to people: as JSON writes it, but without quotes around text.
func (v Value) String() string {
	switch v.kind {
	case TypeNone:
		return "-"
	case TypeInt64:
		return strconv.FormatInt(int64(v.bits), 10)
	case TypeString, TypeRef:
		return v.text
	case TypeBytes:
		return base64.StdEncoding.EncodeToString([]byte(v.text))
	case TypeTime:
		return v.Time().String()
	case TypeDuration:
		return v.Duration().String()
	case TypeFloat64:
		return strings.Trim(string(v.JSON()), `"`) // NaN and the infinities
	}
	return string(v.JSON())
}

// ParseText reads a value as a person types it for a setting of type t: 2s, true, 12, some text. Tables are typed as JSON.
func ParseText(t Type, text string) (Value, error) {
	switch t {
	case TypeString, TypeBytes, TypeTime, TypeDuration, TypeRef, TypeInt64:
		return decodeString(t, text)
	case TypeFloat64:
		if text == "NaN" || text == "Infinity" || text == "-Infinity" {
			text = `"` + text + `"`
		}
	}
	return DecodeJSON(t, []byte(text))
}
