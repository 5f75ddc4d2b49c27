package peering

import (
	"slices"
	"testing"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/pki"
	"banyan/proto/linkv1"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
)

// What is missing in a lane has been missing since it was told, not since the newest head was.
func TestLaneLagIsSinceTheOldestHeadThatIsMissing(t *testing.T) {
	const changes = linkv1.LaneKind_LANE_KIND_CHANGES
	at := func(seconds int) model.Time { return model.Time(time.Duration(1000+seconds) * time.Second) }
	b := newBeats(testBeat)
	b.moved(changes, 5, at(0))
	b.told(changes, 5, at(1))
	if lags := b.behind(at(2)); len(lags) > 0 {
		t.Errorf("nothing is missing, and it says %v", lags)
	}
	b.told(changes, 8, at(2))
	b.told(changes, 9, at(4))
	if lags := b.behind(at(7)); len(lags) != 1 || lags[0] != (LaneLag{changes, 5 * time.Second}) {
		t.Errorf("missing for 5 s: %v", lags)
	}
	b.moved(changes, 8, at(7))
	if lags := b.behind(at(8)); len(lags) != 1 || lags[0].Behind != 4*time.Second {
		t.Errorf("the rest is missing for 4 s: %v", lags)
	}
	b.moved(changes, 9, at(8))
	for i := range 1000 {
		b.told(changes, uint64(10+i), at(9+i))
	}
	if lags := b.behind(at(1009)); lags[0].Behind != 1000*time.Second || len(b.lanes[changes].told) > mostToldHeads {
		t.Errorf("missing for 1000 s: %v, %d heads are kept", lags, len(b.lanes[changes].told))
	}
}

// freshNodes is a tree in which two nodes are mounted, of which a view shows one, below a root of its own.
func freshNodes(t *testing.T) (n *node, hops []HopFreshness, view *follow.View) {
	t.Helper()
	n = newNode("north")
	berlin, secret, deep := tree.Hop{Node: model.NodeID{1}, Name: "berlin"}, tree.Hop{Node: model.NodeID{2}, Name: canary}, tree.Hop{Node: model.NodeID{3}, Name: "deep"}
	for i, path := range []string{"/sites/berlin/x", "/sites/canary-site/x"} {
		route := tree.Route{berlin, deep}
		n.tree.Apply([]tree.Put{{
			ID: model.ContextID{Node: berlin.Node, Number: uint64(i + 1)}, Path: model.MustPath(path), Schema: probeSchema, Route: route[:2-i],
			Version: model.Version{Number: 1}, Settings: []model.Value{model.Duration(1)},
		}}, nil)
	}
	up := HopFreshness{To: n.hop, State: StateUp, Since: 1000, AsOf: model.Time(time.Hour), Lag: 10 * time.Millisecond, Skew: time.Minute}
	for _, h := range []struct {
		path     string
		from, to tree.Hop
	}{{"/sites/berlin", berlin, n.hop}, {"/sites/berlin/x", deep, berlin}, {"/sites/canary-site", secret, n.hop}, {"/elsewhere", berlin, n.hop}} {
		hop := up
		hop.Path, hop.From, hop.To = model.MustPath(h.path), h.from, h.to
		hops = append(hops, hop)
	}
	return n, hops, follow.NewView(n.tree, model.MustPath("/sites"), shownPart{key: "fresh"})
}

// A consumer is told of the hops of which it sees something, with the paths that it sees, and when something of them is new.
func TestFreshnessIsToldOfWhatIsShown(t *testing.T) {
	n, hops, view := freshNodes(t)
	var teller freshTeller
	now := model.Time(time.Hour)
	told := teller.next(hops, view, testBeat, now, now)
	var paths []string
	for _, h := range told.GetHops() {
		paths = append(paths, h.GetPath()+" "+h.GetFrom().GetName())
	}
	if !slices.Equal(paths, []string{"/berlin berlin", "/berlin/x deep"}) {
		t.Fatalf("told of %v", paths)
	}
	later := func(change func(h *HopFreshness)) *linkv1.Freshness {
		now += model.Time(testBeat)
		moved := slices.Clone(hops)
		for i := range moved {
			moved[i].AsOf += now - model.Time(time.Hour)
		}
		change(&moved[0])
		hidden := moved[2]
		hidden.State, hidden.Lag = StateStale, time.Hour // nobody is to hear of that
		moved[2] = hidden
		return teller.next(moved, view, testBeat, now, now)
	}
	if again := later(func(h *HopFreshness) { h.Lag += time.Millisecond; h.Skew += time.Millisecond }); again != nil {
		t.Errorf("told again: %v", again)
	}
	for name, change := range map[string]func(*HopFreshness){
		"state": func(h *HopFreshness) { h.State = StateStale }, "since": func(h *HopFreshness) { h.Since++ }, "lag": func(h *HopFreshness) { h.Lag += time.Second },
		"skew": func(h *HopFreshness) { h.Skew += time.Hour }, "as of": func(h *HopFreshness) { h.AsOf -= model.Time(time.Minute) },
		"lane":     func(h *HopFreshness) { h.Lanes = []LaneLag{{linkv1.LaneKind_LANE_KIND_SAMPLES, 3 * time.Second}} },
		"interval": func(h *HopFreshness) { h.Interval = -1 },
	} {
		if later(change) == nil {
			t.Errorf("a new %s was not told", name)
		}
		later(func(*HopFreshness) {})
	}
	deeper := new(freshTeller).next(hops, follow.NewView(n.tree, model.MustPath("/sites/berlin/x"), shownPart{key: "deeper"}), testBeat, now, now)
	if len(deeper.GetHops()) != 2 || deeper.GetHops()[0].GetPath() != "/" || deeper.GetHops()[1].GetPath() != "/" {
		t.Errorf("below a deeper root it is told of %v", deeper)
	}
}

