package main

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

// someValues are values of all types, with what is easily lost on the way.
func someValues() []model.Value {
	address := model.Address{Path: model.MustPath("/sites/berlin"), Name: "state"}
	return []model.Value{
		{}, model.Bool(true), model.Int64(math.MaxInt64), model.Int64(math.MinInt64), model.Float64(12.5), model.Float64(-0.1), model.Float64(1e300),
		model.Float64(math.NaN()), model.Float64(math.Inf(1)), model.Float64(math.Inf(-1)), model.String(""), model.String("<a&b> \x1b[0m \u202e 🌳"),
		model.Bytes(nil), model.Bytes([]byte{0, 255}), model.Instant(0), model.Instant(1767323045678901234), model.Duration(90*time.Second + 1),
		model.Ref(address), model.RefOutside(),
		model.TableValue(&model.Table{
			Columns: []model.Column{{Name: "n", Type: model.TypeInt64}, {Name: "f", Type: model.TypeFloat64}},
			Rows:    [][]model.Value{{model.Int64(math.MaxInt64), model.Float64(math.NaN())}, {{}, {}}},
		}),
	}
}

// TestReadingIsTheModels: what --json prints is, character by character, the JSON form of model.Reading; but for escapes of what acts on a
// terminal, which mean the same.
func TestReadingIsTheModels(t *testing.T) {
	for _, value := range someValues() {
		said := model.Reading{
			Path: model.MustPath("/devices/local"), Name: "x", Unit: "%", Since: 1, Received: 1767323045678901234, Setting: true, Via: []string{"north", "berlin"},
			Revision: model.Position{Epoch: model.Epoch{Ordinal: 3, Random: 5}, Number: 7},
			Sample:   model.Sample{Value: value, Quality: model.QualityStale, Source: 1767323045000000000, Owner: 1767323045000000001},
		}
		want, err := json.Marshal(said)
		if err != nil {
			t.Fatal(err)
		}
		var wire apiv1.Reading // the API's JSON has the same fields
		if err := protojson.Unmarshal(want, &wire); err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(reading{&wire})
		if err != nil || string(got) != string(want) {
			t.Errorf("got  %s (%v)\nwant %s", got, err, want)
		}
	}
}

func TestReadingOfALaterVersion(t *testing.T) {
	value, err := structpb.NewValue(map[string]any{"re": 1.0})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(reading{&apiv1.Reading{Path: "/a", Name: "z", Type: "complex", Value: value}})
	if want := `{"path":"/a","name":"z","type":"complex","value":{"re":1}}`; err != nil || string(got) != want {
		t.Errorf("got %s (%v), want %s", got, err, want)
	}
}

func TestReadingForPeople(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	number := structpb.NewNumberValue(12.3456789)
	tests := []struct {
		r    *apiv1.Reading
		want string
	}{
		{&apiv1.Reading{Type: "float64", Value: number, Unit: "%", Quality: "good", Time: "2026-01-02T03:04:03.8Z"}, "12.3456789 %  good  1.2s"},
		{&apiv1.Reading{Type: "float64", Value: number, Quality: "uncertain", Reason: "stale", Since: "2026-01-02T03:03:53Z", Time: "2026-01-02T03:03:50Z"},
			"12.3456789  uncertain/stale since 12s  15s"},
		{&apiv1.Reading{Type: "duration", Value: structpb.NewStringValue("2s"), Quality: "good", Revision: "1-02@3"}, "2s  good  setting"},
		{&apiv1.Reading{Type: "none", Quality: "uncertain", Reason: "not-yet-read"}, "-  uncertain/not-yet-read  -"},
		{&apiv1.Reading{Type: "string", Value: structpb.NewStringValue("a\nb\x1b[0m"), Quality: "good\r"}, `a\nb\x1b[0m  good\r  -`},
	}
	for _, test := range tests {
		if got := (reading{test.r}).line(now); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
	if got := (reading{tests[0].r}).short(10); got != "12.3457 %" {
		t.Errorf("short is %q", got)
	}
}
