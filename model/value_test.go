package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// everyValue has at least one value of each type, the ends of each range, and what other forms of JSON lose.
func everyValue() []Value {
	table := &Table{
		Columns: []Column{{"name", TypeString}, {"size", TypeInt64}, {"ratio", TypeFloat64}, {"raw", TypeBytes}, {"to", TypeRef}, {"at", TypeTime}, {"for", TypeDuration}, {"on", TypeBool}},
		Rows: [][]Value{
			{String("a\u2028<b>\",\"[{\\"), Int64(1<<53 + 1), Float64(math.NaN()), Bytes([]byte{0, 255}), RefOutside(), Instant(1), Duration(-1), Bool(true)},
			make([]Value, 8), // no values
		},
	}
	values := []Value{
		Bool(true), Bool(false), String(""), String("plain"), String("\x00\x1f\"\\ü\U0001f333"), String(strings.Repeat("\x01", MaxValueBytes)), String("null"),
		Bytes(nil), Bytes([]byte{0}), Bytes([]byte("hello")), Bytes(make([]byte, MaxValueBytes)),
		Ref(Address{}), Ref(Address{Name: "n"}), Ref(Address{MustPath("/a/b"), "c"}), RefOutside(),
		TableValue(&Table{}), TableValue(table), TableValue(&Table{Columns: table.Columns}), TableValue(&Table{Rows: [][]Value{{}, {}}}), TableValue(nil),
		Instant(TimeOf(time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC))),
	}
	for _, n := range []int64{0, 1, -1, 1<<53 + 1, -1<<53 - 1, math.MaxInt64, math.MinInt64} {
		values = append(values, Int64(n), Duration(time.Duration(n)), Instant(Time(n)))
	}
	for _, f := range []float64{0, math.Copysign(0, -1), 0.1, 1e20, 1e21, -1e-7, math.MaxFloat64, math.SmallestNonzeroFloat64, 0x1p-1030, math.NaN(), math.Inf(1), math.Inf(-1)} {
		values = append(values, Float64(f))
	}
	return values
}

func checkRoundTrip(t interface{ Fatalf(string, ...any) }, v Value) {
	raw := v.JSON()
	if !json.Valid(raw) {
		t.Fatalf("%s %.100s is not JSON", v.Type(), raw)
	}
	if again, err := DecodeJSON(v.Type(), raw); err != nil || !again.Equal(v) || string(again.JSON()) != string(raw) {
		t.Fatalf("%s %.100s comes back as %.100s, %v", v.Type(), raw, again.JSON(), err)
	}
	if again, err := ParseText(v.Type(), v.String()); v.Size() < 1000 && (err != nil || !again.Equal(v)) {
		t.Fatalf("%s typed as %.100q comes back as %.100s, %v", v.Type(), v.String(), again.JSON(), err)
	}
	form, err := json.Marshal(Typed{v})
	var typed Typed
	if errAgain := json.Unmarshal(form, &typed); err != nil || errAgain != nil || !typed.Equal(v) {
		t.Fatalf("typed %.100s comes back as %.100s, %v, %v", form, typed.JSON(), err, errAgain)
	}
	if v.Type().IsScalar() && !Scalar(v.Type(), v.Bits()).Equal(v) {
		t.Fatalf("%s %s does not come back from its bits", v.Type(), v)
	}
}

func TestValuesRoundTrip(t *testing.T) {
	for _, v := range everyValue() {
		checkRoundTrip(t, v)
	}
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.Uint64().Draw(t, "bits")
		for _, typ := range []Type{TypeBool, TypeInt64, TypeFloat64, TypeTime, TypeDuration} {
			checkRoundTrip(t, Scalar(typ, bits))
		}
		checkRoundTrip(t, String(rapid.String().Draw(t, "text")))
		checkRoundTrip(t, Bytes(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")))
	})
}

// TestLargestTableRoundTrips: a cell may take several times its bytes in JSON.
func TestLargestTableRoundTrips(t *testing.T) {
	table := &Table{Columns: []Column{{"a", TypeTime}, {"b", TypeTime}}}
	for len(table.Rows) < MaxTableRows-2 {
		table.Rows = append(table.Rows, []Value{Instant(-1), Instant(math.MaxInt64)})
	}
	if err := table.Validate(); err != nil {
		t.Fatal(err)
	}
	checkRoundTrip(t, TableValue(table))
}

