package peering

import (
	"context"
	"slices"
	"strings"
	"time"

	"banyan/fault"
	"banyan/model"
	"banyan/pki"
)

// feed is one mount of a consumer's link. It has a session of its own on whatever line the link has, and begins it anew by itself.
type feed struct {
	link  *link
	mount Mount

	// link.mu guards all below.
	status  FeedStatus
	session *consumerSession   // nil while there is none
	stop    context.CancelFunc // ends its work on the line, nil while there is none
	done    chan struct{}      // closed when that has ended
}

// dropMounts ends the feeds that are not wanted any more. Their mirrors are in use no longer when it returns.
func (l *link) dropMounts(wanted []Mount) {
	l.mu.Lock()
	var ended []*feed
	l.feeds = slices.DeleteFunc(l.feeds, func(f *feed) bool {
		gone := !slices.Contains(wanted, f.mount)
		if gone {
			ended = append(ended, f)
		}
		return gone
	})
	for _, f := range ended {
		if f.stop != nil {
			f.stop()
		}
	}
	l.mu.Unlock()
	for _, f := range ended {
		if f.done != nil {
			<-f.done
		}
	}
}

// addMount adds a feed, and starts it where there is a line.
func (l *link) addMount(m Mount) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.ContainsFunc(l.feeds, func(f *feed) bool { return f.mount == m }) {
		return
	}
	at := m.Mirror.Place()
	if len(at.Chain) > 0 && (len(l.known) == 0 || at.Heard > l.heard) {
		l.known = at.Chain
	}
	l.heard = max(l.heard, at.Heard)
	f := &feed{link: l, mount: m, status: FeedStatus{
		Mount: m.Name, Export: m.Export, State: StateConnecting, Since: l.hub.clock(), Stale: true, Contexts: m.Mirror.Count(), Heard: at.Heard, AsOf: at.Heard,
	}}
	l.feeds = append(l.feeds, f)
	slices.SortFunc(l.feeds, func(a, b *feed) int { return strings.Compare(a.mount.Name, b.mount.Name) })
	if l.line != nil {
		f.start(l.line)
	}
}

// start lets a feed work on a line. link.mu is held.
func (f *feed) start(ln *line) {
	ctx, cancel := context.WithCancel(ln.ctx)
	done := make(chan struct{})
	f.stop, f.done = cancel, done
	f.begin()
	f.mount.Mirror.stirs(f.link.stir)
	ln.work.Go(func() {
		defer close(done)
		f.run(ctx, ln)
	})
}

// run keeps a session on the line until ctx ends: what one feed is refused leaves the others alone.
func (f *feed) run(ctx context.Context, ln *line) {
	for attempt := 0; ctx.Err() == nil && !closed(ln.conn); attempt++ {
		began := f.link.hub.now()
		err := ln.carries(f)
		if err == nil {
			err = f.follow(ctx, ln)
			if o, broken := err.(offence); broken { //nolint:errorlint // as in endsWith
				f.link.offended(o.error)
			}
			if ctx.Err() != nil {
				return
			}
			if ln.endsWith(err) {
				ln.fail(err)
				return
			}
		}
		f.ended(err)
		if time.Duration(f.link.hub.now()-began) > steadyTime {
			attempt = 0
		}
		pause := time.NewTimer(backoff(attempt, f.link.hub.cfg.Reconnect))
		select {
		case <-pause.C:
		case <-ln.conn.done:
		case <-ctx.Done():
		}
		pause.Stop()
	}
}

// ended notes why a session ended that the line outlives. What is not granted any more is taken out of the tree: no session uses the mirror now.
func (f *feed) ended(err error) {
	reason, refused := pki.RefusalOf(err)
	switch {
	case refused && reason == pki.Withdrawn:
		f.withdraw(err.Error())
	case refused, model.KindOf(err) == model.KindUnsupported:
		f.turn(StateRefused, err.Error())
	default:
		f.turn(StateStarting, err.Error())
	}
	f.link.failed(err.Error())
	f.link.report()
}

func (f *feed) withdraw(detail string) {
	if m := f.mount.Mirror; m.Count() > 0 || m.place.View != 0 {
		m.Purge()
	}
	f.link.mu.Lock()
	f.status.Stale, f.status.Contexts, f.status.Loop = false, 0, ""
	f.link.mu.Unlock()
	f.turn(StateWithdrawn, detail)
}

func (f *feed) turn(state State, detail string) {
	f.link.mu.Lock()
	defer f.link.mu.Unlock()
	f.status.turn(state, detail, f.link.hub.clock())
}

