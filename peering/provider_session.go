package peering

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"

	"google.golang.org/grpc"
)

// providerSession runs a Provider of one export over the streams that a consumer opened.
type providerSession struct {
	link   *link
	conn   *provenConn
	asked  string // which export the consumer asked for; empty for the only one
	export Export // which it gets
	began  model.Time
	cancel context.CancelFunc
	in     chan *linkv1.ConsumerFrame // other than acknowledgements
	acks   ackBox
	ticks  chan model.Time
	leave  chan *linkv1.Farewell
	done   chan struct{}
	token  string     // session, as the bulk stream names it
	status FeedStatus // link.mu guards it

	// mu guards what tick and the bulk stream read beside the machine's own goroutine.
	mu        sync.Mutex
	downAt    model.Time
	interval  time.Duration // of heartbeats
	withheld  uint64        // samples, as noted
	echoed    model.Time
	ever      bool
	stalled   bool
	roundTrip time.Duration
	skew      time.Duration
	heard     model.Time
	rests     model.Time // until when there is nothing to do in a tick
	calm      bool       // it was up at the last tick: the next one is as late as that says

	bulk    chan *linkv1.ProviderFrame // unbuffered: the bulk stream takes when it has room
	broken  chan struct{}              // capacity 1: the bulk stream has ended
	offered chan struct{}              // capacity 1: there is a backup that no stream carries yet
	called  atomic.Bool                // there is something for attend
	nudge   chan struct{}              // capacity 1: there is something for attend, or to be sent
	waiting *linkv1.ProviderFrame      // for the bulk stream; for the session's own goroutine
	split   proto.SplitFrame           // that is sent; for the session's own goroutine
	calling bool                       // the bulk connection was asked for a backup; for the session's own goroutine
}

// follow runs a session with a consumer over its stream until it ends.
func (l *link) follow(stream linkv1.LinkService_FollowServer, conn *provenConn) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	early := time.AfterFunc(startTime, func() { _ = conn.Close() })
	first, err := stream.Recv()
	early.Stop()
	if err != nil {
		return proto.FromStatus(err)
	}
	s, refused := l.enter(first.GetHello(), conn, cancel)
	if refused != nil {
		_ = stream.Send(&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Farewell{Farewell: refused}})
		return proto.Status(proto.ToError(refused.GetError()))
	}
	defer l.leave(s)
	cfg := l.providerConfig(s.export.View)
	cfg.Marks, cfg.Wake = l.marksOf(s.export.Name), s.nudge
	machine := NewProvider(cfg)
	defer machine.Close()
	if err := s.hear(machine, first, s.began); err != nil {
		return err
	}
	defer s.unwish()
	s.note(machine)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	failed := make(chan error, 1)
	go func() { // it ends with the stream, which ends when this returns: waited for, a consumer would never hear why it is ended
		failed <- s.receive(ctx, stream)
		s.call()
	}()
	err = s.loop(ctx, machine, stream, &work, failed)
	l.mu.Lock()
	l.ended = proto.FromStatus(err)
	l.mu.Unlock()
	return err
}

// hear lets the machine take a frame of the consumer.
func (s *providerSession) hear(machine *Provider, frame *linkv1.ConsumerFrame, now model.Time) error {
	return s.refuse(machine.Receive(frame, now))
}

// refuse is the error with which a session ends. A consumer who breaks the protocol is told so, and loses the connection.
func (s *providerSession) refuse(err error) error {
	if offends(err) {
		s.link.offended(err)
		s.conn.closeSoon()
	}
	return proto.Status(err)
}

