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

// Validate checks names, types and limits: one name is used once among settings and variables, and once among functions.
func (s *Schema) Validate() error {
	if err := CheckName(s.Kind); err != nil {
		return invalidf("schema kind: %w", err)
	}
	for _, n := range []int{len(s.Settings), len(s.Variables), len(s.Functions), len(s.Events)} {
		if n > MaxSchemaEntries {
			return invalidf("schema %s has %d entries of one sort, at most %d are allowed", s.Kind, n, MaxSchemaEntries)
		}
	}
	seen := map[string]bool{}
	entry := func(sort, name string, t Type) error {
		if err := CheckName(name); err != nil {
			return invalidf("schema %s, %s: %w", s.Kind, sort, err)
		}
		if t == TypeNone || t > TypeTable {
			return invalidf("schema %s, %s %s: a value cannot have the type %s", s.Kind, sort, name, t)
		}
		if seen[name] {
			return invalidf("schema %s has two entries called %s", s.Kind, name)
		}
		seen[name] = true
		return nil
	}
	for _, e := range s.Settings {
		if err := entry("setting", e.Name, e.Type); err != nil {
			return err
		}
		if !e.Default.IsNone() && e.Default.Type() != e.Type {
			return invalidf("schema %s, setting %s: the default is %s, the setting %s", s.Kind, e.Name, e.Default.Type(), e.Type)
		}
	}
	for _, e := range s.Variables {
		if err := entry("variable", e.Name, e.Type); err != nil {
			return err
		}
	}
	clear(seen)
	for _, e := range s.Functions {
		if err := entry("function", e.Name, TypeBool); err != nil {
			return err
		}
	}
	return nil
}
