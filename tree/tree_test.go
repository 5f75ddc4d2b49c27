package tree

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"banyan/model"

	"github.com/google/go-cmp/cmp"
)

var (
	testNode  = model.NodeID{1}
	testEpoch = model.Epoch{Ordinal: 1, Random: 7}
)

func schemaOf(kind string, types ...model.Type) *model.Schema {
	s := &model.Schema{Kind: kind, Settings: []model.Setting{
		{Name: "poll_interval", Type: model.TypeDuration, Default: model.Duration(10 * time.Second)},
		{Name: "password", Type: model.TypeString, Secret: true},
	}}
	for i, t := range types {
		s.Variables = append(s.Variables, model.Variable{Name: fmt.Sprintf("v%d", i), Type: t, Unit: "%"})
	}
	copy(s.Hash[:], fmt.Sprint(kind, types))
	return s
}

func contextID(n uint64) model.ContextID {
	return model.ContextID{Node: testNode, Epoch: testEpoch, Number: n}
}

func put(n uint64, path string, s *model.Schema, settings ...model.Value) Put {
	return Put{ID: contextID(n), Path: model.MustPath(path), Schema: s, Settings: settings, Version: model.Version{Epoch: testEpoch, Number: n}}
}

func good(f float64, at model.Time) model.Sample {
	return model.Sample{Value: model.Float64(f), Source: at}
}

func TestLookupAndListing(t *testing.T) {
	tr := New(Config{})
	s := schemaOf("probe", model.TypeFloat64)
	tr.Apply([]Put{put(1, "/sites/berlin/plc", s), put(2, "/sites/aachen", s), put(3, "/devices", s)}, nil)

	if _, there := tr.Lookup(model.MustPath("/sites")); there {
		t.Error("/sites is only on the way and no context")
	}
	c, there := tr.Lookup(model.MustPath("/sites/berlin/plc"))
	if !there || c.ID != contextID(1) || c.SettingNamed("poll_interval").Duration() != 10*time.Second {
		t.Errorf("got %+v, %v", c, there)
	}
	names := func(path, after string, most int) (names []string, more bool) {
		children, more := tr.Children(model.MustPath(path), after, most)
		for _, c := range children {
			names = append(names, c.Path.Base())
		}
		return names, more
	}
	if got, more := names("/", "", 10); !slices.Equal(got, []string{"devices", "sites"}) || more {
		t.Errorf("below /: %v %v", got, more)
	}
	if got, more := names("/sites", "", 1); !slices.Equal(got, []string{"aachen"}) || !more {
		t.Errorf("first below /sites: %v %v", got, more)
	}
	if got, more := names("/sites", "aachen", 1); !slices.Equal(got, []string{"berlin"}) || more {
		t.Errorf("second below /sites: %v %v", got, more)
	}
	tr.Apply(nil, []Removal{{Path: model.MustPath("/sites/berlin/plc")}})
	if got, _ := names("/sites", "", 10); !slices.Equal(got, []string{"aachen"}) {
		t.Errorf("a place without contexts below it stayed: %v", got)
	}
	if contexts, _ := tr.Count(); contexts != 2 {
		t.Errorf("%d contexts, want 2", contexts)
	}
}

func TestDiamondIsCountedOnce(t *testing.T) {
	tr := New(Config{})
	s := schemaOf("probe", model.TypeFloat64)
	tr.Apply([]Put{put(1, "/a/x", s), put(1, "/b/x", s), put(2, "/a/y", s)}, nil)
	if contexts, identities := tr.Count(); contexts != 3 || identities != 2 {
		t.Errorf("%d contexts of %d identities, want 3 of 2", contexts, identities)
	}
	tr.Apply(nil, []Removal{{Path: model.MustPath("/a/x")}})
	if paths := tr.ByID(contextID(1)); len(paths) != 1 || paths[0].String() != "/b/x" {
		t.Errorf("left at %v", paths)
	}
}

