package server

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"banyan/model"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// everyValue has the edges of each type.
func everyValue() []model.Value {
	cells := []model.Value{
		model.Bool(true), model.Int64(math.MinInt64), model.Float64(math.Inf(-1)), model.String("Grüße, 世界 \u2028\"<&>"), model.Bytes([]byte{0, 255}),
		model.Instant(1_767_323_045_678_901_234), model.Duration(90*time.Second + 1), model.Ref(model.Address{Path: model.MustPath("/a/b"), Name: "c"}),
	}
	table := &model.Table{Rows: [][]model.Value{cells, make([]model.Value, len(cells))}}
	for _, c := range cells {
		table.Columns = append(table.Columns, model.Column{Name: c.Type().String(), Type: c.Type()})
	}
	return append(cells,
		model.Value{}, model.Bool(false), model.Int64(math.MaxInt64), model.Int64(1<<53+1), model.Int64(0), model.Float64(0), model.Float64(math.Copysign(0, -1)),
		model.Float64(math.NaN()), model.Float64(math.Inf(1)), model.Float64(0.1), model.Float64(math.MaxFloat64), model.Float64(5e-324), model.Float64(1e21),
		model.String(""), model.Bytes(nil), model.Instant(0), model.Instant(-1), model.Duration(0), model.Duration(math.MinInt64), model.RefOutside(),
		model.TableValue(table), model.TableValue(&model.Table{}),
	)
}

// TestReadingIsTheJSONForm: what the API says of a reading is, as JSON, what the model says of it.
func TestReadingIsTheJSONForm(t *testing.T) {
	full := model.Reading{
		Path: model.MustPath("/a/b"), Name: "v", Unit: "%", Since: 3, Received: 4, Via: []string{"north", "berlin"}, Setting: true,
		Revision: model.Revision{Epoch: model.Epoch{Ordinal: 7, Random: 9}, Number: 42},
	}
	for _, bare := range []bool{true, false} {
		for _, v := range everyValue() {
			for level := model.Good; level <= model.Bad; level++ {
				for reason := model.NoReason; reason <= model.ReasonFailed+1; reason++ {
					r := full
					if bare {
						r = model.Reading{Path: model.Root, Name: "v"}
					}
					r.Sample = model.Sample{Value: v, Quality: model.Quality{Level: level, Reason: reason}, Source: 1, Owner: 2}
					sameJSON(t, r)
				}
			}
		}
	}
}

func sameJSON(t *testing.T, r model.Reading) {
	t.Helper()
	want, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := protojson.Marshal(toReading(r))
	if err != nil {
		t.Fatal(err)
	}
	var wantTree, gotTree any
	if json.Unmarshal(want, &wantTree) != nil || json.Unmarshal(got, &gotTree) != nil {
		t.Fatalf("not JSON: %s, %s", want, got)
	}
	if !reflect.DeepEqual(wantTree, gotTree) {
		t.Errorf("the API says\n%s\nthe model says\n%s", got, want)
	}
}

// TestValuesComeBack: each value that was told, sent again, is the same one.
func TestValuesComeBack(t *testing.T) {
	for _, v := range everyValue() {
		raw, err := proto.Marshal(toValue(v))
		if err != nil {
			t.Fatal(err)
		}
		var wire structpb.Value
		if err := proto.Unmarshal(raw, &wire); err != nil {
			t.Fatal(err)
		}
		back, err := fromValue(v.Type(), &wire, "", false)
		if err != nil || !back.Equal(v) {
			t.Errorf("%s %s came back as %s, %v", v.Type(), v, back, err)
		}
	}
}

func TestFromValueRefuses(t *testing.T) {
	for name, refused := range map[string]func() (model.Value, error){
		"both forms": func() (model.Value, error) {
			return fromValue(model.TypeBool, structpb.NewBoolValue(true), "true", true)
		},
		"a wrong type": func() (model.Value, error) {
			return fromValue(model.TypeBool, structpb.NewStringValue("yes"), "", false)
		},
		"text": func() (model.Value, error) { return fromValue(model.TypeDuration, nil, "soon", true) },
	} {
		if v, err := refused(); model.KindOf(err) != model.KindInvalid {
			t.Errorf("%s: %s, %v", name, v, err)
		}
	}
}