// begin says that a session is tried. What was withdrawn stays so until a session is up. link.mu is held.
func (f *feed) begin() {
	if f.status.State != StateWithdrawn {
		f.status.turn(StateStarting, "", f.link.hub.clock())
	}
}

// cutFeeds says that there is no line any more, and takes out of the tree what was mirrored where it was revoked. No session uses a mirror now.
func (l *link) cutFeeds(revoked bool, detail string) {
	l.mu.Lock()
	feeds := slices.Clone(l.feeds)
	l.mu.Unlock()
	for _, f := range feeds {
		l.mu.Lock()
		gone := f.status.State == StateWithdrawn
		l.mu.Unlock()
		switch {
		case revoked:
			f.withdraw(detail)
		case !gone:
			f.turn(StateConnecting, "")
		}
	}
}

// tickFeeds lets the sessions of feeds send heartbeats, and ends those where they do not pass: one where they pass in others beside it begins
// anew, else the line has broken.
func (l *link) tickFeeds(now model.Time) (due model.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.again()
	due = never
	var silent []*feed
	var newest model.Time // when the newest beat was sent that came back
	sessions := 0
	for _, f := range l.feeds {
		if f.session == nil {
			continue
		}
		sessions++
		state, echoed, name, again := f.session.tick(now, &f.status)
		due = min(due, again)
		if name != "" {
			l.status.PeerName = name
		}
		if state == "" || f.status.State == StateWithdrawn && state == StateStarting {
			continue
		}
		newest = max(newest, echoed)
		f.status.turn(state, describe(state), l.hub.clock())
		if state == StateStale {
			silent = append(silent, f)
		}
	}
	for _, f := range silent {
		if l.line == nil || f.session.silentAlone(newest) {
			f.session.end(model.Errorf(model.KindTimeout, "no heartbeat passes both ways, while others on the connection do"))
		} else {
			_ = l.line.conn.Close()
		}
	}
	if l.line != nil {
		due = min(due, l.line.standby(now, sessions))
	}
	return due
}

// describe is what there is to say of a state by itself.
func describe(state State) string {
	switch state {
	case StateStale:
		return "no heartbeat passes both ways"
	case StateStalled:
		return "something that was told does not arrive"
	default:
		return ""
	}
}

// tick sends heartbeats and says how the session is, when the newest beat was sent that came back, what the provider calls itself, and when it is to be
// called again.
func (s *consumerSession) tick(now model.Time, status *FeedStatus) (state State, echoed model.Time, peer string, due model.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return "", 0, "", never
	}
	s.machine.Tick(now)
	s.say()
	s.figures(now, status)
	downAt, ever := s.machine.DownAt()
	state = StateUp
	switch {
	case !ever && time.Duration(now-s.began) < startTime:
		state = StateStarting
	case now >= downAt:
		state = StateStale
		if !fault.Planted(fault.StaleNeverSet) {
			s.machine.Cut()
		}
	case !s.machine.Up(now):
		state = StateStalled
	}
	if s.calm = state == StateUp && !status.Stale && !s.machine.anew; !s.calm {
		return state, s.machine.beats.echoed, s.machine.PeerName(), now
	}
	return state, s.machine.beats.echoed, s.machine.PeerName(), min(s.machine.beats.rests(), downAt)
}

// figures are what there is to say of the session besides its state. mu is held.
func (s *consumerSession) figures(now model.Time, status *FeedStatus) {
	m := s.machine.mirror
	status.Lag, status.Skew, status.Heard = s.machine.Lag(), s.machine.beats.skew, m.place.Heard
	status.Beat, status.Wanted = s.machine.beats.interval, s.machine.wanted
	status.Stale, status.Contexts, status.Loop = m.stale.link != nil, m.Count(), m.Loop()
	status.Refused = m.Refused()
	status.AsOf, status.Lanes, status.Interval = m.place.Heard, s.machine.beats.behind(now), s.machine.interval()
	if m.stale.link != nil {
		status.AsOf = m.stale.link.Since
	}
}

// refresh brings the figures of what the link carries up to now: between two looks they move on. mu is held.
func (l *link) refresh(now model.Time) {
	for _, f := range l.feeds {
		if f.session != nil {
			f.session.refresh(now, &f.status)
		}
	}
	for _, s := range l.sessions {
		s.mu.Lock()
		s.figures(&s.status)
		s.mu.Unlock()
	}
}

func (s *consumerSession) refresh(now model.Time, status *FeedStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.figures(now, status)
	}
}

// silentAlone reports whether heartbeats of another session on the line went and came back after this one's had stopped to.
func (s *consumerSession) silentAlone(newest model.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return newest > max(s.began, s.machine.beats.echoed)+model.Time(s.machine.beats.interval)
}