func TestReadEveryType(t *testing.T) {
	values := []model.Value{
		model.Bool(true), model.Int64(1<<62 + 1), model.Float64(2.5), model.String("x"), model.Bytes([]byte{0, 255}), model.Instant(99),
		model.Duration(time.Minute), model.Ref(model.Address{Path: model.MustPath("/a"), Name: "b"}),
		model.TableValue(&model.Table{Columns: []model.Column{{Name: "c", Type: model.TypeInt64}}, Rows: [][]model.Value{{model.Int64(1)}}}),
	}
	var types []model.Type
	for _, v := range values {
		types = append(types, v.Type())
	}
	tr := New(Config{})
	tr.Apply([]Put{put(1, "/d", schemaOf("all", types...))}, nil)
	c, _ := tr.Lookup(model.MustPath("/d"))
	reader := tr.NewReader()
	defer reader.Close()
	var b Batch
	for i, v := range values {
		b.Add(c.Slots.First+Slot(i), model.Sample{Value: v, Source: 5, Quality: model.QualityNoReply})
	}
	tr.Publish(&b)
	for i, want := range values {
		r, there := tr.Read(model.Address{Path: c.Path, Name: fmt.Sprintf("v%d", i)})
		if !there || !r.Sample.Value.Equal(want) || r.Sample.Source != 5 || r.Sample.Quality != model.QualityNoReply || r.Received == 0 {
			t.Errorf("%s: read %+v, want %s", types[i], r, want)
		}
	}
	run, ok := reader.Next()
	if !ok || len(run.Slots) != len(values) || !run.Boxed[8].Equal(values[8]) || run.Bits[1] != values[1].Bits() {
		t.Errorf("the ring holds %+v", run)
	}
	if r, _ := tr.Read(model.Address{Path: c.Path, Name: "password"}); !r.Sample.Value.IsNone() {
		t.Error("a secret was read")
	}
	if _, there := tr.Read(model.Address{Path: c.Path, Name: "absent"}); there {
		t.Error("an absent variable was read")
	}
}

// TestFreshnessLeavesOutWhatIsNotThere: what a device does not have makes no context bad, what it fails at does.
func TestFreshnessLeavesOutWhatIsNotThere(t *testing.T) {
	tr := New(Config{})
	tr.Apply([]Put{put(1, "/d", schemaOf("three", model.TypeFloat64, model.TypeFloat64, model.TypeFloat64))}, nil)
	c, _ := tr.Lookup(model.MustPath("/d"))
	failed := model.Quality{Level: model.Bad, Reason: model.ReasonFailed}
	unset := model.Quality{Level: model.Uncertain, Reason: model.ReasonNotSet}
	for _, test := range []struct{ third, want model.Quality }{{model.QualityGood, model.QualityGood}, {failed, failed}, {unset, unset}} {
		var b Batch
		b.Add(c.Slots.First, model.Sample{Source: 5, Quality: model.Quality{Level: model.Bad, Reason: model.ReasonUnsupported}})
		b.Add(c.Slots.First+1, good(1, 6))
		b.Add(c.Slots.First+2, model.Sample{Value: model.Float64(2), Source: 7, Quality: test.third})
		tr.Publish(&b)
		if f, n := tr.Freshness(c.Path); f.Quality != test.want || f.Newest != 7 || n != 3 {
			t.Errorf("with the third %s the context is %+v of %d, expected %s", test.third, f, n, test.want)
		}
	}
}

// TestFreshnessLeavesOutWhatIsNotSet: a web page without a text that is looked for is as good as one with it; a value that was read and is not
// any more counts, and so does what cannot be used.
func TestFreshnessLeavesOutWhatIsNotSet(t *testing.T) {
	tr := New(Config{})
	tr.Apply([]Put{put(1, "/d", schemaOf("two", model.TypeFloat64, model.TypeFloat64))}, nil)
	c, _ := tr.Lookup(model.MustPath("/d"))
	unset := model.Quality{Level: model.Uncertain, Reason: model.ReasonNotSet}
	unusable := model.Quality{Level: model.Bad, Reason: model.ReasonNotSet}
	for _, test := range []struct {
		second model.Sample
		want   model.Quality
	}{
		{model.Sample{Source: 7, Quality: unset}, model.QualityGood},
		{model.Sample{Value: model.Float64(2), Source: 7, Quality: unset}, unset},
		{model.Sample{Source: 7, Quality: unusable}, unusable},
	} {
		var b Batch
		b.Add(c.Slots.First, good(1, 6))
		b.Add(c.Slots.First+1, test.second)
		tr.Publish(&b)
		if f, _ := tr.Freshness(c.Path); f.Quality != test.want {
			t.Errorf("with %+v the context is %s, expected %s", test.second, f.Quality, test.want)
		}
	}
}

