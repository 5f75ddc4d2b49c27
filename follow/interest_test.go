package follow

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"banyan/model"
	"banyan/proto"
	"banyan/tree"
)

var interestSeed = flag.Uint64("interest.seed", 0, "seed of the random walks of interest; 0 takes the fixed ones")

// paced is a tree with a follower, and what that was told.
type pacedFixture struct {
	*fixture
	follower *Follower
	now      model.Time
	told     map[string]toldSample // by path and name
	count    map[string]int
}

type toldSample struct {
	bits    uint64
	quality uint16
	source  model.Time
	at      model.Time
}

func newPaced(t *testing.T) *pacedFixture {
	f := newFixture(t)
	schema, err := proto.NewSchema(model.Schema{Kind: "meter", Variables: []model.Variable{
		{Name: "count", Type: model.TypeInt64}, {Name: "hidden_one", Type: model.TypeInt64}, {Name: "ratio", Type: model.TypeFloat64}, {Name: "text", Type: model.TypeString},
	}})
	if err != nil {
		t.Fatal(err)
	}
	f.schema = schema
	return &pacedFixture{fixture: f, now: 1000 * second, told: make(map[string]toldSample), count: make(map[string]int)}
}

const second = model.Time(time.Second)

func (f *pacedFixture) follow(start Start) {
	f.follower = NewView(f.tree, model.Root, part{}).NewFollower(start)
	f.Cleanup(f.follower.Close)
}

// set publishes a value, of the quality that is given.
func (f *pacedFixture) set(path, name string, value model.Value, quality model.Quality) {
	c, there := f.tree.Lookup(model.MustPath(path))
	if !there {
		f.Fatalf("there is no %s", path)
	}
	f.last++
	var b tree.Batch
	b.Add(c.Slots.First+tree.Slot(c.Schema.VariableIndex(name)), model.Sample{Value: value, Source: model.Time(f.last), Quality: quality})
	f.tree.Publish(&b)
}

func (f *pacedFixture) number(path, name string, v float64) {
	value := model.Float64(v)
	if name == "count" {
		value = model.Int64(int64(v))
	}
	f.set(path, name, value, model.QualityGood)
}

// pass lets time pass and takes what is told then.
func (f *pacedFixture) pass(d time.Duration) {
	f.Helper()
	f.now += model.Time(d)
	f.follower.Advance(f.now)
	for {
		changes, more := f.follower.Changes(100)
		f.follower.Acknowledge(changes.Through)
		batch, some := f.follower.Samples()
		if !more && !some {
			return
		}
		f.take(&batch)
	}
}

func (f *pacedFixture) take(batch *Batch) {
	var columns proto.Samples
	if err := columns.Decode(batch.Encoded); err != nil {
		f.Fatal(err)
	}
	names := make(map[uint32]string)
	for _, b := range f.follower.View().Bindings(0, 1<<20) {
		for i, v := range []string{"count", "ratio", "text"} {
			if b.Key == 0 {
				continue // gone
			}
			names[b.Key+uint32(i)] = b.Path.String() + ":" + v
		}
	}
	for i, key := range columns.Keys {
		sample := toldSample{bits: columns.Bits[i], source: columns.Source[i], at: f.now}
		if len(columns.Quality) > 0 {
			sample.quality = columns.Quality[i]
		}
		name := names[key]
		if before := f.told[name]; before.source > sample.source {
			f.Errorf("%s goes back from %d to %d", name, before.source, sample.source)
		}
		f.told[name] = sample
		f.count[name]++
	}
}

func rules(pairs ...any) (list []InterestRule) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, InterestRule{model.MustPattern(pairs[i].(string)), pairs[i+1].(Pace)})
	}
	return list
}

func every(d time.Duration) Pace { return Pace{Interval: d} }

