package peering

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/tree"

	pb "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// counted are the fields that count changes, revisions and contexts of the provider, which X1 excepts.
var counted = map[protoreflect.FullName]bool{
	"banyan.link.v1.Delta.through": true, "banyan.link.v1.Delta.head": true, "banyan.link.v1.Definition.number": true, "banyan.link.v1.Definition.version": true,
	"banyan.link.v1.Definition.change": true, "banyan.link.v1.Definition.defined": true, "banyan.link.v1.Removal.number": true,
	"banyan.link.v1.Removal.change": true, "banyan.link.v1.Bindings.number_steps": true, "banyan.link.v1.Bindings.defined": true, "banyan.link.v1.KnownContext.change": true,
	"banyan.link.v1.Overlays.changes": true, "banyan.link.v1.Ack.changes": true, "banyan.link.v1.Hello.changes": true, "banyan.link.v1.Hello.newest": true,
	"banyan.link.v1.Welcome.from": true, "banyan.link.v1.Ack.bytes": true, // the bytes follow from the lengths of these numbers
}

// plain is a frame as text without what counts.
func plain(frame pb.Message) string {
	clear := func(m protoreflect.Message) {
		m.Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
			if counted[field.FullName()] {
				m.Clear(field)
			}
			return true
		})
	}
	var walk func(m protoreflect.Message)
	walk = func(m protoreflect.Message) {
		if lane, is := m.Interface().(*linkv1.Lane); is && lane.GetKind() == linkv1.LaneKind_LANE_KIND_CHANGES {
			lane.Head, lane.Applied = 0, 0
		}
		clear(m)
		m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			switch {
			case field.IsList() && field.Message() != nil:
				for i := range v.List().Len() {
					walk(v.List().Get(i).Message())
				}
			case field.Message() != nil && !field.IsMap():
				walk(v.Message())
			}
			return true
		})
	}
	copied := pb.Clone(frame)
	walk(copied.ProtoReflect())
	raw, _ := pb.MarshalOptions{Deterministic: true}.Marshal(copied)
	return fmt.Sprintf("%.80s %x", strings.ReplaceAll(fmt.Sprint(copied), "  ", " "), raw)
}

// otherwise shows the same as another export.
type otherwise struct {
	withoutCanaries
	key string
}

func (o otherwise) Key() string { return o.key }

// presence is a story of three tiers, of which a part happens where the ones above are shown nothing.
type presence struct {
	*testing.T
	rand      *rand.Rand
	hidden    bool // whether that part happens
	views     bool // whether the export changes, so that all is compared
	now       model.Time
	berlin    *node
	lower     *Mirror
	upper     *Mirror
	north, hq *node
	below     *wire
	above     *wire
	plain     *model.Schema
	other     *model.Schema
	frames    []string
	shownHop  HopFreshness // what berlin has mounted, of which one is shown and others are not
	secret    []HopFreshness
}

// hops makes berlin and north tell how fresh is what they have mounted.
func (p *presence) hops() {
	hop := func(path, from string, to tree.Hop) HopFreshness {
		return HopFreshness{Path: model.MustPath(path), From: newNode(from).hop, To: to, State: StateUp, Since: p.now, AsOf: p.now, Lag: time.Millisecond}
	}
	p.shownHop = hop("/shown-1", "pump", p.berlin.hop)
	p.secret = []HopFreshness{
		hop("/canary-1", "canary-a", p.berlin.hop), hop("/canary-1/deep", "canary-b", newNode("canary-a").hop), hop("/shown-0/canary-2", "canary-c", p.berlin.hop),
	}
	p.berlin.fresh = func() []HopFreshness {
		if !p.hidden {
			return []HopFreshness{p.shownHop}
		}
		return append([]HopFreshness{p.secret[0], p.shownHop}, p.secret[1:]...)
	}
	p.north.fresh = func() []HopFreshness {
		own := hop("/b", "berlin", p.north.hop)
		own.Since, own.AsOf = 0, p.lower.place.Heard
		if p.below != nil {
			own.Lag, own.Skew, own.Lanes = p.below.consumer.Lag(), p.below.consumer.beats.skew, p.below.consumer.beats.behind(p.now)
		}
		return append([]HopFreshness{own}, p.lower.beyond.now(func(model.Path) bool { return true })...)
	}
}

// worse makes a hop another one, for whoever is told of it.
func (p *presence) worse(h *HopFreshness, step int) {
	h.State, h.Since, h.AsOf, h.Lag = []State{StateUp, StateStale, StateStalled}[step%3], p.now, p.now-model.Time(step)*second, time.Duration(step)*time.Second
	h.Lanes = []LaneLag{{linkv1.LaneKind_LANE_KIND_SAMPLES, time.Duration(step) * time.Minute}}
}

