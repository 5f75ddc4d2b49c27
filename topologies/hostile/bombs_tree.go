package hostile

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/proto/modelv1"

	pb "google.golang.org/protobuf/proto"
)

// schemaBombs are kinds that cannot be, or too many.
func schemaBombs() []*Bomb {
	told := func(name, sends, reason string, aims []string, make func() *modelv1.Schema) *Bomb {
		return &Bomb{Name: name, Sends: sends, Reason: reason, Aims: append(aims, "ProviderFrame.schema", "SchemaBody", "Schema"), follow: func(f *Following) error {
			s := make()
			f.note(s)
			return f.Send(hashed(s))
		}}
	}
	many := func(fields int) (list []*modelv1.Field) {
		for i := range fields {
			list = append(list, &modelv1.Field{Name: fmt.Sprintf("f%d", i), Type: 4})
		}
		return list
	}
	return []*Bomb{
		told("kind that is too large", "a kind of 2 MiB", "a schema of", nil, func() *modelv1.Schema {
			return &modelv1.Schema{Kind: "big", Description: strings.Repeat("x", 2<<20)}
		}),
		told("kind of many variables", "a kind of 6,000 variables", "at most 1024", []string{"Variable"}, func() *modelv1.Schema {
			s := &modelv1.Schema{Kind: "many"}
			for i := range 6000 {
				s.Variables = append(s.Variables, &modelv1.Variable{Name: fmt.Sprintf("v%d", i), Type: 3})
			}
			return s
		}),
		told("kind with names that ring", "a kind whose settings have names with control characters", "name", []string{"Setting"}, func() *modelv1.Schema {
			return &modelv1.Schema{Kind: "ring", Settings: []*modelv1.Setting{{Name: "\a\x1b[2J", Type: 4, Default: &modelv1.Value{Kind: &modelv1.Value_String_{String_: "x"}}}}}
		}),
		told("kind of wide functions", "a kind with a function of 5,000 fields", "", []string{"Function", "Field", "EventType"}, func() *modelv1.Schema {
			return &modelv1.Schema{
				Kind: "wide", Functions: []*modelv1.Function{{Name: "f", Parameters: many(5000), Right: 99}}, Events: []*modelv1.EventType{{Name: "e", Fields: many(9)}},
			}
		}),
		{Name: "kind by another hash", Sends: "a kind under the hash of another", Reason: "hash is another", Aims: []string{"SchemaBody"}, follow: func(f *Following) error {
			return f.Send(rawSchema(make([]byte, 32), []byte(schema.Raw)))
		}},
		{Name: "kinds without end", Sends: "20,000 kinds of 60 KiB that nothing has", Reason: "", Aims: []string{"ProviderFrame.schema"}, follow: func(f *Following) error {
			text := strings.Repeat("x", 60<<10)
			return f.flood(20_000, func(n uint64) *linkv1.ProviderFrame {
				return hashed(&modelv1.Schema{Kind: fmt.Sprintf("k%d", n), Description: text})
			})
		}},
		{Name: "small kinds without end", Sends: "as many kinds of 10 bytes as go through in 3 s", Reason: "schemas", Aims: []string{"ProviderFrame.schema"}, follow: func(f *Following) error {
			return f.flood(2_000_000, func(n uint64) *linkv1.ProviderFrame { return hashed(&modelv1.Schema{Kind: fmt.Sprintf("k%d", n)}) })
		}},
		{Name: "rich kinds", Sends: "3,000 kinds with 4,000 entries each, of which each takes ten times its length", Reason: "", Aims: []string{"SchemaBody"}, follow: func(f *Following) error {
			s := &modelv1.Schema{}
			for i := range 1000 {
				name := fmt.Sprintf("a%d", i)
				s.Settings, s.Variables = append(s.Settings, &modelv1.Setting{Name: "s" + name, Type: 4}), append(s.Variables, &modelv1.Variable{Name: name, Type: 3})
				s.Functions, s.Events = append(s.Functions, &modelv1.Function{Name: name}), append(s.Events, &modelv1.EventType{Name: name})
			}
			return f.flood(3000, func(n uint64) *linkv1.ProviderFrame {
				s.Kind = fmt.Sprintf("k%d", n)
				return hashed(s)
			})
		}},
	}
}

