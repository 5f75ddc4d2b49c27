package peering

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"

	"google.golang.org/grpc"
)

// providerSession runs a Provider over the streams that a consumer opened.
type providerSession struct {
	link   *link
	conn   *provenConn
	began  model.Time
	cancel context.CancelFunc
	in     chan *linkv1.ConsumerFrame
	ticks  chan model.Time
	leave  chan *model.Error
	done   chan struct{}

	// mu guards what tick and the bulk stream read beside the machine's own goroutine.
	mu        sync.Mutex
	downAt    model.Time
	ever      bool
	stalled   bool
	roundTrip time.Duration
	skew      time.Duration
	heard     model.Time
	token     string // session, as the bulk stream names it

	bulk    chan *linkv1.ProviderFrame // unbuffered: the bulk stream takes when it has room
	broken  chan struct{}              // capacity 1: the bulk stream has ended
	dialled bool                       // the bulk connection; for the session's own goroutine
	offered chan struct{}              // capacity 1: there is a backup that no stream carries yet
	asked   bool                       // the bulk connection was asked for a backup; for the session's own goroutine
	keeping atomic.Bool                // a stream for backups stands
}

// follow runs a session with a consumer over its stream until it ends.
func (l *link) follow(stream linkv1.LinkService_FollowServer, conn *provenConn) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	s := &providerSession{
		link: l, conn: conn, began: l.hub.now(), cancel: cancel, in: make(chan *linkv1.ConsumerFrame, 16), ticks: make(chan model.Time, 1), leave: make(chan *model.Error, 1),
		done: make(chan struct{}), bulk: make(chan *linkv1.ProviderFrame), broken: make(chan struct{}, 1),
		offered: make(chan struct{}, 1),
	}
	defer close(s.done)
	l.mu.Lock()
	old := l.provider
	l.provider = s
	l.mu.Unlock()
	if old != nil {
		old.end()
	}
	defer func() {
		l.mu.Lock()
		if l.provider == s {
			l.provider = nil
		}
		l.mu.Unlock()
		if !l.cfg.Dials {
			l.lost(nil)
		}
	}()
	machine := NewProvider(l.hub.providerConfig(l.cfg.View))
	defer machine.Close()
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	failed := make(chan error, 1)
	work.Go(func() { failed <- s.receive(ctx, stream) })
	err := s.loop(ctx, machine, stream, &work, failed)
	l.mu.Lock()
	l.ended = err
	l.mu.Unlock()
	return err
}

func (s *providerSession) receive(ctx context.Context, stream linkv1.LinkService_FollowServer) error {
	for {
		frame, err := stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return proto.FromStatus(err)
		}
		select {
		case s.in <- frame:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// burst is how many frames are sent before looking at what has come.
const burst = 16

// bulkPatience is how long a listing waits for the bulk connection before it takes the urgent one.
const bulkPatience = 5 * time.Second

func (s *providerSession) loop(ctx context.Context, machine *Provider, stream linkv1.LinkService_FollowServer, work *sync.WaitGroup, failed <-chan error) error {
	var waiting *linkv1.ProviderFrame // for the bulk stream
	var bulkOut chan *linkv1.ProviderFrame
	for {
		sentAll := true
		for range burst {
			out, some := machine.Next(s.link.hub.now())
			if !some {
				break
			}
			if out.Bulk {
				waiting, bulkOut = out.Frame, s.bulk
				machine.HoldBulk(true, s.link.hub.now())
				s.dialBulk(ctx, work)
				continue
			}
			if err := sendOut(stream, out); err != nil {
				return err
			}
			sentAll = false
		}
		if err := machine.Err(); err != nil {
			return proto.Status(err)
		}
		wake := machine.Wake()
		if !sentAll {
			wake = ready
		}
		select {
		case frame := <-s.in:
			if err := machine.Receive(frame, s.link.hub.now()); err != nil {
				return proto.Status(err)
			}
			s.note(machine, frame)
		case bulkOut <- waiting:
			waiting, bulkOut = nil, nil
			machine.HoldBulk(false, s.link.hub.now())
		case now := <-s.ticks:
			machine.Tick(now)
			if machine.ImpatientForBulk(now, bulkPatience) && waiting != nil {
				if err := stream.Send(waiting); err != nil {
					return err
				}
				waiting, bulkOut = nil, nil
				machine.GiveUpBulk()
			}
			s.note(machine, nil)
		case <-s.broken:
			machine.BulkEnded()
			s.dialled, s.asked = false, false
		case <-s.offered:
			if !s.asked && machine.AskBulk() {
				s.asked = true
				s.dialBulk(ctx, work)
			}
		case <-wake:
		case reason := <-s.leave:
			return proto.Status(reason)
		case err := <-failed:
			return err
		case <-ctx.Done():
			return proto.Status(model.Errorf(model.KindUnavailable, "the session was ended"))
		}
	}
}

// dialBulk opens the bulk connection where this node is the one that dials. The consumer, which has been told to expect it, opens its stream on it.
func (s *providerSession) dialBulk(ctx context.Context, work *sync.WaitGroup) {
	if s.dialled || !s.link.cfg.Dials {
		return
	}
	s.dialled = true
	work.Go(func() {
		conn, err := s.link.dial(ctx)
		if err != nil {
			signal(s.broken) // another time
			return
		}
		s.link.adopt(conn)
	})
}

// ready is a channel that never blocks.
var ready = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func sendOut(stream grpc.ServerStream, out Out) error {
	if out.Raw != nil {
		return stream.SendMsg(&proto.RawFrame{Bytes: out.Raw})
	}
	return stream.SendMsg(out.Frame)
}

// note keeps what others ask of the machine.
func (s *providerSession) note(machine *Provider, frame *linkv1.ConsumerFrame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ever = machine.beats.echoed != 0
	s.downAt = machine.beats.downAt()
	s.roundTrip, s.skew = machine.beats.lag, machine.beats.skew
	if s.ever {
		s.heard = machine.beats.heardAt
	}
	_, s.stalled = machine.beats.stalled(s.link.hub.now())
	if hello := frame.GetHello(); hello != nil {
		s.token = string(hello.GetSession())
	}
}

// tick lets the machine send heartbeats and says how the session is.
func (s *providerSession) tick(now model.Time) State {
	select {
	case s.ticks <- now:
	default: // it is busy sending: its heartbeat waits like everything else
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.ever && time.Duration(now-s.began) < startTime:
		return StateStarting
	case now >= s.downAt:
		return StateStale
	case s.stalled:
		return StateStalled
	default:
		return StateUp
	}
}

func (s *providerSession) lag() (lag, skew time.Duration, heard model.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roundTrip, s.skew, s.heard
}

func (s *providerSession) end() { s.cancel() }

// farewell ends the session with a reason that the consumer is told: it closes the connection when it has read it.
func (s *providerSession) farewell(reason *model.Error) {
	select {
	case s.leave <- reason:
	default:
	}
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-s.conn.done:
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
	l.mu.Lock()
	s := l.provider
	l.mu.Unlock()
	if s == nil || frame.GetJoinBulk() == nil || !s.is(string(frame.GetJoinBulk().GetSession())) {
		return proto.Status(model.Errorf(model.KindNotFound, "there is no such session"))
	}
	defer signal(s.broken)
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

func (s *providerSession) is(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return token != "" && token == s.token
}
