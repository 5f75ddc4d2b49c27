package peering

import (
	"slices"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
)

// Consumer is the consumer's end of one session as a state machine, the counterpart of Provider. It starts no goroutine and reads no clock.
// It is for one goroutine.
type Consumer struct {
	mirror   *Mirror
	session  []byte
	beats    *beats
	welcomed bool
	first    bool   // the first beat of the session has come
	toReach  *heads // told in the first beat, until the link is proved to work both ways
	bytes    uint64
	acked    uint64 // bytes
	hello    *linkv1.ConsumerFrame
	tick     *linkv1.Beat
	echo     *linkv1.Beat   // that is owed
	ack      bool           // is owed: whatever comes meanwhile is acknowledged with it
	known    []knownContext // to be told for the comparison, nil where there is none
	wantBulk bool
	stalled  bool
	peerName string
	version  uint32 // that both ends speak, 0 before the welcome
	wanted   []follow.InterestRule
	asking   bool           // what is wanted is to be told
	permit   *linkv1.Permit // to be told, nil for none
	anew     bool           // everything is to be compared in another session
	over     bool           // the provider has said farewell
	news     bool           // see News
}

// AckBytes is after how many bytes samples are acknowledged without waiting for a heartbeat: half of the least window of a provider, of any version, so
// that it never waits for what nobody says.
const AckBytes = 128 << 10

// NewConsumer begins a session of a mirror with its provider. session is 16 random bytes; heartbeats are at least beat apart, more where the provider
// wants that.
func NewConsumer(m *Mirror, link string, session []byte, beat time.Duration) *Consumer {
	beat = min(beat, mostBeat)
	c := &Consumer{mirror: m, session: session, beats: newBeats(beat)}
	if told, changed, wider := m.admit(); changed {
		c.permit = told
		if wider {
			m.forgetChain()
		}
	} else if m.admitted != nil {
		c.permit = m.admitted.Told
	}
	m.beginAgain()
	at := m.place
	if len(at.Chain) == 0 && m.count > 0 {
		m.newest = max(1, m.newest) // a comparison was cut: without a chain nothing is common, and it is made again
	}
	if !m.exact {
		at.Samples = 0 // it may have later ones, and is told the latest of all again
		m.place.Samples = 0
		m.stale.again()
	}
	m.paced = false
	c.hello = &linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Hello{Hello: &linkv1.Hello{
		Version: protocolVersion, Link: link, Session: session, View: at.View, Epoch: proto.FromEpoch(at.Epoch),
		Chain: proto.FromChain(at.Chain), Changes: m.settled, Samples: at.Samples, Bindings: at.Bindings, Newest: m.newest,
		BeatMilliseconds: uint32(beat / time.Millisecond),
	}}}
	c.want(m.Wanted())
	return c
}

// want asks for another pace where another is wanted. A provider of version 1 tells everything live.
func (c *Consumer) want(rules []follow.InterestRule) {
	if slices.EqualFunc(rules, c.wanted, sameRule) {
		return
	}
	c.wanted = rules
	if c.hello != nil {
		c.hello.GetHello().Interest = interestFrame(rules)
		return
	}
	c.asking = true
}

// Paced reports whether samples come at another pace than live ones, since that was asked for.
func (c *Consumer) Paced() bool { return len(c.wanted) > 0 && c.version >= 2 }

// Export says which of the provider's exports is wanted, before anything was sent.
func (c *Consumer) Export(name string) { c.hello.GetHello().Export = name }

// Next is the next frame to send, and false where there is none. However long nothing can be sent, not more than the newest of each sort waits.
func (c *Consumer) Next() (*linkv1.ConsumerFrame, bool) {
	switch {
	case c.hello != nil:
		frame := c.hello
		c.hello = nil
		return frame, true
	case c.tick != nil:
		beat := c.tick
		c.tick = nil
		return &linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Beat{Beat: beat}}, true
	case c.echo != nil:
		beat := c.echo
		c.echo = nil
		return &linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Beat{Beat: beat}}, true
	case c.asking && c.welcomed:
		c.asking = false
		if c.version < 2 {
			return c.Next()
		}
		c.pace()
		return &linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Interest{Interest: interestFrame(c.wanted)}}, true
	case c.permit != nil && c.welcomed:
		permit := c.permit
		c.permit = nil
		if c.version < 2 {
			return c.Next()
		}
		return &linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Permit{Permit: permit}}, true
	case c.ack:
		c.ack, c.acked = false, c.bytes
		return &linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Ack{
			Ack: &linkv1.Ack{Changes: c.mirror.applied, Samples: c.mirror.place.Samples, Bytes: c.bytes},
		}}, true
	case c.known != nil:
		return c.nextKnown(), true
	}
	return nil, false
}

// Pending reports whether Next has something.
func (c *Consumer) Pending() bool {
	return (c.asking || c.permit != nil) && c.welcomed || c.hello != nil || c.tick != nil || c.echo != nil || c.ack || c.known != nil
}

