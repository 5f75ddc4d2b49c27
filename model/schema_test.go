package model

import (
	"strings"
	"testing"
)

func validSchema() *Schema {
	field := Field{Name: "x", Type: TypeInt64}
	return &Schema{
		Kind:      "host",
		Settings:  []Setting{{Name: "interval", Type: TypeDuration, Default: Duration(1)}, {Name: "plain", Type: TypeString}},
		Variables: []Variable{{Name: "cpu", Type: TypeFloat64}},
		Functions: []Function{{Name: "cpu", Parameters: []Field{field}, Results: []Field{field}}}, // a function may be called like a variable
		Events:    []EventType{{Name: "cpu", Fields: []Field{field}}},
	}
}

func TestSchemaValidate(t *testing.T) {
	s := validSchema()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if s.SettingIndex("plain") != 1 || s.VariableIndex("cpu") != 0 || s.FunctionIndex("cpu") != 0 || s.SettingIndex("cpu") != -1 || s.VariableIndex("") != -1 || s.FunctionIndex("x") != -1 {
		t.Error("an entry stands elsewhere")
	}
	many := make([]Function, MaxSchemaEntries+1)
	for name, spoil := range map[string]func(*Schema){
		"kind":               func(s *Schema) { s.Kind = "a b" },
		"no kind":            func(s *Schema) { s.Kind = "" },
		"setting name":       func(s *Schema) { s.Settings[0].Name = "" },
		"setting type":       func(s *Schema) { s.Settings[1].Type = TypeNone },
		"default type":       func(s *Schema) { s.Settings[1].Default = Int64(1) },
		"variable type":      func(s *Schema) { s.Variables[0].Type = TypeNone },
		"variable like set":  func(s *Schema) { s.Variables[0].Name = "plain" },
		"function name":      func(s *Schema) { s.Functions[0].Name = strings.Repeat("x", 256) },
		"function twice":     func(s *Schema) { s.Functions = append(s.Functions, s.Functions[0]) },
		"too many functions": func(s *Schema) { s.Functions = many },
		"parameter name":     func(s *Schema) { s.Functions[0].Parameters[0].Name = "a:b" },
		"parameter twice": func(s *Schema) {
			s.Functions[0].Parameters = append(s.Functions[0].Parameters, s.Functions[0].Parameters[0])
		},
		"result type":     func(s *Schema) { s.Functions[0].Results = []Field{{Name: "y"}} },
		"event name":      func(s *Schema) { s.Events[0].Name = "\x1b[31m" },
		"event twice":     func(s *Schema) { s.Events = append(s.Events, s.Events[0]) },
		"event field":     func(s *Schema) { s.Events[0].Fields = []Field{{Name: "..", Type: TypeBool}} },
		"too many fields": func(s *Schema) { s.Events[0].Fields = make([]Field, MaxSchemaEntries+1) },
	} {
		s := validSchema()
		spoil(s)
		if err := s.Validate(); err == nil || KindOf(err) != KindInvalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
