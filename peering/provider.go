package peering

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"banyan/fault"
	"banyan/follow"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/tree"
)

// protocolVersion is what this program speaks. The lower version of the two ends is spoken: a frame that is newer than it is not sent. 1 has one export for
// each link; 2 has several, interest that is acted on, permits, and how fresh what lies behind the provider is.
const protocolVersion = 2

// ProviderConfig is what one session with a consumer is made from.
type ProviderConfig struct {
	Tree  *tree.Tree
	View  *follow.View
	Node  model.NodeID
	Name  string
	Epoch model.Epoch
	Chain model.Chain       // of this node's change numbers
	Beat  time.Duration     // between heartbeats; the consumer is told
	Marks *Marks            // by which the consumer is told positions; new ones where nil
	Clock func() model.Time // what this node's clock shows, which can be set; nil where it is the time that is handed in
	Wake  chan struct{}     // of capacity 1, for Provider.Wake; nil for one of its own
	// Fresh is how fresh everything is that this node has mounted; nil for nothing.
	Fresh func() []HopFreshness
}

// Provider is the provider's end of one session as a state machine: Receive and Tick take what happens, Next gives what is to be sent. It starts no
// goroutine and reads no clock. It is for one goroutine.
type Provider struct {
	cfg      ProviderConfig
	beats    *beats
	follower *follow.Follower
	hello    *linkv1.Hello
	version  uint32 // that both ends speak, 0 before the hello
	known    map[model.Path]follow.Known
	from     uint64
	failed   error
	permit   *Permitted // that came last, until it was taken

	queue    []*linkv1.ProviderFrame
	schemas  [2]map[model.SchemaHash]bool // told on the urgent and on the bulk stream
	bindings int                          // told
	settled  uint64                       // told: the consumer may go on from here
	listing  bool

	bulk        bool       // the listing goes over the bulk stream
	held        bool       // a frame for the bulk stream has not been taken yet
	taken       bool       // a frame was taken by the bulk stream
	asked       model.Time // when the bulk stream was asked for
	bulkThrough uint64     // greatest change number on the bulk stream: nothing overtakes it on the urgent one
	bulkMoved   model.Time // when the bulk stream took a frame or the consumer acknowledged bytes

	pending follow.Changes // that did not fit into the last delta
	anew    bool           // schemas are told anew after it
	batch   *follow.Batch  // that waits for its bindings to be sent; it is in told
	told    follow.Batch
	through uint64 // samples told
	reached uint64 // and the greatest number by which that was said
	pass    uint64 // number up to which they are told, to be said before any is; 0 for nothing
	passAt  uint64 // and its position
	heads   []byte // see head
	window  window
	wanted  []follow.InterestRule
	asking  bool // the consumer said anew what it wants
	fresh   freshTeller
	urged   uint64 // samples head told last
	reach   uint64 // its number: an empty batch tells that it was reached, whether anything was told on the way or not; 0 once it has
}

// Out is one frame to send: Frame, or where it is encoded already Raw, with Batch behind it, which is shared with other sessions. Bulk says that it
// belongs on the bulk stream.
type Out struct {
	Frame *linkv1.ProviderFrame
	Raw   []byte
	Batch []byte
	Bulk  bool
	Last  bool // there is nothing more now, without asking
}

// Encoded is the whole of a frame that is encoded already, nil for others.
func (o *Out) Encoded() []byte {
	if len(o.Batch) == 0 {
		return o.Raw
	}
	return slices.Concat(o.Raw, o.Batch)
}

// NewProvider makes a session that waits for the consumer's hello.
func NewProvider(cfg ProviderConfig) *Provider {
	p := &Provider{
		cfg: cfg, beats: newBeats(cfg.Beat),
		schemas: [2]map[model.SchemaHash]bool{make(map[model.SchemaHash]bool), make(map[model.SchemaHash]bool)},
		window:  newWindow(),
	}
	p.beats.clock = cfg.Clock
	if p.cfg.Marks == nil {
		p.cfg.Marks = NewMarks()
	}
	return p
}

// Close ends the session.
func (p *Provider) Close() {
	if p.follower != nil {
		p.follower.Close()
	}
}

// Wake is signalled when Next may have something; nil before the session has begun.
func (p *Provider) Wake() <-chan struct{} {
	if p.follower == nil {
		return nil
	}
	return p.follower.Wake()
}

