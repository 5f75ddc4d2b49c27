package peering

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"banyan/follow"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/tree"

	pb "google.golang.org/protobuf/proto"
)

// victim is a consumer that was welcomed by a provider who may now say anything.
func victim(t testing.TB) (*node, *Consumer) {
	t.Helper()
	hq, berlin := newNode("hq"), newNode("berlin")
	m := NewMirror(MirrorConfig{Tree: hq.tree, Mount: model.MustPath("/m"), Self: hq.hop, Peer: berlin.hop, Keeper: noKeeper{}, MostRows: 10}, nil, Place{})
	c := NewConsumer(m, "link", []byte("0123456789abcdef"), testBeat)
	tell(t, c, welcomeOf(berlin))
	return hq, c
}

func welcomeOf(n *node) *linkv1.ProviderFrame {
	return &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Welcome{Welcome: &linkv1.Welcome{
		Version: 1, Node: n.hop.Node[:], Name: n.hop.Name, Epoch: proto.FromEpoch(n.epoch), View: 5, Chain: proto.FromChain(n.chain),
		Resume: linkv1.Resume_RESUME_DELTA,
	}}}
}

func send(c *Consumer, frame *linkv1.ProviderFrame) error {
	raw, err := pb.Marshal(frame)
	if err != nil {
		return err
	}
	return c.ReceiveRaw(&proto.RawFrame{Bytes: raw}, 100*second)
}

func tell(t testing.TB, c *Consumer, frame *linkv1.ProviderFrame) {
	t.Helper()
	if err := send(c, frame); err != nil {
		t.Fatal(err)
	}
}

func schemaFrame(s *model.Schema) *linkv1.ProviderFrame {
	return &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Schema{Schema: &linkv1.SchemaBody{Hash: s.Hash[:], Body: []byte(s.Raw)}}}
}

// deltaOf is an honest delta of some contexts, for a test to spoil.
func deltaOf(paths ...string) *linkv1.Delta {
	d := &linkv1.Delta{
		Origins: []*linkv1.Origin{{Node: make([]byte, 32), Epoch: proto.FromEpoch(model.Epoch{Ordinal: 1, Random: 9})}},
		Routes:  []*linkv1.Route{{}}, Schemas: [][]byte{probeSchema.Hash[:]}, Through: 1000, Head: 1000,
	}
	d.Origins[0].Node[0] = 7
	for i, path := range paths {
		d.Definitions = append(d.Definitions, &linkv1.Definition{Number: uint64(i + 1), Version: 1, Change: uint64(i + 1), Defined: uint64(i + 1), Path: path})
	}
	return d
}

func deltaIn(d *linkv1.Delta) *linkv1.ProviderFrame {
	return &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Delta{Delta: d}}
}