func TestReaderInTheRingSeesEverySample(t *testing.T) {
	tr := New(Config{})
	tr.Apply([]Put{put(1, "/d", schemaOf("p", model.TypeFloat64, model.TypeFloat64))}, nil)
	c, _ := tr.Lookup(model.MustPath("/d"))
	reader := tr.NewReader()
	defer reader.Close()
	const total = 3*chunkSamples + 17
	var b Batch
	for i := range total {
		b.Add(c.Slots.First+Slot(i%2), good(float64(i), model.Time(i+1)))
		if i%1000 == 999 || i == total-1 {
			tr.Publish(&b)
			b.Reset()
		}
	}
	seen := 0
	for {
		run, ok := reader.Next()
		if !ok {
			break
		}
		for i := range run.Slots {
			if run.Lapped || run.Source[i] != model.Time(seen+1) || run.Slots[i] != c.Slots.First+Slot(seen%2) {
				t.Fatalf("sample %d is %v of slot %d", seen, run.Source[i], run.Slots[i])
			}
			seen++
		}
	}
	if seen != total {
		t.Errorf("saw %d samples of %d", seen, total)
	}
}

func TestLappedReaderGetsEachChangedSlotOnce(t *testing.T) {
	tr := New(Config{RingFor: time.Nanosecond})
	s := schemaOf("p", model.TypeFloat64, model.TypeFloat64, model.TypeFloat64)
	tr.Apply([]Put{put(1, "/d", s)}, nil)
	c, _ := tr.Lookup(model.MustPath("/d"))
	var b Batch
	b.Add(c.Slots.First+2, good(1, 1))
	tr.Publish(&b) // before the reader: must not be told
	reader := tr.NewReader()
	defer reader.Close()
	b.Reset()
	const total = (keepChunks + 4) * chunkSamples
	for i := range total {
		b.Add(c.Slots.First+Slot(i%2), good(float64(i), model.Time(i)))
	}
	tr.Publish(&b)
	run, ok := reader.Next()
	if !ok || !run.Lapped || len(run.Slots) != 2 || !run.Skipped {
		t.Fatalf("lapped run: %v of %v, skipped %v", run.Lapped, run.Slots, run.Skipped)
	}
	for i, slot := range run.Slots {
		if want := model.Time(total - 2 + int(slot-c.Slots.First)); run.Source[i] != want {
			t.Errorf("slot %d is from %d, want the latest, %d", slot, run.Source[i], want)
		}
	}
	if _, ok := reader.Next(); ok {
		t.Error("the reader did not return to the ring")
	}
}

// TestWalkIsMadeInParts: a reader that has fallen out of the ring is told of every slot what it was last, once, in parts that are bounded. What is published
// meanwhile comes after it; nothing goes backwards; what is before a stop comes before what is after it.
func TestWalkIsMadeInParts(t *testing.T) {
	tr := New(Config{RingFor: time.Nanosecond})
	s := schemaOf("p", model.TypeFloat64, model.TypeFloat64, model.TypeFloat64, model.TypeFloat64)
	const slots = (keepChunks + 8) * chunkSamples
	var puts []Put
	for n := range slots / 4 {
		puts = append(puts, put(uint64(n+1), fmt.Sprintf("/d%d", n), s))
	}
	tr.Apply(puts, nil)
	reader := tr.NewReader()
	defer reader.Close()
	publish := func(from, to int, value float64) {
		var b Batch
		for i := from; i < to; i++ {
			b.Add(Slot(i), good(value, model.Time(value)))
		}
		tr.Publish(&b)
	}
	first := puts[0].Slots.First
	publish(int(first), int(first)+slots, 1)
	stop := tr.Head()
	publish(int(first), int(first)+slots/2, 2)
	reader.StopAt(stop)
	told := make(map[Slot]model.Time)
	samples, parts, unread := 0, 0, false
	for run, ok := reader.Next(); ok; run, ok = reader.Next() {
		parts++
		if len(run.Slots) > walkSamples+pageSlots {
			t.Fatalf("a part has %d samples", len(run.Slots))
		}
		if parts == 3 && !unread {
			unread = true
			reader.Unread(&run) // as who has to stop before it
			continue
		}
		for i, slot := range run.Slots {
			if told[slot] >= run.Source[i] {
				t.Fatalf("slot %d is told %d after %d", slot, run.Source[i], told[slot])
			}
			told[slot] = run.Source[i]
			samples++
			if run.First < stop && run.Source[i] != 1 {
				t.Fatalf("%d was told before what stands before the stop", run.Source[i])
			}
		}
		if parts == 4 {
			publish(int(first), int(first)+100, 3)
		}
	}
	for i := range slots {
		want := model.Time(1)
		if i < 100 {
			want = 3
		} else if i < slots/2 {
			want = 2
		}
		if told[first+Slot(i)] != want {
			t.Fatalf("slot %d was told %d last, want %d", i, told[first+Slot(i)], want)
		}
	}
	if samples > slots+slots/2+100 {
		t.Errorf("%d samples were told", samples)
	}
}