// Up reports whether the consumer is proved to be there.
func (p *Provider) Up(now model.Time) bool { return p.beats.up(now) }

// Receive takes a frame of the consumer. An error ends the session.
func (p *Provider) Receive(frame *linkv1.ConsumerFrame, now model.Time) error {
	switch body := frame.GetBody().(type) {
	case *linkv1.ConsumerFrame_Hello:
		return p.welcome(body.Hello, now)
	case *linkv1.ConsumerFrame_Known:
		return p.compare(body.Known, now)
	case *linkv1.ConsumerFrame_Ack:
		p.Acknowledge(proto.Ack{Changes: body.Ack.GetChanges(), Samples: body.Ack.GetSamples(), Bytes: body.Ack.GetBytes()}, now)
	case *linkv1.ConsumerFrame_Beat:
		if echo := p.beats.receive(body.Beat, now); echo != nil {
			p.queue = append(p.queue, &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Beat{Beat: echo}})
		}
	case *linkv1.ConsumerFrame_Interest:
		return p.interest(body.Interest, now)
	case *linkv1.ConsumerFrame_Permit:
		permit, err := readPermit(body.Permit)
		p.permit = &permit
		return err
	default:
		return model.Errorf(model.KindUnsupported, "received a frame that this version does not know")
	}
	return nil
}

// Acknowledge takes how far the consumer says that it is. Each says all that those before it did: of several that wait the newest suffices.
func (p *Provider) Acknowledge(ack proto.Ack, now model.Time) {
	if p.follower != nil {
		p.follower.Acknowledge(ack.Changes)
	}
	if p.window.acknowledge(ack.Bytes, now) {
		p.bulkMoved = now
	}
	p.beats.moved(linkv1.LaneKind_LANE_KIND_CHANGES, ack.Changes, now)
	p.beats.moved(linkv1.LaneKind_LANE_KIND_SAMPLES, ack.Samples, now)
}

// Rests is until when Tick has nothing to do, unless something comes or is published; 0 where it is to be called all the time.
func (p *Provider) Rests() model.Time {
	if p.follower == nil || p.held || p.onBulk() || p.follower.Paced() {
		return 0
	}
	return p.beats.rests()
}

// Full reports whether there is no room for more until bytes are acknowledged.
func (p *Provider) Full() bool { return !p.window.open() }

// welcome decides from where to tell: on the same history a delta, beyond a fork a comparison of everything.
func (p *Provider) welcome(hello *linkv1.Hello, now model.Time) error {
	if p.hello != nil {
		return model.Errorf(model.KindInvalid, "received a second hello")
	}
	p.hello, p.version = hello, min(protocolVersion, hello.GetVersion())
	p.beats.slow(hello.GetBeatMilliseconds())
	if err := p.interest(hello.GetInterest(), now); err != nil {
		return err
	}
	chain, err := proto.ToChain(hello.GetChain())
	if err != nil {
		return err
	}
	if hello.GetSamples() > mostMarked {
		return model.Errorf(model.KindInvalid, "the consumer says that it has samples that nobody told it")
	}
	resume := linkv1.Resume_RESUME_DELTA
	newest := max(hello.GetChanges(), hello.GetNewest())
	common := chain.Common(newest, p.cfg.Chain)
	p.from = hello.GetChanges()
	switch {
	case newest == 0:
	case hello.GetView() != p.cfg.View.ID && !fault.Planted(fault.ResumeAcrossViews) || p.from+1 < p.cfg.Tree.Horizon() || common < newest,
		newest > p.cfg.Tree.ChangeHead():
		// Beyond a fork also what the two have in common is compared: the consumer may have forgotten some of it on the way that was given up. One that has
		// more than there is was told it by this process, before the machine was put back to an earlier moment of it.
		p.from, resume = 0, linkv1.Resume_RESUME_COMPARE
	}
	if fault.Planted(fault.ResumeFromZero) {
		p.from = 0
	}
	if fault.Planted(fault.ResumeSkipsOne) && p.from > 0 {
		p.from++
	}
	same := proto.ToEpoch(hello.GetEpoch()) == p.cfg.Epoch && hello.GetView() == p.cfg.View.ID
	if same && int(hello.GetBindings()) <= p.cfg.View.Bound() {
		p.bindings = int(hello.GetBindings())
	}
	p.queue = append(p.queue, &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Welcome{Welcome: &linkv1.Welcome{
		Version: p.version, Node: p.cfg.Node[:], Name: p.cfg.Name, Epoch: proto.FromEpoch(p.cfg.Epoch),
		View: p.cfg.View.ID, Chain: proto.FromChain(p.cfg.Chain), From: p.from, Resume: resume,
		Bindings: uint32(p.bindings), BeatMilliseconds: uint32(p.beats.interval / time.Millisecond),
	}}})
	if resume == linkv1.Resume_RESUME_COMPARE {
		p.known = make(map[model.Path]follow.Known)
		return nil
	}
	p.begin(now)
	return nil
}