// receive hands what the consumer says to the session's own goroutine.
func (s *providerSession) receive(ctx context.Context, stream linkv1.LinkService_FollowServer) error {
	raw := &proto.RawFrame{}
	for {
		if err := stream.RecvMsg(raw); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return proto.FromStatus(err)
		}
		if ack, is := raw.Ack(); is {
			if s.acks.put(ack, s.link.hub.now()) {
				signal(s.nudge)
			}
			continue
		}
		frame := &linkv1.ConsumerFrame{}
		if err := proto.Unmarshal(raw.Bytes, frame); err != nil {
			return s.refuse(err)
		}
		select {
		case s.in <- frame:
			s.call()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// burst is how many frames are sent before looking at what has come.
const burst = 16

// bulkPatience is how long a listing waits for the bulk connection before it takes the urgent one.
const bulkPatience = 5 * time.Second

// loop waits for all that there is by one channel: with fifty consumers waiting for many costs more than what is done then.
func (s *providerSession) loop(ctx context.Context, machine *Provider, stream linkv1.LinkService_FollowServer, work *sync.WaitGroup, failed <-chan error) error {
	stop := context.AfterFunc(ctx, s.call)
	defer stop()
	for {
		sentAll, err := s.send(ctx, machine, stream, work)
		if err != nil {
			return err
		}
		if s.called.Load() {
			s.called.Store(false)
			if ended, err := s.attend(ctx, machine, stream, work, failed); ended {
				return err
			}
			continue
		}
		if !sentAll || machine.Full() && !s.acks.await() {
			continue
		}
		if pause := machine.Gather(); pause > 0 && s.waiting == nil {
			time.Sleep(pause) // too short to listen to anything
			continue
		}
		machine.Wake() // signals nudge
		if s.waiting == nil {
			<-s.nudge
			continue
		}
		select {
		case <-s.nudge:
		case s.bulk <- s.waiting:
			s.waiting = nil
			machine.HoldBulk(false, s.link.hub.now())
			s.note(machine)
		}
	}
}

// send sends what the machine has to say, and reports whether that was all of it.
func (s *providerSession) send(ctx context.Context, machine *Provider, stream linkv1.LinkService_FollowServer, work *sync.WaitGroup) (all bool, err error) {
	now := s.link.hub.now()
	if ack, at, some := s.acks.take(); some {
		machine.Acknowledge(ack, at)
	}
	for range burst {
		out, some := machine.Next(now)
		if !some {
			all = true
			break
		}
		if out.Bulk {
			s.waiting = out.Frame
			machine.HoldBulk(true, now)
			s.note(machine)
			s.dialBulk(ctx, work)
			continue
		}
		if err := s.sendOut(stream, out); err != nil {
			return false, err
		}
		if out.Last {
			all = true
			break
		}
	}
	return all, proto.Status(machine.Err())
}

// attend does what is seldom. It reports whether the session ends, and why.
func (s *providerSession) attend(
	ctx context.Context, machine *Provider, stream linkv1.LinkService_FollowServer, work *sync.WaitGroup, failed <-chan error,
) (ended bool, err error) {
	for {
		select {
		case frame := <-s.in:
			if err := s.hear(machine, frame, s.link.hub.now()); err != nil {
				return true, err
			}
			s.permitted(machine)
			s.note(machine)
			s.called.Store(true) // there may be more: first what this one asks for is sent
			return false, nil
		case now := <-s.ticks:
			machine.Tick(now)
			if machine.ImpatientForBulk(now, bulkPatience) && s.waiting != nil {
				if err := stream.Send(s.waiting); err != nil {
					return true, err
				}
				s.waiting = nil
				machine.GiveUpBulk()
			}
			s.note(machine)
		case <-s.broken:
			machine.BulkEnded()
			s.calling = false
		case <-s.offered:
			if !s.calling && machine.AskBulk() {
				s.calling = true
				s.dialBulk(ctx, work)
			}
		case farewell := <-s.leave:
			if err := stream.Send(&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Farewell{Farewell: farewell}}); err != nil {
				return true, err
			}
			return true, proto.Status(proto.ToError(farewell.GetError()))
		case err := <-failed:
			return true, err
		case <-ctx.Done():
			return true, proto.Status(model.Errorf(model.KindUnavailable, "the session was ended"))
		default:
			return false, nil
		}
	}
}

// tell signals one of the channels that attend looks at.
func (s *providerSession) tell(what chan struct{}) {
	signal(what)
	s.call()
}

// call lets the session's goroutine attend to what is seldom.
func (s *providerSession) call() {
	s.called.Store(true)
	signal(s.nudge)
}

// dialBulk opens the bulk connection where this node is the one that dials and there is none. The consumer, which has been told to expect it, opens
// its streams on it.
func (s *providerSession) dialBulk(ctx context.Context, work *sync.WaitGroup) {
	l := s.link
	l.mu.Lock()
	needed := l.cfg.Dials && !l.dialling && (l.bulk == nil || closed(l.bulk))
	l.dialling = l.dialling || needed
	l.mu.Unlock()
	if !needed {
		return
	}
	work.Go(func() {
		conn, err := l.dial(ctx)
		l.mu.Lock()
		l.dialling = false
		if err == nil {
			l.bulk = conn
		}
		l.mu.Unlock()
		if err != nil {
			s.tell(s.broken) // another time
			return
		}
		l.adopt(conn)
	})
}

func (s *providerSession) sendOut(stream grpc.ServerStream, out Out) error {
	if out.Raw != nil {
		s.split = proto.SplitFrame{Head: out.Raw, Shared: out.Batch}
		return stream.SendMsg(&s.split)
	}
	return stream.SendMsg(out.Frame)
}

// note keeps what others ask of the machine.
func (s *providerSession) note(machine *Provider) {
	s.wish(machine)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.echoed, s.interval = machine.beats.echoed, machine.beats.interval
	s.ever = s.echoed != 0
	s.downAt = machine.beats.downAt()
	s.roundTrip, s.skew = machine.beats.lag, machine.beats.skew
	if s.ever {
		s.heard = machine.beats.heardAt
	}
	if held := machine.Withheld(); held > s.withheld { // it falls by the one of many that is told after all
		s.link.hub.traffic.withheld.Add(held - s.withheld)
		s.withheld = held
	}
	_, s.stalled = machine.beats.stalled(s.link.hub.now())
	before := s.rests
	if s.rests = machine.Rests(); s.stalled {
		s.rests = 0
	}
	if s.calm && s.rests < before {
		s.link.stir()
	}
}

// tick lets the machine send heartbeats and says how the session is, when the newest beat was sent that came back, and when it is to be called again.
func (s *providerSession) tick(now model.Time, status *FeedStatus) (state State, echoed, due model.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now >= s.rests {
		select {
		case s.ticks <- now:
			s.call()
		default: // it is busy sending: its heartbeat waits like everything else
		}
	}
	s.figures(status)
	switch {
	case !s.ever && time.Duration(now-s.began) < startTime:
		state = StateStarting
	case now >= s.downAt:
		state = StateStale
	case s.stalled:
		state = StateStalled
	default:
		state = StateUp
	}
	if s.calm = state == StateUp; !s.calm || now >= s.rests {
		return state, s.echoed, now // what it does about it is seen at the next look
	}
	return state, s.echoed, min(s.rests, s.downAt)
}

// figures are what there is to say of the session besides its state. mu is held.
func (s *providerSession) figures(status *FeedStatus) {
	status.Lag, status.Skew, status.Heard, status.Beat = s.roundTrip, s.skew, s.heard, s.interval
}

// silentAlone reports whether heartbeats of another session on the connection went and came back after this one's had stopped to.
func (s *providerSession) silentAlone(newest model.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return newest > max(s.began, s.echoed)+model.Time(s.interval)
}

func (s *providerSession) end() { s.cancel() }

// farewell ends the session with a reason that the consumer is told.
func (s *providerSession) farewell(f *linkv1.Farewell) {
	select {
	case s.leave <- f:
		s.call()
	default:
	}
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
		s.cancel()
	}
}

