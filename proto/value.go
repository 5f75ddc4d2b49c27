package proto

import (
	"math"
	"time"

	"banyan/model"
	"banyan/proto/modelv1"

	"google.golang.org/protobuf/encoding/protowire"
)

// FromValue is the wire form of a value.
func FromValue(v model.Value) *modelv1.Value {
	switch v.Type() {
	case model.TypeBool:
		return &modelv1.Value{Kind: &modelv1.Value_Bool{Bool: v.Bool()}}
	case model.TypeInt64:
		return &modelv1.Value{Kind: &modelv1.Value_Int64{Int64: v.Int64()}}
	case model.TypeFloat64:
		return &modelv1.Value{Kind: &modelv1.Value_Float64{Float64: v.Float64()}}
	case model.TypeString:
		return &modelv1.Value{Kind: &modelv1.Value_String_{String_: v.Text()}}
	case model.TypeBytes:
		return &modelv1.Value{Kind: &modelv1.Value_Bytes{Bytes: v.Bytes()}}
	case model.TypeTime:
		return &modelv1.Value{Kind: &modelv1.Value_Time{Time: int64(v.Time())}}
	case model.TypeDuration:
		return &modelv1.Value{Kind: &modelv1.Value_Duration{Duration: int64(v.Duration())}}
	case model.TypeRef:
		ref := &modelv1.Ref{}
		if to, inside := v.Ref(); inside {
			ref.Path, ref.Name = to.Path.String(), to.Name
		}
		return &modelv1.Value{Kind: &modelv1.Value_Ref{Ref: ref}}
	case model.TypeTable:
		return &modelv1.Value{Kind: &modelv1.Value_Table{Table: fromTable(v.Table())}}
	default:
		later := &modelv1.Value{}
		later.ProtoReflect().SetUnknown(v.Wire())
		return later
	}
}

func fromTable(t *model.Table) *modelv1.Table {
	table := &modelv1.Table{}
	for _, c := range t.Columns {
		table.Columns = append(table.Columns, &modelv1.Column{Name: c.Name, Type: modelv1.Type(c.Type)})
	}
	for _, cells := range t.Rows {
		row := &modelv1.Row{}
		for _, cell := range cells {
			row.Cells = append(row.Cells, FromValue(cell))
		}
		table.Rows = append(table.Rows, row)
	}
	return table
}

// ToValue reads a value from its wire form and checks it: names, limits, types of cells. Without a kind it is no value.
func ToValue(v *modelv1.Value) (model.Value, error) {
	switch kind := v.GetKind().(type) {
	case nil:
		return toLater(v)
	case *modelv1.Value_Bool:
		return model.Bool(kind.Bool), nil
	case *modelv1.Value_Int64:
		return model.Int64(kind.Int64), nil
	case *modelv1.Value_Float64:
		return model.Float64(kind.Float64), nil
	case *modelv1.Value_String_:
		return checkLength(model.String(kind.String_))
	case *modelv1.Value_Bytes:
		return checkLength(model.Bytes(kind.Bytes))
	case *modelv1.Value_Time:
		return model.Instant(model.Time(kind.Time)), nil
	case *modelv1.Value_Duration:
		return model.Duration(time.Duration(kind.Duration)), nil
	case *modelv1.Value_Ref:
		return toRef(kind.Ref)
	case *modelv1.Value_Table:
		return toTable(kind.Table)
	default:
		return model.Value{}, model.Errorf(model.KindUnsupported, "received a value of a type that this version does not know")
	}
}

// toLater reads a value of a type that this version does not know: the number of its field is that of its type. Without any it is no value.
func toLater(v *modelv1.Value) (model.Value, error) {
	if v == nil {
		return model.Value{}, nil
	}
	wire := v.ProtoReflect().GetUnknown()
	if len(wire) == 0 {
		return model.Value{}, nil
	}
	number, _, n := protowire.ConsumeTag(wire)
	if n < 0 || number > lastType || !model.Type(number).IsLater() {
		return model.Value{}, model.Errorf(model.KindUnsupported, "received a value of a type that there cannot be")
	}
	return checkLength(model.Later(model.Type(number), wire))
}

func checkLength(v model.Value) (model.Value, error) {
	if n := v.Size(); n > model.MaxValueBytes {
		return model.Value{}, model.Errorf(model.KindExhausted, "received a value of %d bytes, at most %d are allowed", n, model.MaxValueBytes)
	}
	return v, nil
}

func toRef(r *modelv1.Ref) (model.Value, error) {
	if r.GetPath() == "" {
		return model.RefOutside(), nil
	}
	path, err := model.ParsePath(r.GetPath())
	if err != nil {
		return model.Value{}, err
	}
	if r.GetName() != "" {
		if err := model.CheckName(r.GetName()); err != nil {
			return model.Value{}, err
		}
	}
	return model.Ref(model.Address{Path: path, Name: r.GetName()}), nil
}

func toTable(t *modelv1.Table) (model.Value, error) {
	if len(t.GetRows()) > model.MaxTableRows || len(t.GetColumns()) > model.MaxTableColumns {
		return model.Value{}, model.Errorf(model.KindExhausted, "received a table of %d rows and %d columns, at most %d and %d are allowed",
			len(t.GetRows()), len(t.GetColumns()), model.MaxTableRows, model.MaxTableColumns)
	}
	table := &model.Table{Rows: make([][]model.Value, len(t.GetRows()))}
	for _, c := range t.GetColumns() {
		table.Columns = append(table.Columns, model.Column{Name: c.GetName(), Type: toType(c.GetType())})
	}
	for i, row := range t.GetRows() {
		if len(row.GetCells()) != len(table.Columns) {
			return model.Value{}, model.Errorf(model.KindInvalid, "received a table of %d columns with a row of %d cells", len(table.Columns), len(row.GetCells()))
		}
		table.Rows[i] = make([]model.Value, len(table.Columns))
		for j, cell := range row.GetCells() {
			if cell.GetTable() != nil {
				return model.Value{}, model.Errorf(model.KindInvalid, "received a table within a table")
			}
			value, err := ToValue(cell)
			if err != nil {
				return model.Value{}, err
			}
			table.Rows[i][j] = value
		}
	}
	if err := table.Validate(); err != nil {
		return model.Value{}, err
	}
	return model.TableValue(table), nil
}

// lastType is the greatest number that a type can have.
const lastType = math.MaxUint8

// toType keeps the number of a type that this version does not know.
func toType(t modelv1.Type) model.Type {
	if t < 0 || t > lastType {
		return lastType
	}
	return model.Type(t)
}

// FromArguments is the wire form of named values.
func FromArguments(arguments []model.Argument) []*modelv1.Argument {
	var wire []*modelv1.Argument
	for _, a := range arguments {
		wire = append(wire, &modelv1.Argument{Name: a.Name, Value: FromValue(a.Value)})
	}
	return wire
}

// ToArguments reads named values.
func ToArguments(wire []*modelv1.Argument) ([]model.Argument, error) {
	if len(wire) > model.MaxSchemaEntries {
		return nil, model.Errorf(model.KindExhausted, "received %d arguments, at most %d are allowed", len(wire), model.MaxSchemaEntries)
	}
	var arguments []model.Argument
	for _, a := range wire {
		if err := model.CheckName(a.GetName()); err != nil {
			return nil, err
		}
		value, err := ToValue(a.GetValue())
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, model.Argument{Name: a.GetName(), Value: value})
	}
	return arguments, nil
}