// interest takes at which pace the consumer wants samples: a slower one is its wish, not its right.
func (p *Provider) interest(wire *linkv1.Interest, now model.Time) error {
	rules, err := readInterest(wire)
	if err != nil {
		return err
	}
	p.wanted, p.asking = rules, true
	if p.follower != nil {
		p.follower.SetInterest(rules, now)
	}
	return nil
}

// Withheld is how many samples the interest left out so far.
func (p *Provider) Withheld() uint64 {
	if p.follower == nil {
		return 0
	}
	return p.follower.Withheld()
}

// Wanted is at which pace the consumer wants samples of what it is shown, when that was said anew since the last call.
func (p *Provider) Wanted() (rules []follow.InterestRule, anew bool) {
	anew, p.asking = p.asking, false
	return p.wanted, anew
}

// begin starts to follow. Within the same epoch samples go on where the consumer stopped; after a restart of ours it is told everything that was
// published since. One that has contexts and does not know how far it has their samples is told the latest of each variable; one that has nothing is
// told the latest of each context with its definition.
func (p *Provider) begin(now model.Time) {
	start := follow.Start{Changes: p.from, Known: p.known, Wake: p.cfg.Wake}
	same := proto.ToEpoch(p.hello.GetEpoch()) == p.cfg.Epoch
	switch {
	case max(p.hello.GetChanges(), p.hello.GetNewest()) == 0:
	case p.hello.GetSamples() == 0, same && (p.known != nil || p.hello.GetView() != p.cfg.View.ID):
		start.Conflate = true
	case same:
		position, known := p.cfg.Marks.resume(p.hello.GetSamples())
		start.Samples, start.Conflate = position, !known
		p.through = position
		if known {
			p.reached = p.hello.GetSamples()
		}
	}
	if p.through == 0 {
		p.cfg.Marks.again()
	}
	p.follower = p.cfg.View.NewFollower(start)
	p.follower.SetInterest(p.wanted, now)
	p.settled = p.follower.Settled()
	p.listing = true
}

// moreKnown is how many contexts a consumer may have to be compared beyond those that there are.
const moreKnown = 100_000

// compare takes what the consumer has beyond the common history.
func (p *Provider) compare(known *linkv1.Known, now model.Time) error {
	if p.known == nil || p.follower != nil {
		return model.Errorf(model.KindInvalid, "received a comparison that was not asked for")
	}
	origins, err := readOrigins(known.GetOrigins())
	if err != nil {
		return err
	}
	same := proto.ToEpoch(p.hello.GetEpoch()) == p.cfg.Epoch
	for _, c := range known.GetContexts() {
		id, err := origins.id(c.GetOrigin(), c.GetNumber())
		if err != nil {
			return err
		}
		version, err := origins.version(c.GetVersionEpoch(), c.GetVersion())
		if err != nil {
			return err
		}
		path, err := model.ParsePath(c.GetPath())
		if err != nil {
			return err
		}
		k := follow.Known{ID: id, Version: version, Content: c.GetContent()}
		if same { // numbers of an epoch that has ended may have been given to others, and its values are stale anyway
			k.Change = c.GetChange()
		}
		p.known[path] = k
	}
	if there, _ := p.cfg.Tree.Count(); len(p.known) > there+moreKnown {
		return &model.Error{
			Kind: model.KindExhausted, Detail: fmt.Sprintf("the consumer has %d contexts to be compared more than there are", len(p.known)-there),
			Remedy: "remove the mount there and make it anew",
		}
	}
	if known.GetLast() {
		p.begin(now)
		p.known = nil
	}
	return nil
}

