package model

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Type is the type of a value.
type Type uint8

// The types. Their numbers are part of the wire form.
const (
	TypeNone     Type = 0 // no value yet
	TypeBool     Type = 1
	TypeInt64    Type = 2
	TypeFloat64  Type = 3
	TypeString   Type = 4 // valid UTF-8
	TypeBytes    Type = 5
	TypeTime     Type = 6
	TypeDuration Type = 7
	TypeRef      Type = 8 // names a context or something of it
	TypeTable    Type = 9 // typed columns, records
	// What is greater is a type of a later version: its values are kept and passed on as they came.
)

var typeNames = [...]string{"none", "bool", "int64", "float64", "string", "bytes", "time", "duration", "ref", "table"}

// String is the type's stable name.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "type-" + strconv.Itoa(int(t))
}

// ParseType reads a type's name.
func ParseType(text string) (Type, error) {
	for i, name := range typeNames {
		if name == text {
			return Type(i), nil
		}
	}
	return TypeNone, invalidf("%s is not a type: use one of %s", quoted(text), strings.Join(typeNames[1:], ", "))
}

// IsScalar reports whether a value of this type fits in 64 bits.
func (t Type) IsScalar() bool {
	return t <= TypeFloat64 || t == TypeTime || t == TypeDuration
}

// IsLater reports whether this is a type of a later version, of whose values nothing is known but their bytes.
func (t Type) IsLater() bool { return t > TypeTable }

// MaxValueBytes bounds a string, bytes or a whole table.
const MaxValueBytes = 1 << 20

// Value is one value of any type. Values are immutable; the zero Value is "no value".
type Value struct {
	kind  Type
	bits  uint64 // scalars
	text  string // string, bytes, a ref as its text, and the bytes of a later type
	table *Table
}

// Bool makes a bool.
func Bool(v bool) Value {
	if v {
		return Value{kind: TypeBool, bits: 1}
	}
	return Value{kind: TypeBool}
}

// Int64 makes an int64.
func Int64(v int64) Value { return Value{kind: TypeInt64, bits: uint64(v)} }

// Float64 makes a float64. Every NaN is the same NaN.
func Float64(v float64) Value {
	if v != v {
		v = math.NaN()
	}
	return Value{kind: TypeFloat64, bits: math.Float64bits(v)}
}

// String makes a string; bytes that are not UTF-8 are replaced.
func String(v string) Value { return Value{kind: TypeString, text: strings.ToValidUTF8(v, "\uFFFD")} }

// Bytes makes bytes, copying v.
func Bytes(v []byte) Value { return Value{kind: TypeBytes, text: string(v)} }

// Instant makes a time.
func Instant(v Time) Value { return Value{kind: TypeTime, bits: uint64(v)} }

// Duration makes a duration.
func Duration(v time.Duration) Value { return Value{kind: TypeDuration, bits: uint64(v)} }

// Ref makes a reference to a context, or to something of it.
func Ref(to Address) Value { return Value{kind: TypeRef, text: to.String()} }

// RefOutside is a reference whose target lies outside of what may be seen from here.
func RefOutside() Value { return Value{kind: TypeRef, text: outside} }

const outside = "outside"

// TableValue makes a table value; nil is the empty table. The table belongs to the value from then on and must not be changed.
func TableValue(t *Table) Value {
	if t == nil {
		t = &Table{}
	}
	return Value{kind: TypeTable, table: t}
}

// Later makes a value of a type that this version does not know from its bytes on the wire, with the tags of their fields; for a known type it is no
// value.
func Later(t Type, wire []byte) Value {
	if !t.IsLater() {
		return Value{}
	}
	return Value{kind: t, text: string(wire)}
}

// Wire is what Later was made from.
func (v Value) Wire() []byte {
	if !v.kind.IsLater() {
		return nil
	}
	return []byte(v.text)
}

// Scalar makes a value of a scalar type from its 64 bits, as Bits returned them; for other types it is no value.
func Scalar(t Type, bits uint64) Value {
	switch {
	case !t.IsScalar() || t == TypeNone:
		return Value{}
	case t == TypeBool && bits != 0:
		bits = 1
	case t == TypeFloat64:
		return Float64(math.Float64frombits(bits))
	}
	return Value{kind: t, bits: bits}
}

// Type is the value's type.
func (v Value) Type() Type { return v.kind }

// IsNone reports whether there is no value.
func (v Value) IsNone() bool { return v.kind == TypeNone }

// Bits are the 64 bits of a scalar.
func (v Value) Bits() uint64 { return v.bits }

// Bool is the value of a bool, false for other types. The other accessors answer likewise with their type's zero.
func (v Value) Bool() bool { return v.kind == TypeBool && v.bits != 0 }

