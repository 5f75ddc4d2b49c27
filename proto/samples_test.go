package proto

import (
	"encoding/binary"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"banyan/model"
	"banyan/proto/modelv1"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// toWire is what the comments in model.proto say of Samples, written as plainly as possible.
func toWire(s *Samples) *modelv1.Samples {
	wire := &modelv1.Samples{Bits: s.Bits}
	previousKey, previousTime := uint32(0), model.Time(0)
	same, zero := true, true
	for i, key := range s.Keys {
		wire.KeySteps = append(wire.KeySteps, int32(key-previousKey-1))
		wire.SourceSteps = append(wire.SourceSteps, int64(s.Source[i]-previousTime))
		wire.OwnerOffsets = append(wire.OwnerOffsets, int64(s.Owner[i]-s.Source[i]))
		previousKey, previousTime = key, s.Source[i]
		same = same && wire.OwnerOffsets[i] == wire.OwnerOffsets[0]
		zero = zero && wire.OwnerOffsets[i] == 0
	}
	if zero {
		wire.OwnerOffsets = nil
	} else if same {
		wire.OwnerOffsets = wire.OwnerOffsets[:1]
	}
	if slices.ContainsFunc(s.Quality, func(code uint16) bool { return code != 0 }) {
		for _, code := range s.Quality {
			wire.Quality = append(wire.Quality, uint32(code))
		}
	}
	for _, b := range s.Boxed {
		wire.Boxed = append(wire.Boxed, &modelv1.Boxed{Index: uint32(b.Index), Value: FromValue(b.Value)})
	}
	return wire
}

// sameSamples compares batches; quality that is all good may also be empty.
func sameSamples(a, b *Samples) bool {
	good := func(q []uint16) bool { return !slices.ContainsFunc(q, func(code uint16) bool { return code != 0 }) }
	return slices.Equal(a.Keys, b.Keys) && slices.Equal(a.Bits, b.Bits) && slices.Equal(a.Source, b.Source) && slices.Equal(a.Owner, b.Owner) &&
		(slices.Equal(a.Quality, b.Quality) || good(a.Quality) && good(b.Quality)) &&
		slices.EqualFunc(a.Boxed, b.Boxed, func(x, y Boxed) bool { return x.Index == y.Index && x.Value.Equal(y.Value) })
}

func drawSamples(t *rapid.T) *Samples {
	n := rapid.SampledFrom([]int{0, 1, 2, 3, 9, 40}).Draw(t, "n")
	times := rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, 300), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64}))
	offsets := rapid.SampledFrom([]string{"none", "same", "different"}).Draw(t, "offsets")
	offset, allGood := times.Draw(t, "offset"), rapid.Bool().Draw(t, "good")
	boxed := []model.Value{model.String("x"), model.Bytes([]byte{0xff}), model.RefOutside(), model.TableValue(nil), {}, model.Float64(1)}
	s := &Samples{}
	for i := range n {
		s.Keys = append(s.Keys, rapid.OneOf(rapid.Uint32(), rapid.Just(uint32(i+1))).Draw(t, "key"))
		s.Bits = append(s.Bits, rapid.Uint64().Draw(t, "bits"))
		s.Source = append(s.Source, model.Time(times.Draw(t, "source")))
		switch offsets {
		case "none":
			offset = 0
		case "different":
			offset = times.Draw(t, "offset")
		}
		s.Owner = append(s.Owner, s.Source[i]+model.Time(offset))
		if !allGood {
			s.Quality = append(s.Quality, rapid.Uint16().Draw(t, "quality"))
		}
		if rapid.IntRange(0, 9).Draw(t, "box") == 0 {
			s.Boxed = append(s.Boxed, Boxed{i, rapid.SampledFrom(boxed).Draw(t, "value")})
		}
	}
	return s
}

// TestSamplesAgainstGenerated: what is put together by hand is what the generated code reads, and the other way round.
func TestSamplesAgainstGenerated(t *testing.T) {
	var reused Samples
	rapid.Check(t, func(t *rapid.T) {
		s := drawSamples(t)
		encoded := s.Append([]byte("before"))
		if string(encoded[:6]) != "before" {
			t.Fatal("what stood before was changed")
		}
		var read modelv1.Samples
		if err := proto.Unmarshal(encoded[6:], &read); err != nil || !proto.Equal(&read, toWire(s)) {
			t.Fatalf("generated code reads %v, %v\nwant %v", &read, err, toWire(s))
		}
		generated, err := proto.Marshal(toWire(s))
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range [][]byte{encoded[6:], generated, append(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 7), generated...)} {
			if err := reused.Decode(raw); err != nil || !sameSamples(&reused, s) {
				t.Fatalf("decoded %+v, %v\nwant %+v", reused, err, s)
			}
		}
	})
}