// Tick sends a heartbeat when one is due. It tells the heads that the consumer must reach to be up to date.
func (p *Provider) Tick(now model.Time) {
	if p.follower == nil {
		return
	}
	beat := p.beats.tick(now)
	if beat == nil {
		return
	}
	if p.cfg.Fresh != nil && p.version >= 2 {
		if told := p.fresh.next(p.cfg.Fresh(), p.cfg.View, p.beats.interval, now, p.beats.shown(now)); told != nil {
			p.queue = append(p.queue, &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Freshness{Freshness: told}})
		}
	}
	p.urged = p.cfg.Tree.Head()
	changes, samples := p.cfg.View.Head(), p.cfg.Marks.ahead(p.urged)
	p.reach = samples
	beat.Lanes = []*linkv1.Lane{
		{Kind: linkv1.LaneKind_LANE_KIND_CHANGES, Head: changes},
		{Kind: linkv1.LaneKind_LANE_KIND_SAMPLES, Head: samples},
	}
	p.beats.told(linkv1.LaneKind_LANE_KIND_CHANGES, changes, now)
	p.beats.told(linkv1.LaneKind_LANE_KIND_SAMPLES, samples, now)
	p.queue = append(p.queue, &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Beat{Beat: beat}})
}

// Next is the next frame to send, and false where there is nothing to send or no room in the window.
func (p *Provider) Next(now model.Time) (Out, bool) {
	out, some := p.next(now)
	if some && out.Raw == nil {
		p.window.sent(frameSize(out.Frame), now)
	} else if some {
		p.window.sent(len(out.Raw)+len(out.Batch), now)
	}
	return out, some
}

func (p *Provider) next(now model.Time) (Out, bool) {
	if len(p.queue) > 0 {
		frame := p.queue[0]
		p.queue = p.queue[1:]
		return Out{Frame: frame}, true
	}
	if p.follower == nil || p.failed != nil {
		return Out{}, false
	}
	p.follower.Look()
	p.follower.Advance(now)
	if out, some := p.nextOverlays(); some {
		return out, true
	}
	if out, some := p.nextSettled(); some {
		return out, true
	}
	if p.Full() {
		return Out{}, false
	}
	if !p.bulk || !p.held {
		if out, some := p.nextDelta(now); some {
			return out, true
		}
	}
	return p.nextSamples()
}

func (p *Provider) nextOverlays() (Out, bool) {
	stale, changes, samples, changed := p.follower.Overlays()
	if !changed {
		return Out{}, false
	}
	// The consumer must pass a position that lies behind this follower before it is told samples of after it.
	at := p.follower.SamplesThrough()
	numbers, passed, err := p.cfg.Marks.before(stale, p.through, at, p.reached)
	if err != nil {
		p.failed = err
		return Out{}, false
	}
	for i := range stale {
		if stale[i].Before <= at {
			p.passAt = max(p.passAt, stale[i].Before)
		}
		stale[i].Before = numbers[i]
	}
	p.pass = max(p.pass, passed)
	p.urged, p.reach = samples, p.cfg.Marks.ahead(samples)
	// What is not shown does not move the head: it would never be reached.
	return Out{Frame: p.overlaysFrame(stale, min(changes, p.cfg.View.Head()), p.reach)}, true
}

// passed tells that everything before a position was told, and nothing else.
func (p *Provider) passed(number uint64, err error) (Out, bool) {
	if err != nil {
		p.failed = err
		return Out{}, false
	}
	p.reached = max(p.reached, number)
	return Out{Raw: proto.AppendLiveSamples(nil, nil, number, 0)}, true
}

// nextSettled tells how far what the consumer acknowledged was taken in and followed by its latest samples: from there it may go on another time.
func (p *Provider) nextSettled() (Out, bool) {
	settled := p.follower.Settled()
	if settled <= p.settled || p.batch != nil {
		return Out{}, false
	}
	p.settled = settled
	return Out{Frame: &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Beat{Beat: &linkv1.Beat{
		Lanes: []*linkv1.Lane{{Kind: linkv1.LaneKind_LANE_KIND_CHANGES, Applied: settled}},
	}}}}, true
}

