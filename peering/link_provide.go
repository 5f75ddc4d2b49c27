package peering

import (
	"context"
	"slices"
	"sync"
	"time"

	"banyan/fault"
	"banyan/model"
	"banyan/pki"
	"banyan/proto"
	"banyan/proto/linkv1"
)

// provide serves the connection that this node dialled until it ends.
func (l *link) provide(ctx context.Context, conn *provenConn) error {
	l.mu.Lock()
	l.ended = nil
	l.mu.Unlock()
	began := l.hub.now()
	l.adopt(conn)
	ticker := time.NewTicker(startTime)
	defer ticker.Stop()
	for {
		select {
		case <-conn.done:
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.ended
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if !l.uses(conn) && time.Duration(l.hub.now()-max(began, model.Time(conn.heard.Load()))) > 3*standbyTime {
			_ = conn.Close()
			return model.Errorf(model.KindTimeout, "the consumer has no session on the connection")
		}
	}
}

// uses reports whether a session is on a connection.
func (l *link) uses(conn *provenConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.sessions, func(s *providerSession) bool { return s.conn == conn })
}

// adopt hands a connection to gRPC, and remembers it so that it ends with the link.
func (l *link) adopt(conn *provenConn) {
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		_ = conn.Close()
		return
	}
	conn.intake = l.intake
	l.conns = append(slices.DeleteFunc(l.conns, closed), conn)
	if len(l.conns) > mostConns {
		_ = l.conns[0].Close()
		l.conns = slices.Delete(l.conns, 0, 1)
	}
	if l.current == nil || closed(l.current) {
		l.current = conn
		l.status.Address = conn.peer.Address
	}
	l.mu.Unlock()
	l.stir()
	l.hub.inlet.hand(conn)
}

// enter begins a session of what the consumer asks for, or says why it gets nothing. Sessions on an older connection end: the consumer has given it
// up, or is about to.
func (l *link) enter(hello *linkv1.Hello, conn *provenConn, cancel context.CancelFunc) (*providerSession, *linkv1.Farewell) {
	if hello == nil {
		return nil, &linkv1.Farewell{Error: proto.FromError(model.Errorf(model.KindInvalid, "received a frame before the hello"))}
	}
	now := l.hub.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	export, refused := l.shown(hello.GetExport())
	if refused != nil {
		return nil, refused
	}
	if l.over {
		return nil, &linkv1.Farewell{Link: true, Error: proto.FromError(model.Errorf(model.KindUnavailable, "the link has ended"))}
	}
	if len(l.sessions) >= mostFeeds {
		return nil, &linkv1.Farewell{Error: proto.FromError(model.Errorf(model.KindExhausted, "a link carries %d exports at most at a time", mostFeeds))}
	}
	for _, s := range l.sessions {
		if s.conn != conn {
			s.cancel()
		}
	}
	s := &providerSession{
		link: l, conn: conn, asked: hello.GetExport(), export: export, began: now, cancel: cancel, token: string(hello.GetSession()),
		in: make(chan *linkv1.ConsumerFrame, 16), ticks: make(chan model.Time, 1), leave: make(chan *linkv1.Farewell, 1), done: make(chan struct{}),
		bulk: make(chan *linkv1.ProviderFrame), broken: make(chan struct{}, 1), offered: make(chan struct{}, 1), nudge: make(chan struct{}, 1),
		status: FeedStatus{Export: export.Name, State: StateStarting, Since: l.hub.clock()},
	}
	l.sessions, l.ended = append(l.sessions, s), nil
	defer l.stir()
	l.current, l.status.Version = conn, min(protocolVersion, hello.GetVersion())
	l.status.Address = conn.peer.Address
	return s, nil
}

// leave says that a session has ended.
func (l *link) leave(s *providerSession) {
	l.mu.Lock()
	l.sessions = slices.DeleteFunc(l.sessions, func(other *providerSession) bool { return other == s })
	gone := len(l.sessions) == 0 && !l.cfg.Dials && (l.current == nil || closed(l.current))
	l.mu.Unlock()
	close(s.done)
	l.stir()
	if gone {
		l.lost(nil)
	}
}

// shown is the export that a name asks for. What is not there and what is not for this consumer are told alike. mu is held.
func (l *link) shown(name string) (Export, *linkv1.Farewell) {
	names := make([]string, len(l.exports))
	for i := range l.exports {
		names[i] = l.exports[i].Name
	}
	at, found := ExportFor(l.cfg.Name, name, names)
	switch {
	case !found && name == "":
		return Export{}, withdrawn("nothing is shown over this link")
	case !found:
		return Export{}, withdrawn("no export of this name is shown over this link")
	case l.exports[at].View == nil:
		return Export{}, &linkv1.Farewell{Error: proto.FromError(model.Errorf(model.KindUnavailable, "the export cannot be used now"))}
	}
	return l.exports[at], nil
}

