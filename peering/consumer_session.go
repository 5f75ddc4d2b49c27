package peering

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"sync"

	"banyan/model"
	"banyan/pki"
	"banyan/proto"
	"banyan/proto/linkv1"

	"google.golang.org/grpc"
)

// consumerSession runs the Consumer of a feed over a line.
type consumerSession struct {
	feed   *feed
	line   *line
	began  model.Time
	token  []byte
	cancel context.CancelFunc
	stream linkv1.LinkService_FollowClient
	ctx    context.Context //nolint:containedctx // the session's own, for the bulk stream, which others begin
	work   sync.WaitGroup

	// mu guards machine, bulk and ended.
	mu      sync.Mutex
	machine *Consumer
	saying  bool  // what the machine has to say is being sent
	bulk    bool  // the bulk stream is wanted and not there
	onBulk  bool  // it is there
	ended   bool  // the mirror may be another session's
	why     error // it was ended by this end
	calm    bool  // it was up and good at the last tick: the next one is as late as that says
}

// follow runs a session of the feed over a line until it ends.
func (f *feed) follow(ctx context.Context, ln *line) error {
	l := f.link
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	token := make([]byte, 16)
	_, _ = rand.Read(token)
	s := &consumerSession{
		feed: f, line: ln, began: l.hub.now(), token: token, cancel: cancel, ctx: ctx,
		machine: NewConsumer(f.mount.Mirror, l.cfg.Name, token, l.beat()),
	}
	s.machine.beats.clock = l.hub.clock
	s.machine.Export(f.mount.Export)
	var err error
	if s.stream, err = ln.client.Follow(ctx); err != nil {
		return proto.FromStatus(err)
	}
	l.mu.Lock()
	f.session = s
	l.mu.Unlock()
	l.stir()
	s.mu.Lock()
	s.say()
	s.mu.Unlock()
	_, err = s.receive(s.stream)
	l.mu.Lock()
	f.session = nil
	l.mu.Unlock()
	l.stir()
	cancel()
	s.mu.Lock()
	s.ended = true // nobody begins a bulk stream any more
	welcomed := s.machine.welcomed
	if s.why != nil {
		err = s.why
	}
	s.mu.Unlock()
	s.work.Wait()
	if welcomed {
		l.mu.Lock()
		f.status.Heard = f.mount.Mirror.place.Heard // later than the last tick saw: the life that comes next is judged by it
		l.status.Heard = max(l.status.Heard, f.status.Heard)
		l.mu.Unlock()
		f.mount.Mirror.cutNow()
	}
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
			if err = proto.FromStatus(err); tooLarge(err) {
				err = offence{err}
			}
			return frames, err
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
	if s.ended {
		return model.Errorf(model.KindCanceled, "the session has ended")
	}
	err := s.machine.ReceiveRaw(raw, s.feed.link.hub.now())
	if offends(err) && !s.machine.over {
		err = offence{err}
	}
	if s.machine.WantBulk() {
		s.bulk = !s.onBulk
		signal(s.line.wanted)
	}
	s.say()
	if news := s.machine.News(); news && s.calm {
		s.feed.link.stir() // where it is not calm it is looked at all the time
	}
	return err
}

// end ends the session, for a reason.
func (s *consumerSession) end(why error) {
	s.mu.Lock()
	s.why = why
	s.mu.Unlock()
	s.cancel()
}

// readFarewell is why the provider ends a session: for one feed, or for the whole link.
func readFarewell(f *linkv1.Farewell) error {
	err := proto.ToError(f.GetError())
	if err == nil {
		err = model.Errorf(model.KindUnavailable, "the provider ended the session without a reason")
	}
	if f.GetRefusal() != "" {
		err = pki.Told(f.GetRefusal(), err)
	}
	if f.GetLink() {
		err = linkEnds{err}
	}
	return err
}

func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// say lets what the machine has to say be sent. Sending waits where the other end does not read, so a goroutine does it, which is there only while there is
// something: a consumer says a word every few seconds. mu is held, and the session has not ended.
func (s *consumerSession) say() {
	if !s.saying && s.machine.Pending() {
		s.saying = true
		s.work.Go(s.send)
	}
}

// send sends what the machine has to say.
func (s *consumerSession) send() {
	for {
		s.mu.Lock()
		frame, some := s.machine.Next()
		s.saying = some
		s.mu.Unlock()
		if !some || s.stream.Send(frame) != nil {
			return // where it failed receive learns why, and nothing is sent any more
		}
	}
}

// cutNow says that there is no session any more.
func (m *Mirror) cutNow() { m.stale.cut(m.place.Heard, m.hop(), m.ends()) }