func (p *presence) hear(hop string) func(pb.Message) {
	return func(frame pb.Message) {
		if f, is := frame.(*linkv1.ProviderFrame); is && p.views && f.GetSamples() != nil {
			p.frames = append(p.frames, hop+" "+ordered(p.T, f.GetSamples()))
			return
		}
		frame = pb.Clone(frame)
		if f, is := frame.(*linkv1.ConsumerFrame); is && p.views { // it comes from a map
			slices.SortFunc(f.GetKnown().GetContexts(), func(a, b *linkv1.KnownContext) int { return strings.Compare(a.GetPath(), b.GetPath()) })
		}
		if f, is := frame.(*linkv1.ProviderFrame); is && p.views {
			slices.SortFunc(f.GetDelta().GetRemovals(), func(a, b *linkv1.Removal) int { return strings.Compare(a.GetPath(), b.GetPath()) })
		}
		p.frames = append(p.frames, hop+" "+plain(frame))
	}
}

// ordered is a batch of samples as text, in the order of their keys.
func ordered(t *testing.T, told *linkv1.LiveSamples) string {
	raw, err := pb.Marshal(told.GetSamples())
	if err != nil {
		t.Fatal(err)
	}
	var columns proto.Samples
	if err := columns.Decode(raw); err != nil {
		t.Fatal(err)
	}
	var lines []string
	boxed := columns.Boxed
	for i, key := range columns.Keys {
		line := fmt.Sprint(key, " ", columns.Bits[i], " ", columns.Source[i], " ", columns.Owner[i])
		if len(columns.Quality) > 0 {
			line += fmt.Sprint(" ", columns.Quality[i])
		}
		if len(boxed) > 0 && boxed[0].Index == i {
			line, boxed = line+" "+string(boxed[0].Value.JSON()), boxed[1:]
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return fmt.Sprint("samples: ", lines, " through ", told.GetThrough(), " without ", told.GetConflated())
}

func (p *presence) joinBelow() {
	p.below = joinHeard(p.T, p.lower, p.berlin, p.now, p.hear("berlin-north"))
}
func (p *presence) joinAbove() { p.above = joinHeard(p.T, p.upper, p.north, p.now, p.hear("north-hq")) }

func (p *presence) settle() {
	p.below.now, p.above.now = p.now, p.now
	p.below.settle()
	p.above.settle()
}

// secretly does something that nobody above is shown.
func (p *presence) secretly(step int) {
	r, path := p.rand.IntN(8), fmt.Sprintf("/canary-%d", p.rand.IntN(6))
	if !p.hidden {
		return
	}
	p.worse(&p.secret[step%len(p.secret)], step)
	switch c, there := p.berlin.tree.Lookup(model.MustPath(path)); {
	case r == 0 && there:
		p.berlin.tree.Apply(nil, []tree.Removal{{Path: model.MustPath(path), Withdrawn: step%2 == 0}})
	case r == 1:
		p.berlin.tree.SetOverlay(tree.Overlay{Path: model.MustPath(path), Since: p.now, Hop: "berlin > canary-hop"})
	case r == 2:
		p.berlin.tree.ClearOverlay(model.MustPath(path))
	case r == 3 && there:
		p.berlin.tree.SetOverlay(tree.Overlay{Path: model.MustPath(path), Since: p.now, Hop: "berlin > canary-hop", Before: p.berlin.tree.Head()})
	case r < 6 && there:
		var b tree.Batch
		for i := range 1 + step%7 {
			b.Add(c.Slots.First+1, model.Sample{Value: model.String(fmt.Sprint("canary-", step, i)), Source: p.now})
		}
		p.berlin.tree.Publish(&b)
	default:
		next := p.berlin.next
		p.berlin.next = 1000 + uint64(step) // contexts that are shown have the same numbers in both stories
		p.berlin.fill(path, "canary-label", "canary", p.other)
		p.berlin.next = next
	}
	if c, there := p.berlin.tree.Lookup(model.MustPath("/shown-0")); there && step%5 == 0 { // what is hidden of what is shown
		var b tree.Batch
		b.Add(c.Slots.First+1, model.Sample{Value: model.String("canary-entry"), Source: p.now})
		p.berlin.tree.Publish(&b)
	}
}

func (p *presence) openly(step int) {
	n := p.rand.IntN(4)
	path := model.MustPath(fmt.Sprintf("/shown-%d", n))
	c, there := p.berlin.tree.Lookup(path)
	switch r := p.rand.IntN(map[bool]int{false: 13, true: 14}[p.views]); {
	case !there && r != 13 || r == 0:
		p.berlin.fill(path.String(), fmt.Sprint("Shown ", step), "plain", p.plain)
	case r == 1:
		p.berlin.tree.Apply(nil, []tree.Removal{{Path: path}})
	case r == 2:
		p.berlin.tree.SetOverlay(tree.Overlay{Path: path, Since: p.now, Hop: "berlin > pump"})
	case r == 3:
		p.berlin.tree.ClearOverlay(path)
	case r == 4:
		p.berlin.publish(path.String(), float64(step), "", p.now) // two restarts with nothing between are one where nothing is hidden
		if !p.views {                                             // and so is one that is compared
			p.berlin.tree.SetOverlay(tree.Overlay{Path: path, Since: p.now, Hop: "berlin > pump", Before: p.berlin.tree.Head()})
		}
	case r == 5:
		p.joinAbove()
	case r == 6:
		p.joinBelow()
	case r == 13: // another export that shows the same: all is compared
		p.berlin.view = follow.NewView(p.berlin.tree, model.Root, otherwise{key: fmt.Sprint("export ", step)})
		p.joinBelow()
	case r == 12:
		p.worse(&p.shownHop, step)
	case r < 9:
		p.now += model.Time(time.Duration(p.rand.IntN(3)) * time.Second)
	default:
		var b tree.Batch
		for i := range 1 + p.rand.IntN(3) {
			b.Add(c.Slots.First, model.Sample{Value: model.Float64(float64(step + i)), Source: p.now})
		}
		p.berlin.tree.Publish(&b)
	}
}

func tellStory(t *testing.T, seed uint64, hidden, views bool) []string {
	p := &presence{
		T: t, rand: rand.New(rand.NewPCG(seed, 1)), hidden: hidden, views: views, now: 100 * second, hq: newNode("hq"), north: newNode("north"), berlin: newNode("berlin"),
		plain: kindWith(t, "plain", "canary"), other: kindWith(t, "canary-kind", "plain"),
	}
	for _, n := range []*node{p.hq, p.north, p.berlin} {
		n.now = func() time.Time { return time.Unix(0, int64(p.now)) }
		n.start(nil, 1)
	}
	p.berlin.view = follow.NewView(p.berlin.tree, model.Root, withoutCanaries{})
	p.lower, p.upper = mirrorOf(p.north, p.berlin, "/b"), mirrorOf(p.hq, p.north, "/n")
	p.hops()
	p.berlin.fill("/shown-0", "Shown", "plain", p.plain)
	p.secretly(0)
	p.joinBelow()
	p.joinAbove()
	for step := range 150 {
		p.secretly(step)
		p.openly(step)
		p.secretly(step + 1)
		p.settle()
		p.secretly(step + 2) // and once without anything else, when everybody sleeps
		p.settle()
	}
	p.below.provider.Close()
	p.above.provider.Close()
	return p.frames
}

// TestHiddenIsNotEvenThere: the same story with and without a part that is hidden from the tiers above makes the same frames in the same order, byte for
// byte but for the numbers that count changes and contexts: neither presence nor count, size or time tells the two apart.
func TestHiddenIsNotEvenThere(t *testing.T) {
	compareStories(t, 60, false, "delta", "samples", "overlays", "beat", "bindings", "schema", "welcome", "freshness", "ack", "hello")
}

// TestHiddenIsNotEvenCompared is the same with exports that change, so that consumers say what they have and all is compared. Within a batch the
// latest values then come in the order in which they lie in memory, which is not looked at, and restarts of an owner are left out.
func TestHiddenIsNotEvenCompared(t *testing.T) {
	compareStories(t, 30, true, "known", "delta", "freshness")
}

// compareStories tells stories, which must have frames of some kinds, with and without the hidden part.
func compareStories(t *testing.T, stories int, views bool, having ...string) {
	t.Helper()
	if testing.Short() {
		stories = 10
	}
	first, kinds := rand.Uint64(), map[string]int{}
	for i := range uint64(stories) {
		seed := first + i
		without, with := tellStory(t, seed, false, views), tellStory(t, seed, true, views)
		for at := range max(len(without), len(with)) {
			if at >= len(without) || at >= len(with) || without[at] != with[at] {
				told := func(frames []string) string {
					return strings.Join(frames[min(len(frames), max(0, at-2)):min(len(frames), at+2)], "\n  ")
				}
				t.Fatalf("seed %d, frame %d of %d without and %d with:\nwithout\n  %s\nwith\n  %s", seed, at, len(without), len(with), told(without), told(with))
			}
		}
		for _, frame := range with {
			if strings.Contains(frame, "canary") {
				t.Fatalf("seed %d: %s", seed, frame)
			}
			_, kind, _ := strings.Cut(frame, " ")
			kind, _, _ = strings.Cut(kind, ":")
			kinds[kind]++
		}
	}
	t.Logf("%d stories from seed %d, with frames %v", stories, first, kinds)
	for _, kind := range having {
		if kinds[kind] == 0 {
			t.Errorf("no story has a frame of the kind %s", kind)
		}
	}
}
