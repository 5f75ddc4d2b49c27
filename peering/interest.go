package peering

import (
	"maps"
	"math"
	"slices"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/proto/linkv1"
)

// Demand is at which pace samples are wanted, everywhere in a tree: at and below some paths, and of single contexts. What several want adds up: each
// gets at least what it wants.
type Demand struct {
	below map[model.Path]follow.Pace // the one that is nearest upwards holds; there is one for the root
	at    map[model.Path]follow.Pace // of this context alone
}

// NewDemand wants everything at one pace.
func NewDemand(pace follow.Pace) *Demand {
	return &Demand{below: map[model.Path]follow.Pace{model.Root: pace}, at: make(map[model.Path]follow.Pace)}
}

// Of is the pace at which a context is wanted.
func (d *Demand) Of(path model.Path) follow.Pace {
	if pace, there := d.at[path]; there {
		return pace
	}
	return d.ofBelow(path)
}

// ofBelow is the pace of what is at and below a path, where nothing else is said of it.
func (d *Demand) ofBelow(path model.Path) follow.Pace {
	for {
		if pace, there := d.below[path]; there {
			return pace
		}
		path = path.Parent()
	}
}

// Live reports whether everything is wanted as it comes.
func (d *Demand) Live() bool {
	return !slices.ContainsFunc(slices.Concat(slices.Collect(maps.Values(d.below)), slices.Collect(maps.Values(d.at))),
		func(p follow.Pace) bool { return !p.Live() })
}

// RaiseAt wants a context at least at a pace.
func (d *Demand) RaiseAt(path model.Path, pace follow.Pace) { d.at[path] = d.Of(path).Or(pace) }

// RaiseBelow wants what is at and below a path at least at a pace.
func (d *Demand) RaiseBelow(path model.Path, pace follow.Pace) {
	d.below[path] = d.ofBelow(path)
	for _, all := range []map[model.Path]follow.Pace{d.below, d.at} {
		for p, has := range all {
			if path.Contains(p) {
				all[p] = has.Or(pace)
			}
		}
	}
}

// Raise wants what another one wants, too.
func (d *Demand) Raise(other *Demand) {
	sum := NewDemand(follow.Pace{})
	for _, each := range []*Demand{d, other} {
		for p := range each.below {
			sum.below[p] = d.ofBelow(p).Or(other.ofBelow(p))
		}
		for p := range each.at {
			sum.at[p] = d.Of(p).Or(other.Of(p))
		}
	}
	*d = *sum
}

// Within is what is wanted at and below some paths. Elsewhere nothing is.
func (d *Demand) Within(paths ...model.Path) *Demand {
	some := NewDemand(follow.Never)
	for _, root := range paths {
		some.below[root] = d.ofBelow(root)
		d.each(root, func(p model.Path, pace follow.Pace) { some.below[p] = pace }, func(p model.Path, pace follow.Pace) { some.at[p] = pace })
	}
	return some
}

// Below is what is wanted at and below a path, as it is seen from there.
func (d *Demand) Below(root model.Path) *Demand {
	seen := NewDemand(d.ofBelow(root))
	move := func(to map[model.Path]follow.Pace) func(model.Path, follow.Pace) {
		return func(p model.Path, pace follow.Pace) {
			if below, inside := root.Below(p); inside {
				to[below] = pace
			}
		}
	}
	d.each(root, move(seen.below), move(seen.at))
	return seen
}

// Under is the demand of whoever sees a part of the tree as the root: elsewhere nothing is wanted.
func (d *Demand) Under(root model.Path) *Demand {
	lifted := NewDemand(follow.Never)
	move := func(to map[model.Path]follow.Pace) func(model.Path, follow.Pace) {
		return func(p model.Path, pace follow.Pace) {
			if path, err := root.Join(p); err == nil {
				to[path] = pace
			}
		}
	}
	d.each(model.Root, move(lifted.below), move(lifted.at))
	return lifted
}

// each calls for what is said of paths at and below root.
func (d *Demand) each(root model.Path, below, at func(model.Path, follow.Pace)) {
	for p, pace := range d.below {
		if root.Contains(p) {
			below(p, pace)
		}
	}
	for p, pace := range d.at {
		if root.Contains(p) {
			at(p, pace)
		}
	}
}

// Interests of more rules than are sent are told of common parents, where the fastest of them holds for all. More than are taken end a session: what they
// come to takes time by the square of their number, some ms for these, and is worked out five times a second as long as somebody says something new.
const (
	mostRules      = 256
	mostTakenRules = 2 * mostRules
)

