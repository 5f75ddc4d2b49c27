package rest

import (
	"encoding/json"

	"banyan/model"

	"github.com/danielgtaylor/huma/v2"
	"google.golang.org/protobuf/types/known/structpb"
)

// Value is a value in the one JSON form of its type.
type Value struct{ of *structpb.Value }

// MarshalJSON writes it.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.of == nil {
		return []byte("null"), nil
	}
	return json.Marshal(v.of.AsInterface())
}

// UnmarshalJSON reads any JSON; which of it fits the type is found where the type is known.
func (v *Value) UnmarshalJSON(raw []byte) error {
	var decoded any
	if err := json.Unmarshal(raw, &decoded); err != nil {
		return err
	}
	of, err := structpb.NewValue(decoded)
	v.of = of
	return err
}

const valueDescription = `A value in the JSON form of its type, which stands beside it as "type" or in the description of the context:

| type | JSON | example |
| --- | --- | --- |
| bool | true or false | true |
| int64 | a string, since a JSON number loses digits above 2^53; a number below that is read, too | "9007199254740993" |
| float64 | a number, or "NaN", "Infinity", "-Infinity" | 12.5 |
| string | a string | "text" |
| bytes | base64 with padding, in a string | "aGVsbG8=" |
| time | RFC 3339 in UTC, in a string; "" is no time | "2026-01-02T03:04:05.678Z" |
| duration | as Go writes it, in a string | "1m30s" |
| ref | PATH or PATH:NAME in a string, or "outside" for what may not be seen from here | "/sites/berlin:state" |
| table | columns and rows; a cell has the form of its column's type, or is null | {"columns":[{"name":"n","type":"int64"}],"rows":[["1"],[null]]} |
| none | null: there is no value | null |`

// Schema describes it once, for all who refer to it.
func (v Value) Schema(r huma.Registry) *huma.Schema {
	const name = "Value"
	ref := &huma.Schema{Ref: "#/components/schemas/" + name}
	if _, there := r.Map()[name]; there {
		return ref
	}
	columns := &huma.Schema{Type: huma.TypeArray, Description: "The columns, in order.", Items: &huma.Schema{
		Type: huma.TypeObject, Required: []string{"name", "type"}, AdditionalProperties: false,
		Properties: map[string]*huma.Schema{
			"name": {Type: huma.TypeString, Description: "Of the column."},
			"type": {Type: huma.TypeString, Description: "Of its cells.", Enum: typeNames(model.TypeBool, model.TypeRef)},
		},
	}}
	rows := &huma.Schema{Type: huma.TypeArray, Description: "Each row has a cell for each column.", Items: &huma.Schema{
		Type: huma.TypeArray, Items: &huma.Schema{Description: "In the form of the column's type, or null."},
	}}
	r.Map()["Table"] = &huma.Schema{
		Type: huma.TypeObject, Description: "A value of the type table: typed columns, and rows of cells.", Required: []string{"columns", "rows"},
		Properties: map[string]*huma.Schema{"columns": columns, "rows": rows}, AdditionalProperties: false,
	}
	r.Map()[name] = &huma.Schema{
		Description: valueDescription,
		AnyOf: []*huma.Schema{
			{Type: huma.TypeBoolean}, {Type: huma.TypeNumber}, {Type: huma.TypeString}, {Ref: "#/components/schemas/Table"}, {Type: "null"},
		},
		Examples: []any{"9007199254740993", 12.5, "1m30s"},
	}
	for _, s := range []string{"Table", name} {
		r.Map()[s].PrecomputeMessages()
	}
	return ref
}

func typeNames(first, last model.Type) []any {
	var names []any
	for t := first; t <= last; t++ {
		names = append(names, t.String())
	}
	return names
}

// values turns what a request names into the form of the messages.
func values(of map[string]Value) map[string]*structpb.Value {
	out := make(map[string]*structpb.Value, len(of))
	for name, v := range of {
		out[name] = v.wire()
	}
	return out
}

// wire is the value in the form of the messages, in which null is a value, too.
func (v Value) wire() *structpb.Value {
	if v.of == nil {
		return structpb.NewNullValue()
	}
	return v.of
}