func hashed(s *modelv1.Schema) *linkv1.ProviderFrame {
	raw, err := pb.Marshal(s)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(raw)
	return rawSchema(sum[:], raw)
}

// deltaBombs are trees that cannot be, or are not the provider's to tell.
func deltaBombs() []*Bomb {
	spoilt := func(name, sends, reason string, aims []string, spoil func(*Following, *linkv1.Delta)) *Bomb {
		return &Bomb{Name: name, Sends: sends, Reason: reason, Aims: append(aims, "ProviderFrame.delta", "Delta"), follow: func(f *Following) error {
			d := f.delta("/a", "/b")
			spoil(f, d)
			return errors.Join(f.Send(schemaFrame(schema)), f.Send(deltaFrame(d)))
		}}
	}
	at := func(name, sends, reason, path string) *Bomb {
		return spoilt(name, sends, reason, []string{"Definition"}, func(_ *Following, d *linkv1.Delta) { d.Definitions[0].Path = path })
	}
	setting := func(name, sends, reason string, aims []string, index uint32, value *modelv1.Value) *Bomb {
		return spoilt(name, sends, reason, append(aims, "SettingValue", "Value"), func(_ *Following, d *linkv1.Delta) {
			d.Definitions[0].Settings = []*linkv1.SettingValue{{Index: index, Value: value}}
		})
	}
	nested := wideTable(1, 1)
	nested.GetTable().Rows[0].Cells[0] = wideTable(1, 1)
	ragged := wideTable(3, 5)
	ragged.GetTable().Rows[2] = &modelv1.Row{}
	return []*Bomb{
		at("deep path", "a path of 10,000 segments", "path", strings.Repeat("/x", 10_000)),
		at("path that climbs", "a path with .. in it", "path", "/../../users/admin"),
		at("path that is none", "a path without its beginning", "path", "users/admin"),
		at("path that rings", "a path with control characters and a null byte", "path", "/a\x1b[2J\x00"),
		at("path of the edge", "a path that is too long below the mount only", "path", "/"+strings.Repeat(strings.Repeat("x", 200)+"/", 5)+"123456789012345678"),
		at("path of the mount", "itself at the mount, in place of what is there", "", "/"),
		at("encoded path", "a path whose dots are encoded", "path", "/%2e%2e/users"),
		spoilt("wide tree", "a listing of 130,000 contexts in one message", "more than 4096 definitions", []string{"Definition"}, func(f *Following, d *linkv1.Delta) {
			d.Definitions = nil
			for i := range 130_000 {
				d.Definitions = append(d.Definitions, &linkv1.Definition{Number: uint64(i + 1), Path: fmt.Sprintf("/w%x", i)})
			}
		}),
		spoilt("origins without end", "80,000 nodes of whom nothing comes", "more than 32768 origins", []string{"Origin"}, func(f *Following, d *linkv1.Delta) {
			for i := range 80_000 {
				node := make([]byte, 32)
				binary.LittleEndian.PutUint64(node, uint64(i))
				d.Origins = append(d.Origins, &linkv1.Origin{Node: node, Epoch: &modelv1.Epoch{Ordinal: 1}})
			}
		}),
		spoilt("routes without end", "80,000 routes that nothing takes", "more than 4096 routes", []string{"Route", "Hop"}, func(f *Following, d *linkv1.Delta) {
			id := f.ID()
			for range 80_000 {
				d.Routes = append(d.Routes, &linkv1.Route{Hops: []*linkv1.Hop{{Node: id[:], Name: "a"}}})
			}
		}),
		spoilt("long route", "a route of 20,000 nodes", "more than 64 hops", []string{"Route", "Hop"}, func(f *Following, d *linkv1.Delta) {
			id := f.ID()
			for range 20_000 {
				d.Routes[0].Hops = append(d.Routes[0].Hops, &linkv1.Hop{Node: id[:], Name: "a"})
			}
		}),
		spoilt("forged route", "contexts that come from the victim itself", "", []string{"Route", "Hop"}, func(f *Following, d *linkv1.Delta) {
			d.Routes[0].Hops = []*linkv1.Hop{{Node: f.Victim[:], Name: "hq"}}
		}),
		spoilt("forged origin", "contexts with the identities of the victim's own", "", []string{"Origin"}, func(f *Following, d *linkv1.Delta) {
			d.Origins[0] = &linkv1.Origin{Node: f.Victim[:], Epoch: &modelv1.Epoch{Ordinal: 1}}
			for i, def := range d.Definitions {
				def.Number = uint64(i + 1)
			}
			for i := range 200 {
				d.Removals = append(d.Removals, &linkv1.Removal{Number: uint64(i + 1), Path: "/"})
			}
		}),
		spoilt("kind that was not told", "a context of a kind that was not told", "schema was not told", nil, func(_ *Following, d *linkv1.Delta) { d.Schemas[0] = make([]byte, 32) }),
		spoilt("index beyond the table", "the index of a route that was not told", "was not told", nil, func(_ *Following, d *linkv1.Delta) { d.Definitions[0].Route = math.MaxUint32 }),
		spoilt("one path twice", "two contexts for one path", "two contexts for one path", nil, func(_ *Following, d *linkv1.Delta) { d.Definitions[1].Path = "/a" }),
		spoilt("label as a book", "a label of 2 MiB with control characters", "", nil, func(_ *Following, d *linkv1.Delta) { d.Definitions[0].Label = ring(2 << 20) }),
		spoilt("unknown without end", "a context with 1 MiB that no version knows", "that this version does not know", nil, func(_ *Following, d *linkv1.Delta) {
			d.Definitions[0].ProtoReflect().SetUnknown(append([]byte("\xfa\x3f\x80\x80\x40"), make([]byte, 1<<20)...))
		}),
		spoilt("removal outside", "the removal of a path that climbs", "path", []string{"Removal"}, func(_ *Following, d *linkv1.Delta) {
			d.Removals = []*linkv1.Removal{{Path: "/../devices", Withdrawn: true}}
		}),
		setting("setting that there is not", "a setting that its kind does not have", "setting", nil, 99, wideTable(1, 1)),
		setting("setting of another type", "a table for a duration", "another type", nil, 0, wideTable(1, 1)),
		setting("long text", "a text of 3 MiB", "a value of", []string{"Value.string"}, 1, &modelv1.Value{Kind: &modelv1.Value_String_{String_: strings.Repeat("x", 3<<20)}}),
		setting("long table", "a table of 100,000 rows", "more than 65536 rows", []string{"Table", "Row", "Value.table"}, 2, wideTable(1, 100_000)),
		setting("wide table", "a table of 60,000 columns", "more than 256 columns", []string{"Table", "Column"}, 2, wideTable(60_000, 1)),
		setting("table in a table", "a table whose cell is a table", "table within a table", []string{"Value.table"}, 2, nested),
		setting("ragged table", "a table with a row that is too short", "row of 0 cells", []string{"Row"}, 2, ragged),
		setting("reference that climbs", "a reference to a path that climbs", "path", []string{"Value.ref", "Ref"}, 3, &modelv1.Value{Kind: &modelv1.Value_Ref{Ref: &modelv1.Ref{Path: "/../x"}}}),
		{Name: "position rollback", Sends: "changes, then that they went back, and heads that nobody reaches", Aims: []string{"Delta", "Lane"}, follow: rollback},
		{Name: "tree without end", Sends: "contexts with as many settings as go through in 3 s", Reason: "may take", Aims: []string{"Definition", "SettingValue"}, follow: func(f *Following) error {
			if err := f.Send(schemaFrame(schema)); err != nil {
				return err
			}
			note := strings.Repeat("x", 200)
			at := 0
			return f.flood(2000, func(uint64) *linkv1.ProviderFrame {
				var paths []string
				for range 500 {
					at++
					paths = append(paths, fmt.Sprintf("/t%d/c%d", at/1000, at))
				}
				d := f.delta(paths...)
				for _, def := range d.GetDefinitions() {
					def.Settings = []*linkv1.SettingValue{{Index: 1, Value: &modelv1.Value{Kind: &modelv1.Value_String_{String_: note}}}}
				}
				return deltaFrame(d)
			})
		}},
		{Name: "large contexts", Sends: "contexts with 1 MiB of text each", Reason: "may take", Aims: []string{"SettingValue"}, follow: func(f *Following) error {
			if err := f.Send(schemaFrame(schema)); err != nil {
				return err
			}
			note := strings.Repeat("x", 1<<20)
			return f.flood(2000, func(n uint64) *linkv1.ProviderFrame {
				d := f.delta(fmt.Sprintf("/l%d", n))
				d.Definitions[0].Settings = []*linkv1.SettingValue{{Index: 1, Value: &modelv1.Value{Kind: &modelv1.Value_String_{String_: note}}}}
				return deltaFrame(d)
			})
		}},
	}
}