// overlaysFrame tells what is stale. Of a hop over which nothing came that is shown it says only that it lies behind this node.
func (p *Provider) overlaysFrame(stale []follow.Stale, changes, samples uint64) *linkv1.ProviderFrame {
	o := &linkv1.Overlays{Changes: changes, Samples: samples}
	for _, s := range stale {
		if s.Hop == "" {
			s.Hop, s.Nodes = "behind "+p.cfg.Name, tree.Ends{1: p.cfg.Node}
		}
		wire := &linkv1.Stale{Path: s.Path.String(), Since: int64(s.Since), Hop: s.Hop, Before: s.Before}
		if p.version >= 2 {
			wire.Nodes = writeEnds(s.Nodes)
		}
		o.Stale = append(o.Stale, wire)
	}
	return &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Overlays{Overlays: o}}
}

// chunkEntries bounds how many contexts are looked at for one delta.
const chunkEntries = 512

// shownChanges are the next changes of which the consumer is told something. What changes where it is shown nothing makes no frame: only the end of the
// first listing is told always, whether there was something or not.
func (p *Provider) shownChanges() (follow.Changes, bool) {
	for {
		changes, some := p.follower.Changes(chunkEntries)
		p.anew = p.anew || changes.Anew
		switch {
		case p.follower.Lost():
			p.failed = model.Errorf(model.KindUnavailable, "so much was removed at once that a comparison is needed")
			return changes, false
		case !some && p.listing:
			at := max(1, p.follower.ShownThrough())
			return follow.Changes{Through: at, Head: at}, true
		case !some:
			return changes, false
		case len(changes.Entries)+len(changes.Gone) > 0, p.listing && changes.Through >= changes.Head:
			if changes.Through >= changes.Head || !p.listing {
				changes.Through = max(1, changes.Last)
				changes.Head = changes.Through
			}
			return changes, true
		}
	}
}

// nextDelta tells the next changes, schemas before the contexts that have them.
func (p *Provider) nextDelta(now model.Time) (Out, bool) {
	if len(p.pending.Entries) == 0 && len(p.pending.Gone) == 0 && p.pending.Through == 0 {
		if !p.bulk && p.follower.Acknowledged() < p.bulkThrough {
			return Out{}, false // what is on its way on the bulk stream must not be overtaken
		}
		changes, some := p.shownChanges()
		if !some {
			return Out{}, false
		}
		p.pending = changes
		if p.listing && changes.Through < changes.Head && p.asked == 0 {
			p.bulk, p.asked = true, now
			p.queue = append(p.queue, &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_WantBulk{WantBulk: &linkv1.WantBulk{}}})
			return p.next(now)
		}
		if out, some := p.nextOverlays(); some {
			return out, true // something is shown now below a path that is stale
		}
	}
	sent := p.schemas[0]
	if p.bulk {
		sent = p.schemas[1]
	}
	b := newDeltaBuilder()
	b.delta.Head = p.pending.Head
	for len(p.pending.Gone) > 0 && b.bytes < maxChunkBytes {
		if !fault.Planted(fault.RemovalLost) {
			gone := p.pending.Gone[0]
			gone.Withdrawn = gone.Withdrawn && p.version >= 2
			b.remove(&gone)
		}
		p.pending.Gone = p.pending.Gone[1:]
	}
	for len(p.pending.Entries) > 0 && b.bytes < maxChunkBytes {
		e := &p.pending.Entries[0]
		if !sent[e.Schema.Hash] {
			if len(b.delta.Definitions)+len(b.delta.Removals) > 0 {
				return Out{Frame: deltaFrame(b), Bulk: p.bulk}, true
			}
			sent[e.Schema.Hash] = true
			body := &linkv1.SchemaBody{Hash: e.Schema.Hash[:], Body: []byte(e.Schema.Raw)}
			return Out{Frame: &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Schema{Schema: body}}, Bulk: p.bulk}, true
		}
		b.define(e)
		p.pending.Entries = p.pending.Entries[1:]
	}
	out := Out{Frame: deltaFrame(b), Bulk: p.bulk}
	if len(p.pending.Entries) == 0 && len(p.pending.Gone) == 0 {
		b.delta.Through = p.pending.Through
		if p.anew && p.version >= 2 {
			p.anew, b.delta.Anew = false, true
			clear(p.schemas[0])
			clear(p.schemas[1])
		}
		if p.bulk {
			p.bulkThrough = p.pending.Through
		}
		if p.pending.Through >= p.pending.Head {
			p.listing, p.bulk = false, false
		}
		p.pending = follow.Changes{}
	}
	return out, true
}

func deltaFrame(b *deltaBuilder) *linkv1.ProviderFrame {
	return &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Delta{Delta: b.delta}}
}