func TestSamplesFull(t *testing.T) {
	s, again := benchBatch(MaxSamples), &Samples{}
	if err := again.Decode(s.Append(nil)); err != nil || !sameSamples(s, again) {
		t.Fatal("a full batch does not come back", err)
	}
	s.Owner = nil // all equal to the source time
	if err := again.Decode(s.Append(nil)); err != nil || !slices.Equal(again.Owner, s.Source) {
		t.Fatal("without owner times", err)
	}
	if err := again.Decode(benchBatch(MaxSamples + 1).Append(nil)); model.KindOf(err) != model.KindExhausted || len(again.Keys) != 0 {
		t.Errorf("one too many: %v", err)
	}
	again.Boxed = append(again.Boxed, Boxed{1, model.String("secret")})
	again.Reset()
	if len(again.Keys)+len(again.Boxed) != 0 || cap(again.Keys) == 0 || !again.Boxed[:1][0].Value.IsNone() {
		t.Error("reset loses memory or keeps values")
	}
}

func column(field protowire.Number, content ...byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), content)
}

func boxed(index uint32, v *modelv1.Value) []byte {
	raw, _ := proto.Marshal(&modelv1.Boxed{Index: index, Value: v})
	return column(fieldBoxed, raw...)
}

func TestSamplesRefuses(t *testing.T) {
	one := slices.Concat(column(fieldKeySteps, 0), column(fieldBits, make([]byte, 8)...), column(fieldSourceSteps, 2))
	overlong := slices.Concat(slices.Repeat([]byte{0xff}, 10), []byte{1})
	text := FromValue(model.String("x"))
	for name, test := range map[string]struct {
		raw  []byte
		kind model.ErrorKind
	}{
		"keys only":         {column(fieldKeySteps, 0), model.KindCorrupt},
		"no keys":           {one[len(column(fieldKeySteps, 0)):], model.KindCorrupt},
		"bits cut":          {column(fieldBits, make([]byte, 7)...), model.KindCorrupt},
		"two sources":       {slices.Concat(one[:len(one)-3], column(fieldSourceSteps, 2, 2)), model.KindCorrupt},
		"column twice":      {slices.Concat(one, column(fieldKeySteps, 0)), model.KindCorrupt},
		"two qualities":     {slices.Concat(one, column(fieldQuality, 1, 1)), model.KindCorrupt},
		"two offsets":       {slices.Concat(one, column(fieldOwnerOffsets, 1, 1)), model.KindCorrupt},
		"varint cut":        {slices.Concat(column(fieldKeySteps, 0x80), one[3:]), model.KindCorrupt},
		"varint cut behind": {slices.Concat(column(fieldKeySteps, 0, 0x80), one[3:]), model.KindCorrupt},
		"varint too long":   {slices.Concat(column(fieldKeySteps, overlong...), one[3:]), model.KindCorrupt},
		"tag cut":           {append(slices.Clone(one), 0x80), model.KindCorrupt},
		"length too long":   {append(slices.Clone(one), fieldBoxed<<3|2, 0x7f), model.KindCorrupt},
		"box outside":       {slices.Concat(one, boxed(1, text)), model.KindCorrupt},
		"box far outside":   {slices.Concat(one, boxed(math.MaxUint32, text)), model.KindCorrupt},
		"boxes descend":     {slices.Concat(one, boxed(0, text), boxed(0, text)), model.KindCorrupt},
		"box damaged":       {slices.Concat(one, column(fieldBoxed, 0xff)), model.KindCorrupt},
		"box too large":     {slices.Concat(one, boxed(0, &modelv1.Value{Kind: &modelv1.Value_Bytes{Bytes: make([]byte, model.MaxValueBytes+1)}})), model.KindExhausted},
		"too many keys":     {column(fieldKeySteps, make([]byte, MaxSamples+1)...), model.KindExhausted},
		"too many bits":     {column(fieldBits, make([]byte, 8*MaxSamples+8)...), model.KindExhausted},
		"too many offsets":  {column(fieldOwnerOffsets, make([]byte, MaxSamples+1)...), model.KindExhausted},
	} {
		var s Samples
		if err := s.Decode(test.raw); err == nil || model.KindOf(err) != test.kind || len(s.Keys)+len(s.Boxed) != 0 {
			t.Errorf("%s: %v, left %+v", name, err, s)
		}
	}
	var s Samples
	if err := s.Decode(one); err != nil || len(s.Keys) != 1 || s.Keys[0] != 1 || s.Source[0] != 1 {
		t.Errorf("the good one: %+v, %v", s, err)
	}
}