func TestHostileProviders(t *testing.T) {
	many := make([]string, 11)
	for i := range many {
		many[i] = fmt.Sprintf("/d%d", i)
	}
	longRoute := &linkv1.Route{}
	for range MaxHops + 1 {
		longRoute.Hops = append(longRoute.Hops, &linkv1.Hop{Node: make([]byte, 32), Name: "x"})
	}
	spoil := func(change func(*linkv1.Delta)) *linkv1.ProviderFrame {
		d := deltaOf("/a", "/b")
		change(d)
		return deltaIn(d)
	}
	overlays := &linkv1.Overlays{}
	for range mostStale + 1 {
		overlays.Stale = append(overlays.Stale, &linkv1.Stale{Path: "/a"})
	}
	tests := map[string]struct {
		frame *linkv1.ProviderFrame
		kind  model.ErrorKind
	}{
		"more contexts than are taken": {deltaIn(deltaOf(many...)), model.KindExhausted},
		"a path that is too deep":      {deltaIn(deltaOf(strings.Repeat("/x", 5000))), model.KindInvalid},
		"a path that climbs":           {deltaIn(deltaOf("/../own")), model.KindInvalid},
		"control characters in a path": {deltaIn(deltaOf("/a\x1b[2J")), model.KindInvalid},
		"one path twice":               {deltaIn(deltaOf("/a", "/a")), model.KindCorrupt},
		"a schema that was not told":   {spoil(func(d *linkv1.Delta) { d.Schemas[0] = make([]byte, 32) }), model.KindCorrupt},
		"a schema beyond the table":    {spoil(func(d *linkv1.Delta) { d.Definitions[0].Schema = 7 }), model.KindCorrupt},
		"a route beyond the table":     {spoil(func(d *linkv1.Delta) { d.Definitions[0].Route = 1 << 31 }), model.KindCorrupt},
		"an origin beyond the table":   {spoil(func(d *linkv1.Delta) { d.Definitions[0].Origin = 1<<32 - 1 }), model.KindCorrupt},
		"an epoch beyond the table":    {spoil(func(d *linkv1.Delta) { d.Definitions[0].VersionEpoch = 3 }), model.KindCorrupt},
		"a route that is too long":     {spoil(func(d *linkv1.Delta) { d.Routes[0] = longRoute }), model.KindExhausted},
		"a node without a name": {spoil(func(d *linkv1.Delta) {
			d.Routes[0] = &linkv1.Route{Hops: []*linkv1.Hop{{Node: make([]byte, 32), Name: "a\nb"}}}
		}), model.KindInvalid},
		"a setting that there is not": {spoil(func(d *linkv1.Delta) {
			d.Definitions[0].Settings = []*linkv1.SettingValue{{Index: 9, Value: proto.FromValue(model.Bool(true))}}
		}), model.KindCorrupt},
		"a setting of another type": {spoil(func(d *linkv1.Delta) {
			d.Definitions[0].Settings = []*linkv1.SettingValue{{Value: proto.FromValue(model.Bool(true))}}
		}), model.KindCorrupt},
		"more staleness than there can be": {&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Overlays{Overlays: overlays}}, model.KindExhausted},
		"bindings with a gap":              {&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Bindings{Bindings: &linkv1.Bindings{First: 3}}}, model.KindCorrupt},
		"bindings of unequal columns": {&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Bindings{Bindings: &linkv1.Bindings{
			Key: []uint32{1, 2}, Origin: []uint32{0},
		}}}, model.KindCorrupt},
		"a schema by another hash": {&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Schema{Schema: &linkv1.SchemaBody{
			Hash: make([]byte, 32), Body: []byte(probeSchema.Raw),
		}}}, model.KindCorrupt},
		"a second welcome": {welcomeOf(newNode("berlin")), model.KindInvalid},
		"nothing":          {&linkv1.ProviderFrame{}, model.KindUnsupported},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			hq, c := victim(t)
			tell(t, c, schemaFrame(probeSchema))
			if err := send(c, test.frame); model.KindOf(err) != test.kind {
				t.Errorf("got %v (%v), want %v", err, model.KindOf(err), test.kind)
			}
			if contexts, _ := hq.tree.Count(); contexts != 0 {
				t.Errorf("%d contexts came of it", contexts)
			}
		})
	}
}

// What a peer writes for people does nothing to their terminals.
func TestWordsOfOthersAreCleaned(t *testing.T) {
	hq, c := victim(t)
	tell(t, c, schemaFrame(probeSchema))
	d := deltaOf("/a")
	d.Definitions[0].Label = "\x1b[31mred" + strings.Repeat("x", 5000)
	tell(t, c, deltaIn(d))
	tell(t, c, &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Overlays{Overlays: &linkv1.Overlays{
		Stale: []*linkv1.Stale{{Path: "/a", Hop: "\x07bell"}},
	}}})
	at, _ := hq.tree.Lookup(model.MustPath("/m/a"))
	o, _ := hq.tree.Staleness(model.MustPath("/m/a"))
	if strings.ContainsAny(at.Label+o.Hop, "\x1b\x07") || len(at.Label) > 2*maxText {
		t.Errorf("label %.40q of %d bytes, hop %q", at.Label, len(at.Label), o.Hop)
	}
}

// What lies at the mount and is not the provider's cannot be replaced or removed by it.
func TestProviderReachesOnlyItsOwn(t *testing.T) {
	hq, c := victim(t)
	hq.put("/m")
	hq.put("/m/mine")
	before, _ := hq.tree.Lookup(model.MustPath("/m/mine"))
	tell(t, c, schemaFrame(probeSchema))
	d := deltaOf("/", "/mine", "/yours")
	d.Removals = []*linkv1.Removal{{Number: before.ID.Number, Path: "/mine"}}
	tell(t, c, deltaIn(d))
	after, there := hq.tree.Lookup(model.MustPath("/m/mine"))
	if !there || after.ID != before.ID {
		t.Errorf("now it is %+v", after)
	}
	if _, there := hq.tree.Lookup(model.MustPath("/m/yours")); !there {
		t.Error("what is the provider's is not there")
	}
}