// Int64 is the value of an int64.
func (v Value) Int64() int64 {
	if v.kind != TypeInt64 {
		return 0
	}
	return int64(v.bits)
}

// Float64 is the value of a float64.
func (v Value) Float64() float64 {
	if v.kind != TypeFloat64 {
		return 0
	}
	return math.Float64frombits(v.bits)
}

// Text is the value of a string.
func (v Value) Text() string {
	if v.kind != TypeString {
		return ""
	}
	return v.text
}

// Bytes is a copy of the value of bytes.
func (v Value) Bytes() []byte {
	if v.kind != TypeBytes {
		return nil
	}
	return []byte(v.text)
}

// Time is the value of a time.
func (v Value) Time() Time {
	if v.kind != TypeTime {
		return 0
	}
	return Time(v.bits)
}

// Duration is the value of a duration.
func (v Value) Duration() time.Duration {
	if v.kind != TypeDuration {
		return 0
	}
	return time.Duration(v.bits)
}

// Ref is the target of a reference and whether it lies inside of what may be seen from here.
func (v Value) Ref() (target Address, inside bool) {
	if v.kind != TypeRef || v.text == outside {
		return Address{}, false
	}
	path, name, _ := strings.Cut(v.text, ":")
	if path == "/" {
		path = ""
	}
	return Address{Path: Path{text: path}, Name: name}, true
}

// Table is the value of a table; it must not be changed.
func (v Value) Table() *Table {
	if v.kind != TypeTable {
		return nil
	}
	return v.table
}

// Size is about how many bytes the value takes in memory beyond the Value itself.
func (v Value) Size() int {
	if v.kind == TypeTable {
		return v.table.size()
	}
	return len(v.text)
}

// Equal reports whether both have the same type and the same value; NaN equals NaN.
func (v Value) Equal(other Value) bool {
	if v.kind != other.kind {
		return false
	}
	if v.kind == TypeTable {
		return v.table.equal(other.table)
	}
	return v.bits == other.bits && v.text == other.text
}

// Table is typed columns and records. A cell has its column's type or is no value; tables do not nest.
type Table struct {
	Columns []Column
	Rows    [][]Value
}

// Column is one column of a table.
type Column struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
}

// Limits of a table.
const (
	MaxTableColumns = 256
	MaxTableRows    = 65536
)

// Validate checks names, types, shape and limits.
func (t *Table) Validate() error {
	if len(t.Columns) > MaxTableColumns {
		return invalidf("table has %d columns, at most %d are allowed", len(t.Columns), MaxTableColumns)
	}
	if len(t.Rows) > MaxTableRows {
		return invalidf("table has %d rows, at most %d are allowed", len(t.Rows), MaxTableRows)
	}
	for i, c := range t.Columns {
		if err := CheckName(c.Name); err != nil {
			return invalidf("table column %d: %w", i+1, err)
		}
		if c.Type == TypeNone || c.Type == TypeTable {
			return invalidf("table column %s has the type %s, which a cell cannot have", c.Name, c.Type)
		}
		if slices.ContainsFunc(t.Columns[:i], func(other Column) bool { return other.Name == c.Name }) {
			return invalidf("table has two columns called %s", c.Name)
		}
	}
	for i, row := range t.Rows {
		if len(row) != len(t.Columns) {
			return invalidf("table row %d has %d cells, there are %d columns", i+1, len(row), len(t.Columns))
		}
		for j, cell := range row {
			if !cell.IsNone() && cell.Type() != t.Columns[j].Type {
				return invalidf("table row %d, column %s: the cell is %s, the column %s", i+1, t.Columns[j].Name, cell.Type(), t.Columns[j].Type)
			}
		}
	}
	if n := t.size(); n > MaxValueBytes {
		return invalidf("table takes %d bytes, at most %d are allowed", n, MaxValueBytes)
	}
	return nil
}

func (t *Table) size() int {
	n := 0
	for _, c := range t.Columns {
		n += len(c.Name) + 8
	}
	for _, row := range t.Rows {
		n += rowSize(row)
	}
	return n
}

func rowSize(row []Value) int {
	n := 0
	for _, cell := range row {
		n += 8 + len(cell.text)
	}
	return n
}

func (t *Table) equal(other *Table) bool {
	return slices.Equal(t.Columns, other.Columns) &&
		slices.EqualFunc(t.Rows, other.Rows, func(a, b []Value) bool { return slices.EqualFunc(a, b, Value.Equal) })
}

// MarshalText is the type's name.
func (t Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads a type's name.
func (t *Type) UnmarshalText(text []byte) error {
	parsed, err := ParseType(string(text))
	if err == nil {
		*t = parsed
	}
	return err
}
