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
	"banyan/pki"
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

	// mu guards machine, bulk and ended.
	mu      sync.Mutex
	machine *Consumer
	bulk    bool // the bulk connection is wanted and not there
	onBulk  bool // it is there
	ended   bool // the mirror may be another session's
}

// consume runs a session over conn until it ends.
func (l *link) consume(ctx context.Context, conn *provenConn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer conn.abandon()
	if err := l.meet(ctx, conn, false); err != nil {
		return err
	}
	clientConn, err := conn.grpc()
	if err != nil {
		return err
	}
	session := make([]byte, 16)
	_, _ = rand.Read(session)
	s := &consumerSession{
		link: l, conn: conn, began: l.hub.now(), client: linkv1.NewLinkServiceClient(clientConn), wake: make(chan struct{}, 1),
		machine: NewConsumer(l.cfg.Mirror, l.cfg.Name, session, l.hub.cfg.Beat),
	}
	s.machine.beats.clock = l.hub.clock
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
		s.mu.Lock()
		s.ended = true
		s.mu.Unlock()
	}()
	work.Go(func() { s.send(ctx, stream) })
	work.Go(func() { s.bulkLoop(ctx, session) })
	_, err = s.receive(stream)
	return err
}

// receive takes frames until the stream ends, and says how many it took.
func (s *consumerSession) receive(stream grpc.ClientStream) (frames int, err error) {
	raw := &proto.RawFrame{}
	for {
		if err := stream.RecvMsg(raw); err != nil {
			if errors.Is(err, io.EOF) {
				return frames, model.Errorf(model.KindUnavailable, "the provider ended the session")
			}
			return frames, proto.FromStatus(err)
		}
		frames++
		if err := s.take(raw); err != nil {
			return frames, err
		}
	}
}

func (s *consumerSession) take(raw *proto.RawFrame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.machine.ReceiveRaw(raw, s.link.hub.now())
	if s.machine.WantBulk() {
		s.bulk = !s.onBulk
	}
	if s.machine.Pending() || s.bulk {
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

// bulkLoop opens the bulk connection when the provider wants it: it dials, or takes the one that the provider dials. A connection that comes unasked is
// one of a provider that has given up this session, one that has overtaken the frame that asks for it, or another node's of the same ID: which of
// them shows after a moment.
func (s *consumerSession) bulkLoop(ctx context.Context, session []byte) {
	ticker := time.NewTicker(bulkPoll)
	defer ticker.Stop()
	var conn *provenConn // that came and is not in use
	var running chan struct{}
	defer func() {
		if conn != nil {
			conn.abandon()
		}
		if running != nil {
			<-running
		}
	}()
	var came time.Time
	for {
		extra := s.link.extra
		if conn != nil {
			extra = nil
		}
		select {
		case <-ctx.Done():
			return
		case conn = <-extra:
			came = time.Now()
		case <-running:
			running = nil
		case <-ticker.C:
		}
		wanted := s.wantsBulk()
		switch {
		case wanted && conn == nil && s.link.cfg.Dials:
			conn, _ = s.link.dial(ctx)
		case !wanted && conn != nil && time.Since(came) > unaskedTime:
			if s.takenOver(ctx, conn) {
				conn = nil
				return
			}
			conn.abandon()
			conn = nil
		}
		if wanted && conn != nil {
			running = s.startBulk(ctx, conn, session)
			conn = nil
		}
	}
}

// startBulk uses a connection as the bulk one; what it returns is closed when that has ended.
func (s *consumerSession) startBulk(ctx context.Context, conn *provenConn, session []byte) chan struct{} {
	s.mu.Lock()
	s.bulk, s.onBulk = false, true
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.receiveBulk(ctx, conn, session)
		s.mu.Lock()
		s.onBulk = false
		s.mu.Unlock()
	}()
	return ended
}

// takenOver ends the session in favour of a connection that the peer has just opened, unless that is another node with the peer's ID.
func (s *consumerSession) takenOver(ctx context.Context, conn *provenConn) bool {
	s.mu.Lock()
	downAt, ever := s.machine.DownAt()
	s.mu.Unlock()
	if err := s.link.meet(ctx, conn, ever && s.link.hub.now() < downAt); err != nil {
		if _, refused := pki.RefusalOf(err); refused {
			s.link.hub.log.Warn("a connection was refused", "link", s.link.cfg.Name, "address", conn.peer.Address, "error", err)
		}
		return false
	}
	s.replace(conn)
	return true
}

func (s *consumerSession) wantsBulk() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bulk
}

const (
	bulkPoll    = 50 * time.Millisecond
	unaskedTime = 500 * time.Millisecond
)

// receiveBulk takes frames from the bulk connection until it ends.
func (s *consumerSession) receiveBulk(ctx context.Context, conn *provenConn, session []byte) {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer func() {
		cancel()
		conn.abandon()
		work.Wait()
	}()
	clientConn, err := conn.grpc()
	if err != nil {
		return
	}
	client := linkv1.NewLinkServiceClient(clientConn)
	stream, err := client.Bulk(ctx)
	if err != nil {
		return
	}
	join := &linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_JoinBulk{JoinBulk: &linkv1.JoinBulk{Session: session}}}
	if stream.Send(join) != nil {
		return
	}
	work.Go(func() { s.keep(ctx, client) })
	frames, err := s.receive(stream)
	if frames > 0 && ctx.Err() == nil {
		// A part of the listing may be lost with it: the session goes on, in a new one, from what was acknowledged.
		s.link.hub.log.Warn("the bulk connection ended", "link", s.link.cfg.Name, "error", err)
		_ = s.conn.Close()
	}
}

// replace ends the session in favour of a connection that the peer has just opened.
func (s *consumerSession) replace(conn *provenConn) {
	select {
	case s.link.extra <- conn:
	default:
		conn.abandon()
	}
	_ = s.conn.Close()
}

// tick sends heartbeats and says how the session is.
func (s *consumerSession) tick(now model.Time) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return ""
	}
	s.machine.Tick(now)
	if s.machine.Pending() {
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
	if s.ended {
		return
	}
	status.Lag, status.PeerName, status.Heard = s.machine.Lag(), s.machine.PeerName(), s.machine.mirror.place.Heard
	status.Skew = s.machine.beats.skew
	status.Stale = s.machine.mirror.stale.link != nil
	status.Contexts, status.Loop = s.machine.mirror.Count(), s.machine.mirror.Loop()
}

// cutNow says that there is no session any more.
func (m *Mirror) cutNow() { m.stale.cut(m.place.Heard, m.hop()) }