// rollback tells changes and goes back behind them.
func rollback(f *Following) error {
	if err := honest(f); err != nil {
		return err
	}
	d := f.delta("/c")
	d.Through, d.Head = 1, 1
	for _, def := range d.Definitions {
		def.Change, def.Defined = 0, 0
	}
	lanes := []*linkv1.Lane{{Kind: linkv1.LaneKind_LANE_KIND_CHANGES, Head: 1}, {Kind: linkv1.LaneKind_LANE_KIND_SAMPLES, Head: math.MaxUint64, Applied: math.MaxUint64}}
	return errors.Join(f.Send(deltaFrame(d)), f.Send(beatFrame(&linkv1.Beat{Number: 1, Lanes: lanes})), f.Send(beatFrame(&linkv1.Beat{Number: 1, Lanes: lanes})),
		f.Send(samplesFrame(proto.Samples{}, math.MaxUint64)), f.Send(samplesFrame(proto.Samples{}, 1)))
}

// churnBombs leave behind what takes room of the mount until the ring has moved on: they are a provider's last.
func churnBombs() []*Bomb {
	return []*Bomb{
		{Name: "coming and going", Sends: "contexts that come and go, each of another node, as many as go through", Aims: []string{"Removal", "Definition", "Origin"}, follow: churn},
	}
}