// TestValueForms pins the JSON form, which other programs read.
func TestValueForms(t *testing.T) {
	at := Instant(TimeOf(time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)))
	table := TableValue(&Table{Columns: []Column{{"n", TypeInt64}}, Rows: [][]Value{{Int64(1)}, {Value{}}}})
	for _, test := range []struct {
		v          Value
		json, text string
	}{
		{Value{}, `null`, "-"}, {Bool(true), `true`, "true"}, {Int64(1<<53 + 1), `"9007199254740993"`, "9007199254740993"}, {Float64(12.5), `12.5`, "12.5"},
		{Float64(math.Copysign(0, -1)), `-0`, "-0"}, {Float64(1e21), `1e+21`, "1e+21"}, {Float64(1e20), `100000000000000000000`, "100000000000000000000"},
		{Float64(math.NaN()), `"NaN"`, "NaN"}, {Float64(math.Inf(1)), `"Infinity"`, "Infinity"}, {Float64(math.Inf(-1)), `"-Infinity"`, "-Infinity"},
		{String("text"), `"text"`, "text"}, {String("\xff!"), `"` + "\uFFFD" + `!"`, "\uFFFD!"}, {Bytes([]byte("hello")), `"aGVsbG8="`, "aGVsbG8="},
		{at, `"2026-01-02T03:04:05.678Z"`, "2026-01-02T03:04:05.678Z"}, {Instant(0), `""`, ""},
		{Instant(math.MaxInt64), `"2262-04-11T23:47:16.854775807Z"`, "2262-04-11T23:47:16.854775807Z"},
		{Duration(90 * time.Second), `"1m30s"`, "1m30s"}, {Duration(math.MinInt64), `"-2562047h47m16.854775808s"`, "-2562047h47m16.854775808s"},
		{Ref(Address{MustPath("/sites/berlin"), "state"}), `"/sites/berlin:state"`, "/sites/berlin:state"}, {RefOutside(), `"outside"`, "outside"},
		{table, `{"columns":[{"name":"n","type":"int64"}],"rows":[["1"],[null]]}`, `{"columns":[{"name":"n","type":"int64"}],"rows":[["1"],[null]]}`},
	} {
		if got := string(test.v.JSON()); got != test.json || test.v.String() != test.text {
			t.Errorf("%s: got %s and %q, want %s and %q", test.v.Type(), got, test.v.String(), test.json, test.text)
		}
	}
}

func TestDecodeJSONAlsoTakes(t *testing.T) {
	for _, test := range []struct {
		typ  Type
		raw  string
		want Value
	}{
		{TypeInt64, ` 12 `, Int64(12)}, {TypeInt64, `-9223372036854775808`, Int64(math.MinInt64)}, {TypeFloat64, `1E3`, Float64(1000)}, {TypeBool, "\n true", Bool(true)},
		{TypeString, `"\ud800"`, String("\uFFFD")}, {TypeTime, `"2026-01-02T04:04:05+01:00"`, Instant(TimeOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))},
		{TypeTable, `{"rows":[[1]],"columns":[{"type":"float64","name":"x"}]}`, TableValue(&Table{Columns: []Column{{"x", TypeFloat64}}, Rows: [][]Value{{Float64(1)}}})},
		{TypeTable, `{}`, TableValue(&Table{})}, {TypeTable, `{"columns":null,"rows":null}`, TableValue(&Table{})}, {TypeInt64, `null`, Value{}}, {TypeNone, `null`, Value{}},
	} {
		if got, err := DecodeJSON(test.typ, []byte(test.raw)); err != nil || !got.Equal(test.want) {
			t.Errorf("%s %s: got %s, %v", test.typ, test.raw, got, err)
		}
	}
}

