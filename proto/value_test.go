package proto

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"banyan/model"
	"banyan/proto/modelv1"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func someValues() []model.Value {
	table := &model.Table{
		Columns: []model.Column{{Name: "name", Type: model.TypeString}, {Name: "to", Type: model.TypeRef}},
		Rows:    [][]model.Value{{model.String("ü"), model.RefOutside()}, {{}, {}}},
	}
	return []model.Value{
		{}, model.Bool(false), model.Bool(true), model.Int64(math.MinInt64), model.Int64(math.MaxInt64), model.Float64(math.NaN()), model.Float64(math.Inf(-1)),
		model.Float64(math.Copysign(0, -1)), model.String(""), model.String("x"), model.Bytes(nil), model.Bytes([]byte{0, 255}), model.Instant(0), model.Instant(math.MinInt64),
		model.Duration(math.MaxInt64), model.Duration(-time.Second), model.Ref(model.Address{}), model.Ref(model.Address{Path: model.MustPath("/a"), Name: "b"}),
		model.RefOutside(), model.TableValue(nil), model.TableValue(table), model.Bytes(make([]byte, model.MaxValueBytes)),
	}
}

func TestValuesOnTheWire(t *testing.T) {
	for _, v := range someValues() {
		raw, err := proto.Marshal(FromValue(v))
		var wire modelv1.Value
		if err != nil || Unmarshal(raw, &wire) != nil {
			t.Fatal(v.Type(), err)
		}
		if again, err := ToValue(&wire); err != nil || !again.Equal(v) {
			t.Errorf("%s came back as %s, %v", v.Type(), again.Type(), err)
		}
	}
	for typ := range model.TypeTable + 1 {
		if toType(modelv1.Type(typ)) != typ || modelv1.Type_name[int32(typ)] == "" {
			t.Errorf("type %s has another number on the wire", typ)
		}
	}
	for right := range model.RightAdminister + 1 {
		if modelv1.Right_name[int32(right)] == "" || right > 0 && toRight(modelv1.Right(right)) != right {
			t.Errorf("right %s has another number on the wire", right)
		}
	}
}

// laterValue is a value whose type has a number, in the form of a varint.
func laterValue(number protowire.Number) *modelv1.Value {
	v := &modelv1.Value{}
	v.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), 7))
	return v
}

// What a later version says in a type of its own comes out as it came in: alone, as a cell of a table, and as a sample.
func TestLaterValues(t *testing.T) {
	table := &modelv1.Value{Kind: &modelv1.Value_Table{Table: &modelv1.Table{
		Columns: []*modelv1.Column{{Name: "known", Type: modelv1.Type_TYPE_INT64}, {Name: "later", Type: 77}},
		Rows:    []*modelv1.Row{{Cells: []*modelv1.Value{FromValue(model.Int64(1)), laterValue(77)}}},
	}}}
	for name, wire := range map[string]*modelv1.Value{"alone": laterValue(10), "last": laterValue(255), "cell": table} {
		raw, _ := proto.MarshalOptions{Deterministic: true}.Marshal(wire)
		var received modelv1.Value
		if err := Unmarshal(raw, &received); err != nil {
			t.Fatal(err)
		}
		value, err := ToValue(&received)
		if err != nil || value.IsNone() {
			t.Fatalf("%s: %v, %v", name, value.Type(), err)
		}
		if again, _ := (proto.MarshalOptions{Deterministic: true}).Marshal(FromValue(value)); !bytes.Equal(again, raw) {
			t.Errorf("%s: went in as %x, came out as %x", name, raw, again)
		}
		sent := Samples{Keys: []uint32{1}, Bits: []uint64{0}, Source: []model.Time{1}, Owner: []model.Time{1}, Boxed: []Boxed{{0, value}}}
		var got Samples
		if err := got.Decode(sent.Append(nil)); err != nil || len(got.Boxed) != 1 || !got.Boxed[0].Value.Equal(value) {
			t.Errorf("%s, as a sample: %v, %v", name, got.Boxed, err)
		}
	}
	if v, _ := ToValue(laterValue(10)); v.Type().String() != "type-10" || string(v.JSON()) != `"UAc="` || v.Equal(model.Later(11, v.Wire())) {
		t.Errorf("shown as %s %s", v.Type(), v.JSON())
	}
}