// Rules are the demand as a follower or a provider takes it; none where everything is live. They are the same for the same demand.
func (d *Demand) Rules() []follow.InterestRule {
	if d.Live() {
		return nil
	}
	d = &Demand{below: maps.Clone(d.below), at: maps.Clone(d.at)}
	for d.simplify(); len(d.below)+len(d.at) > mostRules; d.simplify() {
		d.merge()
	}
	var rules []follow.InterestRule
	for _, p := range slices.SortedFunc(maps.Keys(d.below), byDepth) {
		if pace := d.below[p]; !p.IsRoot() || !pace.Live() {
			rules = append(rules, follow.InterestRule{Pattern: atAndBelow(p), Pace: pace})
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(d.at), byDepth) {
		rules = append(rules, follow.InterestRule{Pattern: model.MustPattern(p.String()), Pace: d.at[p]})
	}
	return rules
}

// simplify leaves out what makes no difference.
func (d *Demand) simplify() {
	for p, pace := range d.at {
		if d.ofBelow(p) == pace {
			delete(d.at, p)
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(d.below), byDepth) {
		if !p.IsRoot() && d.ofBelow(p.Parent()) == d.below[p] {
			delete(d.below, p)
		}
	}
}

// merge lets what is said of the deepest paths hold for their parents instead.
func (d *Demand) merge() {
	deepest := 0
	for _, all := range []map[model.Path]follow.Pace{d.below, d.at} {
		for p := range all {
			deepest = max(deepest, p.Depth())
		}
	}
	for _, all := range []map[model.Path]follow.Pace{d.at, d.below} {
		for p, pace := range all {
			if p.Depth() == deepest && !p.IsRoot() {
				delete(all, p)
				d.RaiseBelow(p.Parent(), pace)
			}
		}
	}
}

func byDepth(a, b model.Path) int {
	if a.Depth() != b.Depth() {
		return a.Depth() - b.Depth()
	}
	return a.Compare(b)
}

func atAndBelow(p model.Path) model.Pattern {
	if p.IsRoot() {
		return model.Everything
	}
	return model.MustPattern(p.String() + "/**")
}

// DemandOf reads what rules want. What a pattern with * in the middle slows down is not slowed down here: it is wanted as often as something at its
// beginning.
func DemandOf(rules []follow.InterestRule) *Demand {
	d := NewDemand(follow.Pace{})
	for _, r := range rules {
		prefix := r.Pattern.Prefix()
		switch {
		case r.Pattern.Equal(atAndBelow(prefix)):
			maps.DeleteFunc(d.below, func(p model.Path, _ follow.Pace) bool { return prefix.Contains(p) })
			maps.DeleteFunc(d.at, func(p model.Path, _ follow.Pace) bool { return prefix.Contains(p) })
			d.below[prefix] = r.Pace
		case r.Pattern.String() == prefix.String():
			d.at[prefix] = r.Pace
		default:
			d.RaiseBelow(prefix, r.Pace)
		}
	}
	return d
}

func sameRule(a, b follow.InterestRule) bool { return a.Pace == b.Pace && a.Pattern.Equal(b.Pattern) }

func interestFrame(rules []follow.InterestRule) *linkv1.Interest {
	wire := &linkv1.Interest{}
	for _, r := range rules {
		wire.Rules = append(wire.Rules, &linkv1.InterestRule{
			Pattern: r.Pattern.String(), IntervalNanoseconds: int64(r.Pace.Interval), Deadband: r.Pace.Deadband,
		})
	}
	return wire
}

// longestInterval is the slowest pace there is beside never.
const longestInterval = 366 * 24 * time.Hour

func readInterest(wire *linkv1.Interest) ([]follow.InterestRule, error) {
	if len(wire.GetRules()) > mostTakenRules {
		return nil, model.Errorf(model.KindExhausted, "received an interest of more than %d rules", mostTakenRules)
	}
	rules := make([]follow.InterestRule, 0, len(wire.GetRules()))
	for _, w := range wire.GetRules() {
		pattern, err := model.ParsePattern(w.GetPattern())
		if err != nil {
			return nil, err
		}
		pace := follow.Pace{Interval: min(longestInterval, time.Duration(w.GetIntervalNanoseconds())), Deadband: w.GetDeadband()}
		if pace.Deadband < 0 || math.IsNaN(pace.Deadband) || math.IsInf(pace.Deadband, 0) {
			return nil, model.Errorf(model.KindInvalid, "received a deadband of %v", pace.Deadband)
		}
		if pace.Interval < 0 {
			pace = follow.Never
		}
		rules = append(rules, follow.InterestRule{Pattern: pattern, Pace: pace})
	}
	return rules, nil
}
