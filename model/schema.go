package model

import "encoding/hex"

// SchemaHash is the SHA-256 of a schema's bytes.
type SchemaHash [32]byte

// String is 64 hexadecimal digits.
func (h SchemaHash) String() string { return hex.EncodeToString(h[:]) }

// Schema says what a kind of context consists of. It is immutable and named by the hash of its bytes; it is passed on as those
// bytes, so that what a newer version put into it survives an older one in between.
type Schema struct {
	Hash        SchemaHash
	Raw         string // the bytes that Hash is of
	Kind        string // "host", "simulator", "folder"
	Description string
	Settings    []Setting
	Variables   []Variable
	Functions   []Function
	Events      []EventType
}

// Setting declares something desired: durable, revisioned, set by people.
type Setting struct {
	Name        string
	Type        Type
	Unit        string
	Description string
	Default     Value
	Right       Right // needed to set it; to see it, view is enough
	Secret      bool  // can be written and never be read
	Local       bool  // settable only at the node itself: it starts programs, reads files or names secrets of the host
}

// Variable declares something observed: published by the context's controller.
type Variable struct {
	Name        string
	Type        Type
	Unit        string
	Description string
	Writable    bool  // a set is passed to the controller
	Right       Right // needed to set it
}

// Function declares something that can be called.
type Function struct {
	Name        string
	Description string
	Parameters  []Field
	Results     []Field
	Right       Right // needed to call it
	Idempotent  bool  // calling it twice does what calling it once does
	Local       bool  // callable only at the node itself
}

// EventType declares something that can happen.
type EventType struct {
	Name        string
	Description string
	Fields      []Field
}

// Field is a parameter, a result or a field of an event.
type Field struct {
	Name        string
	Type        Type
	Unit        string
	Description string
	Optional    bool
	Secret      bool // its value is kept out of records, and not shown where it need not be
}

// Argument is a named value: what a call is given, and what it answers.
type Argument struct {
	Name  string
	Value Value
}

// Limits of a schema.
const (
	MaxSchemaBytes   = 64 << 10
	MaxSchemaEntries = 1024 // settings, variables, functions and events each
)

// SettingIndex is where the setting called name stands, or -1.
func (s *Schema) SettingIndex(name string) int {
	for i := range s.Settings {
		if s.Settings[i].Name == name {
			return i
		}
	}
	return -1
}

// VariableIndex is where the variable called name stands, or -1.
func (s *Schema) VariableIndex(name string) int {
	for i := range s.Variables {
		if s.Variables[i].Name == name {
			return i
		}
	}
	return -1
}

// FunctionIndex is where the function called name stands, or -1.
func (s *Schema) FunctionIndex(name string) int {
	for i := range s.Functions {
		if s.Functions[i].Name == name {
			return i
		}
	}
	return -1
}

// Validate checks names, types and limits: one name is used once among settings and variables, once among functions, and once among events;
// and once among the fields of each list.
func (s *Schema) Validate() error {
	if err := CheckName(s.Kind); err != nil {
		return invalidf("schema kind: %w", err)
	}
	for _, n := range []int{len(s.Settings), len(s.Variables), len(s.Functions), len(s.Events)} {
		if n > MaxSchemaEntries {
			return invalidf("schema %s has %d entries of one sort, at most %d are allowed", s.Kind, n, MaxSchemaEntries)
		}
	}
	entries := entryCheck{schema: s.Kind, seen: map[string]bool{}}
	for _, e := range s.Settings {
		entries.add("setting", e.Name, e.Type)
		if !e.Default.IsNone() && e.Default.Type() != e.Type {
			entries.fail("setting %s: the default is %s, the setting %s", e.Name, e.Default.Type(), e.Type)
		}
	}
	for _, e := range s.Variables {
		entries.add("variable", e.Name, e.Type)
	}
	clear(entries.seen)
	for _, e := range s.Functions {
		entries.add("function", e.Name, TypeBool)
	}
	clear(entries.seen)
	for _, e := range s.Events {
		entries.add("event", e.Name, TypeBool)
	}
	for _, e := range s.Functions {
		entries.addFields("parameter of "+e.Name, e.Parameters)
		entries.addFields("result of "+e.Name, e.Results)
	}
	for _, e := range s.Events {
		entries.addFields("field of "+e.Name, e.Fields)
	}
	return entries.err
}

// entryCheck keeps the first thing that is wrong.
type entryCheck struct {
	schema string
	seen   map[string]bool
	err    error
}

func (c *entryCheck) fail(format string, args ...any) {
	if c.err == nil {
		c.err = invalidf("schema "+c.schema+", "+format, args...)
	}
}

func (c *entryCheck) add(sort, name string, t Type) {
	if err := CheckName(name); err != nil {
		c.fail("%s: %w", sort, err)
	}
	if t == TypeNone {
		c.fail("%s %s: a value cannot have the type %s", sort, name, t)
	}
	if c.seen[name] {
		c.fail("two entries are called %s", name)
	}
	c.seen[name] = true
}

func (c *entryCheck) addFields(sort string, fields []Field) {
	clear(c.seen)
	if len(fields) > MaxSchemaEntries {
		c.fail("%s: there are %d, at most %d are allowed", sort, len(fields), MaxSchemaEntries)
	}
	for _, f := range fields {
		if c.err != nil {
			return
		}
		c.add(sort, f.Name, f.Type)
	}
}