func TestHostileValues(t *testing.T) {
	ref := func(path, name string) *modelv1.Value {
		return &modelv1.Value{Kind: &modelv1.Value_Ref{Ref: &modelv1.Ref{Path: path, Name: name}}}
	}
	table := func(columns []*modelv1.Column, rows ...*modelv1.Row) *modelv1.Value {
		return &modelv1.Value{Kind: &modelv1.Value_Table{Table: &modelv1.Table{Columns: columns, Rows: rows}}}
	}
	columns := func(typ modelv1.Type, names ...string) (list []*modelv1.Column) {
		for _, name := range names {
			list = append(list, &modelv1.Column{Name: name, Type: typ})
		}
		return list
	}
	cell := func(v *modelv1.Value) *modelv1.Row { return &modelv1.Row{Cells: []*modelv1.Value{v}} }
	x := columns(modelv1.Type_TYPE_BOOL, "x")
	for name, test := range map[string]struct {
		wire *modelv1.Value
		kind model.ErrorKind
	}{
		"ref up":              {ref("/a/..", ""), model.KindInvalid},
		"ref relative":        {ref("a", ""), model.KindInvalid},
		"ref with odd name":   {ref("/a", "\x1b[2J"), model.KindInvalid},
		"long text":           {&modelv1.Value{Kind: &modelv1.Value_String_{String_: strings.Repeat("x", model.MaxValueBytes+1)}}, model.KindExhausted},
		"text that grows":     {&modelv1.Value{Kind: &modelv1.Value_String_{String_: strings.Repeat("x\xff", model.MaxValueBytes/2)}}, model.KindExhausted},
		"long bytes":          {&modelv1.Value{Kind: &modelv1.Value_Bytes{Bytes: make([]byte, model.MaxValueBytes+1)}}, model.KindExhausted},
		"table in table":      {table(columns(modelv1.Type_TYPE_TABLE, "x"), cell(table(nil))), model.KindInvalid},
		"table typed column":  {table(columns(modelv1.Type_TYPE_TABLE, "x")), model.KindInvalid},
		"later, out of range": {laterValue(256), model.KindUnsupported},
		"known, as later":     {laterValue(3), model.KindUnsupported},
		"no type":             {table(columns(0, "x"), cell(nil)), model.KindInvalid},
		"wrong cell":          {table(x, cell(FromValue(model.Int64(1)))), model.KindInvalid},
		"too few cells":       {table(x, &modelv1.Row{}), model.KindInvalid},
		"too many cells":      {table(x, &modelv1.Row{Cells: make([]*modelv1.Value, 2)}), model.KindInvalid},
		"no row":              {table(x, nil), model.KindInvalid},
		"same name":           {table(columns(modelv1.Type_TYPE_BOOL, "x", "x")), model.KindInvalid},
		"too many rows":       {table(nil, make([]*modelv1.Row, model.MaxTableRows+1)...), model.KindExhausted},
		"too many columns":    {table(make([]*modelv1.Column, model.MaxTableColumns+1)), model.KindExhausted},
	} {
		v, err := ToValue(test.wire)
		var e *model.Error
		if !errors.As(err, &e) || e.Kind != test.kind || !v.IsNone() || len(e.Detail) > 400 {
			t.Errorf("%s: got %s, %v", name, v.Type(), err)
		}
	}
	for name, wire := range map[string]*modelv1.Value{"nil": nil, "empty": {}, "nil ref": {Kind: &modelv1.Value_Ref{}}, "nil table": {Kind: &modelv1.Value_Table{}}, "nil cell": table(x, cell(nil))} {
		if _, err := ToValue(wire); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzToValue(f *testing.F) {
	for _, v := range someValues()[:21] {
		raw, _ := proto.Marshal(FromValue(v))
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var wire modelv1.Value
		if Unmarshal(raw, &wire) != nil {
			return
		}
		v, err := ToValue(&wire)
		if err != nil {
			return
		}
		if again, err := ToValue(FromValue(v)); err != nil || !again.Equal(v) {
			t.Fatalf("%s came back as %s, %v", v, again, err)
		}
		again, err := model.DecodeJSON(v.Type(), v.JSON())
		if v.Type().IsLater() {
			if err == nil {
				t.Fatalf("%s of a later version can be written as JSON", v)
			}
			return
		}
		if err != nil || !again.Equal(v) {
			t.Fatalf("%s came back from JSON as %s, %v", v, again, err)
		}
	})
}

func TestArguments(t *testing.T) {
	arguments := []model.Argument{{Name: "a", Value: model.Int64(1)}, {Name: "b"}}
	again, err := ToArguments(FromArguments(arguments))
	if err != nil || len(again) != 2 || again[0].Name != "a" || again[0].Value != arguments[0].Value || !again[1].Value.IsNone() {
		t.Errorf("got %v, %v", again, err)
	}
	for name, wire := range map[string][]*modelv1.Argument{
		"too many": make([]*modelv1.Argument, model.MaxSchemaEntries+1), "no name": {{}}, "nil": {nil},
		"bad value": {{Name: "a", Value: &modelv1.Value{Kind: &modelv1.Value_Ref{Ref: &modelv1.Ref{Path: "?"}}}}},
	} {
		if got, err := ToArguments(wire); err == nil || got != nil {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestIdentities(t *testing.T) {
	epoch := model.Epoch{Ordinal: 7, Random: math.MaxUint64}
	id := model.ContextID{Node: model.NodeID{1, 31: 2}, Epoch: epoch, Number: 9}
	if got, err := ToContextID(FromContextID(id)); err != nil || got != id {
		t.Errorf("context ID %s, %v", got, err)
	}
	for _, p := range []model.Position{{}, {Epoch: epoch, Number: 3}, {Number: 3}, {Epoch: epoch}} {
		if got := ToPosition(FromPosition(p)); got != p {
			t.Errorf("position %s became %s", p, got)
		}
	}
	if FromPosition(model.Position{}) != nil || FromEpoch(model.Epoch{}) != nil {
		t.Error("nothing is something on the wire")
	}
	for _, raw := range [][]byte{nil, make([]byte, 31), make([]byte, 33)} {
		if _, err := ToNodeID(raw); model.KindOf(err) != model.KindInvalid || err == nil {
			t.Errorf("%d bytes as a node ID: %v", len(raw), err)
		}
	}
	if _, err := ToContextID(nil); err == nil {
		t.Error("no context ID is one")
	}
	chain := model.Chain{{Epoch: epoch, First: 1}, {Epoch: model.Epoch{Ordinal: 8, Random: 1}, First: 1}}
	if got, err := ToChain(FromChain(chain)); err != nil || len(got) != 2 || got[1] != chain[1] {
		t.Errorf("chain %v, %v", got, err)
	}
	if got, err := ToChain(nil); err != nil || len(got) != 0 {
		t.Errorf("no chain: %v, %v", got, err)
	}
	for name, wire := range map[string]*modelv1.Chain{
		"too long": {Begins: make([]*modelv1.Begin, maxEpochs+1)}, "empty": {Begins: []*modelv1.Begin{nil}}, "falls": FromChain(model.Chain{chain[1], chain[0]}),
	} {
		if _, err := ToChain(wire); err == nil || model.KindOf(err) == model.KindInternal {
			t.Errorf("%s: %v", name, err)
		}
	}
}
