package peering

import (
	"slices"
	"time"

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

// Gather is how long to wait before asking for more, once all was told; see follow.Follower.
func (p *Provider) Gather() time.Duration {
	if p.follower == nil {
		return 0
	}
	return p.follower.Gather()
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

// Err is why the session cannot go on, nil while it can.
func (p *Provider) Err() error { return p.failed }