// Keys that lie far apart, and samples for keys of nobody, cost next to nothing.
func TestHugeKeysCostLittle(t *testing.T) {
	hq, c := victim(t)
	tell(t, c, schemaFrame(probeSchema))
	tell(t, c, deltaIn(deltaOf("/a", "/b", "/c")))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	origin := deltaOf().Origins
	tell(t, c, &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Bindings{Bindings: &linkv1.Bindings{
		Origins: origin, Origin: []uint32{0, 0, 0}, NumberSteps: []int64{0, 0, 0}, Key: []uint32{1 << 31, 1<<32 - 2, 1<<32 - 1}, Defined: []uint64{1, 2, 3},
	}}})
	columns := proto.Samples{
		Keys: []uint32{5, 1 << 31, 1<<32 - 2, 1<<32 - 1}, Bits: []uint64{1, 2, 3, 4}, Source: []model.Time{1, 1, 1, 1}, Owner: []model.Time{1, 1, 1, 1},
	}
	if err := c.ReceiveRaw(&proto.RawFrame{Bytes: proto.AppendLiveSamples(nil, columns.Append(nil), 9, 0)}, 100*second); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
		t.Errorf("%d bytes were allocated", grown)
	}
	for path, load := range map[string]string{"/m/a:load": "1e-323", "/m/b:load": "1.5e-323", "/m/c:load": "2e-323"} {
		if got := readingOf(hq, path); !strings.HasPrefix(got, load) {
			t.Errorf("%s is %s, want %s", path, got, load)
		}
	}
}

// A provider that floods a consumer which cannot send makes nothing grow: the newest of each sort waits.
func TestNothingPilesUpAtTheConsumer(t *testing.T) {
	_, c := victim(t)
	for range 10_000 {
		c.beats.heard = 0
		tell(t, c, &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Beat{Beat: &linkv1.Beat{Number: 5}}})
		tell(t, c, deltaIn(deltaOf()))
	}
	frames := 0
	for _, some := c.Next(); some; _, some = c.Next() {
		frames++
	}
	if frames > 4 {
		t.Errorf("%d frames wait", frames)
	}
}

// Schemas that no context has are forgotten before they are too many.
func TestSchemasAreForgotten(t *testing.T) {
	_, c := victim(t)
	tell(t, c, schemaFrame(probeSchema))
	tell(t, c, deltaIn(deltaOf("/a")))
	m := c.mirror
	for i := range mostSchemas {
		m.schemas[model.SchemaHash{1, byte(i), byte(i >> 8), byte(i >> 16)}] = wideSchema
	}
	tell(t, c, schemaFrame(wideSchema))
	if len(m.schemas) != 2 {
		t.Errorf("%d schemas are remembered, want the one in use and the new one", len(m.schemas))
	}
}

func TestHostileConsumers(t *testing.T) {
	hello := func(h *linkv1.Hello) *linkv1.ConsumerFrame {
		return &linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Hello{Hello: h}}
	}
	known := &linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Known{Known: &linkv1.Known{Last: true}}}
	tests := map[string][]*linkv1.ConsumerFrame{
		"two hellos":                  {hello(&linkv1.Hello{}), hello(&linkv1.Hello{})},
		"a comparison nobody wants":   {hello(&linkv1.Hello{}), known},
		"a comparison before hello":   {known},
		"a frame that is nothing":     {{}},
		"a bulk join on this stream":  {{Body: &linkv1.ConsumerFrame_JoinBulk{JoinBulk: &linkv1.JoinBulk{}}}},
		"a comparison that ended":     {hello(&linkv1.Hello{Changes: 9}), known, known},
		"a comparison of no origins":  {hello(&linkv1.Hello{Changes: 9}), {Body: &linkv1.ConsumerFrame_Known{Known: &linkv1.Known{Contexts: []*linkv1.KnownContext{{Origin: 3}}}}}},
		"a comparison of a bad path":  {hello(&linkv1.Hello{Changes: 9}), {Body: &linkv1.ConsumerFrame_Known{Known: &linkv1.Known{Origins: deltaOf().Origins, Contexts: []*linkv1.KnownContext{{Path: "a"}}}}}},
		"a comparison of short nodes": {hello(&linkv1.Hello{Changes: 9}), {Body: &linkv1.ConsumerFrame_Known{Known: &linkv1.Known{Origins: []*linkv1.Origin{{Node: []byte{1}}}}}}},
	}
	for name, frames := range tests {
		t.Run(name, func(t *testing.T) {
			p := newProvider(newNode("berlin"))
			defer p.Close()
			for i, frame := range frames {
				err := p.Receive(frame, 100*second)
				if last := i == len(frames)-1; last != (err != nil) {
					t.Fatalf("frame %d: %v", i, err)
				}
			}
		})
	}
}