// WantBulk reports, once, that the provider asked for the bulk connection.
func (c *Consumer) WantBulk() bool {
	wanted := c.wantBulk
	c.wantBulk = false
	return wanted
}

// Up reports whether the provider is proved to be there and every lane moves.
func (c *Consumer) Up(now model.Time) bool {
	_, stalled := c.beats.stalled(now)
	return c.beats.up(now) && !stalled
}

// Lag is how long the newest echo took.
func (c *Consumer) Lag() time.Duration { return c.beats.lag }

// PeerName is what the provider calls itself, empty before its welcome.
func (c *Consumer) PeerName() string { return c.peerName }

// ReceiveRaw takes an encoded frame of the provider: samples by the short way, everything else through Receive.
func (c *Consumer) ReceiveRaw(raw *proto.RawFrame, now model.Time) error {
	samples, through, _, ok := raw.LiveSamples()
	if !ok {
		frame := &linkv1.ProviderFrame{}
		if err := proto.Unmarshal(raw.Bytes, frame); err != nil {
			return err
		}
		return c.receive(frame, len(raw.Bytes), now)
	}
	if !c.welcomed {
		return model.Errorf(model.KindInvalid, "received samples before the welcome")
	}
	c.bytes += uint64(len(raw.Bytes))
	if err := c.mirror.publish(samples, through); err != nil {
		return err
	}
	c.beats.moved(linkv1.LaneKind_LANE_KIND_SAMPLES, c.mirror.place.Samples, now)
	c.ack = c.ack || c.bytes-c.acked >= AckBytes
	return nil
}

// News reports, once, whether something came beside samples and heartbeats.
func (c *Consumer) News() bool {
	news := c.news
	c.news = false
	return news
}

func (c *Consumer) receive(frame *linkv1.ProviderFrame, size int, now model.Time) error {
	c.bytes += uint64(size)
	_, isBeat := frame.GetBody().(*linkv1.ProviderFrame_Beat)
	c.news = c.news || !isBeat
	if _, isWelcome := frame.GetBody().(*linkv1.ProviderFrame_Welcome); isWelcome == c.welcomed {
		if _, isFarewell := frame.GetBody().(*linkv1.ProviderFrame_Farewell); !isFarewell {
			return model.Errorf(model.KindInvalid, "received a frame out of turn")
		}
	}
	switch body := frame.GetBody().(type) {
	case *linkv1.ProviderFrame_Welcome:
		if err := c.begin(body.Welcome); err != nil {
			return err
		}
		c.Tick(now) // the way back is to be proved at once
	case *linkv1.ProviderFrame_Schema:
		return c.mirror.learn(body.Schema)
	case *linkv1.ProviderFrame_Delta:
		if err := c.mirror.apply(body.Delta); err != nil {
			return err
		}
		c.beats.moved(linkv1.LaneKind_LANE_KIND_CHANGES, c.mirror.applied, now)
		c.ack = true
	case *linkv1.ProviderFrame_Bindings:
		return c.mirror.bind(body.Bindings)
	case *linkv1.ProviderFrame_Overlays:
		return c.mirror.stale.tell(body.Overlays)
	case *linkv1.ProviderFrame_Freshness:
		return c.mirror.beyond.set(c.mirror.cfg.Mount, body.Freshness)
	case *linkv1.ProviderFrame_Beat:
		c.beat(body.Beat, now)
	case *linkv1.ProviderFrame_WantBulk:
		c.wantBulk = true
	case *linkv1.ProviderFrame_Farewell:
		c.over = true
		return readFarewell(body.Farewell)
	default:
		return model.Errorf(model.KindUnsupported, "received a frame that this version does not know")
	}
	return nil
}

// begin takes the provider's decision from where it tells.
func (c *Consumer) begin(w *linkv1.Welcome) error {
	m := c.mirror
	node, err := proto.ToNodeID(w.GetNode())
	if err != nil {
		return err
	}
	if node != m.cfg.Peer.Node {
		return model.Errorf(model.KindDenied, "the node at the other end says that it is %s, its certificate that it is %s", node.Short(), m.cfg.Peer.Node.Short())
	}
	if err := model.CheckSegment(w.GetName()); err != nil {
		return err
	}
	chain, err := proto.ToChain(w.GetChain())
	if err != nil {
		return err
	}
	c.welcomed, c.peerName, c.version = true, w.GetName(), min(protocolVersion, w.GetVersion())
	c.beats.slow(w.GetBeatMilliseconds())
	m.cfg.Peer.Name, m.learned = w.GetName(), nil
	if m.purged {
		m.purged = false
		m.cutNow() // as at the start: good when all has arrived
	}
	epoch := proto.ToEpoch(w.GetEpoch())
	if w.GetBindings() != m.place.Bindings || epoch != m.place.Epoch || w.GetView() != m.place.View {
		m.unbindAll()
		m.place.Bindings = w.GetBindings() // 0 from an honest provider
	}
	same := epoch == m.place.Epoch
	if !same {
		if m.count > 0 && !m.place.Epoch.IsZero() {
			m.stale.restarted(m.place.Heard, m.cfg.Peer)
		}
		m.place.Samples, m.exact = 0, false
	} else if w.GetResume() == linkv1.Resume_RESUME_COMPARE || w.GetView() != m.place.View {
		m.place.Samples, m.exact = 0, false // it tells the latest of all again, also what a restart behind it left unconfirmed
		m.stale.again()
	}
	m.place.Epoch = epoch
	c.pace()
	if w.GetResume() == linkv1.Resume_RESUME_COMPARE {
		c.known = m.compare(w.GetView(), chain, same)
	} else {
		m.comparison = nil
		m.place.View, m.place.Chain = w.GetView(), chain
		m.settled = min(m.settled, w.GetFrom())
		m.applied = m.settled
	}
	m.progress()
	return nil
}