func churn(f *Following) error {
	if err := f.Send(schemaFrame(schema)); err != nil {
		return err
	}
	var before *linkv1.Delta
	round := uint64(0)
	return f.flood(1_000_000, func(uint64) *linkv1.ProviderFrame {
		round++
		var paths []string
		for i := range 200 {
			paths = append(paths, fmt.Sprintf("/g%d-%d", round, i))
		}
		d := f.delta(paths...)
		d.Origins = []*linkv1.Origin{{Node: make([]byte, 32), Epoch: &modelv1.Epoch{Ordinal: round}}}
		binary.LittleEndian.PutUint64(d.Origins[0].Node, round)
		if before != nil {
			d.Origins = append(d.Origins, before.Origins[0])
			for _, def := range before.Definitions {
				d.Removals = append(d.Removals, &linkv1.Removal{Origin: 1, Number: def.GetNumber(), Change: def.GetChange(), Path: def.GetPath(), Withdrawn: true})
			}
		}
		before = d
		if round == 2 {
			f.note(deltaFrame(d))
		}
		return deltaFrame(d)
	})
}

// sampleBombs are samples and handles.
func sampleBombs() []*Bomb {
	bound := func(name, sends, reason string, spoil func(*linkv1.Bindings)) *Bomb {
		return &Bomb{Name: name, Sends: sends, Reason: reason, Aims: []string{"ProviderFrame.bindings", "Bindings"}, follow: func(f *Following) error {
			d := f.delta("/a", "/b")
			frame := f.bind(d)
			spoil(frame.GetBindings())
			return errors.Join(f.Send(schemaFrame(schema)), f.Send(deltaFrame(d)), f.Send(frame))
		}}
	}
	now := model.TimeOf(time.Now())
	text := func(bytes int) model.Value { return model.String(strings.Repeat("x", bytes)) }
	return []*Bomb{
		bound("handles with a gap", "handles that do not follow those before", "do not follow", func(b *linkv1.Bindings) { b.First = 77 }),
		bound("crooked handles", "handles whose columns differ in length", "do not follow", func(b *linkv1.Bindings) { b.Defined = nil }),
		bound("handles without end", "300,000 handles for contexts that never come", "handles in one message", func(b *linkv1.Bindings) {
			for i := range 300_000 {
				b.Origin, b.NumberSteps, b.Key, b.Defined = append(b.Origin, 0), append(b.NumberSteps, 0), append(b.Key, uint32(i)), append(b.Defined, math.MaxInt32)
			}
		}),
		{Name: "handle of a path", Sends: "a handle for a path that climbs", Reason: "path", Aims: []string{"BindingPath"}, follow: func(f *Following) error {
			d := f.delta("/a", "/b")
			frame := f.bind(d)
			frame.GetBindings().Paths = []*linkv1.BindingPath{{Path: "/../x"}}
			return errors.Join(f.Send(schemaFrame(schema)), f.Send(deltaFrame(d)), f.Send(frame))
		}},
		{Name: "handles far apart", Sends: "20,000 contexts whose handles are 100,000 apart", Reason: "may take", Aims: []string{"Bindings"}, follow: func(f *Following) error {
			if err := f.Send(schemaFrame(schema)); err != nil {
				return err
			}
			key, first := uint32(1), uint32(0)
			return f.pairs(40, func(n uint64) (*linkv1.ProviderFrame, *linkv1.ProviderFrame) {
				var paths []string
				for i := range 500 {
					paths = append(paths, fmt.Sprintf("/k%d-%d", n, i))
				}
				d := f.delta(paths...)
				frame := f.bind(d)
				b := frame.GetBindings()
				b.First = first
				first += uint32(len(b.Key))
				for i := range b.Key {
					b.Key[i] = key
					key += 100_000
				}
				return deltaFrame(d), frame
			})
		}},
		{Name: "samples before the welcome", Sends: "samples before the welcome", Reason: "before the welcome", Aims: []string{"ProviderFrame.samples", "LiveSamples"}, Rude: true, follow: func(f *Following) error {
			return f.Send(samplesFrame(proto.Samples{Keys: []uint32{1}, Bits: []uint64{1}, Source: []model.Time{now}}, 1))
		}},
		{Name: "too many samples", Sends: "400,000 samples in one message", Reason: "samples", Aims: []string{"LiveSamples", "Samples"}, follow: func(f *Following) error {
			s := proto.Samples{}
			for range 400_000 {
				s.Keys, s.Bits, s.Source = append(s.Keys, 1), append(s.Bits, 1), append(s.Source, 1)
			}
			return f.Send(samplesFrame(s, 9))
		}},
		{Name: "crooked samples", Sends: "samples whose columns differ in length", Reason: "samples", Aims: []string{"Samples"}, follow: func(f *Following) error {
			s := &modelv1.Samples{KeySteps: []int32{1, 2, 3}, Bits: []uint64{1}}
			return f.Send(&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Samples{Samples: &linkv1.LiveSamples{Samples: s}}})
		}},
		{Name: "value beyond its samples", Sends: "a value for the sample 4294967295", Reason: "samples", Aims: []string{"Boxed"}, follow: func(f *Following) error {
			s := &modelv1.Samples{KeySteps: []int32{0}, Bits: []uint64{1}, SourceSteps: []int64{1}, Boxed: []*modelv1.Boxed{{Index: math.MaxUint32, Value: wideTable(1, 1)}}}
			return f.Send(&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Samples{Samples: &linkv1.LiveSamples{Samples: s}}})
		}},
		{Name: "table as a sample", Sends: "a sample that is a table of 100,000 rows", Reason: "more than 65536 rows", Aims: []string{"Boxed", "Table"}, follow: func(f *Following) error {
			s := &modelv1.Samples{KeySteps: []int32{0}, Bits: []uint64{1}, SourceSteps: []int64{1}, Boxed: []*modelv1.Boxed{{Value: wideTable(1, 100_000)}}}
			return f.Send(&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Samples{Samples: &linkv1.LiveSamples{Samples: s}}})
		}},
		{Name: "samples of nobody", Sends: "samples for handles that nobody has, with positions that jump", Aims: []string{"LiveSamples", "Samples"}, follow: func(f *Following) error {
			if err := honest(f); err != nil {
				return err
			}
			s := proto.Samples{Keys: []uint32{77, math.MaxUint32}, Bits: []uint64{1, 2}, Source: []model.Time{math.MaxInt64, math.MinInt64}, Quality: []uint16{math.MaxUint16, math.MaxUint16}}
			return errors.Join(f.Send(samplesFrame(s, math.MaxUint64)), f.Send(samplesFrame(s, 0)))
		}},
		{Name: "long texts as samples", Sends: "samples of one variable with 1 MiB of text each, as many as go through", Aims: []string{"Boxed", "Value.string"}, follow: func(f *Following) error {
			if err := honest(f); err != nil {
				return err
			}
			frame := samplesFrame(proto.Samples{Keys: []uint32{2}, Bits: []uint64{0}, Source: []model.Time{now}, Boxed: []proto.Boxed{{Value: text(1<<20 - 8)}}}, 9)
			return f.flood(3000, func(uint64) *linkv1.ProviderFrame { return frame })
		}},
		{Name: "long texts everywhere", Sends: "3,000 variables with 256 KiB of text each", Reason: "may take", Aims: []string{"Boxed"}, follow: func(f *Following) error {
			var paths []string
			for i := range 3000 {
				paths = append(paths, fmt.Sprintf("/e%d", i))
			}
			d := f.delta(paths...)
			if err := errors.Join(f.Send(schemaFrame(schema)), f.Send(deltaFrame(d)), f.Send(f.bind(d))); err != nil {
				return err
			}
			value := text(256 << 10)
			return f.flood(3000, func(n uint64) *linkv1.ProviderFrame {
				return samplesFrame(proto.Samples{Keys: []uint32{uint32(n-1)*uint32(len(schema.Variables)) + 2}, Bits: []uint64{0}, Source: []model.Time{now}, Boxed: []proto.Boxed{{Value: value}}}, n)
			})
		}},
		{Name: "samples as fast as they go", Sends: "full batches of samples of two variables, as many as go through", Aims: []string{"LiveSamples"}, follow: func(f *Following) error {
			if err := honest(f); err != nil {
				return err
			}
			s := proto.Samples{}
			for i := range proto.MaxSamples {
				s.Keys, s.Bits, s.Source = append(s.Keys, uint32(1+3*(i%2))), append(s.Bits, uint64(i)), append(s.Source, now)
			}
			frame := samplesFrame(s, 9)
			return f.flood(1_000_000, func(uint64) *linkv1.ProviderFrame { return frame })
		}},
	}
}

// pairs is flood with two frames at a time.
func (f *Following) pairs(most uint64, frames func(uint64) (*linkv1.ProviderFrame, *linkv1.ProviderFrame)) error {
	for began, n := time.Now(), uint64(1); n <= most && time.Since(began) < Within; n++ {
		a, b := frames(n)
		if err := errors.Join(f.Send(a), f.Send(b)); err != nil {
			return err
		}
	}
	return nil
}

func samplesFrame(s proto.Samples, through uint64) *linkv1.ProviderFrame {
	wire := &modelv1.Samples{}
	if err := pb.Unmarshal(s.Append(nil), wire); err != nil {
		panic(err)
	}
	return &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Samples{Samples: &linkv1.LiveSamples{Samples: wire, Through: through}}}
}
