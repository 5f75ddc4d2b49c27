package peering

import (
	"slices"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/proto/linkv1"
	"banyan/tree"
)

// freshTeller tells a consumer how fresh what lies behind this node is: what is new in it, at most once in a beat, and only hops of which the view shows
// something. Figures that move a little are not new.
type freshTeller struct {
	told  []HopFreshness // paths are as the consumer sees them
	at    model.Time     // when, by this node's clock
	shown map[shownAt]showing
}

// shownAt is a hop, and where.
type shownAt struct {
	path model.Path
	hop  tree.Ends
}

// showing is whether the view shows anything at a path that came over a hop, as it was looked up last.
type showing struct {
	shows bool
	until model.Time
}

// lookAgain is how long it may take until a hop is told of that has just become one.
const lookAgain = 10 * time.Second

// next is the frame that is to be told, nil for none.
func (f *freshTeller) next(all []HopFreshness, view *follow.View, beat time.Duration, now, clock model.Time) *linkv1.Freshness {
	hops := f.visible(all, view, now)
	passed := clock - f.at
	if slices.EqualFunc(hops, f.told, func(h, told HopFreshness) bool { return h.like(&told, passed, beat) }) {
		return nil
	}
	f.told, f.at = hops, clock
	wire := &linkv1.Freshness{Clock: int64(clock)}
	for i := range hops {
		wire.Hops = append(wire.Hops, hopFrame(&hops[i], hops[i].Path))
	}
	return wire
}

// visible are the hops of which a view shows something, with paths as they are seen there.
func (f *freshTeller) visible(all []HopFreshness, view *follow.View, now model.Time) (hops []HopFreshness) {
	shown := make(map[shownAt]showing, len(all))
	for _, h := range all {
		at, below := h.Path, model.Root
		if inside, is := view.Root.Below(h.Path); is {
			below = inside
		} else if h.Path.Contains(view.Root) {
			at = view.Root
		} else {
			continue
		}
		key := shownAt{at, tree.Ends{h.To.Node, h.From.Node}}
		s, known := shown[key]
		if !known {
			if s, known = f.shown[key]; !known || now >= s.until {
				_, over := view.MayShow(at, key.hop)
				s = showing{over, now + model.Time(lookAgain)}
			}
			shown[key] = s
		}
		if s.shows && len(hops) < mostHopsTold {
			h.Path = below
			hops = append(hops, h)
		}
	}
	f.shown = shown
	return hops
}

// like reports whether a hop is, for whoever reads it, as it was told so long ago.
func (h *HopFreshness) like(told *HopFreshness, passed model.Time, beat time.Duration) bool {
	expected := told.AsOf
	if told.moves() {
		expected += passed
	}
	return h.Path == told.Path && h.From == told.From && h.To == told.To && h.State == told.State && h.Since == told.Since && h.Interval == told.Interval &&
		time.Duration(h.AsOf-expected).Abs() <= 2*beat && (h.Lag-told.Lag).Abs() <= max(50*time.Millisecond, told.Lag/2) &&
		(h.Skew-told.Skew).Abs() <= time.Second && slices.EqualFunc(h.Lanes, told.Lanes, func(a, b LaneLag) bool {
		return a.Kind == b.Kind && (a.Behind-b.Behind).Abs() <= max(time.Second, b.Behind/4)
	})
}
