package graphs

import (
	"fmt"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/peering"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/tree"

	pb "google.golang.org/protobuf/proto"
)

const (
	beat         = 2 * time.Second
	bulkPatience = 5 * time.Second
)

// link is a link with the session that runs over it, if any.
type link struct {
	world              *world
	edge               *edge
	consumer, provider *node
	kept               *kept
	mirror             *peering.Mirror
	down               bool   // no session can begin
	withdrawn          *grant // what is not granted any more, and what the consumer learns when it comes

	wants []follow.InterestRule // paces that the consumer asks for; all is live where there are none

	p            *peering.Provider
	c            *peering.Consumer
	up           [][]byte
	urgent, bulk [][]byte
	waiting      []byte // for the bulk stream
	wanted       bool   // the consumer was asked for the bulk stream
	deaf         bool   // its bulk connection never comes

	marks  *peering.Marks
	marked model.Epoch // in which they are
}

func (l *link) String() string {
	return fmt.Sprintf("link %d, %s > %s", l.edge.index, l.consumer.hop.Name, l.provider.hop.Name)
}

func (l *link) mount() model.Path { return model.MustPath(l.edge.mount) }

func (w *world) addLink(consumer, provider *node, mount string, g *grant) *link {
	e := &edge{index: len(w.links), provider: provider.index, consumer: consumer.index, mount: mount}
	l := &link{world: w, edge: e, consumer: consumer, provider: provider}
	l.begin()
	w.net.edges = append(w.net.edges, e)
	w.links = append(w.links, l)
	w.net.edit(e, g)
	return l
}

// begin makes an empty mirror.
func (l *link) begin() {
	l.kept = &kept{rows: make(map[model.Path]peering.Row)}
	l.newMirror(nil, peering.Place{})
}

func (l *link) newMirror(rows []peering.Row, at peering.Place) {
	l.mirror = peering.NewMirror(peering.MirrorConfig{
		Tree: l.consumer.tree, Mount: l.mount(), Self: l.consumer.hop, Peer: tree.Hop{Node: l.provider.hop.Node, Name: l.provider.hop.Name}, Keeper: l.kept,
	}, rows, at)
	l.mirror.Want(l.wants)
}

// end ends the mirror: what hangs there goes.
func (l *link) end() {
	l.cut()
	l.mirror.Purge()
	l.consumer.forgotten = l.consumer.tree.ChangeHead() + 1
}

// join begins a session.
func (l *link) join() {
	if l.c != nil || l.down {
		return
	}
	if l.withdrawn != nil {
		l.mirror.Purge()
	}
	if l.edge.grant == nil {
		return
	}
	l.world.note("%s is joined", l)
	p := l.provider
	l.c = peering.NewConsumer(l.mirror, "link", []byte("0123456789abcdef"), beat)
	l.p = peering.NewProvider(peering.ProviderConfig{
		Tree: p.tree, View: p.viewOf(l.edge.grant), Node: p.hop.Node, Name: p.hop.Name, Epoch: p.epoch, Chain: p.chain, Beat: beat, Marks: l.marksNow(),
	})
	l.deaf = l.world.rand.IntN(4) == 0
}

// want lets the consumer ask for other paces.
func (l *link) want(rules []follow.InterestRule) {
	l.wants = rules
	l.mirror.Want(rules)
}

// marksNow are the numbers of the provider's process.
func (l *link) marksNow() *peering.Marks {
	if l.marks == nil || l.marked != l.provider.epoch {
		l.marks, l.marked = peering.NewMarks(), l.provider.epoch
	}
	return l.marks
}

// cut ends the session: what is on its way is lost.
func (l *link) cut() {
	if l.c == nil {
		return
	}
	l.world.note("%s is cut", l)
	l.p.Close()
	l.c.Cut()
	l.p, l.c, l.up, l.urgent, l.bulk, l.waiting, l.wanted = nil, nil, nil, nil, nil, nil, false
}

// sorts are how many sorts of steps a session can take.
const sorts = 6

// step takes a step of a sort, and says whether there was something to do.
func (l *link) step(sort int) bool {
	if l.c == nil {
		return false
	}
	switch sort {
	case 0:
		frame, some := l.c.Next()
		if some {
			raw := marshal(frame)
			l.inspectUp(raw)
			l.up = append(l.up, raw)
		}
		return some
	case 1:
		return l.deliverUp()
	case 2:
		return l.produce()
	case 3:
		return l.deliver(&l.urgent)
	case 4:
		return l.deliver(&l.bulk)
	default:
		if l.waiting == nil || l.deaf || !l.wanted || len(l.bulk) > 3 {
			return false
		}
		l.bulk = append(l.bulk, l.waiting)
		l.waiting = nil
		l.p.HoldBulk(false, l.world.now)
		return true
	}
}

func marshal(m pb.Message) []byte {
	raw, err := pb.Marshal(m)
	if err != nil {
		panic(err)
	}
	return raw
}

func (l *link) deliverUp() bool {
	if len(l.up) == 0 {
		return false
	}
	frame := &linkv1.ConsumerFrame{}
	if err := pb.Unmarshal(l.up[0], frame); err != nil {
		l.world.fail("%v", err)
	}
	l.up = l.up[1:]
	if *frames {
		l.world.note("%s: %v is told up", l, frame)
	}
	if hello := frame.GetHello(); hello != nil && (l.consumer.first || l.provider.first) {
		hello.Version, hello.Export, hello.BeatMilliseconds, hello.Interest = 1, "", 0, nil
	}
	if err := l.p.Receive(frame, l.world.now); err != nil {
		l.world.fail("%s: the provider refuses a frame: %v\n%v", l, err, frame)
	}
	return true
}

func (l *link) produce() bool {
	if len(l.urgent) > 20 {
		return false // the connection is full
	}
	out, some := l.p.Next(l.world.now)
	if err := l.p.Err(); err != nil {
		if model.KindOf(err) != model.KindUnavailable {
			l.world.fail("%s: the provider fails: %v", l, err)
		}
		l.cut()
		return true
	}
	if !some {
		return false
	}
	raw := out.Encoded()
	if out.Frame != nil {
		raw = marshal(out.Frame)
	}
	if *frames {
		l.world.note("%s: %v", l, readable(raw))
	}
	l.inspect(raw)
	if out.Bulk {
		l.waiting = raw
		l.p.HoldBulk(true, l.world.now)
		return true
	}
	l.urgent = append(l.urgent, raw)
	return true
}

func readable(raw []byte) *linkv1.ProviderFrame {
	frame := &linkv1.ProviderFrame{}
	_ = pb.Unmarshal(raw, frame)
	return frame
}

func (l *link) deliver(lane *[][]byte) bool {
	if len(*lane) == 0 {
		return false
	}
	raw := (*lane)[0]
	*lane = (*lane)[1:]
	if err := l.c.ReceiveRaw(&proto.RawFrame{Bytes: raw}, l.world.now); err != nil {
		l.world.fail("%s: the consumer refuses a frame: %v\n%v", l, err, raw)
	}
	l.wanted = l.wanted || l.c.WantBulk()
	return true
}

// tick lets both ends look at the clock.
func (l *link) tick() {
	if l.c == nil {
		return
	}
	l.p.Tick(l.world.now)
	if l.p.ImpatientForBulk(l.world.now, bulkPatience) && l.waiting != nil {
		l.urgent = append(l.urgent, l.waiting)
		l.waiting = nil
		l.p.GiveUpBulk()
	}
	l.c.Tick(l.world.now)
}
