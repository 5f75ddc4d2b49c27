package proto

import (
	"crypto/sha256"

	"banyan/model"
	"banyan/proto/modelv1"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// NewSchema encodes what s declares, and returns it with its bytes and their hash. It is for schemas made in this program.
func NewSchema(s model.Schema) (*model.Schema, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if later := laterType(&s); later != "" {
		return nil, model.Errorf(model.KindInvalid, "schema %s, %s: a value cannot have a type that this version does not know", s.Kind, later)
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(fromSchema(&s))
	if err != nil {
		return nil, model.Errorf(model.KindInternal, "encoding schema %s: %w", s.Kind, err)
	}
	return ToSchema(raw)
}

// laterType names an entry whose type this version does not know.
func laterType(s *model.Schema) string {
	for i := range s.Settings {
		if s.Settings[i].Type.IsLater() {
			return s.Settings[i].Name
		}
	}
	for i := range s.Variables {
		if s.Variables[i].Type.IsLater() {
			return s.Variables[i].Name
		}
	}
	return ""
}

// ToSchema reads a schema from its bytes, whose hash names it. Fields unknown to this version stay in the bytes.
func ToSchema(raw []byte) (*model.Schema, error) {
	if len(raw) > model.MaxSchemaBytes {
		return nil, model.Errorf(model.KindExhausted, "received a schema of %d bytes, at most %d are allowed", len(raw), model.MaxSchemaBytes)
	}
	var wire modelv1.Schema
	if err := proto.Unmarshal(raw, &wire); err != nil {
		return nil, damaged("a schema")
	}
	s := &model.Schema{Hash: sha256.Sum256(raw), Raw: string(raw), Kind: wire.GetKind(), Description: wire.GetDescription()}
	for _, e := range wire.GetSettings() {
		value, err := ToValue(e.GetDefault())
		if err != nil {
			return nil, err
		}
		s.Settings = append(s.Settings, model.Setting{
			Name: e.GetName(), Type: toType(e.GetType()), Unit: e.GetUnit(), Description: e.GetDescription(),
			Default: value, Right: toRight(e.GetRight()), Secret: e.GetSecret(), Local: e.GetLocal(),
		})
	}
	for _, e := range wire.GetVariables() {
		s.Variables = append(s.Variables, model.Variable{
			Name: e.GetName(), Type: toType(e.GetType()), Unit: e.GetUnit(), Description: e.GetDescription(),
			Writable: e.GetWritable(), Right: toRight(e.GetRight()),
		})
	}
	for _, e := range wire.GetFunctions() {
		s.Functions = append(s.Functions, model.Function{
			Name: e.GetName(), Description: e.GetDescription(), Parameters: toFields(e.GetParameters()), Results: toFields(e.GetResults()),
			Right: toRight(e.GetRight()), Idempotent: e.GetIdempotent(), Local: e.GetLocal(),
		})
	}
	for _, e := range wire.GetEvents() {
		s.Events = append(s.Events, model.EventType{Name: e.GetName(), Description: e.GetDescription(), Fields: toFields(e.GetFields())})
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return s, nil
}

// toRight reads a right. One that this version does not know, or none, asks for the highest.
func toRight(r modelv1.Right) model.Right {
	if r <= 0 || r > modelv1.Right(model.RightAdminister) {
		return model.RightAdminister
	}
	return model.Right(r)
}

func toFields(wire []*modelv1.Field) []model.Field {
	var fields []model.Field
	for _, f := range wire {
		fields = append(fields, model.Field{
			Name: f.GetName(), Type: toType(f.GetType()), Unit: f.GetUnit(), Description: f.GetDescription(), Optional: f.GetOptional(), Secret: f.GetSecret(),
		})
	}
	return fields
}

func fromSchema(s *model.Schema) *modelv1.Schema {
	wire := &modelv1.Schema{Kind: s.Kind, Description: s.Description}
	for _, e := range s.Settings {
		setting := &modelv1.Setting{
			Name: e.Name, Type: modelv1.Type(e.Type), Unit: e.Unit, Description: e.Description,
			Right: modelv1.Right(e.Right), Secret: e.Secret, Local: e.Local,
		}
		if !e.Default.IsNone() {
			setting.Default = FromValue(e.Default)
		}
		wire.Settings = append(wire.Settings, setting)
	}
	for _, e := range s.Variables {
		wire.Variables = append(wire.Variables, &modelv1.Variable{
			Name: e.Name, Type: modelv1.Type(e.Type), Unit: e.Unit, Description: e.Description, Writable: e.Writable, Right: modelv1.Right(e.Right),
		})
	}
	for _, e := range s.Functions {
		wire.Functions = append(wire.Functions, &modelv1.Function{
			Name: e.Name, Description: e.Description, Parameters: fromFields(e.Parameters), Results: fromFields(e.Results),
			Right: modelv1.Right(e.Right), Idempotent: e.Idempotent, Local: e.Local,
		})
	}
	for _, e := range s.Events {
		wire.Events = append(wire.Events, &modelv1.EventType{Name: e.Name, Description: e.Description, Fields: fromFields(e.Fields)})
	}
	return wire
}

func fromFields(fields []model.Field) []*modelv1.Field {
	var wire []*modelv1.Field
	for _, f := range fields {
		wire = append(wire, &modelv1.Field{
			Name: f.Name, Type: modelv1.Type(f.Type), Unit: f.Unit, Description: f.Description, Optional: f.Optional, Secret: f.Secret,
		})
	}
	return wire
}

// DeriveSchema makes the schema that shows only the entries that keep allows, from the raw bytes of the kept ones, so that what
// this version does not know of them survives. Where everything is kept it is s itself. Fields of the schema that this version does not know are
// asked for as entries of an unknown sort, by the name that they would have, if any: what is hidden must not be shown as something newer.
func DeriveSchema(s *model.Schema, keep func(sort model.EntrySort, entry string) bool) (*model.Schema, error) {
	var derived []byte
	dropped := false
	for rest := []byte(s.Raw); len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return nil, damaged("a schema")
		}
		length := protowire.ConsumeFieldValue(number, kind, rest[n:])
		if length < 0 {
			return nil, damaged("a schema")
		}
		field := rest[:n+length]
		rest = rest[n+length:]
		if sort, entry := entrySort(number, kind); entry {
			if name, ok := entryName(field[n:], kind); !ok && sort != model.EntryUnknown || !keep(sort, name) {
				dropped = true
				continue
			}
		}
		derived = append(derived, field...)
	}
	if !dropped {
		return s, nil
	}
	return ToSchema(derived)
}

// entrySort says what a field of a schema is, and whether it is an entry at all, or may be one.
func entrySort(number protowire.Number, kind protowire.Type) (sort model.EntrySort, entry bool) {
	switch {
	case number < 3:
		return model.EntryUnknown, false // the kind and its description
	case number <= 6 && kind == protowire.BytesType:
		return model.EntrySort(number - 2), true
	default:
		return model.EntryUnknown, true
	}
}

// entryName reads the name, field 1, of a length-delimited entry. Of several the last one counts, as it does for every protobuf
// parser: what is hidden by its name must not be shown under another one.
func entryName(field []byte, kind protowire.Type) (name string, ok bool) {
	if kind != protowire.BytesType {
		return "", false
	}
	entry, n := protowire.ConsumeBytes(field)
	for n > 0 && len(entry) > 0 {
		number, kind, m := protowire.ConsumeTag(entry)
		if m < 0 {
			return "", false
		}
		k := protowire.ConsumeFieldValue(number, kind, entry[m:])
		if k < 0 {
			return "", false
		}
		if number == 1 && kind == protowire.BytesType {
			name, _ = protowire.ConsumeString(entry[m:])
			ok = true
		}
		entry = entry[m+k:]
	}
	return name, ok
}