// serveBulk sends what belongs on the bulk stream until it or the session ends.
func (l *link) serveBulk(stream linkv1.LinkService_BulkServer) error {
	frame, err := stream.Recv()
	if err != nil {
		return proto.FromStatus(err)
	}
	s := l.sessionOf(string(frame.GetJoinBulk().GetSession()))
	if s == nil {
		return proto.Status(model.Errorf(model.KindNotFound, "there is no such session"))
	}
	defer s.tell(s.broken)
	for {
		select {
		case out := <-s.bulk:
			if err := stream.Send(out); err != nil {
				return err
			}
		case <-s.done:
			return nil
		case <-stream.Context().Done():
			return nil
		}
	}
}

// sessionOf is the session of a name, nil where there is none.
func (l *link) sessionOf(token string) *providerSession {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.sessions {
		if token != "" && s.token == token {
			return s
		}
	}
	return nil
}

func (l *link) providerConfig(view *follow.View) ProviderConfig {
	h := l.hub
	return ProviderConfig{
		Tree: h.cfg.Tree, View: view, Node: h.cfg.Self.Node, Name: h.cfg.Self.Name, Epoch: h.cfg.Epoch, Chain: h.cfg.Chain, Beat: l.beat(), Clock: h.clock,
		Fresh: func() []HopFreshness { return h.Freshness(func(model.Path) bool { return true }) },
	}
}
