package peering

import (
	"context"
	"time"

	"banyan/model"
	"banyan/pki"
	"banyan/proto/linkv1"
)

const (
	bulkPoll    = 50 * time.Millisecond
	unaskedTime = 500 * time.Millisecond
)

// bulkConns are the bulk connections of a line. All feeds share the one that is in use.
type bulkConns struct {
	line *line
	bulk *provenConn   // in use
	used []*provenConn // all that were
	over bool          // the line ends in favour of another connection, which waits for the next one
}

// open opens the bulk connection when the provider wants it for some feed: it dials, or takes the one that the provider dials. A connection that comes
// unasked is one of a provider that has given up this line, one that has overtaken the frame that asks for it, or another node's of the same ID: which of
// them shows after a moment. It returns when nothing is to be waited for.
func (b *bulkConns) open(spare *provenConn) {
	ln := b.line
	came := time.Now()
	defer func() {
		if spare != nil {
			spare.abandon()
		}
	}()
	for wanting := ln.wantingBulk(); spare != nil || len(wanting) > 0; wanting = ln.wantingBulk() {
		if b.bulk != nil && closed(b.bulk) {
			b.bulk = nil
		}
		switch {
		case len(wanting) > 0 && b.bulk == nil && spare == nil && ln.link.cfg.Dials:
			spare, _ = ln.link.dial(ln.ctx)
		case len(wanting) == 0 && spare != nil && time.Since(came) > unaskedTime:
			if b.over = ln.takenOver(spare); b.over {
				spare = nil
			}
			return
		}
		if len(wanting) > 0 && spare != nil {
			b.bulk, spare, b.used = spare, nil, append(b.used, spare)
			ln.keepOver(b.bulk)
		}
		if b.bulk != nil {
			for _, s := range wanting {
				s.startBulk(b.bulk)
			}
			continue
		}
		extra := ln.link.extra
		if spare != nil {
			extra = nil
		}
		pause := time.NewTimer(bulkPoll)
		select {
		case spare = <-extra:
			came = time.Now()
		case <-pause.C:
		case <-ln.ctx.Done():
			pause.Stop()
			return
		}
		pause.Stop()
	}
}

func (b *bulkConns) abandon() {
	for _, conn := range b.used {
		conn.abandon()
	}
}

// wantingBulk are the sessions whose provider waits for a bulk stream.
func (ln *line) wantingBulk() (wanting []*consumerSession) {
	ln.link.mu.Lock()
	defer ln.link.mu.Unlock()
	for _, f := range ln.link.feeds {
		if f.session == nil {
			continue
		}
		f.session.mu.Lock()
		if f.session.bulk {
			wanting = append(wanting, f.session)
		}
		f.session.mu.Unlock()
	}
	return wanting
}

// keepOver takes the provider's backups over a bulk connection.
func (ln *line) keepOver(conn *provenConn) {
	clientConn, err := conn.grpc()
	if err != nil {
		return
	}
	ln.work.Go(func() { ln.keep(ln.ctx, linkv1.NewLinkServiceClient(clientConn)) })
}

// takenOver ends the line in favour of a connection that the peer has just opened, unless that is another node with the peer's ID.
func (ln *line) takenOver(conn *provenConn) bool {
	l := ln.link
	if _, err := l.meet(ln.ctx, conn, ln.live()); err != nil {
		if _, refused := pki.RefusalOf(err); refused {
			l.hub.log.Warn("a connection was refused", "link", l.cfg.Name, "address", conn.peer.Address, "error", err)
		}
		return false
	}
	select {
	case l.extra <- conn:
	default:
		conn.abandon()
	}
	_ = ln.conn.Close()
	return true
}

// live reports whether the provider is proved to be there.
func (ln *line) live() bool {
	now := ln.link.hub.now()
	ln.link.mu.Lock()
	defer ln.link.mu.Unlock()
	for _, f := range ln.link.feeds {
		if f.session == nil {
			continue
		}
		f.session.mu.Lock()
		downAt, ever := f.session.machine.DownAt()
		f.session.mu.Unlock()
		if ever && now < downAt {
			return true
		}
	}
	return false
}

// startBulk opens the bulk stream of a session.
func (s *consumerSession) startBulk(conn *provenConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.bulk, s.onBulk = false, true
	s.work.Go(func() {
		s.receiveBulk(s.ctx, conn)
		s.mu.Lock()
		s.onBulk = false
		s.mu.Unlock()
	})
}

// receiveBulk takes frames from the bulk stream until it ends.
func (s *consumerSession) receiveBulk(ctx context.Context, conn *provenConn) {
	clientConn, err := conn.grpc()
	if err != nil {
		return
	}
	stream, err := linkv1.NewLinkServiceClient(clientConn).Bulk(ctx)
	if err != nil {
		return
	}
	join := &linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_JoinBulk{JoinBulk: &linkv1.JoinBulk{Session: s.token}}}
	if stream.Send(join) != nil {
		return
	}
	frames, err := s.receive(stream)
	if _, broken := err.(offence); broken { //nolint:errorlint // as in endsWith
		s.end(err)
		return
	}
	if frames == 0 || ctx.Err() != nil {
		return
	}
	// A part of the listing may be lost with it: the feed goes on, in a new session, from what was acknowledged.
	s.feed.link.hub.log.Warn("the bulk stream ended", "link", s.feed.link.cfg.Name, "mount", s.feed.mount.Name, "error", err)
	s.end(model.Errorf(model.KindUnavailable, "the bulk stream broke in a listing: %w", err))
}