// nextSamples tells the next samples, bindings before the samples that need them.
func (p *Provider) nextSamples() (Out, bool) {
	if p.pass > 0 && p.batch == nil {
		number := p.pass
		p.pass, p.through = 0, max(p.through, p.passAt)
		return p.passed(number, nil)
	}
	for p.batch == nil {
		batch, some := p.follower.Samples()
		if !some {
			if p.reach == 0 || p.follower.SamplesThrough() < p.urged {
				return Out{}, false
			}
			number := p.reach
			p.reach, p.through = 0, max(p.through, p.urged)
			return p.passed(number, nil)
		}
		if batch.Samples > 0 || batch.Stop {
			p.told = batch
			p.batch = &p.told
		}
	}
	if list := p.cfg.View.Bindings(p.bindings, chunkBindings); len(list) > 0 {
		frame, told := bindingsFrame(p.bindings, list)
		p.bindings += told
		return Out{Frame: &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Bindings{Bindings: frame}}}, true
	}
	batch := p.told
	p.batch, p.told = nil, follow.Batch{}
	number, err := p.cfg.Marks.through(batch.Through, batch.Stop)
	if err != nil {
		return p.passed(0, err)
	}
	p.through, p.reached = max(p.through, batch.Through), max(p.reached, number)
	conflated := uint64(0)
	if batch.Conflated > 0 { // how many samples were left out is known only of all that is published, also of what is hidden
		conflated = uint64(batch.Samples)
	}
	out := Out{Raw: proto.AppendLiveHead(p.head(), len(batch.Encoded), number, conflated), Batch: batch.Encoded}
	out.Last = p.reach == 0 && len(p.queue) == 0 && p.follower.Through() && p.follower.Settled() <= p.settled
	return out, true
}

// liveHead is what stands at most before the batch in a frame of samples: three tags and four numbers.
const liveHead = 3 + 2*binary.MaxVarintLen32 + 2*binary.MaxVarintLen64 + 1

// head is memory for what stands before a batch. It is not used again, as nobody says when it was sent, but it is made for several at a time.
func (p *Provider) head() []byte {
	if cap(p.heads)-len(p.heads) < liveHead {
		p.heads = make([]byte, 0, 16*liveHead)
	}
	at := len(p.heads)
	p.heads = p.heads[:at+liveHead]
	return p.heads[at:at:len(p.heads)]
}

// AskBulk asks for the bulk connection on behalf of something that goes over it beside the listing, and says whether the session is that far.
func (p *Provider) AskBulk() bool {
	if p.follower == nil || p.failed != nil {
		return false
	}
	p.queue = append(p.queue, &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_WantBulk{WantBulk: &linkv1.WantBulk{}}})
	return true
}

// HoldBulk says whether a frame for the bulk stream waits to be taken: no other is made meanwhile.
func (p *Provider) HoldBulk(hold bool, now model.Time) {
	p.taken = p.taken || p.held && !hold
	p.held, p.bulkMoved = hold, now
}

// ImpatientForBulk reports whether the bulk stream was asked for longer than patience ago and has not taken anything. A stream that has, and then does
// not move for much longer, ends the session.
func (p *Provider) ImpatientForBulk(now model.Time, patience time.Duration) bool {
	if p.taken && p.onBulk() && time.Duration(now-p.bulkMoved) > 6*patience {
		p.BulkEnded()
	}
	return p.held && !p.taken && time.Duration(now-p.asked) > patience
}

// onBulk reports whether something that was given to the bulk stream may not have arrived.
func (p *Provider) onBulk() bool {
	return p.taken && (p.bulk || p.held || p.follower.Acknowledged() < p.bulkThrough)
}

// BulkEnded says that the bulk stream has broken. What it had taken may be lost, so that the session must go on from what was acknowledged, in a new one.
func (p *Provider) BulkEnded() {
	if p.follower != nil && p.onBulk() {
		p.failed = model.Errorf(model.KindUnavailable, "the bulk connection broke while a listing was on it")
	}
}

// Err is why the session cannot go on, nil while it can.
func (p *Provider) Err() error { return p.failed }

// GiveUpBulk lets the listing take the urgent stream, the frame that waits first. Nothing may have been taken by the bulk stream.
func (p *Provider) GiveUpBulk() {
	p.bulk, p.held, p.bulkThrough = false, false, 0
	p.schemas[0] = make(map[model.SchemaHash]bool)
}
