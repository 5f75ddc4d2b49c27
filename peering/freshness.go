package peering

import (
	"slices"
	"sync"
	"time"

	"banyan/model"
	"banyan/pki"
	"banyan/proto/linkv1"
	"banyan/tree"
)

// HopFreshness is how fresh what hangs at a path is at the node that has mounted it there.
type HopFreshness struct {
	Path     model.Path // at and below which it holds
	From, To tree.Hop   // whose it is, and who has mounted it
	State    State      // of the feed between them
	Since    model.Time // it is in this state; as all times here by the clock of To
	AsOf     model.Time // what hangs there was true then
	Lag      time.Duration
	Skew     time.Duration // how far the clock of From is ahead of the clock of To
	Lanes    []LaneLag     // only those in which something is missing
	Interval time.Duration // samples come at least this far apart; 0 live, below 0 not at all
}

// LaneLag is how long what was told in a lane, and is not here yet, has been on its way.
type LaneLag struct {
	Kind   linkv1.LaneKind
	Behind time.Duration
}

// The states of a hop of which nothing better is known.
const (
	StateCatching State = "catching-up" // the link is up, and what was missed during a cut has not all arrived
	StateUnknown  State = "unknown"     // nobody has told yet
)

// moves reports whether the hop becomes no older while nothing else is told of it.
func (h *HopFreshness) moves() bool { return h.State == StateUp }

// mostHopsTold bounds what one provider may tell: mounts of all tiers behind it.
const mostHopsTold = 5_000

// beyond is what the provider of a mirror told of the hops behind it. Safe for concurrent use.
type beyond struct {
	mu    sync.Mutex
	hops  []HopFreshness // paths are in this node's tree
	told  model.Time     // when, by the provider's clock
	clock model.Time     // the provider's, of its newest beat
}

// set takes what a provider tells.
func (b *beyond) set(mount model.Path, wire *linkv1.Freshness) error {
	if len(wire.GetHops()) > mostHopsTold {
		return model.Errorf(model.KindExhausted, "the provider tells of more than %d hops behind it", mostHopsTold)
	}
	hops := make([]HopFreshness, 0, len(wire.GetHops()))
	for _, w := range wire.GetHops() {
		h, err := readHop(mount, w)
		if err != nil {
			return err
		}
		hops = append(hops, h)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hops, b.told, b.clock = hops, model.Time(wire.GetClock()), model.Time(wire.GetClock())
	return nil
}

// beat says what the provider's clock shows in a beat.
func (b *beyond) beat(clock model.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock = clock
}

// forget drops what was told: it was of something that is granted no longer.
func (b *beyond) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hops = nil
}

// now are the hops as of the provider's newest beat: what is up and of which nothing else was told is as old as it was.
func (b *beyond) now(wanted func(model.Path) bool) (hops []HopFreshness) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range b.hops {
		if !wanted(h.Path) {
			continue
		}
		if h.moves() {
			h.AsOf += b.clock - b.told
		}
		hops = append(hops, h)
	}
	return hops
}

// Freshness is how fresh everything is that this node has mounted and that wanted takes: its own hops, and those behind them.
func (h *Hub) Freshness(wanted func(model.Path) bool) (hops []HopFreshness) {
	for _, r := range h.all() {
		hops = append(hops, r.link.freshness(wanted)...)
	}
	slices.SortStableFunc(hops, func(a, b HopFreshness) int { return a.Path.Compare(b.Path) })
	return hops
}