func TestDecodeJSONRefuses(t *testing.T) {
	nested := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	column := `{"columns":[{"name":"x","type":"float64"}],"rows":`
	refused := map[Type][]string{
		TypeNone:      {`1`, `""`},
		TypeTable + 1: {`1`, `"x"`},
		TypeBool:      {`1`, `"true"`, `true1`, `[]`},
		TypeInt64:     {`1.5`, `1e3`, `"1.0"`, `9223372036854775808`, `"-9223372036854775809"`, `"0x10"`, `"1_0"`, `""`, `true`, `{}`, `[1]`},
		TypeFloat64:   {`"1"`, `1e999`, `"Inf"`, `NaN`, `0x1p3`, `true`, `[1]`, `.5`},
		TypeString:    {`1`, `["a"]`, `"` + strings.Repeat("x", MaxValueBytes+1) + `"`, "\"\xff\"", `"a`, "\"\n\""},
		TypeBytes:     {`"a"`, `"!!!!"`, `"aGVsbG8"`, `[1]`, `"` + strings.Repeat("AAAA", MaxValueBytes/3+1) + `"`},
		TypeTime:      {`"yesterday"`, `0`, `"2026-01-02"`, `"2262-04-11T23:47:16.854775808Z"`, `"1677-09-21T00:12:43.145224191Z"`, `"9999-12-31T23:59:59Z"`},
		TypeDuration:  {`"1"`, `1`, `""`, `"1 s"`, `"2562047h47m16.854775808s"`},
		TypeRef:       {`"elsewhere"`, `""`, `"/a:"`, `"/../a"`, `1`},
		TypeTable: {`[]`, `1`, `"x"`, column + `[[1,2]]}`, column + `[[]]}`, column + `[null]}`, column + `[["x"]]}`, column + `1}`, column + `[1]}`, column + `[[[]]]}`, column + `[[1]],"more":1}`,
			`{"columns":[{"name":"x"}],"rows":[]}`, `{"columns":[{"name":"","type":"bool"}]}`, `{"columns":[{"name":"x","type":"table"}]}`, `{"columns":[{"name":"x","type":"?"}]}`,
			`{"columns":[{"name":"x","type":"table"}],"rows":[[{}]]}`, `{"columns":[{"name":"x","type":"bool"},{"name":"x","type":"bool"}]}`, `{"columns":[{"name":"x","type":"bool","more":1}]}`,
			`{"columns":[` + strings.Repeat(`{"name":"x","type":"bool"},`, MaxTableColumns) + `{"name":"y","type":"bool"}]}`, `{"rows":[[]` + strings.Repeat(`,[]`, MaxTableRows) + `]}`},
	}
	for typ := range TypeTable + 2 {
		for _, raw := range append(refused[typ], ``, ` `, `{`, `nul`, `1 2`, "\x00", nested, `"`+strings.Repeat("x", 9<<20)+`"`) {
			v, err := DecodeJSON(typ, []byte(raw))
			var e *Error
			if !errors.As(err, &e) || e.Kind != KindInvalid || !v.IsNone() {
				t.Errorf("%s %.60s: got %s, %v", typ, raw, v.Type(), err)
			} else if len(e.Detail) > 400 {
				t.Errorf("%s %.60s: the message has %d bytes", typ, raw, len(e.Detail))
			}
		}
	}
	for _, raw := range []string{`1`, `{}`, `{"type":"bool"}`, `{"type":"?","value":1}`, `{"type":"bool","value":1}`, `{"type":1,"value":1}`, `[]`} {
		typed := Typed{Int64(7)}
		if err := typed.UnmarshalJSON([]byte(raw)); raw != `{}` && (KindOf(err) != KindInvalid || err == nil || !typed.Equal(Int64(7))) {
			t.Errorf("typed %s: %v, left %s", raw, err, typed)
		}
	}
}

// TestTableBombs: what a few bytes of JSON stand for is bounded before memory is taken for it.
func TestTableBombs(t *testing.T) {
	var columns []string
	for i := range MaxTableColumns {
		columns = append(columns, fmt.Sprintf(`{"name":"c%d","type":"float64"}`, i))
	}
	row := "[1" + strings.Repeat(",1", MaxTableColumns-1) + "]"
	for name, raw := range map[string]string{
		"rows":    `{"rows":[[]` + strings.Repeat(",[]", 2<<20) + `]}`,
		"columns": `{"columns":[{}` + strings.Repeat(",{}", 2<<20) + `]}`,
		"size":    `{"columns":[{"name":"x","type":"float64"},{"name":"y","type":"float64"}],"rows":[[1,1]` + strings.Repeat(",[1,1]", MaxTableRows-1) + `]}`,
		"wide":    `{"columns":[` + strings.Join(columns, ",") + `],"rows":[` + strings.Join(slices.Repeat([]string{row}, 10_000), ",") + `]}`,
		"cells":   `{"columns":[{"name":"x","type":"float64"}],"rows":[[1` + strings.Repeat(",1", 3<<20) + `]]}`,
	} {
		var before, after runtime.MemStats
		text := []byte(raw)
		runtime.ReadMemStats(&before)
		_, err := DecodeJSON(TypeTable, text)
		runtime.ReadMemStats(&after)
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 24<<20 || err == nil || KindOf(err) != KindInvalid {
			t.Errorf("%s: %d MiB for %d MiB of JSON, %v", name, allocated>>20, len(raw)>>20, err)
		}
	}
}