func TestWatcher(t *testing.T) {
	tr := New(Config{})
	tr.Apply([]Put{put(1, "/d", schemaOf("p", model.TypeFloat64, model.TypeFloat64))}, nil)
	c, _ := tr.Lookup(model.MustPath("/d"))
	w := tr.Watch([]Slot{c.Slots.First})
	defer w.Close()
	<-w.Wake()
	if first, _ := w.Next(nil); len(first) != 1 || !first[0].Sample.Value.IsNone() {
		t.Errorf("at first: %+v", first)
	}
	publish := func(n int) {
		var b Batch
		for i := range n {
			b.Add(c.Slots.First, good(float64(i), model.Time(i+1)))
			b.Add(c.Slots.First+1, good(-1, 1))
		}
		tr.Publish(&b)
		<-w.Wake()
	}
	publish(3)
	if got, conflated := w.Next(nil); len(got) != 3 || conflated || got[2].Sample.Value.Float64() != 2 {
		t.Errorf("saw %+v, conflated %v", got, conflated)
	}
	publish(watcherQueue + 1)
	if got, conflated := w.Next(nil); len(got) != 1 || !conflated || got[0].Sample.Source != watcherQueue+1 {
		t.Errorf("after too many: %+v, conflated %v", got, conflated)
	}
}

// What comes to stand in a removed context's slots must reach no one who watched or followed the old one.
func TestSlotsAreNotHandedOn(t *testing.T) {
	tr := New(Config{RingFor: time.Nanosecond})
	s := schemaOf("p", model.TypeFloat64)
	tr.Apply([]Put{put(1, "/old", s)}, nil)
	old, _ := tr.Lookup(model.MustPath("/old"))
	w := tr.Watch([]Slot{old.Slots.First})
	defer w.Close()
	var b Batch
	b.Add(old.Slots.First, good(1, 1))
	tr.Publish(&b)
	tr.Apply(nil, []Removal{{Path: old.Path}})

	tr.Apply([]Put{put(2, "/new", s)}, nil)
	next, _ := tr.Lookup(model.MustPath("/new"))
	if next.Slots.First == old.Slots.First {
		t.Error("a slot was given again while the ring still had a sample of its former context")
	}
	filler := Batch{}
	for i := range (keepChunks + 2) * chunkSamples {
		filler.Add(next.Slots.First, good(2, model.Time(i)))
	}
	tr.Publish(&filler)
	tr.Apply([]Put{put(3, "/third", s)}, nil)
	third, _ := tr.Lookup(model.MustPath("/third"))
	if third.Slots.First != old.Slots.First {
		t.Error("a slot that the ring has long passed was not given again")
	}
	if r, _ := tr.Read(model.Address{Path: third.Path, Name: "v0"}); !r.Sample.Value.IsNone() || r.Sample.Quality != model.QualityNotRead {
		t.Errorf("a new context begins with %+v", r.Sample)
	}
	<-w.Wake()
	w.Next(nil)
	b.Reset()
	b.Add(third.Slots.First, good(3, 3))
	tr.Publish(&b)
	if got, _ := w.Next(nil); len(got) != 0 {
		t.Errorf("a watcher of the removed context saw %+v", got)
	}
}

