package peering

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"time"

	"banyan/fault"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"

	"google.golang.org/grpc"
)

// consumerSession runs a Consumer over a connection.
type consumerSession struct {
	link   *link
	conn   *provenConn
	began  model.Time
	client linkv1.LinkServiceClient
	wake   chan struct{} // capacity 1: the machine may have something to send

	// mu guards machine and bulk.
	mu      sync.Mutex
	machine *Consumer
	bulk    bool // the bulk connection is wanted and not there
}

// consume runs a session over conn until it ends.
func (l *link) consume(ctx context.Context, conn *provenConn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	clientConn, err := newClient(conn)
	if err != nil {
		return err
	}
	defer func() { _ = clientConn.Close() }()
	session := make([]byte, 16)
	_, _ = rand.Read(session)
	s := &consumerSession{
		link: l, conn: conn, began: l.hub.now(), client: linkv1.NewLinkServiceClient(clientConn), wake: make(chan struct{}, 1),
		machine: NewConsumer(l.cfg.Mirror, l.cfg.Name, session, l.hub.cfg.Beat),
	}
	stream, err := s.client.Follow(ctx)
	if err != nil {
		return proto.FromStatus(err)
	}
	l.mu.Lock()
	l.consumer = s
	l.mu.Unlock()
	var work sync.WaitGroup
	defer func() {
		l.mu.Lock()
		l.consumer = nil
		l.mu.Unlock()
		cancel()
		_ = conn.Close()
		work.Wait()
	}()
	work.Go(func() { s.send(ctx, stream) })
	work.Go(func() { s.bulkLoop(ctx, session) })
	return s.receive(stream)
}

// receive takes frames until the stream ends.
func (s *consumerSession) receive(stream grpc.ClientStream) error {
	raw := &proto.RawFrame{}
	for {
		if err := stream.RecvMsg(raw); err != nil {
			if errors.Is(err, io.EOF) {
				return model.Errorf(model.KindUnavailable, "the provider ended the session")
			}
			return proto.FromStatus(err)
		}
		if err := s.take(raw); err != nil {
			return err
		}
	}
}

func (s *consumerSession) take(raw *proto.RawFrame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.machine.ReceiveRaw(raw, s.link.hub.now())
	if s.machine.WantBulk() {
		s.bulk = true
	}
	if len(s.machine.queue) > 0 || s.machine.known != nil || s.bulk {
		signal(s.wake)
	}
	return err
}

func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// send sends what the machine has to say.
func (s *consumerSession) send(ctx context.Context, stream linkv1.LinkService_FollowClient) {
	for {
		s.mu.Lock()
		frame, some := s.machine.Next()
		s.mu.Unlock()
		if some {
			if stream.Send(frame) != nil {
				return // receive learns why
			}
			continue
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
	}
}

// bulkLoop opens the bulk connection when the provider wants it: it dials, or takes the one that the provider dials.
func (s *consumerSession) bulkLoop(ctx context.Context, session []byte) {
	ticker := time.NewTicker(bulkPoll)
	defer ticker.Stop()
	for {
		var conn *provenConn
		select {
		case <-ctx.Done():
			return
		case conn = <-s.link.extra:
		case <-ticker.C:
			s.mu.Lock()
			wanted := s.bulk
			s.mu.Unlock()
			if wanted && s.link.cfg.Dials {
				conn, _ = s.link.dial(ctx)
			}
		}
		if conn == nil {
			continue
		}
		s.mu.Lock()
		wanted := s.bulk
		s.bulk = false
		s.mu.Unlock()
		if !wanted {
			// The provider has given up this session's connection: it is over.
			s.replace(conn)
			return
		}
		s.receiveBulk(ctx, conn, session)
	}
}

const bulkPoll = 50 * time.Millisecond

// receiveBulk takes frames from the bulk connection until it ends.
func (s *consumerSession) receiveBulk(ctx context.Context, conn *provenConn, session []byte) {
	defer func() { _ = conn.Close() }()
	clientConn, err := newClient(conn)
	if err != nil {
		return
	}
	defer func() { _ = clientConn.Close() }()
	stream, err := linkv1.NewLinkServiceClient(clientConn).Bulk(ctx)
	if err != nil {
		return
	}
	join := &linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_JoinBulk{JoinBulk: &linkv1.JoinBulk{Session: session}}}
	if stream.Send(join) != nil {
		return
	}
	if err := s.receive(stream); model.KindOf(err) == model.KindCorrupt {
		s.link.hub.log.Warn("a frame of the bulk connection was refused", "link", s.link.cfg.Name, "error", err)
		_ = s.conn.Close()
	}
}

// replace ends the session in favour of a connection that the peer has just opened.
func (s *consumerSession) replace(conn *provenConn) {
	select {
	case s.link.extra <- conn:
	default:
		_ = conn.Close()
	}
	_ = s.conn.Close()
}

// tick sends heartbeats and says how the session is.
func (s *consumerSession) tick(now model.Time) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.machine.Tick(now)
	if len(s.machine.queue) > 0 {
		signal(s.wake)
	}
	downAt, ever := s.machine.DownAt()
	switch {
	case !ever && time.Duration(now-s.began) < startTime:
		return StateStarting
	case now >= downAt:
		if !fault.Planted(fault.StaleNeverSet) {
			s.machine.Cut()
		}
		return StateStale
	case !s.machine.Up(now):
		return StateStalled
	default:
		return StateUp
	}
}

// tell adds to a status what the session knows.
func (s *consumerSession) tell(status *Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status.Lag, status.PeerName, status.Heard = s.machine.Lag(), s.machine.PeerName(), s.machine.mirror.place.Heard
	status.Contexts, status.Loop = s.machine.mirror.Count(), s.machine.mirror.Loop()
}

// cutNow says that there is no session any more.
func (m *Mirror) cutNow() { m.stale.cut(m.place.Heard, m.hop()) }