func FuzzDecodeJSON(f *testing.F) {
	for _, v := range everyValue() {
		if v.Size() < 1000 {
			f.Add(byte(v.Type()), v.JSON())
		}
	}
	f.Add(byte(TypeTable), []byte(`{"columns":[{"name":"x","type":"float64"}],"rows":[[1],[null],["NaN"]]}`))
	f.Add(byte(TypeString), []byte(`"\ud83c\udf33\ud800"`))
	f.Fuzz(func(t *testing.T, typ byte, raw []byte) {
		v, err := DecodeJSON(Type(typ), raw)
		if err != nil {
			if KindOf(err) != KindInvalid || !v.IsNone() {
				t.Fatalf("%s %q: %s, %v", Type(typ), raw, v, err)
			}
			return
		}
		if !v.IsNone() && v.Type() != Type(typ) {
			t.Fatalf("%q as %s became a %s", raw, Type(typ), v.Type())
		}
		if v.Type() == TypeTable && v.Table().Validate() != nil {
			t.Fatalf("%q became a table that is not valid", raw)
		}
		if again, err := DecodeJSON(Type(typ), v.JSON()); err != nil || !again.Equal(v) {
			t.Fatalf("%q became %s, which became %s, %v", raw, v.JSON(), again.JSON(), err)
		}
		_, _ = ParseText(Type(typ), string(raw))
		_ = new(Typed).UnmarshalJSON(raw)
	})
}

func TestAccessors(t *testing.T) {
	for _, v := range append(everyValue(), Value{}) {
		zero := v.Bool() == false && v.Int64() == 0 && v.Float64() == 0 && v.Text() == "" && len(v.Bytes()) == 0 && v.Time() == 0 && v.Duration() == 0 && v.Table() == nil
		_, inside := v.Ref()
		switch v.Type() {
		case TypeNone:
			if !zero || inside || !v.IsNone() {
				t.Error("no value has a value")
			}
		case TypeRef:
			if !zero {
				t.Error("a ref is something else too")
			}
		default:
			if inside {
				t.Errorf("%s is a ref too", v.Type())
			}
		}
		if v.Equal(Value{}) != v.IsNone() || !v.Equal(v) {
			t.Errorf("%s: equal to none, or not to itself", v.Type())
		}
	}
	original := []byte{1}
	v := Bytes(original)
	original[0] = 2
	v.Bytes()[0] = 3
	if v.Bytes()[0] != 1 {
		t.Error("bytes are shared with whoever made or read them")
	}
	if Float64(math.Float64frombits(0x7ff8000000000bad)).Bits() != Float64(math.NaN()).Bits() || Scalar(TypeBool, 7) != Bool(true) || !Scalar(TypeString, 7).IsNone() {
		t.Error("scalars of odd bits")
	}
	for typ := range TypeTable + 1 {
		if again, err := ParseType(typ.String()); err != nil || again != typ {
			t.Errorf("type %s: %s, %v", typ, again, err)
		}
	}
}

func TestTimes(t *testing.T) {
	for _, std := range []time.Time{{}, time.Unix(0, 1), time.Unix(0, math.MaxInt64), time.Unix(0, math.MinInt64)} {
		if at := TimeOf(std); !at.Std().Equal(std) {
			t.Errorf("%s became %s", std, at)
		}
	}
	if TimeOf(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)) != math.MaxInt64 || TimeOf(time.Date(1000, 1, 1, 0, 0, 0, 0, time.UTC)) != math.MinInt64 {
		t.Error("a time out of range does not become the nearest one in it")
	}
}
