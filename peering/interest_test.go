package peering

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"banyan/follow"
	"banyan/model"
)

// drawnDemand is a demand beside what it means, path by path.
type drawnDemand struct {
	*Demand
	means map[model.Path]follow.Pace
}

var drawnPaces = []follow.Pace{{}, follow.Never, {Interval: time.Second}, {Interval: time.Minute}, {Deadband: 2}, {Interval: time.Second, Deadband: 5}}

func drawnPaths() (paths []model.Path) {
	paths = append(paths, model.Root)
	for _, a := range []string{"/a", "/b"} {
		paths = append(paths, model.MustPath(a))
		for _, b := range []string{"/a", "/b", "/ab"} {
			paths = append(paths, model.MustPath(a+b), model.MustPath(a+b+"/c"), model.MustPath(a+b+"/d"))
		}
	}
	return paths
}

func drawDemand(r *rand.Rand) drawnDemand {
	paths := drawnPaths()
	base := drawnPaces[r.IntN(len(drawnPaces))]
	d := drawnDemand{NewDemand(base), make(map[model.Path]follow.Pace)}
	for _, p := range paths {
		d.means[p] = base
	}
	for range r.IntN(8) {
		at, pace := paths[r.IntN(len(paths))], drawnPaces[r.IntN(len(drawnPaces))]
		if r.IntN(2) == 0 {
			d.RaiseAt(at, pace)
			d.means[at] = d.means[at].Or(pace)
			continue
		}
		d.RaiseBelow(at, pace)
		for _, p := range paths {
			if at.Contains(p) {
				d.means[p] = d.means[p].Or(pace)
			}
		}
	}
	return d
}

func (d drawnDemand) check(t *testing.T, what string) {
	t.Helper()
	for p, want := range d.means {
		if got := d.Of(p); got != want {
			t.Fatalf("%s: %s is wanted at %v, not %v (%v)", what, p, got, want, d.Demand)
		}
	}
}

// What several want, what is wanted below a mount and by who sees a part as the root, and what rules say of it, against the meaning path by path.
func TestDemandsAddUp(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 3))
		one, other := drawDemand(r), drawDemand(r)
		one.check(t, fmt.Sprint("seed ", seed))

		told := drawnDemand{DemandOf(one.Rules()), one.means}
		told.check(t, fmt.Sprint("rules, seed ", seed))
		for p, want := range one.means {
			if got := lastMatch(one.Rules(), p); got != want {
				t.Fatalf("seed %d: by the rules %s is wanted at %v, not %v", seed, p, got, want)
			}
		}

		root := model.MustPath([]string{"/a", "/a/b", "/b/ab/c"}[r.IntN(3)])
		seen, within := one.Below(root), one.Within(root, model.MustPath("/a/a"))
		for p, want := range one.means {
			if below, inside := root.Below(p); inside && seen.Of(below) != want {
				t.Fatalf("seed %d: from %s %s is wanted at %v, not %v", seed, root, below, seen.Of(below), want)
			}
			if !root.Contains(p) && !model.MustPath("/a/a").Contains(p) {
				want = follow.Never
			}
			if got := within.Of(p); got != want {
				t.Fatalf("seed %d: within %s %s is wanted at %v, not %v", seed, root, p, got, want)
			}
			lifted, _ := root.Join(p)
			if under := one.Under(root); under.Of(lifted) != one.means[p] || under.Of(model.MustPath("/else")) != follow.Never {
				t.Fatalf("seed %d: under %s %s is wanted at %v, not %v", seed, root, p, under.Of(lifted), one.means[p])
			}
		}

		one.Raise(other.Demand)
		for p := range one.means {
			one.means[p] = one.means[p].Or(other.means[p])
		}
		one.check(t, fmt.Sprint("sum, seed ", seed))
	}
}

func lastMatch(rules []follow.InterestRule, p model.Path) (pace follow.Pace) {
	for _, r := range rules {
		if r.Pattern.Matches(p) {
			pace = r.Pace
		}
	}
	return pace
}

// More rules than are sent are merged upwards: nothing is told less often than it is wanted, and the rules are the same each time.
func TestManyRulesAreMerged(t *testing.T) {
	d := NewDemand(follow.Never)
	var paths []model.Path
	for i := range 1000 {
		p := model.MustPath(fmt.Sprintf("/site/s%03d/d%d/x", i%100, i/100))
		paths = append(paths, p)
		d.RaiseAt(p, follow.Pace{Interval: time.Duration(1+i%3) * time.Second})
	}
	d.RaiseBelow(model.MustPath("/other"), follow.Pace{})
	rules := d.Rules()
	if len(rules) > mostRules || len(rules) < 2 {
		t.Fatalf("%d rules", len(rules))
	}
	for _, p := range paths {
		if got, want := lastMatch(rules, p), d.Of(p); got.Or(want) != got {
			t.Errorf("%s is told at %v and wanted at %v", p, got, want)
		}
	}
	if got := lastMatch(rules, model.MustPath("/elsewhere")); got != follow.Never {
		t.Errorf("what nobody wants is told at %v", got)
	}
	if !slices.EqualFunc(rules, d.Rules(), sameRule) {
		t.Error("the same demand has other rules")
	}
}
