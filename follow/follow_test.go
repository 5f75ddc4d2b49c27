package follow

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/model"
	"banyan/proto"
	"banyan/tree"
)

// part shows what has no "hidden" in its path, kind or name, of the kinds named where there are any.
type part struct{ kinds []string }

func (p part) Key() string { return fmt.Sprint(p.kinds) }

func (p part) Selects(path model.Path, kind string) bool {
	return !strings.Contains(path.String()+kind, "hidden") && (len(p.kinds) == 0 || slices.Contains(p.kinds, kind))
}

func (p part) Schema(full *model.Schema) (*model.Schema, error) {
	return proto.DeriveSchema(full, func(_ model.EntrySort, entry string) bool { return !strings.Contains(entry, "hidden") })
}

func schemaOf(t *testing.T, kind string) *model.Schema {
	t.Helper()
	s, err := proto.NewSchema(model.Schema{
		Kind: kind,
		Settings: []model.Setting{
			{Name: "hidden_one", Type: model.TypeInt64, Right: model.RightConfigure},
			{Name: "password", Type: model.TypeString, Secret: true, Right: model.RightConfigure},
			{Name: "peer", Type: model.TypeRef, Right: model.RightConfigure},
			{Name: "peers", Type: model.TypeTable, Right: model.RightConfigure},
		},
		Variables: []model.Variable{{Name: "hidden_load", Type: model.TypeInt64}, {Name: "load", Type: model.TypeInt64}, {Name: "target", Type: model.TypeRef}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fixture is a tree with a few ways to change it.
type fixture struct {
	*testing.T
	tree   *tree.Tree
	schema *model.Schema
	last   uint64
}

func newFixture(t *testing.T) *fixture {
	return &fixture{T: t, tree: tree.New(tree.Config{RingFor: 1, Tombstones: 5}), schema: schemaOf(t, "probe")}
}

func (f *fixture) id(n uint64) model.ContextID {
	return model.ContextID{Node: model.NodeID{1}, Epoch: model.Epoch{Ordinal: 1}, Number: n}
}

func (f *fixture) putAs(schema *model.Schema, path string, settings ...model.Value) model.ContextID {
	f.Helper()
	f.last++
	id := f.id(f.last)
	if c, there := f.tree.Lookup(model.MustPath(path)); there {
		id = c.ID
	}
	f.tree.Apply([]tree.Put{{
		ID: id, Path: model.MustPath(path), Schema: schema, Settings: settings, Version: model.Version{Epoch: model.Epoch{Ordinal: 1}, Number: f.last},
	}}, nil)
	return id
}

func (f *fixture) put(path string, settings ...model.Value) model.ContextID {
	f.Helper()
	return f.putAs(f.schema, path, settings...)
}

func (f *fixture) remove(path string) {
	f.tree.Apply(nil, []tree.Removal{{Path: model.MustPath(path)}})
}

// publish publishes count samples of one variable; the value and the source time count up.
func (f *fixture) publish(path, name string, count int) {
	f.Helper()
	c, there := f.tree.Lookup(model.MustPath(path))
	if !there {
		f.Fatalf("there is no %s", path)
	}
	var b tree.Batch
	for range count {
		f.last++
		b.Add(c.Slots.First+tree.Slot(c.Schema.VariableIndex(name)), model.Sample{Value: model.Int64(int64(f.last)), Source: model.Time(f.last)})
	}
	f.tree.Publish(&b)
}

// told is everything that a follower was told, taken as arrived at once.
type told struct {
	entries   map[string]Entry
	gone      []string
	keys      []uint32
	values    []int64
	refs      []string
	through   []uint64
	conflated int
}

func (f *fixture) drain(from *Follower) *told {
	f.Helper()
	to := &told{entries: make(map[string]Entry)}
	for {
		changes, more := from.Changes(100)
		for _, e := range changes.Entries {
			to.entries[e.Path.String()] = e
		}
		for _, g := range changes.Gone {
			to.gone = append(to.gone, g.Path.String())
		}
		from.Acknowledge(changes.Through)
		batch, some := from.Samples()
		if !more && !some {
			return to
		}
		var columns proto.Samples
		if err := columns.Decode(batch.Encoded); err != nil {
			f.Fatal(err)
		}
		to.keys = append(to.keys, columns.Keys...)
		for _, bits := range columns.Bits {
			to.values = append(to.values, int64(bits))
		}
		for _, boxed := range columns.Boxed {
			to.refs = append(to.refs, boxed.Value.String())
		}
		to.through = append(to.through, batch.Through)
		to.conflated += batch.Conflated
	}
}

func TestShownPart(t *testing.T) {
	f := newFixture(t)
	hidden, other := schemaOf(t, "hidden-kind"), schemaOf(t, "other")
	f.put("/site/a", model.Int64(7), model.String("secret"), model.Ref(model.Address{Path: model.MustPath("/site/b"), Name: "load"}))
	f.put("/site/b")
	f.put("/site/hidden")
	f.put("/elsewhere")
	f.putAs(hidden, "/site/kind")
	f.putAs(other, "/site/other")
	for name, kinds := range map[string][]string{"all kinds": nil, "one kind": {"probe"}} {
		v := NewView(f.tree, model.MustPath("/site"), part{kinds})
		follower := v.NewFollower(Start{})
		got := f.drain(follower)
		want := 3 - len(kinds)
		if len(got.entries) != want || got.entries["/a"].Schema == nil {
			t.Fatalf("%s: %v was told", name, got.entries)
		}
		a := got.entries["/a"]
		if a.Schema.SettingIndex("hidden_one") >= 0 || a.Schema.VariableIndex("hidden_load") >= 0 || len(a.Setting) != 1 {
			t.Fatalf("%s: %+v with %+v", name, a.Schema, a.Setting)
		}
		if s := a.Setting[0]; s.Index != a.Schema.SettingIndex("peer") || s.Value.String() != "/b:load" {
			t.Errorf("%s: setting %d is %v", name, s.Index, s.Value)
		}
		follower.Close()
	}

	narrow := NewView(f.tree, model.MustPath("/site"), part{[]string{"probe"}}).NewFollower(Start{})
	wide := NewView(f.tree, model.MustPath("/site"), part{}).NewFollower(Start{})
	defer narrow.Close()
	defer wide.Close()
	f.drain(narrow)
	f.drain(wide)
	for _, path := range []string{"/site/a", "/site/hidden", "/site/kind", "/site/other", "/elsewhere"} {
		f.remove(path)
	}
	if got := f.drain(narrow).gone; !slices.Equal(got, []string{"/a"}) {
		t.Errorf("of one kind %v went", got)
	}
	if got := f.drain(wide).gone; !slices.Equal(got, []string{"/a", "/other"}) {
		t.Errorf("%v went", got)
	}
}

func TestReferencesAreToldAsSeen(t *testing.T) {
	f := newFixture(t)
	f.put("/site/a")
	f.put("/site/b")
	f.put("/site/hidden")
	f.put("/elsewhere")
	v := NewView(f.tree, model.MustPath("/site"), part{})
	follower := v.NewFollower(Start{})
	defer follower.Close()
	f.drain(follower)
	tests := map[string]string{
		"/site/b": "/b", "/site": "/", "/site/b:load": "/b:load", "/site/nothing": "/nothing",
		"/elsewhere": "outside", "/": "outside", "/site/hidden": "outside", "/site/hidden:load": "outside",
		"/site/b:hidden_load": "outside", "/site/b:hidden_one": "outside", "/site/nothing:load": "outside",
	}
	a, _ := f.tree.Lookup(model.MustPath("/site/a"))
	for text, want := range tests {
		to, err := model.ParseAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		var b tree.Batch
		b.Add(a.Slots.First+2, model.Sample{Value: model.Ref(to)})
		f.tree.Publish(&b)
		if got := f.drain(follower).refs; !slices.Equal(got, []string{want}) {
			t.Errorf("%s is told as %v, want %s", text, got, want)
		}
		table := model.TableValue(&model.Table{Columns: []model.Column{{Name: "to", Type: model.TypeRef}}, Rows: [][]model.Value{{model.Ref(to)}}})
		f.put("/site/a", model.Value{}, model.Value{}, model.Value{}, table)
		e := f.drain(follower).entries["/a"]
		if len(e.Setting) != 1 || e.Setting[0].Value.Table().Rows[0][0].String() != want {
			t.Errorf("%s in a table is told as %v, want %s", text, e.Setting, want)
		}
	}
}

func TestLappedFollowerIsToldTheLatest(t *testing.T) {
	f := newFixture(t)
	f.put("/a")
	f.put("/b")
	f.put("/hidden")
	follower := NewView(f.tree, model.Root, part{}).NewFollower(Start{})
	defer follower.Close()
	f.drain(follower)
	f.publish("/b", "load", 1)
	b := int64(f.last)
	f.publish("/a", "load", 200_000)
	got := f.drain(follower)
	slices.Sort(got.values)
	if !slices.Equal(got.values, []int64{b, int64(f.last)}) || got.conflated != 2 {
		t.Errorf("told %v, and of %d that some were left out", got.values, got.conflated)
	}
	f.publish("/a", "load", 3)
	if got := f.drain(follower); len(got.values) != 3 || got.conflated != 0 {
		t.Errorf("then told %v, and of %d that some were left out", got.values, got.conflated)
	}
}

// How many samples were left out is known only of all that is published, and would tell how much is hidden.
func TestWhatIsHiddenIsNotCountedAsLeftOut(t *testing.T) {
	f := newFixture(t)
	f.put("/a")
	f.put("/hidden")
	follower := NewView(f.tree, model.Root, part{}).NewFollower(Start{})
	defer follower.Close()
	f.drain(follower)
	f.publish("/a", "load", 1)
	f.publish("/hidden", "load", 200_000)
	if got := f.drain(follower); len(got.values) != 1 || got.conflated != 1 {
		t.Errorf("told %v, and of %d that some were left out", got.values, got.conflated)
	}
}

// A slot that goes from a context that was shown to one that is hidden does not take the key along, though nobody has looked at the tree meanwhile.
func TestSlotHandedOnTellsNothing(t *testing.T) {
	for _, other := range []string{"/hidden", "/shown"} {
		f := newFixture(t)
		f.put("/a")
		f.put("/busy")
		follower := NewView(f.tree, model.Root, part{}).NewFollower(Start{})
		f.publish("/a", "load", 1)
		f.drain(follower)
		a, _ := f.tree.Lookup(model.MustPath("/a"))
		f.remove("/a")
		f.publish("/busy", "load", 20*4096)
		f.put(other)
		if c, _ := f.tree.Lookup(model.MustPath(other)); c.Slots != a.Slots {
			t.Fatalf("%s has the slots %v, not those of /a, %v: the test is out of date", other, c.Slots, a.Slots)
		}
		f.publish(other, "load", 1)
		secret := int64(f.last)
		for batch, some := follower.Samples(); some; batch, some = follower.Samples() {
			var columns proto.Samples
			if err := columns.Decode(batch.Encoded); err != nil {
				t.Fatal(err)
			}
			for _, bits := range columns.Bits {
				if int64(bits) == secret {
					t.Fatalf("a sample of %s was told before its definition", other)
				}
			}
		}
		if got := f.drain(follower); slices.Contains(got.values, secret) != (other == "/shown") {
			t.Errorf("%s: then told %v", other, got.values)
		}
		follower.Close()
	}
}

// A batch ends at each position before which something is stale, in the ring and out of it, whatever their order.
func TestBatchesEndAtStops(t *testing.T) {
	for _, count := range []int{30, 200_000} {
		f := newFixture(t)
		f.put("/x/a")
		f.put("/y/a")
		follower := NewView(f.tree, model.Root, part{}).NewFollower(Start{})
		f.drain(follower)
		start := f.tree.Head()
		f.publish("/x/a", "load", count/3)
		f.publish("/y/a", "hidden_load", count/3)
		first := f.tree.Head()
		f.tree.SetOverlay(tree.Overlay{Path: model.MustPath("/y"), Since: 5, Before: first})
		f.publish("/y/a", "load", count/3)
		second := f.tree.Head()
		f.tree.SetOverlay(tree.Overlay{Path: model.MustPath("/x"), Since: 4, Before: second})
		f.publish("/x/a", "load", 1)
		stale, _, _, changed := follower.Overlays()
		if !changed || len(stale) != 2 {
			t.Fatalf("told %v", stale)
		}
		got := f.drain(follower)
		if !slices.Contains(got.through, first) || !slices.Contains(got.through, second) || got.through[len(got.through)-1] != f.tree.Head() {
			t.Errorf("of %d to %d, batches ended at %v, want also %d and %d", start, f.tree.Head(), got.through, first, second)
		}
		if !slices.IsSorted(got.values) || count == 30 && len(got.values) != 21 {
			t.Errorf("told %v", got.values)
		}
		follower.Close()
	}
}

// Samples that were published after an overlay was laid are told after it.
func TestOverlaysComeBeforeWhatTheyConfirm(t *testing.T) {
	f := newFixture(t)
	f.put("/a")
	follower := NewView(f.tree, model.Root, part{}).NewFollower(Start{})
	defer follower.Close()
	f.drain(follower)
	follower.Overlays()
	f.tree.SetOverlay(tree.Overlay{Path: model.MustPath("/a"), Since: 5, Before: f.tree.Head()})
	f.publish("/a", "load", 1)
	if batch, some := follower.Samples(); some {
		t.Fatalf("%d samples were told before the overlay", batch.Samples)
	}
	follower.Overlays()
	if batch, some := follower.Samples(); !some || batch.Samples != 1 {
		t.Error("the sample was not told after the overlay")
	}
}

// What is stale where nothing is shown is not told; it is when something is.
func TestHiddenStalenessIsToldWithWhatItIsOf(t *testing.T) {
	f := newFixture(t)
	f.put("/site/hidden")
	follower := NewView(f.tree, model.Root, part{}).NewFollower(Start{})
	defer follower.Close()
	f.tree.SetOverlay(tree.Overlay{Path: model.MustPath("/site"), Since: 5, Hop: "north > hidden"})
	f.drain(follower)
	if stale, _, _, _ := follower.Overlays(); len(stale) != 0 {
		t.Fatalf("told %v", stale)
	}
	f.put("/site/a")
	follower.Changes(10)
	if stale, _, _, changed := follower.Overlays(); !changed || len(stale) != 1 || stale[0].Path.String() != "/site" {
		t.Errorf("told %v", stale)
	}
	if _, _, _, changed := follower.Overlays(); changed {
		t.Error("told twice")
	}
}

// The same holds for what is stale above the view's root.
func TestStalenessAboveTheRootIsToldWithWhatItIsOf(t *testing.T) {
	f := newFixture(t)
	f.put("/site/part/hidden")
	follower := NewView(f.tree, model.MustPath("/site/part"), part{}).NewFollower(Start{})
	defer follower.Close()
	f.tree.SetOverlay(tree.Overlay{Path: model.MustPath("/site"), Since: 5, Hop: "north > hidden"})
	f.drain(follower)
	if stale, _, _, _ := follower.Overlays(); len(stale) != 0 {
		t.Fatalf("told %v", stale)
	}
	f.put("/site/part/a")
	follower.Changes(10)
	if stale, _, _, changed := follower.Overlays(); !changed || len(stale) != 1 || !stale[0].Path.IsRoot() {
		t.Errorf("told %v", stale)
	}
}

// A comparison tells exactly the differences, also when it is cut and begun again with what has arrived.
func TestComparisonGoesOnWhereItWasCut(t *testing.T) {
	f := newFixture(t)
	v := NewView(f.tree, model.MustPath("/site"), part{})
	known := make(map[model.Path]Known)
	learn := func(e Entry) {
		known[e.Path] = Known{e.Context.ID, e.Context.Version, Content(e.Context.Label, e.Schema.Hash, e.Setting, e.Context.Route, e.Extra), e.Context.Change}
	}
	for i := range 50 {
		f.put(fmt.Sprintf("/site/d%02d", i))
	}
	first := v.NewFollower(Start{})
	for _, e := range f.drain(first).entries {
		learn(e)
	}
	first.Close()
	for i := range 10 {
		f.put(fmt.Sprintf("/site/d%02d", 5*i), model.Value{}, model.Value{}, model.Ref(model.Address{Path: model.MustPath("/site")}))
	}
	f.remove("/site/d01")
	known[model.MustPath("/ghost")] = Known{ID: f.id(9999)}
	replaced := known[model.MustPath("/d02")]
	replaced.ID = f.id(8888)
	known[model.MustPath("/d02")] = replaced
	other := known[model.MustPath("/d03")]
	other.Content++
	known[model.MustPath("/d03")] = other

	entries, gone := 0, []string{}
	for round := 0; ; round++ {
		list := make(map[model.Path]Known)
		for path, k := range known {
			list[path] = k
		}
		follower := v.NewFollower(Start{Known: list})
		for range 1 + round {
			changes, some := follower.Changes(15)
			for _, g := range changes.Gone {
				gone = append(gone, g.Path.String())
				if known[g.Path].ID == g.ID {
					delete(known, g.Path)
				}
			}
			for _, e := range changes.Entries {
				entries++
				learn(e)
			}
			follower.Acknowledge(changes.Through)
			if !some {
				break
			}
		}
		done := !follower.Listing()
		follower.Close()
		if done {
			break
		}
		if round > 20 {
			t.Fatal("it does not end")
		}
	}
	slices.Sort(gone)
	if entries != 12 || !slices.Equal(slices.Compact(gone), []string{"/d01", "/d02", "/ghost"}) || len(known) != 49 {
		t.Errorf("%d were told, %v went, %d are known", entries, gone, len(known))
	}
}

// Nothing is told of a compared context before the comparison has ended, and then its latest sample.
func TestSamplesWaitForTheEndOfAComparison(t *testing.T) {
	f := newFixture(t)
	f.put("/a")
	v := NewView(f.tree, model.Root, part{})
	c, _ := f.tree.Lookup(model.MustPath("/a"))
	shown, _ := part{}.Schema(f.schema)
	follower := v.NewFollower(Start{Conflate: true, Known: map[model.Path]Known{c.Path: {c.ID, c.Version, Content("", shown.Hash, nil, nil, ""), c.Change}}})
	defer follower.Close()
	f.publish("/a", "load", 3)
	if b, _ := follower.Samples(); b.Samples != 0 {
		t.Errorf("%d samples were told before the comparison", b.Samples)
	}
	got := f.drain(follower)
	if len(got.entries) != 0 || !slices.Equal(got.values, []int64{int64(f.last)}) {
		t.Errorf("told %v and %v", got.entries, got.values)
	}
	if follower.Settled() != f.tree.ChangeHead() {
		t.Errorf("settled at %d of %d", follower.Settled(), f.tree.ChangeHead())
	}
}

func TestForgottenRemovalsAreNoticed(t *testing.T) {
	f := newFixture(t) // it remembers five removals
	for i := range 30 {
		f.put(fmt.Sprintf("/d%02d", i))
	}
	v := NewView(f.tree, model.Root, part{})
	follower := v.NewFollower(Start{})
	defer follower.Close()
	f.drain(follower)
	var removals []tree.Removal
	for i := range 20 {
		removals = append(removals, tree.Removal{Path: model.MustPath(fmt.Sprintf("/d%02d", i))})
	}
	f.tree.Apply(nil, removals)
	if _, some := follower.Changes(100); some || !follower.Lost() {
		t.Error("removals were lost in silence")
	}
	compared := v.NewFollower(Start{Known: map[model.Path]Known{model.MustPath("/d00"): {ID: f.id(1)}}})
	defer compared.Close()
	if _, some := compared.Changes(3); !some || compared.Lost() {
		t.Error("a comparison needs no old removals")
	}
	for i := 20; i < 29; i++ {
		f.remove(fmt.Sprintf("/d%02d", i))
	}
	if _, some := compared.Changes(100); some || !compared.Lost() {
		t.Error("removals of what a comparison had told were lost in silence")
	}
	late := v.NewFollower(Start{})
	defer late.Close()
	if got := f.drain(late); len(got.entries) != 1 {
		t.Errorf("a new follower is told %d contexts", len(got.entries))
	}
	members := 0
	for i := range v.members {
		if v.members[i].schema != nil {
			members++
		}
	}
	if members != 1 {
		t.Errorf("the view has %d members", members)
	}
}

// Followers of one view that are up to date are told a whole chunk in the same bytes, but one that misses a definition is not.
func TestWholeChunksAreShared(t *testing.T) {
	f := newFixture(t)
	f.put("/a")
	v := NewView(f.tree, model.Root, part{})
	one, two, three := v.NewFollower(Start{}), v.NewFollower(Start{}), v.NewFollower(Start{})
	for _, follower := range []*Follower{one, two, three} {
		defer follower.Close()
		f.drain(follower)
	}
	f.put("/b")
	f.drain(one)
	f.drain(two)
	f.publish("/a", "load", 4000)
	f.publish("/b", "load", 96+4096)
	first, _ := one.Samples()
	second, _ := two.Samples()
	third, _ := three.Samples()
	if first.Samples != 4096 || &first.Encoded[0] != &second.Encoded[0] {
		t.Errorf("%d and %d samples in different bytes", first.Samples, second.Samples)
	}
	if third.Samples != 4000 {
		t.Errorf("%d samples were told to one that has not the definition, want 4000", third.Samples)
	}
	if got := f.drain(three); !slices.Contains(got.values, int64(f.last)) || len(got.values) > 4097 {
		t.Errorf("then it was told %d", len(got.values))
	}
}

// Whoever comes first decides where a batch ends: followers that are equally far share bytes and stay so, also where more came meanwhile. What was
// made with a context that is gone is nobody's.
func TestPartsOfChunksAreShared(t *testing.T) {
	f := newFixture(t)
	f.put("/a")
	f.put("/b")
	v := NewView(f.tree, model.Root, part{})
	one, two := v.NewFollower(Start{}), v.NewFollower(Start{})
	for _, follower := range []*Follower{one, two} {
		defer follower.Close()
		f.publish("/a", "load", 1)
		f.drain(follower)
	}
	f.drain(one)
	for round := range 200 { // within one chunk, and more than are kept
		f.publish("/a", "load", 10)
		first, _ := one.Samples()
		f.publish("/b", "load", 5)
		second, _ := two.Samples()
		if first.Samples != 10 || second.Samples != 10 || &first.Encoded[0] != &second.Encoded[0] || first.Through != second.Through {
			t.Fatalf("round %d: %d samples up to %d and %d up to %d", round, first.Samples, first.Through, second.Samples, second.Through)
		}
		third, _ := two.Samples()
		fourth, _ := one.Samples()
		if third.Samples != 5 || fourth.Samples != 5 || &third.Encoded[0] != &fourth.Encoded[0] {
			t.Fatalf("round %d: then %d samples and %d", round, third.Samples, fourth.Samples)
		}
	}
	one.Overlays()
	two.Overlays()
	f.publish("/a", "load", 5)
	one.Samples()
	f.tree.SetOverlay(tree.Overlay{Path: model.MustPath("/a"), Since: 1})
	if b, some := two.Samples(); some {
		t.Fatalf("%d samples were told before the staleness that they may end", b.Samples)
	}
	one.Overlays()
	two.Overlays()
	if b, _ := two.Samples(); b.Samples != 5 {
		t.Fatalf("%d samples after it, want 5", b.Samples)
	}
	f.publish("/b", "load", 5)
	if b, _ := one.Samples(); b.Samples != 5 {
		t.Fatalf("%d samples, want 5", b.Samples)
	}
	f.remove("/b")
	if b, some := two.Samples(); some && b.Samples > 0 {
		t.Errorf("%d samples were told of what was gone before anybody looked", b.Samples)
	}
	if got := f.drain(two); len(got.values) != 0 {
		t.Errorf("%d samples were told of what is gone", len(got.values))
	}
}

// What happened before a look is not signalled for again, what happens after it is, also where nobody waited yet. Followers may be woken by one channel.
func TestLook(t *testing.T) {
	f := newFixture(t)
	f.put("/a")
	wake := make(chan struct{}, 1)
	v := NewView(f.tree, model.Root, part{})
	one, two := v.NewFollower(Start{Wake: wake}), v.NewFollower(Start{Wake: wake})
	defer one.Close()
	defer two.Close()
	woken := func() bool {
		one.Wake()
		two.Wake()
		select {
		case <-wake:
			return true
		default:
			return false
		}
	}
	all := func() {
		for _, follower := range []*Follower{one, two} {
			follower.Look()
			f.drain(follower)
			follower.Overlays()
		}
	}
	all()
	woken() // by what came before
	f.publish("/a", "load", 1)
	if !woken() {
		t.Error("nobody is woken")
	}
	f.publish("/a", "load", 1)
	all()
	if woken(); woken() {
		t.Error("they are woken for what they have seen")
	}
	all()
	f.publish("/a", "load", 1)
	if one.Through() {
		t.Error("it says that it has all, and there is more")
	}
	if !woken() {
		t.Error("what came after the look wakes nobody")
	}
	all()
	if !one.Through() {
		t.Error("it has all and says that there is more")
	}
}

// Wake tells of samples, changes and overlays.
func TestWake(t *testing.T) {
	f := newFixture(t)
	f.put("/a")
	follower := NewView(f.tree, model.Root, part{}).NewFollower(Start{})
	defer follower.Close()
	for name, act := range map[string]func(){
		"sample":  func() { f.publish("/a", "load", 1) },
		"change":  func() { f.put("/b") },
		"overlay": func() { f.tree.SetOverlay(tree.Overlay{Path: model.MustPath("/a"), Since: 1}) },
	} {
		f.drain(follower)
		follower.Overlays()
		select {
		case <-follower.Wake():
		default:
		}
		wake := follower.Wake()
		act()
		select {
		case <-wake:
		case <-time.After(5 * time.Second):
			t.Errorf("a %s wakes nobody", name)
		}
	}
}

// What was acknowledged is settled only when its latest samples were told, also those that the ring still holds back.
func TestSettledWaitsForTheRing(t *testing.T) {
	f := newFixture(t)
	f.put("/a")
	f.put("/b")
	follower := NewView(f.tree, model.Root, part{}).NewFollower(Start{})
	defer follower.Close()
	f.drain(follower)
	f.putAs(schemaOf(t, "other"), "/a")
	changes, _ := follower.Changes(10)
	f.publish("/a", "load", 1)
	follower.Samples() // passed over: the definition has not arrived
	f.publish("/b", "load", 5000)
	f.publish("/a", "load", 1)
	follower.Acknowledge(changes.Through)
	for follower.Settled() < changes.Through {
		batch, some := follower.Samples()
		if !some {
			t.Fatal("it does not settle")
		}
		if batch.Through == f.tree.Head() {
			return
		}
	}
	t.Error("settled before the latest sample was told")
}