func TestChangesSince(t *testing.T) {
	tr := New(Config{FirstChange: 100})
	s := schemaOf("p", model.TypeFloat64)
	tr.Apply([]Put{put(1, "/a", s), put(2, "/b", s), put(3, "/c", s)}, nil) // 100 101 102
	tr.Apply([]Put{put(1, "/a", s, model.Duration(1))}, nil)                // 103
	tr.Apply(nil, []Removal{{Path: model.MustPath("/b")}})                  // 104

	tell := func(since uint64, most int) (told []string, through uint64) {
		d := tr.ChangesSince(since, most, nil)
		for _, c := range d.Contexts {
			told = append(told, fmt.Sprint("+", c.Path, " ", c.Change))
		}
		for _, s := range d.Tombstones {
			told = append(told, fmt.Sprint("-", s.Path, " ", s.Change))
		}
		return told, d.Through
	}
	for _, c := range []struct {
		since   uint64
		most    int
		want    []string
		through uint64
	}{
		{0, 10, []string{"+/c 102", "+/a 103", "-/b 104"}, 104},
		{0, 1, []string{"+/c 102"}, 102},
		{102, 10, []string{"+/a 103", "-/b 104"}, 104},
		{103, 10, []string{"-/b 104"}, 104},
		{104, 10, nil, 104},
	} {
		got, through := tell(c.since, c.most)
		if diff := cmp.Diff(c.want, got); diff != "" || through != c.through {
			t.Errorf("since %d: through %d, want %d; %s", c.since, through, c.through, diff)
		}
	}
}

func TestReservedNumbersHideWhatComesAfter(t *testing.T) {
	tr := New(Config{})
	s := schemaOf("p", model.TypeFloat64)
	first := tr.Reserve(1)
	tr.Apply([]Put{put(9, "/mirrored", s)}, nil)
	if d := tr.ChangesSince(0, 10, nil); len(d.Contexts) != 0 || d.Through != first-1 {
		t.Errorf("a change beyond an outstanding reservation was told: %+v", d)
	}
	own := put(1, "/own", s)
	own.Number = first
	tr.Apply([]Put{own}, nil)
	tr.Release()
	d := tr.ChangesSince(0, 10, nil)
	if len(d.Contexts) != 2 || d.Contexts[0].Path.String() != "/own" || d.Contexts[1].Path.String() != "/mirrored" {
		t.Errorf("after the reservation: %+v", d)
	}
}

func TestHorizonMovesWithForgottenTombstones(t *testing.T) {
	tr := New(Config{Tombstones: 2})
	s := schemaOf("p", model.TypeFloat64)
	for n := range uint64(4) {
		path := fmt.Sprintf("/c%d", n)
		tr.Apply([]Put{put(n+1, path, s)}, nil)
		tr.Apply(nil, []Removal{{Path: model.MustPath(path)}})
	}
	d := tr.ChangesSince(0, 10, nil)
	if len(d.Tombstones) != 2 || tr.Horizon() != d.Tombstones[0].Change-1 {
		t.Errorf("%d tombstones from %v, horizon %d", len(d.Tombstones), d.Tombstones, tr.Horizon())
	}
}

func TestOverlay(t *testing.T) {
	tr := New(Config{})
	s := schemaOf("p", model.TypeFloat64)
	tr.Apply([]Put{put(1, "/m/a/x", s), put(2, "/m/b", s)}, nil)
	x, _ := tr.Lookup(model.MustPath("/m/a/x"))
	var b Batch
	b.Add(x.Slots.First, good(1, 1))
	tr.Publish(&b)
	read := func(path string) model.Reading {
		r, _ := tr.Read(model.Address{Path: model.MustPath(path), Name: "v0"})
		return r
	}
	tr.SetOverlay(Overlay{Path: model.MustPath("/m/a"), Since: 70})
	tr.SetOverlay(Overlay{Path: model.MustPath("/m"), Since: 90})
	if r := read("/m/a/x"); r.Sample.Quality != model.QualityStale || r.Since != 70 || r.Sample.Source != 1 {
		t.Errorf("below two overlays: %+v", r)
	}
	tr.ClearOverlay(model.MustPath("/m/a"))
	if r := read("/m/a/x"); r.Since != 90 {
		t.Errorf("below the outer overlay: %+v", r)
	}
	tr.ClearOverlay(model.MustPath("/m"))
	if r := read("/m/a/x"); r.Sample.Quality != model.QualityGood || r.Since != 0 {
		t.Errorf("without overlays: %+v", r)
	}
}
