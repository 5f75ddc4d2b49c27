package peering

import (
	"fmt"
	"testing"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/tree"

	pb "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// everything selects all that there is.
type everything struct{}

func (everything) Key() string                                   { return "all" }
func (everything) Selects(model.Path, string) bool               { return true }
func (everything) Schema(s *model.Schema) (*model.Schema, error) { return s, nil }

// node is a tree with an epoch, as much of a node as a session needs.
type node struct {
	tree  *tree.Tree
	hop   tree.Hop
	epoch model.Epoch
	chain model.Chain
	view  *follow.View
	next  uint64
	marks map[*Mirror]*Marks
	now   func() time.Time // nil for the machine's clock
	fresh func() []HopFreshness
}

// marksOf are the numbers by which a mirror is told positions of this epoch.
func (n *node) marksOf(m *Mirror) *Marks {
	if n.marks[m] == nil {
		n.marks[m] = NewMarks()
	}
	return n.marks[m]
}

func newNode(name string) *node {
	n := &node{hop: tree.Hop{Name: name}}
	copy(n.hop.Node[:], name)
	n.start(nil, 1)
	return n
}

// start begins an epoch with an empty tree, as a restart does.
func (n *node) start(chain model.Chain, first uint64) {
	n.epoch = model.Epoch{Ordinal: uint64(len(chain) + 1), Random: uint64(len(chain) + 100)}
	n.chain = append(chain[:len(chain):len(chain)], model.Begin{Epoch: n.epoch, First: first})
	n.tree, n.marks = tree.New(tree.Config{FirstChange: first, Now: n.now}), make(map[*Mirror]*Marks)
	n.view = follow.NewView(n.tree, model.Root, everything{})
}

var probeSchema = func() *model.Schema {
	s, err := proto.NewSchema(model.Schema{
		Kind:      "probe",
		Settings:  []model.Setting{{Name: "interval", Type: model.TypeDuration, Default: model.Duration(time.Second), Right: model.RightConfigure}},
		Variables: []model.Variable{{Name: "load", Type: model.TypeFloat64}, {Name: "text", Type: model.TypeString}},
	})
	if err != nil {
		panic(err)
	}
	return s
}()

func (n *node) put(path string, settings ...model.Value) {
	n.next++
	id := model.ContextID{Node: n.hop.Node, Epoch: model.Epoch{Ordinal: 1}, Number: n.next}
	if c, there := n.tree.Lookup(model.MustPath(path)); there {
		id = c.ID
	}
	n.tree.Apply([]tree.Put{{ID: id, Path: model.MustPath(path), Schema: probeSchema, Settings: settings, Version: model.Version{Epoch: n.epoch, Number: n.next}}}, nil)
}

func (n *node) publish(path string, load float64, text string, at model.Time) {
	c, _ := n.tree.Lookup(model.MustPath(path))
	var b tree.Batch
	b.Add(c.Slots.First, model.Sample{Value: model.Float64(load), Source: at})
	b.Add(c.Slots.First+1, model.Sample{Value: model.String(text), Source: at})
	n.tree.Publish(&b)
}

type noKeeper struct{}

func (noKeeper) Keep([]Gone, []Row, Place) {}

func (noKeeper) Forget() {}

// wire joins a provider and a mirror by a session without a network, and counts what crosses.
type wire struct {
	t           *testing.T
	provider    *Provider
	consumer    *Consumer
	now         model.Time
	definitions []string
	removals    []string
	samples     int
	bytes       int
	paused      bool                   // nothing crosses from the provider
	crossed     func()                 // called after each frame of the provider
	heard       func(frame pb.Message) // is told each frame of either end
	version1    *protoregistry.Files   // the consumer speaks version 1, which knows these messages
}

const testBeat = 2 * time.Second

func mirrorOf(n, of *node, mount string) *Mirror {
	return NewMirror(MirrorConfig{Tree: n.tree, Mount: model.MustPath(mount), Self: n.hop, Peer: of.hop, Keeper: noKeeper{}}, nil, Place{})
}

func join(t *testing.T, m *Mirror, of *node, now model.Time) *wire {
	t.Helper()
	return joinWatched(t, m, of, now, nil)
}

// joinHeard is join with somebody who hears everything from the first frame on.
func joinHeard(t *testing.T, m *Mirror, of *node, now model.Time, heard func(pb.Message)) *wire {
	t.Helper()
	w := &wire{heard: heard, t: t, now: now, consumer: NewConsumer(m, "link", []byte("0123456789abcdef"), testBeat)}
	w.provider = NewProvider(ProviderConfig{
		Tree: of.tree, View: of.view, Node: of.hop.Node, Name: of.hop.Name, Epoch: of.epoch, Chain: of.chain, Beat: testBeat, Marks: of.marksOf(m), Fresh: of.fresh,
	})
	w.settle()
	return w
}

func joinWatched(t *testing.T, m *Mirror, of *node, now model.Time, crossed func()) *wire {
	t.Helper()
	w := &wire{crossed: crossed, t: t, now: now, consumer: NewConsumer(m, "link", []byte("0123456789abcdef"), testBeat)}
	w.provider = NewProvider(ProviderConfig{
		Tree: of.tree, View: of.view, Node: of.hop.Node, Name: of.hop.Name, Epoch: of.epoch, Chain: of.chain, Beat: testBeat, Marks: of.marksOf(m),
	})
	t.Cleanup(w.provider.Close)
	w.settle()
	return w
}

// settle lets everything cross until nothing moves.
func (w *wire) settle() {
	w.t.Helper()
	for moved := true; moved; {
		moved = false
		w.provider.Tick(w.now)
		w.consumer.Tick(w.now)
		for frame, some := w.consumer.Next(); some; frame, some = w.consumer.Next() {
			moved = true
			if hello := frame.GetHello(); hello != nil && w.version1 != nil {
				hello.Version, hello.Export, hello.BeatMilliseconds, hello.Interest = 1, "", 0, nil
			}
			if w.heard != nil {
				w.heard(frame)
			}
			if err := w.provider.Receive(frame, w.now); err != nil {
				w.t.Fatal(err)
			}
			w.provider.Tick(w.now)
		}
		for !w.paused {
			out, some := w.provider.Next(w.now)
			if !some {
				break
			}
			moved = true
			w.cross(out)
			if w.crossed != nil {
				break // who watches wants the ends to take turns
			}
		}
	}
}

func (w *wire) cross(out Out) {
	w.t.Helper()
	raw := &proto.RawFrame{Bytes: out.Encoded()}
	if out.Frame != nil {
		raw.Bytes, _ = pb.Marshal(out.Frame)
		for _, d := range out.Frame.GetDelta().GetDefinitions() {
			w.definitions = append(w.definitions, d.GetPath())
		}
		for _, r := range out.Frame.GetDelta().GetRemovals() {
			w.removals = append(w.removals, r.GetPath())
		}
	} else if samples, _, _, ok := raw.LiveSamples(); ok {
		var columns proto.Samples
		if err := columns.Decode(samples); err != nil {
			w.t.Fatal(err)
		}
		w.samples += len(columns.Keys)
	}
	w.bytes += len(raw.Bytes)
	if w.heard != nil {
		frame := &linkv1.ProviderFrame{}
		if err := pb.Unmarshal(raw.Bytes, frame); err != nil {
			w.t.Fatal(err)
		}
		w.heard(frame)
	}
	if w.version1 != nil {
		if unknown := unknownOf(w.t, w.version1, "ProviderFrame", raw.Bytes); unknown != "" {
			w.t.Errorf("a consumer of version 1 is told %s", unknown)
		}
	}
	if err := w.consumer.ReceiveRaw(raw, w.now); err != nil {
		w.t.Fatal(err)
	}
	if w.crossed != nil {
		w.crossed()
	}
}

func (w *wire) pass(d time.Duration) {
	w.now += model.Time(d)
	w.settle()
}

func readingOf(n *node, address string) string {
	a, err := model.ParseAddress(address)
	if err != nil {
		panic(err)
	}
	r, there := n.tree.Read(a)
	if !there {
		return "absent"
	}
	return fmt.Sprint(r.Sample.Value, " ", r.Sample.Quality)
}

func want(t *testing.T, n *node, address, expected string) {
	t.Helper()
	if got := readingOf(n, address); got != expected {
		t.Errorf("%s at %s is %q, want %q", address, n.hop.Name, got, expected)
	}
}

const second = model.Time(time.Second)

func TestListingThenLive(t *testing.T) {
	hq, berlin := newNode("hq"), newNode("berlin")
	berlin.put("/devices/a")
	berlin.put("/devices/b", model.Duration(time.Minute))
	berlin.publish("/devices/a", 1, "one", 5)
	w := join(t, mirrorOf(hq, berlin, "/sites/berlin"), berlin, 100*second)

	want(t, hq, "/sites/berlin/devices/a:load", "1 good")
	want(t, hq, "/sites/berlin/devices/a:text", "one good")
	want(t, hq, "/sites/berlin/devices/b:interval", "1m0s good")
	berlin.publish("/devices/b", 2, "two", 6)
	w.settle()
	want(t, hq, "/sites/berlin/devices/b:text", "two good")
	if c, _ := hq.tree.Lookup(model.MustPath("/sites/berlin/devices/b")); len(c.Route) != 1 || c.Route[0] != berlin.hop {
		t.Errorf("route %v", c.Route)
	}
}

// TestHandlesFitIntoFrames: when all samples of many contexts come at once, as after an interrupted listing, all handles are needed at once. In one frame they
// were more than a frame may have, and the session could never begin.
func TestHandlesFitIntoFrames(t *testing.T) {
	hq, berlin := newNode("hq"), newNode("berlin")
	berlin.tree = tree.New(tree.Config{RingFor: 1}) // it keeps 16 chunks, however young
	berlin.view = followView(berlin, everything{})
	const contexts = 20_000
	var b tree.Batch
	var puts []tree.Put
	for i := range contexts {
		puts = append(puts, tree.Put{
			ID:   model.ContextID{Node: berlin.hop.Node, Epoch: model.Epoch{Ordinal: 1}, Number: uint64(i + 1)},
			Path: model.MustPath(fmt.Sprintf("/d%d", i)), Schema: probeSchema, Version: model.Version{Epoch: berlin.epoch, Number: uint64(i + 1)},
		})
	}
	berlin.tree.Apply(puts, nil)
	most := 0
	w := joinHeard(t, mirrorOf(hq, berlin, "/b"), berlin, 100*second, func(frame pb.Message) {
		if told, is := frame.(*linkv1.ProviderFrame); is && told.GetBindings() != nil {
			most = max(most, pb.Size(frame))
		}
	})
	for round := range 4 {
		b.Reset()
		for i := range puts {
			b.Add(puts[i].Slots.First, model.Sample{Value: model.Float64(float64(i)), Source: model.Time(round + 1)})
		}
		berlin.tree.Publish(&b)
	}
	w.settle()
	want(t, hq, fmt.Sprintf("/b/d%d:load", contexts-1), fmt.Sprint(contexts-1, " good"))
	want(t, hq, "/b/d0:load", "0 good")
	if most == 0 || most > maxChunkBytes {
		t.Errorf("a frame with handles has %d bytes", most)
	}
}

func TestResumeTellsExactlyWhatChanged(t *testing.T) {
	hq, berlin := newNode("hq"), newNode("berlin")
	const count = 10_000
	for i := range count {
		berlin.put(fmt.Sprintf("/devices/d%05d", i))
	}
	m := mirrorOf(hq, berlin, "/b")
	w := join(t, m, berlin, 100*second)
	listing := w.bytes
	if m.Count() != count {
		t.Fatalf("%d contexts mirrored, want %d", m.Count(), count)
	}
	for i := range 7 {
		berlin.put(fmt.Sprintf("/devices/d%05d", i*1000), model.Duration(time.Hour))
	}
	berlin.tree.Apply(nil, []tree.Removal{{Path: model.MustPath("/devices/d09999")}})
	w = join(t, m, berlin, 200*second)
	if len(w.definitions) != 7 || len(w.removals) != 1 || m.Count() != count-1 {
		t.Errorf("%d definitions and %d removals crossed, want 7 and 1; %d contexts", len(w.definitions), len(w.removals), m.Count())
	}
	if w.bytes > listing/100+16<<10 {
		t.Errorf("%d bytes crossed after a listing of %d", w.bytes, listing)
	}
	want(t, hq, "/b/devices/d06000:interval", "1h0m0s good")
	want(t, hq, "/b/devices/d09999:interval", "absent")
}

func TestCutAndHeal(t *testing.T) {
	hq, berlin := newNode("hq"), newNode("berlin")
	berlin.put("/a")
	berlin.publish("/a", 1, "one", 5)
	m := mirrorOf(hq, berlin, "/b")
	w := join(t, m, berlin, 100*second)
	w.pass(testBeat)
	w.consumer.Cut()
	want(t, hq, "/b/a:load", "1 uncertain/stale")
	r, _ := hq.tree.Read(model.Address{Path: model.MustPath("/b/a"), Name: "load"})
	if r.Since != 102*second {
		t.Errorf("stale since %v, want the last heartbeat", r.Since)
	}
	berlin.publish("/a", 2, "two", 6)
	join(t, m, berlin, 200*second)
	want(t, hq, "/b/a:load", "2 good")
}

// After a cut nothing is good before all has been applied that the first heartbeat told.
func TestGoodOnlyAfterCatchUp(t *testing.T) {
	hq, berlin := newNode("hq"), newNode("berlin")
	berlin.put("/a")
	berlin.publish("/a", 1, "one", 5)
	m := mirrorOf(hq, berlin, "/b")
	join(t, m, berlin, 100*second).consumer.Cut()
	berlin.publish("/a", 2, "two", 6)
	frames := 0
	joinWatched(t, m, berlin, 200*second, func() {
		frames++
		if got := readingOf(hq, "/b/a:load"); got == "1 good" {
			t.Errorf("after %d frames the value from before the cut is good", frames)
		}
	})
	want(t, hq, "/b/a:load", "2 good")
}

func TestThreeTiersAndRestart(t *testing.T) {
	hq, north, berlin := newNode("hq"), newNode("north"), newNode("berlin")
	berlin.put("/a")
	berlin.put("/slow")
	berlin.publish("/a", 1, "one", 5)
	berlin.publish("/slow", 1, "one", 5)
	below := mirrorOf(north, berlin, "/berlin")
	above := mirrorOf(hq, north, "/north")
	lower, upper := join(t, below, berlin, 100*second), join(t, above, north, 100*second)
	both := func() {
		lower.settle()
		upper.settle()
	}
	both()
	want(t, hq, "/north/berlin/a:load", "1 good")
	c, _ := hq.tree.Lookup(model.MustPath("/north/berlin/a"))
	if got := c.Route.Names(); fmt.Sprint(got) != "[north berlin]" {
		t.Errorf("route %v", got)
	}
	lower.consumer.Cut()
	both()
	want(t, hq, "/north/berlin/a:load", "1 uncertain/stale")

	old := berlin.tree
	berlin.start(berlin.chain, old.ChangeHead()+1)
	d := old.ChangesSince(0, 100, nil)
	for _, c := range d.Contexts {
		berlin.tree.Apply([]tree.Put{{ID: c.ID, Path: c.Path, Schema: c.Schema, Version: c.Version, Number: c.Change}}, nil)
	}
	berlin.publish("/a", 2, "two", 6)
	lower = join(t, below, berlin, 200*second)
	both()
	if len(lower.definitions) != 0 {
		t.Errorf("a restart without changes told %v again", lower.definitions)
	}
	want(t, north, "/berlin/a:load", "2 good")
	want(t, hq, "/north/berlin/a:load", "2 good")
	want(t, north, "/berlin/slow:load", "1 uncertain/stale")
	want(t, hq, "/north/berlin/slow:load", "1 uncertain/stale")
	berlin.publish("/slow", 3, "three", 7)
	both()
	want(t, hq, "/north/berlin/slow:load", "3 good")
}

func TestRollbackIsCompared(t *testing.T) {
	hq, berlin := newNode("hq"), newNode("berlin")
	for i := range 20 {
		berlin.put(fmt.Sprintf("/d%02d", i))
	}
	m := mirrorOf(hq, berlin, "/b")
	chain, first := berlin.chain, berlin.tree.ChangeHead()
	backup := berlin.tree.ChangesSince(0, 100, nil).Contexts
	berlin.put("/d03", model.Duration(time.Hour)) // all of this is lost
	berlin.put("/lost")
	join(t, m, berlin, 100*second)
	want(t, hq, "/b/d03:interval", "1h0m0s good")

	berlin.start(chain, first+1)
	for _, c := range backup {
		berlin.tree.Apply([]tree.Put{{ID: c.ID, Path: c.Path, Schema: c.Schema, Version: c.Version, Number: c.Change}}, nil)
	}
	berlin.put("/d04", model.Duration(time.Minute))
	w := join(t, m, berlin, 200*second)
	want(t, hq, "/b/d03:interval", "1s good")
	want(t, hq, "/b/d04:interval", "1m0s good")
	want(t, hq, "/b/lost:interval", "absent")
	if len(w.definitions) != 2 || len(w.removals) != 1 {
		t.Errorf("told %v and removed %v", w.definitions, w.removals)
	}
}

func TestLoopsAreRefused(t *testing.T) {
	a, b := newNode("a"), newNode("b")
	a.put("/own")
	b.put("/own")
	atA, atB := mirrorOf(a, b, "/from-b"), mirrorOf(b, a, "/from-a")
	one, two := join(t, atA, b, 100*second), join(t, atB, a, 100*second)
	for range 5 {
		one.settle()
		two.settle()
	}
	if atA.Count() != 1 || atB.Count() != 1 {
		t.Errorf("%d and %d contexts are mirrored, want 1 and 1", atA.Count(), atB.Count())
	}
	if atA.Loop() != "a > b > a" {
		t.Errorf("the loop reads %q", atA.Loop())
	}
}

// A sample that is published while definitions are on their way comes once, with its definition or after it, never twice.
func TestEverySampleComesOnce(t *testing.T) {
	hq, berlin := newNode("hq"), newNode("berlin")
	const count = 1000
	var b tree.Batch
	for i := range count {
		berlin.put(fmt.Sprintf("/d%04d", i))
	}
	w := join(t, mirrorOf(hq, berlin, "/m"), berlin, 100*second)
	for round := range 3 {
		for i := range count {
			c, _ := berlin.tree.Lookup(model.MustPath(fmt.Sprintf("/d%04d", i)))
			b.Reset()
			b.Add(c.Slots.First, model.Sample{Value: model.Float64(float64(round)), Source: 1})
			berlin.tree.Publish(&b)
			if i%37 == 0 {
				w.settle()
			}
		}
		w.settle()
		if w.samples != (round+1)*count {
			t.Fatalf("%d samples crossed after %d were published", w.samples, (round+1)*count)
		}
	}
}