func newProvider(n *node) *Provider {
	return NewProvider(ProviderConfig{Tree: n.tree, View: n.view, Node: n.hop.Node, Name: n.hop.Name, Epoch: n.epoch, Chain: n.chain, Beat: testBeat})
}

// Positions that a consumer cannot have, and acknowledgements of what was not sent, do no harm to it or to others.
func TestImpossiblePositions(t *testing.T) {
	berlin := newNode("berlin")
	berlin.put("/a")
	p := newProvider(berlin)
	defer p.Close()
	hello := &linkv1.Hello{
		View: berlin.view.ID, Epoch: proto.FromEpoch(berlin.epoch), Chain: proto.FromChain(berlin.chain), Changes: 1 << 60, Samples: 1 << 60, Bindings: 1 << 30,
	}
	ack := &linkv1.Ack{Changes: 1 << 62, Samples: 1 << 62, Bytes: 1 << 62}
	for _, frame := range []*linkv1.ConsumerFrame{
		{Body: &linkv1.ConsumerFrame_Ack{Ack: ack}}, {Body: &linkv1.ConsumerFrame_Hello{Hello: hello}}, {Body: &linkv1.ConsumerFrame_Ack{Ack: ack}},
	} {
		if err := p.Receive(frame, 100*second); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		berlin.publish("/a", 1, "one", 1)
		p.Tick(100 * second)
		p.Next(100 * second)
	}
	if p.window.acked != 0 {
		t.Errorf("%d bytes are acknowledged", p.window.acked)
	}
	hq := newNode("hq")
	join(t, mirrorOf(hq, berlin, "/b"), berlin, 200*second)
	want(t, hq, "/b/a:load", "1 good")
}

// What is on its way to a consumer that acknowledges nothing is bounded; what it misses is counted.
func TestSlowConsumerIsBoundedAndTold(t *testing.T) {
	hq, berlin := newNode("hq"), newNode("berlin")
	berlin.tree = tree.New(tree.Config{RingFor: 1}) // it keeps 16 chunks, however young
	berlin.view = followView(berlin, everything{})
	berlin.put("/a")
	w := join(t, mirrorOf(hq, berlin, "/b"), berlin, 100*second)
	c, _ := berlin.tree.Lookup(model.MustPath("/a"))
	var b tree.Batch
	for i := range 4096 {
		b.Add(c.Slots.First, model.Sample{Value: model.Float64(float64(i)), Source: model.Time(i + 1)})
	}
	var waiting []Out
	published, bytes := 0, 0
	for range 100 {
		published += berlin.publishBatch(&b)
		for out, some := w.provider.Next(w.now); some; out, some = w.provider.Next(w.now) {
			waiting = append(waiting, out)
			if out.Raw != nil {
				bytes += len(out.Encoded())
			}
		}
	}
	if bytes > leastWindow+256<<10 {
		t.Errorf("%d bytes are on their way", bytes)
	}
	arrived, conflated := 0, uint64(0)
	count := func(out Out) {
		samples, _, left, ok := (&proto.RawFrame{Bytes: out.Encoded()}).LiveSamples()
		if ok && out.Raw != nil {
			var columns proto.Samples
			if err := columns.Decode(samples); err != nil {
				t.Fatal(err)
			}
			arrived += len(columns.Keys)
			conflated += left
		}
		w.cross(out)
	}
	for _, out := range waiting {
		count(out)
	}
	for moved := true; moved; {
		moved = false
		for frame, some := w.consumer.Next(); some; frame, some = w.consumer.Next() {
			moved = true
			if err := w.provider.Receive(frame, w.now); err != nil {
				t.Fatal(err)
			}
		}
		for out, some := w.provider.Next(w.now); some; out, some = w.provider.Next(w.now) {
			moved = true
			count(out)
		}
		w.now += second / 10
	}
	if arrived >= published || conflated == 0 {
		t.Errorf("%d arrived and %d were told to be left out of %d", arrived, conflated, published)
	}
	want(t, hq, "/b/a:load", "4095 good")
}

func (n *node) publishBatch(b *tree.Batch) int {
	n.tree.Publish(b)
	return len(b.Slots)
}

