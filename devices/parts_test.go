package devices

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"banyan/model"
)

func TestNamer(t *testing.T) {
	var n Namer
	for _, c := range []struct{ name, want string }{
		{"/", "root"}, {"eth0", "eth0"}, {"Gi0/1", "Gi0-1"}, {"/var/lib", "var-lib"}, {"..", "unnamed"},
		{"", "unnamed-*"}, {"var-lib", "var-lib-*"}, {"/", "root"}, {"root", "root-*"}, {"\u4e16\u754c", "unnamed-*"}, {"C:\\", "C"}, {"a b", "a-b"},
	} {
		got := n.Segment(c.name)
		prefix, hashed := strings.CutSuffix(c.want, "*")
		if got != c.want && !(hashed && strings.HasPrefix(got, prefix) && len(got) == len(prefix)+8) {
			t.Errorf("%q became %q, expected %q", c.name, got, c.want)
		}
	}
	n.Forget(func(name string) bool { return name == "eth0" })
	if got := n.Segment("root"); got != "root" {
		t.Errorf("after the root disk was forgotten, root is %q", got)
	}
}

func TestNamerIsUniqueAndSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var n Namer
		names := map[string]string{}
		for _, name := range rapid.SliceOf(rapid.OneOf(rapid.String(), rapid.StringMatching(`[/a.-]{0,4}`), rapid.StringN(150, 300, 600))).Draw(t, "names") {
			segment := n.Segment(name)
			if err := model.CheckSegment(segment); err != nil {
				t.Fatal(err)
			}
			if other, taken := names[segment]; taken && other != name {
				t.Fatalf("%q and %q are both %s", name, other, segment)
			}
			names[segment] = name
		}
	})
}

func TestGridNeverGoesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		interval := time.Duration(rapid.Int64Range(int64(MinPollInterval), int64(MaxPollInterval)).Draw(t, "interval"))
		r := rapid.Float64Range(0, 0.999999).Draw(t, "random")
		start := time.Unix(1_700_000_000, 0)
		g, first := spread{random: func() float64 { return r }, firstWithin: 2 * time.Second}.grid(start, interval)
		if first.Before(start) || first.Sub(start) > 2*time.Second || first.After(g.origin) {
			t.Fatalf("first poll after %s, the grid begins after %s", first.Sub(start), g.origin.Sub(start))
		}
		now := first.Add(time.Duration(rapid.Int64Range(0, int64(3*interval)).Draw(t, "later")))
		next := g.next(now)
		if !next.After(now) || next.Sub(now) > interval || next.Sub(g.origin)%interval != 0 {
			t.Fatalf("the poll after %s is %s later", now, next.Sub(now))
		}
	})
}

func TestCompleteKeepsIndexes(t *testing.T) {
	own := &model.Schema{Kind: "x", Variables: []model.Variable{{Name: "a", Type: model.TypeBool}}, Functions: []model.Function{{Name: "f"}}}
	s := Complete(own)
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if s.VariableIndex("a") != 0 || s.FunctionIndex("f") != 0 || s.VariableIndex(VariableState) != 1 || len(own.Variables) != 1 {
		t.Errorf("%+v", s.Variables)
	}
	poll := s.Functions[s.FunctionIndex(FunctionPollNow)]
	if poll.Right != model.RightOperate || poll.Idempotent {
		t.Errorf("%+v", poll)
	}
}

func TestNewRefuses(t *testing.T) {
	sink := func(model.ContextID) Sink { return nil }
	for name, c := range map[string]Config{
		"no sink":           {},
		"negative":          {Sink: sink, Concurrency: -1},
		"taken common name": {Sink: sink, Drivers: []Driver{bare{&model.Schema{Kind: "x", Variables: []model.Variable{{Name: "state", Type: model.TypeBool}}}}}},
		"two of one kind":   {Sink: sink, Drivers: []Driver{bare{&model.Schema{Kind: "x"}}, bare{&model.Schema{Kind: "x"}}}},
		"other kind":        {Sink: sink, Drivers: []Driver{bare{&model.Schema{Kind: "y"}}}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

type bare struct{ schema *model.Schema }

func (bare) Kind() string                    { return "x" }
func (b bare) Schema() *model.Schema         { return b.schema }
func (b bare) Open(Settings) (Device, error) { return nil, nil }

func TestLatenessCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(100*time.Hour)).Draw(t, "late"))
		b := bucket(d)
		if most := bound(b); d >= most+time.Microsecond || b > 8 && d < bound(b-1) || b > 8 && most > d+d/8+2*time.Microsecond {
			t.Fatalf("%s is counted in bucket %d, from %s to %s", d, b, bound(max(b-1, 0)), most)
		}
	})
	var l lateness
	if got := l.read(); got != (Lateness{}) {
		t.Errorf("at first %+v", got)
	}
	for i := range 1000 {
		late := time.Millisecond
		if i >= 990 {
			late = time.Duration(i) * time.Millisecond
		}
		l.add(late, 10*time.Second)
	}
	l.add(-time.Second, time.Second) // a timer that fires early is not late
	got := l.read()
	if got.Polls != 1001 || got.Max != 999*time.Millisecond || got.P99 < time.Millisecond || got.P99 > 1200*time.Microsecond || got.Share != 0.0999 {
		t.Errorf("%+v", got)
	}
}