func TestInterval(t *testing.T) {
	f := newPaced(t)
	f.put("/a")
	f.put("/b")
	f.follow(Start{})
	f.follower.SetInterest(rules("/**", every(time.Minute), "/b", Pace{}), f.now)
	f.pass(0)
	for i := range 120 {
		f.number("/a", "count", float64(i))
		f.number("/b", "count", float64(i))
		if i%10 == 5 { // something elsewhere is looked at, or not any more
			f.follower.SetInterest(rules("/**", every(time.Minute), "/b", Pace{}, fmt.Sprint("/x", i), Pace{}), f.now)
		}
		f.pass(time.Second)
	}
	if n := f.count["/a:count"]; n != 2 {
		t.Errorf("at a minute %d samples were told in two", n)
	}
	if n := f.count["/b:count"]; n != 120 {
		t.Errorf("live %d of 120 samples were told", n)
	}
	f.pass(time.Minute)
	if got := f.told["/a:count"].bits; got != 119 {
		t.Errorf("the newest is told as %d when it is due", got)
	}
	if n := f.follower.Withheld(); n != 117 {
		t.Errorf("%d samples were held back", n)
	}
}

func TestNeverAndBack(t *testing.T) {
	f := newPaced(t)
	f.put("/a")
	f.put("/b")
	f.number("/a", "count", 7)
	f.follow(Start{})
	f.follower.SetInterest(rules("/**", Never), f.now)
	f.pass(0)
	if f.told["/a:count"].bits != 7 {
		t.Error("the first sample after the definition was not told")
	}
	for i := range 10 {
		f.number("/a", "count", float64(i))
		f.number("/b", "ratio", float64(i))
		f.pass(time.Hour)
	}
	if n := f.count["/a:count"] + f.count["/b:ratio"]; n != 1 {
		t.Errorf("%d samples were told", n)
	}
	if at := f.follower.SamplesThrough(); at != f.tree.Head() {
		t.Errorf("the follower stands at %d of %d", at, f.tree.Head())
	}
	f.set("/a", "count", model.Int64(9), model.QualityStale)
	f.pass(0)
	if f.told["/a:count"].quality == 0 {
		t.Error("a change of quality was not told")
	}
	f.number("/a", "count", 10)
	f.pass(0)
	if f.told["/a:count"].quality != 0 {
		t.Error("that it is good again was not told")
	}
	f.number("/a", "count", 11)
	f.pass(0)
	f.follower.SetInterest(nil, f.now)
	f.pass(0)
	if a, b := f.told["/a:count"].bits, f.told["/b:ratio"].bits; a != 11 || math.Float64frombits(b) != 9 {
		t.Errorf("live again the latest are told as %d and %d", a, b)
	}
	f.number("/b", "ratio", 12)
	f.pass(0)
	if n := f.count["/b:ratio"]; n != 2 {
		t.Errorf("%d samples were told", n)
	}
}

func TestDeadband(t *testing.T) {
	f := newPaced(t)
	f.put("/a")
	f.follow(Start{})
	f.follower.SetInterest(rules("/**", Pace{Deadband: 1}), f.now)
	f.pass(0)
	for i, v := range []struct {
		value float64
		told  int
	}{{10, 1}, {10.5, 1}, {10.99, 1}, {11, 2}, {10.01, 2}, {12, 3}, {math.NaN(), 4}, {math.NaN(), 4}, {12, 5}} {
		f.number("/a", "ratio", v.value)
		f.pass(0)
		if f.count["/a:ratio"] != v.told {
			t.Errorf("after number %d (%v) %d were told, not %d", i, v.value, f.count["/a:ratio"], v.told)
		}
	}
	for i, v := range []int{5, 6, 5, 5, 7} {
		f.number("/a", "count", float64(v))
		f.follower.SetInterest(rules("/**", Pace{Deadband: 2}), f.now)
		if f.pass(0); f.count["/a:count"] != 1+i/4 {
			t.Errorf("after whole number %d %d were told", i, f.count["/a:count"])
		}
	}
	f.set("/a", "ratio", model.Float64(12.1), model.QualityStale)
	f.pass(0)
	if f.count["/a:ratio"] != 6 {
		t.Error("a change of quality within the deadband was not told")
	}
	f.set("/a", "text", model.String("x"), model.QualityGood)
	f.set("/a", "text", model.String("y"), model.QualityGood)
	f.pass(0)
	if f.count["/a:text"] != 2 {
		t.Error("a deadband holds back what is no number")
	}
}