// How fresh something is adds up over the hops: the least of them counts, by the clock of who asks, whatever the clocks between show.
func TestFreshnessAddsUpOverHops(t *testing.T) {
	hq, berlin := newNode("hq"), tree.Hop{Node: model.NodeID{1}, Name: "berlin"}
	north := newNode("north").hop
	mirror := NewMirror(MirrorConfig{Tree: hq.tree, Mount: model.MustPath("/north"), Self: hq.hop, Peer: north, Keeper: &simKeeper{}}, nil, Place{})
	h := NewHub(HubConfig{Self: hq.hop, Tree: hq.tree, Logger: hclog.NewNullLogger()})
	l := newLink(h, LinkConfig{Name: "north", Peer: north.Node, Role: pki.RoleConsumer})
	base := model.Time(10 * time.Hour)
	l.feeds = []*feed{{link: l, mount: Mount{Name: "north", Mirror: mirror}, status: FeedStatus{State: StateUp, Since: base, AsOf: base, Skew: time.Hour}}}
	h.links["north"] = &running{link: l}
	path, route := model.MustPath("/north/sites/berlin/x"), tree.Route{north, berlin}

	hops, asOf := h.FreshnessOf(path, route)
	if len(hops) != 2 || hops[0].State != StateUp || hops[1].State != StateUnknown || hops[1].From.Name != "berlin" {
		t.Fatalf("before anything was told: %+v", hops)
	}
	if asOf != 0 { // berlin may have been cut off from north long before north was from here
		t.Errorf("before anything was told of berlin's link its values are true as of %d", asOf)
	}
	// North's clock is an hour ahead: it says that berlin was heard 3 s before north's newest beat.
	clock := base + model.Time(time.Hour)
	tell := func(state State, asOf model.Time) {
		t.Helper()
		hop := HopFreshness{Path: model.MustPath("/sites/berlin"), From: berlin, To: north, State: state, Since: clock, AsOf: asOf, Skew: -time.Minute}
		if err := mirror.beyond.set(mirror.cfg.Mount, &linkv1.Freshness{Clock: int64(clock), Hops: []*linkv1.HopFreshness{hopFrame(&hop, hop.Path)}}); err != nil {
			t.Fatal(err)
		}
	}
	second := model.Time(time.Second)
	tell(StateUp, clock-3*second)
	if hops, asOf = h.FreshnessOf(path, route); hops[1].State != StateUp || asOf != base-3*second || hops[1].Since != base {
		t.Errorf("translated: %+v, %d is not 3 s before %d", hops[1], asOf, base)
	}
	// What is up gets no older while beats come; what is not, does.
	mirror.beyond.beat(clock + 10*second)
	l.feeds[0].status.AsOf = base + 10*second
	if _, asOf = h.FreshnessOf(path, route); asOf != base+7*second {
		t.Errorf("after 10 s of beats it is as of %s before", time.Duration(base+10*second-asOf))
	}
	clock += 10 * second
	tell(StateStale, clock-3*second)
	mirror.beyond.beat(clock + 60*second)
	l.feeds[0].status.AsOf = base + 70*second
	if hops, asOf = h.FreshnessOf(path, route); asOf != base+7*second || hops[1].State != StateStale {
		t.Errorf("what is cut moves on: %+v, %d", hops[1], asOf)
	}
	if err := mirror.beyond.set(mirror.cfg.Mount, &linkv1.Freshness{Hops: make([]*linkv1.HopFreshness, mostHopsTold+1)}); model.KindOf(err) != model.KindExhausted {
		t.Errorf("more hops than anybody has: %v", err)
	}
	if err := mirror.beyond.set(mirror.cfg.Mount, &linkv1.Freshness{Hops: []*linkv1.HopFreshness{{Path: "no path"}}}); err == nil {
		t.Error("a path that is none is taken")
	}
	mirror.Purge()
	if hops, _ = h.FreshnessOf(path, route); hops[1].State != StateUnknown {
		t.Errorf("what was withdrawn is still told of: %+v", hops[1])
	}
}