// allocatedBy is how many bytes f takes in all, given back or not.
func allocatedBy(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestSamplesBombs: a frame of 1 MiB takes a few MiB at most, whatever is in it.
func TestSamplesBombs(t *testing.T) {
	const length = 1 << 20
	table := func(content []byte) []byte { // a box whose value is a table
		value := column(9, content...)
		return column(fieldBoxed, column(2, value...)...)
	}
	deep := column(99, make([]byte, length/2)...)
	for range maxPartDepth / 4 {
		deep = column(2, column(1, column(9, deep...)...)...)
	}
	for name, raw := range map[string][]byte{
		"keys":         column(fieldKeySteps, make([]byte, length)...),
		"many columns": slices.Repeat(column(fieldKeySteps, make([]byte, MaxSamples)...), length/MaxSamples),
		"cells":        table(column(2, slices.Repeat([]byte{1<<3 | 2, 0}, length/2)...)),
		"rows":         table(slices.Repeat([]byte{2<<3 | 2, 0}, length/2)),
		"columns":      table(slices.Repeat([]byte{1<<3 | 2, 0}, length/2)),
		"empty boxes":  slices.Repeat([]byte{fieldBoxed<<3 | 2, 0}, length/2),
		"nested":       table(deep),
		"zeros":        make([]byte, length),
	} {
		var s Samples
		var err error
		if n := allocatedBy(func() { err = s.Decode(raw) }); n > 4<<20 || err == nil {
			t.Errorf("%s: %d KiB for %d KiB, %v", name, n>>10, len(raw)>>10, err)
		}
	}
	full := &modelv1.Table{Columns: []*modelv1.Column{{Name: "x", Type: modelv1.Type_TYPE_STRING}}}
	for range model.MaxTableRows {
		full.Rows = append(full.Rows, &modelv1.Row{Cells: []*modelv1.Value{{}}})
	}
	raw, _ := proto.Marshal(&modelv1.Boxed{Value: &modelv1.Value{Kind: &modelv1.Value_Table{Table: full}}})
	one := slices.Concat(column(fieldKeySteps, 0), column(fieldBits, make([]byte, 8)...), column(fieldSourceSteps, 2), column(fieldBoxed, raw...))
	var s Samples
	if err := s.Decode(one); err != nil {
		t.Errorf("a table as large as allowed: %v", err)
	}
}

func FuzzSamplesDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add(benchBatch(3).Append(nil))
	mixed := benchBatch(12)
	mixed.Quality = make([]uint16, 12)
	mixed.Quality[3], mixed.Owner[5] = 0x8109, 1
	mixed.Boxed = []Boxed{{2, model.String("x")}, {7, model.TableValue(&model.Table{Columns: []model.Column{{Name: "n", Type: model.TypeInt64}}, Rows: [][]model.Value{{{}}}})}}
	f.Add(mixed.Append(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var s, again Samples
		var err error
		if n := allocatedBy(func() { err = s.Decode(raw) }); n > 1<<20+200*uint64(len(raw)) {
			t.Fatalf("%d bytes took %d", len(raw), n)
		}
		if err != nil {
			if kind := model.KindOf(err); kind == model.KindInternal || strings.Contains(err.Error(), "proto:") {
				t.Fatalf("kind %s: %v", kind, err)
			}
			return
		}
		if n := len(s.Keys); len(s.Bits) != n || len(s.Source) != n || len(s.Owner) != n || len(s.Quality) != 0 && len(s.Quality) != n || n > MaxSamples {
			t.Fatalf("columns of different lengths: %+v", s)
		}
		var read modelv1.Samples
		if err := proto.Unmarshal(raw, &read); err == nil && !reflect.DeepEqual(read.GetBits(), s.Bits) && len(s.Bits) > 0 {
			t.Fatalf("generated code reads %v, we read %v", read.GetBits(), s.Bits)
		}
		if err := again.Decode(s.Append(nil)); len(s.Keys) > 0 && (err != nil || !sameSamples(&s, &again)) {
			t.Fatalf("%+v came back as %+v, %v", s, again, err)
		}
	})
}

func TestCountVarints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var raw []byte
		values := rapid.SliceOf(rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 300))).Draw(t, "values")
		for _, v := range values {
			raw = binary.AppendUvarint(raw, v)
		}
		into, err := decodeVarints([]int64(nil), raw)
		if err != nil || countVarints(raw) != len(values) || len(into) != len(values) {
			t.Fatalf("%d of %d, %v", len(into), len(values), err)
		}
		for i, v := range values {
			if uint64(into[i]) != v {
				t.Fatalf("%d became %d", v, into[i])
			}
		}
	})
}