func (l *link) freshness(wanted func(model.Path) bool) (hops []HopFreshness) {
	if l.cfg.Role != pki.RoleConsumer {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refresh(l.hub.now())
	for _, f := range l.feeds {
		mount, s := f.mount.Mirror.cfg.Mount, &f.status
		if wanted(mount) {
			hop := HopFreshness{
				Path: mount, From: tree.Hop{Node: l.cfg.Peer, Name: l.status.PeerName}, To: l.hub.cfg.Self, State: s.State, Since: s.Since, AsOf: s.AsOf,
				Lag: s.Lag, Skew: s.Skew, Lanes: s.Lanes, Interval: s.Interval,
			}
			if hop.From.Name == "" {
				hop.From.Name = l.cfg.Name
			}
			if hop.State == StateUp && s.Stale {
				hop.State = StateCatching
			}
			hops = append(hops, hop)
		}
		hops = append(hops, f.mount.Mirror.beyond.now(wanted)...)
	}
	return hops
}

// FreshnessOf is how fresh what is at a path of this node's tree is: one hop for each node of its route, this node's own first, and since when all of it is
// known to be true, by this node's clock: 0 while nobody has told of one of them, as after a restart, since that one may have been cut before. Times are
// translated to this node's clock as far as the skews are known.
func (h *Hub) FreshnessOf(path model.Path, route tree.Route) (hops []HopFreshness, asOf model.Time) {
	known := h.Freshness(func(p model.Path) bool { return p.Contains(path) })
	to, off, told := h.cfg.Self, time.Duration(0), true
	for _, from := range route {
		hop := HopFreshness{Path: path, From: from, To: to, State: StateUnknown}
		for i := range known {
			if known[i].From.Node == from.Node && known[i].To.Node == to.Node {
				hop = known[i] // of several the one that hangs deepest
			}
		}
		hop.From.Name, hop.To.Name = from.Name, to.Name
		for _, t := range []*model.Time{&hop.Since, &hop.AsOf} {
			if *t != 0 {
				*t -= model.Time(off)
			}
		}
		told = told && hop.AsOf != 0
		if asOf == 0 || hop.AsOf < asOf {
			asOf = hop.AsOf
		}
		hops = append(hops, hop)
		to, off = from, off+hop.Skew
	}
	if !told {
		return hops, 0
	}
	return hops, asOf
}

func readHop(mount model.Path, w *linkv1.HopFreshness) (HopFreshness, error) {
	below, err := model.ParsePath(w.GetPath())
	if err != nil {
		return HopFreshness{}, err
	}
	path, err := mount.Join(below)
	if err != nil {
		return HopFreshness{}, err
	}
	ends, err := readRoute(&linkv1.Route{Hops: []*linkv1.Hop{w.GetFrom(), w.GetTo()}})
	if err != nil {
		return HopFreshness{}, err
	}
	h := HopFreshness{
		Path: path, From: ends[0], To: ends[1], State: State(cleanWord(w.GetState())), Since: model.Time(w.GetSince()), AsOf: model.Time(w.GetAsOf()),
		Lag: time.Duration(w.GetLagNanoseconds()), Skew: time.Duration(w.GetSkewNanoseconds()), Interval: time.Duration(w.GetIntervalNanoseconds()),
	}
	if len(w.GetLanes()) > mostLanes {
		return HopFreshness{}, model.Errorf(model.KindExhausted, "the provider tells of %d lanes of one hop", len(w.GetLanes()))
	}
	for _, lane := range w.GetLanes() {
		h.Lanes = append(h.Lanes, LaneLag{lane.GetKind(), time.Duration(lane.GetBehindNanoseconds())})
	}
	return h, nil
}

const mostLanes = 16

// cleanWord is a short foreign word that people read.
func cleanWord(word string) string {
	return cleanText(word[:min(len(word), 32)])
}

func hopFrame(h *HopFreshness, path model.Path) *linkv1.HopFreshness {
	w := &linkv1.HopFreshness{
		Path: path.String(), From: &linkv1.Hop{Node: h.From.Node[:], Name: h.From.Name}, To: &linkv1.Hop{Node: h.To.Node[:], Name: h.To.Name},
		State: string(h.State), Since: int64(h.Since), AsOf: int64(h.AsOf), LagNanoseconds: int64(h.Lag), SkewNanoseconds: int64(h.Skew),
		IntervalNanoseconds: int64(h.Interval),
	}
	for _, lane := range h.Lanes {
		w.Lanes = append(w.Lanes, &linkv1.LaneLag{Kind: lane.Kind, BehindNanoseconds: int64(lane.Behind)})
	}
	return w
}

// interval is how far apart samples come where nothing else is wanted.
func (c *Consumer) interval() time.Duration {
	for _, r := range c.wanted {
		if r.Pattern.String() == "/**" {
			return r.Pace.Interval
		}
	}
	return 0
}