// A definition that is told while its samples are held back brings its latest, also where the ring has yet to bring that.
func TestFirstSampleOfANewDefinition(t *testing.T) {
	f := newPaced(t)
	f.follow(Start{})
	f.follower.SetInterest(rules("/**", Never), f.now)
	f.pass(0)
	f.put("/a")
	changes, _ := f.follower.Changes(10)
	f.number("/a", "count", 1)
	f.follower.Acknowledge(changes.Through)
	f.number("/a", "count", 2)
	f.pass(0)
	if f.told["/a:count"].bits != 2 {
		t.Errorf("%+v was told", f.told)
	}
	f.remove("/a")
	f.put("/a") // perhaps in the same place
	f.number("/a", "count", 3)
	f.pass(0)
	if f.told["/a:count"].bits != 3 {
		t.Errorf("%+v was told", f.told)
	}
}

// A context that gets the slots of another is not judged by what was told of that.
func TestSlotsOfAnother(t *testing.T) {
	f := newPaced(t)
	f.put("/a")
	f.put("/other")
	f.number("/a", "count", 5)
	f.follow(Start{})
	f.follower.SetInterest(rules("/**", Pace{Deadband: 3}), f.now)
	f.pass(0)
	a, _ := f.tree.Lookup(model.MustPath("/a"))
	f.remove("/a")
	for reused := false; !reused; {
		for range 10_000 {
			f.number("/other", "count", 1)
		}
		f.pass(0)
		f.put("/b")
		b, _ := f.tree.Lookup(model.MustPath("/b"))
		if reused = b.Slots == a.Slots; !reused {
			f.remove("/b")
		}
	}
	f.pass(0)
	f.number("/b", "count", 6)
	f.pass(0)
	if f.told["/b:count"].bits != 6 {
		t.Errorf("%+v was told", f.told)
	}
}

// A walk over random interests, publications and pauses, against what each pace promises.
func TestInterestWalk(t *testing.T) {
	first, runs := *interestSeed, uint64(1)
	if first == 0 {
		first, runs = 1, 40
	}
	for seed := first; seed < first+runs; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { walkInterest(t, seed) })
	}
}