// pace notes that from now on not every sample comes: how far they have come says no longer what is here.
func (c *Consumer) pace() {
	if c.Paced() {
		c.mirror.paced, c.mirror.exact = true, false
	}
}

// knownContext is a context to be compared.
type knownContext struct {
	id      model.ContextID
	context *mirrored
}

const knownChunk = 1000

func (c *Consumer) nextKnown() *linkv1.ConsumerFrame {
	chunk := c.known
	if len(chunk) > knownChunk {
		chunk = chunk[:knownChunk]
	}
	c.known = c.known[len(chunk):]
	b := newDeltaBuilder() // for its table of origins
	known := &linkv1.Known{Last: len(c.known) == 0}
	for _, k := range chunk {
		version := k.context.version
		wire := &linkv1.KnownContext{
			Origin: b.origin(k.id.Node, k.id.Epoch), Number: k.id.Number,
			VersionEpoch: b.origin(k.id.Node, version.Epoch), Version: version.Number, Path: k.context.path.String(), Content: k.context.content,
		}
		if c.version >= 2 {
			wire.Change = k.context.change
		}
		known.Contexts = append(known.Contexts, wire)
	}
	known.Origins = b.delta.Origins
	if known.Last {
		c.known = nil
	}
	return &linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Known{Known: known}}
}

// beat takes a heartbeat: the first one of the session tells the heads at which the mirror is up to date. One without a number says only how far the
// provider has taken in what was acknowledged.
func (c *Consumer) beat(beat *linkv1.Beat, now model.Time) {
	if echo := c.beats.receive(beat, now); echo != nil {
		c.echo = echo
		c.mirror.beyond.beat(model.Time(beat.GetClock()))
	}
	for _, l := range beat.GetLanes() {
		if l.GetKind() == linkv1.LaneKind_LANE_KIND_CHANGES && l.GetApplied() > 0 {
			c.mirror.settle(l.GetApplied())
		}
	}
	c.beats.moved(linkv1.LaneKind_LANE_KIND_CHANGES, c.mirror.applied, now)
	c.beats.moved(linkv1.LaneKind_LANE_KIND_SAMPLES, c.mirror.place.Samples, now)
	if beat.GetNumber() == 0 {
		c.proved(now)
		return
	}
	var told heads
	for _, l := range beat.GetLanes() {
		c.beats.told(l.GetKind(), l.GetHead(), now)
		switch l.GetKind() {
		case linkv1.LaneKind_LANE_KIND_CHANGES:
			told.changes = l.GetHead()
		case linkv1.LaneKind_LANE_KIND_SAMPLES:
			told.samples = l.GetHead()
		}
	}
	if len(beat.GetLanes()) > 0 && (!c.first || c.stalled) {
		c.first, c.stalled = true, false
		c.toReach = &told
	}
	c.proved(now)
}

// proved lets the mirror be good again, once it has applied what the first beat told, if the link works both ways: a beat that has come
// says nothing about the way back.
func (c *Consumer) proved(now model.Time) {
	if !c.beats.up(now) {
		return
	}
	c.mirror.place.Heard = c.beats.shown(now)
	if c.toReach != nil {
		c.mirror.stale.heal(*c.toReach)
		c.toReach = nil
	}
}

// Tick sends a heartbeat when one is due, and lays staleness over the mirror when a lane stands still.
func (c *Consumer) Tick(now model.Time) {
	if !c.welcomed {
		return
	}
	if told, changed, wider := c.mirror.admit(); changed {
		c.permit, c.anew = told, c.anew || wider
	}
	c.want(c.mirror.Wanted())
	if beat := c.beats.tick(now); beat != nil {
		c.tick, c.ack = beat, true
	}
	if _, stalled := c.beats.stalled(now); stalled {
		c.stalled = true
		c.mirror.stale.cut(c.mirror.place.Heard, c.mirror.hop(), c.mirror.ends())
	}
}

// DownAt is when the provider stops being proved to be there, and whether that was ever proved.
func (c *Consumer) DownAt() (model.Time, bool) { return c.beats.downAt(), c.beats.echoed != 0 }

// Cut says that the link is down: everything mirrored is stale since the provider was last proved to be there.
func (c *Consumer) Cut() { c.mirror.stale.cut(c.mirror.place.Heard, c.mirror.hop(), c.mirror.ends()) }
