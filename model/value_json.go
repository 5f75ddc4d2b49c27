package model

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The one JSON form of a value stands beside its type, so that everything round-trips:
//
//	bool      true
//	int64     "9007199254740993"            always a string, since a JSON number loses digits above 2^53
//	float64   12.5                          or "NaN", "Infinity", "-Infinity"
//	string    "text"
//	bytes     "aGVsbG8="                    base64, RFC 4648 with padding
//	time      "2026-01-02T03:04:05.678Z"    RFC 3339, UTC; "" is no time
//	duration  "1m30s"                       as Go writes it
//	ref       "/sites/berlin:state"         or "outside"
//	table     {"columns":[{"name":"n","type":"int64"}],"rows":[["1"],[null]]}
//	none      null
//	type-10   "UAE="                        of a later version: base64 of its bytes; it can be read and not written

// AppendJSON appends the JSON form of the value without its type.
func (v Value) AppendJSON(to []byte) []byte {
	switch v.kind {
	case TypeBool:
		return strconv.AppendBool(to, v.bits != 0)
	case TypeInt64:
		to = append(to, '"')
		to = strconv.AppendInt(to, int64(v.bits), 10)
		return append(to, '"')
	case TypeFloat64:
		return appendFloat(to, v.Float64())
	case TypeString, TypeRef:
		return appendText(to, v.text)
	case TypeBytes:
		return base64Text(to, v.text)
	case TypeTime:
		return appendText(to, v.Time().String())
	case TypeDuration:
		return appendText(to, v.Duration().String())
	case TypeTable:
		return v.table.appendJSON(to)
	case TypeNone:
		return append(to, "null"...)
	default:
		return base64Text(to, v.text)
	}
}

// JSON is the JSON form of the value without its type.
func (v Value) JSON() []byte { return v.AppendJSON(nil) }

func appendFloat(to []byte, f float64) []byte {
	switch {
	case f != f:
		return append(to, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(to, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(to, `"-Infinity"`...)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(to, f, format, -1, 64)
}

func base64Text(to []byte, s string) []byte {
	to = append(to, '"')
	to = base64.StdEncoding.AppendEncode(to, []byte(s))
	return append(to, '"')
}

func appendText(to []byte, s string) []byte {
	encoded, _ := json.Marshal(s) // a string always encodes
	return append(to, encoded...)
}

// DecodeJSON reads a value of type t from its JSON form. Besides the form that JSON writes it takes a whole JSON number for
// an int64, since people type those.
func DecodeJSON(t Type, raw []byte) (Value, error) {
	if len(raw) > maxJSONBytes {
		return Value{}, invalidf("the value has %d bytes of JSON, at most %d are allowed", len(raw), maxJSONBytes)
	}
	if !utf8.Valid(raw) || !json.Valid(raw) {
		return Value{}, invalidf("%s is not JSON", quoted(string(raw)))
	}
	return decodeValid(t, bytes.TrimSpace(raw))
}

// maxJSONBytes holds the JSON form of every value: a byte of text takes up to six, a time in a table up to 33 in place of its eight.
const maxJSONBytes = 8 * MaxValueBytes

// decodeValid is DecodeJSON for what is known to be JSON without space around it.
func decodeValid(t Type, raw []byte) (Value, error) {
	if string(raw) == "null" {
		return Value{}, nil
	}
	switch t {
	case TypeBool:
		if s := string(raw); s == "true" || s == "false" {
			return Bool(s == "true"), nil
		}
		return Value{}, wrongForm(t, raw, "true or false")
	case TypeFloat64:
		return decodeFloat(raw)
	case TypeTable:
		return decodeTable(raw)
	case TypeInt64:
		if raw[0] != '"' {
			return parseInt(string(raw))
		}
	case TypeString, TypeBytes, TypeTime, TypeDuration, TypeRef:
	default:
		return Value{}, invalidf("a value of type %s cannot be written", t)
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return Value{}, wrongForm(t, raw, "a JSON string")
	}
	return decodeString(t, s)
}

// decodeString reads the types whose JSON form is a string.
func decodeString(t Type, s string) (Value, error) {
	switch t {
	case TypeInt64:
		return parseInt(s)
	case TypeString:
		if v := String(s); v.Size() <= MaxValueBytes {
			return v, nil
		}
		return Value{}, tooLong(len(s))
	case TypeBytes:
		decoded, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return Value{}, wrongForm(t, []byte(s), "base64 with padding")
		}
		if len(decoded) > MaxValueBytes {
			return Value{}, tooLong(len(decoded))
		}
		return Bytes(decoded), nil
	case TypeTime:
		var at Time
		if err := at.UnmarshalText([]byte(s)); err != nil {
			return Value{}, err
		}
		return Instant(at), nil
	case TypeDuration:
		d, err := time.ParseDuration(s)
		if err != nil {
			return Value{}, wrongForm(t, []byte(s), "a duration like 1.5s, 2m or 1h30m")
		}
		return Duration(d), nil
	default: // a ref
		if s == outside {
			return RefOutside(), nil
		}
		to, err := ParseAddress(s)
		if err != nil {
			return Value{}, err
		}
		return Ref(to), nil
	}
}

func tooLong(n int) error {
	return invalidf("the value has %d bytes, at most %d are allowed", n, MaxValueBytes)
}

func wrongForm(t Type, raw []byte, want string) error {
	article := "a"
	if strings.ContainsRune("aeio", rune(t.String()[0])) {
		article = "an"
	}
	return invalidf("%s is not %s %s: write %s", quoted(string(raw)), article, t, want)
}

func parseInt(s string) (Value, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return Value{}, wrongForm(TypeInt64, []byte(s), "a whole number from -2^63 to 2^63-1")
	}
	return Int64(n), nil
}

func decodeFloat(raw []byte) (Value, error) {
	switch string(raw) {
	case `"NaN"`:
		return Float64(math.NaN()), nil
	case `"Infinity"`:
		return Float64(math.Inf(1)), nil
	case `"-Infinity"`:
		return Float64(math.Inf(-1)), nil
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || raw[0] == '"' {
		return Value{}, wrongForm(TypeFloat64, raw, `a number, "NaN", "Infinity" or "-Infinity"`)
	}
	return Float64(f), nil
}

// Typed is a value with its type beside it: the form that stands alone in JSON.
type Typed struct{ Value }

type typedForm struct {
	Type  Type            `json:"type"`
	Value json.RawMessage `json:"value"`
}

// MarshalJSON is {"type":...,"value":...}.
func (t Typed) MarshalJSON() ([]byte, error) {
	return json.Marshal(typedForm{t.Type(), t.JSON()})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (t *Typed) UnmarshalJSON(raw []byte) error {
	var form typedForm
	if err := json.Unmarshal(raw, &form); err != nil {
		return invalidf(`a value is written {"type":...,"value":...}: %w`, err)
	}
	if form.Type == TypeNone {
		*t = Typed{}
		return nil
	}
	if form.Value == nil {
		return invalidf(`the value of type %s is missing: it is written {"type":...,"value":...}`, form.Type)
	}
	value, err := DecodeJSON(form.Type, form.Value)
	if err == nil {
		*t = Typed{value}
	}
	return err
}
