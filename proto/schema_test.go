package proto

import (
	"crypto/sha256"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/model"
	"banyan/proto/modelv1"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func hostSchema() model.Schema {
	field := model.Field{Name: "x", Type: model.TypeInt64, Unit: "s", Description: "an x", Optional: true}
	return model.Schema{
		Kind: "host", Description: "a machine",
		Settings: []model.Setting{
			{Name: "interval", Type: model.TypeDuration, Unit: "s", Description: "how often", Default: model.Duration(time.Second), Right: model.RightConfigure},
			{Name: "password", Type: model.TypeString, Right: model.RightAdminister, Secret: true, Local: true},
		},
		Variables: []model.Variable{
			{Name: "cpu", Type: model.TypeFloat64, Unit: "%", Description: "load", Right: model.RightAdminister},
			{Name: "relay", Type: model.TypeBool, Writable: true, Right: model.RightOperate},
		},
		Functions: []model.Function{{Name: "poll", Description: "now", Parameters: []model.Field{field}, Results: []model.Field{field}, Right: model.RightOperate, Idempotent: true, Local: true}},
		Events:    []model.EventType{{Name: "rebooted", Description: "it did", Fields: []model.Field{field}}},
	}
}

func TestSchemaOnTheWire(t *testing.T) {
	declared := hostSchema()
	s, err := NewSchema(declared)
	if err != nil || s.Hash != sha256.Sum256([]byte(s.Raw)) {
		t.Fatal("a schema is not named by its bytes", err)
	}
	again, err := ToSchema([]byte(s.Raw))
	if err != nil || !reflect.DeepEqual(again, s) {
		t.Errorf("got %+v, %v", again, err)
	}
	declared.Hash, declared.Raw = s.Hash, s.Raw
	if !reflect.DeepEqual(&declared, s) {
		t.Errorf("declared %+v\ngot %+v", declared, s)
	}
	if twin, err := NewSchema(hostSchema()); err != nil || twin.Hash != s.Hash {
		t.Error("the same declaration has two hashes")
	}
	open := hostSchema()
	open.Settings[0].Right = model.RightNone
	if s, err = NewSchema(open); err != nil || s.Settings[0].Right != model.RightAdminister {
		t.Errorf("a setting that says no right needs %s, %v", s.Settings[0].Right, err)
	}
}

func TestSchemaRefuses(t *testing.T) {
	bad := hostSchema()
	bad.Kind = "a host"
	if s, err := NewSchema(bad); err == nil || s != nil {
		t.Error("a bad declaration is taken")
	}
	marshal := func(wire *modelv1.Schema) []byte {
		raw, _ := proto.Marshal(wire)
		return raw
	}
	for name, raw := range map[string][]byte{
		"empty": {}, "damaged": {0xff, 0xff}, "not UTF-8": column(1, 0xff),
		"too large":   marshal(&modelv1.Schema{Kind: "x", Description: strings.Repeat("x", model.MaxSchemaBytes)}),
		"no type":     marshal(&modelv1.Schema{Kind: "x", Variables: []*modelv1.Variable{{Name: "x"}}}),
		"bad default": marshal(&modelv1.Schema{Kind: "x", Settings: []*modelv1.Setting{{Name: "x", Type: 1, Default: &modelv1.Value{Kind: &modelv1.Value_Ref{Ref: &modelv1.Ref{Path: "?"}}}}}}),
		"odd event":   marshal(&modelv1.Schema{Kind: "x", Events: []*modelv1.EventType{{Name: "a\nb"}}}),
	} {
		if s, err := ToSchema(raw); err == nil || s != nil || model.KindOf(err) == model.KindInternal {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

func TestDeriveSchema(t *testing.T) {
	full, err := NewSchema(hostSchema())
	if err != nil {
		t.Fatal(err)
	}
	if same, err := DeriveSchema(full, func(model.EntrySort, string) bool { return true }); err != nil || same != full {
		t.Errorf("where nothing is hidden: %v", err)
	}
	// What a newer version may have put in: a field of the schema, and one within an entry.
	newer := column(200, []byte("schema-novelty")...)
	cpu := slices.Concat(column(1, []byte("cpu2")...), []byte{2 << 3, byte(model.TypeFloat64)}, column(201, []byte("entry-novelty")...))
	full, err = ToSchema(slices.Concat([]byte(full.Raw), newer, column(4, cpu...)))
	if err != nil {
		t.Fatal(err)
	}
	derived, err := DeriveSchema(full, func(sort model.EntrySort, entry string) bool {
		return sort == model.EntryUnknown || entry == "cpu2" || entry == "interval"
	})
	if err != nil || derived.Hash == full.Hash || derived.Hash != sha256.Sum256([]byte(derived.Raw)) || derived.Kind != "host" {
		t.Fatalf("got %+v, %v", derived, err)
	}
	if len(derived.Settings) != 1 || len(derived.Variables) != 1 || len(derived.Functions)+len(derived.Events) != 0 || derived.Variables[0].Name != "cpu2" {
		t.Errorf("shown: %+v", derived)
	}
	for text, there := range map[string]bool{"schema-novelty": true, "entry-novelty": true, "password": false, "relay": false, "poll": false, "rebooted": false} {
		if strings.Contains(derived.Raw, text) != there {
			t.Errorf("%s in the derived bytes: want %v", text, there)
		}
	}
	// An entry with two names is called by the last, for whoever reads it.
	twice := slices.Concat(column(1, []byte("shown")...), []byte{2 << 3, 1}, column(1, []byte("hidden")...))
	full, err = ToSchema(slices.Concat(column(1, 'x'), column(4, twice...)))
	if err != nil || full.Variables[0].Name != "hidden" {
		t.Fatal(full, err)
	}
	if derived, err = DeriveSchema(full, func(_ model.EntrySort, entry string) bool { return entry == "shown" }); err != nil || len(derived.Variables) != 0 {
		t.Errorf("what is hidden is shown: %+v, %v", derived, err)
	}
	if _, err = DeriveSchema(&model.Schema{Raw: "\xff"}, func(model.EntrySort, string) bool { return true }); model.KindOf(err) != model.KindCorrupt {
		t.Errorf("damaged bytes: %v", err)
	}
}

func FuzzSchema(f *testing.F) {
	s, _ := NewSchema(hostSchema())
	f.Add([]byte(s.Raw))
	f.Add(slices.Concat(column(1, 'x'), protowire.AppendTag(nil, 7, protowire.StartGroupType)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := ToSchema(raw)
		if err != nil {
			return
		}
		keep := func(entry string) bool { return len(entry)%2 == 0 }
		derived, err := DeriveSchema(s, func(_ model.EntrySort, entry string) bool { return keep(entry) })
		if err != nil {
			t.Fatalf("%q was read and cannot be derived from: %v", raw, err)
		}
		if i := slices.IndexFunc(derived.Settings, func(e model.Setting) bool { return !keep(e.Name) }); i >= 0 {
			t.Fatalf("%s is shown", derived.Settings[i].Name)
		}
		if i := slices.IndexFunc(derived.Variables, func(e model.Variable) bool { return !keep(e.Name) }); i >= 0 {
			t.Fatalf("%s is shown", derived.Variables[i].Name)
		}
	})
}