// split takes fuzzed bytes apart into frames, each after its length.
func split(data []byte) (frames [][]byte) {
	for len(data) > 1 {
		n := min(int(data[0])|int(data[1])<<8, len(data)-2)
		frames = append(frames, data[2:2+n])
		data = data[2+n:]
	}
	return frames
}

func joined(frames ...[]byte) (data []byte) {
	for _, f := range frames {
		data = append(append(data, byte(len(f)), byte(len(f)>>8)), f...)
	}
	return data
}

// FuzzConsumerReceive takes whatever a provider may say after its welcome: it never panics and takes no more contexts than it may.
func FuzzConsumerReceive(f *testing.F) {
	berlin := newNode("berlin")
	berlin.put("/a")
	berlin.publish("/a", 1, "one", 1)
	var recorded [][]byte
	p, c := newProvider(berlin), NewConsumer(mirrorOf(newNode("hq"), berlin, "/m"), "link", nil, testBeat)
	for range 5 {
		for frame, some := c.Next(); some; frame, some = c.Next() {
			_ = p.Receive(frame, second)
		}
		p.Tick(second)
		for out, some := p.Next(second); some; out, some = p.Next(second) {
			raw := out.Encoded()
			if out.Frame != nil {
				raw, _ = pb.Marshal(out.Frame)
			}
			_ = c.ReceiveRaw(&proto.RawFrame{Bytes: raw}, second)
			if out.Frame.GetWelcome() == nil {
				recorded = append(recorded, raw)
			}
		}
	}
	p.Close()
	f.Add(joined(recorded...))
	d, _ := pb.Marshal(deltaIn(deltaOf("/a", "/b")))
	s, _ := pb.Marshal(schemaFrame(probeSchema))
	f.Add(joined(s, d, d))
	f.Fuzz(func(t *testing.T, data []byte) {
		hq, c := victim(t)
		for _, raw := range split(data) {
			if c.ReceiveRaw(&proto.RawFrame{Bytes: raw}, 101*second) != nil {
				break
			}
			c.Tick(102 * second)
			for _, some := c.Next(); some; _, some = c.Next() {
			}
		}
		c.Cut()
		if contexts, _ := hq.tree.Count(); contexts > 10 || contexts != c.mirror.Count() {
			t.Errorf("%d contexts are in the tree, %d are mirrored", contexts, c.mirror.Count())
		}
		c.mirror.Purge()
		if contexts, _ := hq.tree.Count(); contexts != 0 {
			t.Errorf("%d contexts stay after a purge", contexts)
		}
	})
}

// FuzzProviderReceive takes whatever a consumer may say: it never panics, and tells nothing from outside the selection.
func FuzzProviderReceive(f *testing.F) {
	hello, _ := pb.Marshal(&linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Hello{Hello: &linkv1.Hello{Changes: 3, Newest: 4}}})
	known, _ := pb.Marshal(&linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Known{Known: &linkv1.Known{
		Origins: deltaOf().Origins, Contexts: []*linkv1.KnownContext{{Number: 1, Version: 1, Path: "/a"}}, Last: true,
	}}})
	ack, _ := pb.Marshal(&linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Ack{Ack: &linkv1.Ack{Changes: 4, Samples: 9, Bytes: 80}}})
	beat, _ := pb.Marshal(&linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Beat{Beat: &linkv1.Beat{Number: 1, Echo: 1}}})
	f.Add(joined(hello, known, ack, beat, ack))
	f.Add(joined(hello, beat, known))
	f.Fuzz(func(t *testing.T, data []byte) {
		berlin := newNode("berlin")
		berlin.put("/a")
		berlin.put("/canary", model.Duration(5))
		berlin.publish("/a", 1, "one", 1)
		berlin.publish("/canary", 1, canary, 1)
		berlin.view = followView(berlin, shownPart{})
		p := newProvider(berlin)
		defer p.Close()
		for _, raw := range split(data) {
			frame := &linkv1.ConsumerFrame{}
			if pb.Unmarshal(raw, frame) != nil || p.Receive(frame, second) != nil {
				break
			}
			p.Tick(2 * second)
			for i := range 100 {
				out, some := p.Next(2 * second)
				if !some {
					break
				}
				if text := string(out.Encoded()) + out.Frame.String(); strings.Contains(text, canary) {
					t.Fatalf("it tells %q", text)
				}
				if i == 99 {
					t.Fatal("it does not stop to tell")
				}
			}
		}
	})
}

func followView(n *node, s follow.Selection) *follow.View {
	return follow.NewView(n.tree, model.Root, s)
}