func withdrawn(detail string) *linkv1.Farewell {
	return &linkv1.Farewell{Error: proto.FromError(pki.Refuse(pki.Withdrawn, detail)), Refusal: pki.Withdrawn.String()}
}

// dropExports ends the sessions whose export is not shown any more, telling the consumer so, and those that show something else now.
func (l *link) dropExports(wanted []Export) {
	l.mu.Lock()
	l.exports = slices.Clone(wanted)
	sessions := slices.Clone(l.sessions)
	l.mu.Unlock()
	var work sync.WaitGroup
	for _, s := range sessions {
		l.mu.Lock()
		now, refused := l.shown(s.asked)
		l.mu.Unlock()
		switch {
		case refused == nil && now == s.export:
			continue
		case refused == nil:
			refused = &linkv1.Farewell{Error: proto.FromError(model.Errorf(model.KindUnavailable, "the export was changed: it begins anew"))}
		}
		work.Go(func() { s.farewell(refused) })
	}
	work.Wait()
}

// sayFarewell ends all sessions, telling the consumer why, and reports whether the connections are to be closed. It waits a moment for the consumer
// to do so.
func (l *link) sayFarewell() bool {
	l.mu.Lock()
	sessions := slices.Clone(l.sessions)
	l.mu.Unlock()
	if fault.Planted(fault.RevokedStaysOpen) {
		return false
	}
	if len(sessions) == 0 {
		return true
	}
	farewell := l.hub.reason(l.cfg.Name)
	var work sync.WaitGroup
	for _, s := range sessions {
		work.Go(func() { s.farewell(farewell) })
	}
	work.Wait()
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-sessions[0].conn.done:
	case <-timer.C:
	}
	return true
}

// tickSessions lets the sessions send heartbeats, and ends those where they do not pass: one where they pass in others beside it alone, else the
// connection has broken.
func (l *link) tickSessions(now model.Time) (due model.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var silent []*providerSession
	var newest model.Time // when the newest beat was sent that came back
	if due = never; len(l.sessions) == 0 && l.current != nil {
		due = now // until somebody begins one, or it is closed
	}
	for _, s := range l.sessions {
		state, echoed, again := s.tick(now, &s.status)
		due = min(due, again)
		s.status.turn(state, describe(state), l.hub.clock())
		newest = max(newest, echoed)
		if state == StateStale {
			silent = append(silent, s)
		}
	}
	for _, s := range silent {
		if !s.silentAlone(newest) {
			_ = s.conn.Close()
		}
		s.end()
	}
	return due
}

// idle sets the state of a link on which there is no session, and reports whether that is another. mu is held.
func (l *link) idle() bool {
	if l.current != nil && closed(l.current) {
		l.current = nil
		for _, conn := range l.conns {
			if !closed(conn) {
				l.current = conn
			}
		}
	}
	state, detail := l.status.State, l.status.Detail
	switch {
	case l.current != nil && l.current.heard.Load() != 0:
		state, detail = StateIdle, "the other node mounts nothing of what is shown"
		if len(l.exports) == 0 {
			detail = "nothing is shown over it"
		}
	case l.current == nil && state != StateConnecting && state != StateRefused && state != StateDisabled:
		state, detail = StateConnecting, ""
	}
	return l.turn(state, detail)
}

// tellRevoked dials the consumer of a link that was revoked until it has heard so: it would keep what it has, as of a link that is cut.
func (l *link) tellRevoked(ctx context.Context) {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		conn, err := l.dial(ctx)
		if err == nil {
			l.adopt(conn)
			select {
			case <-conn.done:
			case <-time.After(startTime):
			case <-ctx.Done():
			}
			_ = conn.Close()
		}
		select {
		case <-l.told:
			return
		default:
		}
		sleep(ctx, backoff(attempt, l.hub.cfg.Reconnect))
	}
}

// hasTold notes that the consumer heard that the link may not be used.
func (l *link) hasTold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.told:
	default:
		close(l.told)
	}
}

// marksOf are the numbers by which the consumer is told positions of an export. They outlive sessions.
func (l *link) marksOf(export string) *Marks {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.marks == nil {
		l.marks = make(map[string]*Marks)
	}
	if l.marks[export] == nil {
		l.marks[export] = NewMarks()
	}
	return l.marks[export]
}