func walkInterest(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	f := newPaced(t)
	paths := []string{"/a", "/a/b", "/c", "/c/d", "/hidden", "/a/hidden"}
	for _, p := range paths {
		f.put(p)
	}
	start := Start{}
	f.follow(start)
	paces := []Pace{{}, Never, every(10 * time.Second), every(time.Minute), {Deadband: 5}, {Interval: 10 * time.Second, Deadband: 5}}
	patterns := []string{"/**", "/a", "/a/**", "/c/*", "/*"}
	latest := make(map[string]toldSample)
	due := make(map[string]model.Time) // by when the newest is to be told
	var current []InterestRule
	paceOf := func(path string) Pace {
		p := Pace{}
		for _, rule := range current {
			if rule.Pattern.Matches(model.MustPath(path)) {
				p = rule.Pace
			}
		}
		return p
	}
	for range 600 {
		switch r.IntN(12) {
		case 0:
			current = nil
			for range r.IntN(3) {
				current = append(current, InterestRule{model.MustPattern(patterns[r.IntN(len(patterns))]), paces[r.IntN(len(paces))]})
			}
			f.follower.SetInterest(current, f.now)
			for k := range due {
				if at := f.now + model.Time(max(0, paceOf(pathOf(k)).Interval)); at > due[k] {
					due[k] = at
				}
			}
		case 1:
			p := paths[r.IntN(len(paths))]
			if r.IntN(2) == 0 {
				f.remove(p)
				for _, v := range []string{"count", "ratio", "text"} {
					delete(latest, p+":"+v)
					delete(due, p+":"+v)
					delete(f.told, p+":"+v)
				}
			}
			f.put(p)
		case 2, 3:
			before := f.told
			f.told = make(map[string]toldSample)
			for k, v := range before {
				f.told[k] = v
			}
			f.pass(time.Duration(r.IntN(20)) * time.Second)
		default:
			path := paths[r.IntN(len(paths))]
			for range 1 + r.IntN(3)*r.IntN(3) {
				name := []string{"count", "ratio", "text", "hidden_one"}[r.IntN(4)]
				quality := model.QualityGood
				if r.IntN(10) == 0 {
					quality = model.QualityStale
				}
				value := model.Int64(int64(r.IntN(20)))
				switch name {
				case "ratio":
					value = model.Float64(r.Float64() * 20)
				case "text":
					value = model.String(fmt.Sprint("t", r.IntN(100)))
				}
				f.set(path, name, value, quality)
				key := path + ":" + name
				latest[key] = toldSample{bits: value.Bits(), quality: quality.Code(), source: model.Time(f.last), at: f.now}
				if due[key] == 0 {
					due[key] = f.now + model.Time(max(0, paceOf(path).Interval))
				}
			}
			if r.IntN(400) == 0 { // the follower is lapped
				for range 70_000 {
					f.number("/c", "count", float64(r.IntN(20)))
				}
				latest["/c:count"] = toldSample{bits: latestBits(f, "/c", "count"), source: model.Time(f.last), at: f.now}
				if due["/c:count"] == 0 {
					due["/c:count"] = f.now + model.Time(max(0, paceOf("/c").Interval))
				}
			}
		}
		f.pass(0)
		for key, want := range latest {
			checkPace(f, key, want, paceOf(pathOf(key)), due)
		}
		if t.Failed() {
			t.Fatalf("seed %d, interest %v", seed, current)
		}
	}
	f.follower.SetInterest(nil, f.now)
	f.pass(0)
	for key, want := range latest {
		if got, there := f.told[key]; !isHidden(key) && (!there || got.source != want.source) {
			t.Errorf("live at the end, %s is told as %+v, not %+v", key, got, want)
		}
	}
}

func pathOf(key string) string {
	a, err := model.ParseAddress(key)
	if err != nil {
		panic(err)
	}
	return a.Path.String()
}

func isHidden(key string) bool {
	return part{}.Selects(model.MustPath(pathOf(key)), "") == false || key[len(key)-3:] == "one"
}

func latestBits(f *pacedFixture, path, name string) uint64 {
	r, _ := f.tree.Read(model.Address{Path: model.MustPath(path), Name: name})
	return r.Sample.Value.Bits()
}

// checkPace compares what is told of a variable with what its pace promises by now.
func checkPace(f *pacedFixture, key string, want toldSample, pace Pace, due map[string]model.Time) {
	f.Helper()
	got, there := f.told[key]
	if isHidden(key) {
		if there {
			f.Errorf("%s is hidden, and told", key)
		}
		return
	}
	if there && got.source == want.source {
		delete(due, key)
		return
	}
	kind := model.TypeInt64
	if key[len(key)-5:] == "ratio" {
		kind = model.TypeFloat64
	} else if key[len(key)-4:] == "text" {
		kind = model.TypeString
	}
	switch {
	case !there && pace.Interval >= 0 && f.now >= due[key]:
		f.Errorf("%s has never been told", key)
	case there && got.quality != want.quality:
		f.Errorf("%s is told with quality %d, it is %d", key, got.quality, want.quality)
	case pace.Interval < 0, there && pace.within(kind, want.bits, got.bits):
		delete(due, key)
	case f.now >= due[key]:
		f.Errorf("%s is told as %+v, it is %+v at %v, due at %d, now %d", key, got, want, pace, due[key], f.now)
	}
}
