package peering

import (
	"slices"
	"strings"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/pki"
)

// State is how a link is, or one of its feeds.
type State string

// The states.
const (
	StateConnecting State = "connecting" // no connection yet, or not any more
	StateStarting   State = "starting"   // connected, and not proved to work both ways yet
	StateUp         State = "up"         // of a link: all its feeds are
	StatePartial    State = "partial"    // of a link: some feeds are up and some are not
	StateIdle       State = "idle"       // of a link: connected, and it carries nothing
	StateStalled    State = "stalled"    // beats pass, and something that was told does not arrive
	StateStale      State = "stale"      // beats do not pass
	StateRefused    State = "refused"
	StateWithdrawn  State = "withdrawn" // of a feed: what it carried is not granted any more
	StateDisabled   State = "disabled"
)

// Status is the state of a link with everything that explains it.
type Status struct {
	State    State
	Since    model.Time
	Skew     time.Duration // how far the clock of the peer is ahead of this node's, negative for behind
	Lag      time.Duration // round trip of the newest heartbeat, of the feed where it took longest
	Detail   string
	Address  string     // of the other end
	Route    string     // how it was dialled, by name, address and proxy; empty where the peer dials
	Problem  string     // why there was no connection the last time that there was none, also when there is one again
	Failed   model.Time // when that was
	PeerName string
	Version  uint32        // of the protocol, that both ends speak; 0 before that is known
	Heard    model.Time    // when the peer was last proved to be there
	Stale    bool          // some of what is mirrored is stale since the link was cut, of a consumer: until all has been applied that was told after it
	Contexts int           // that are mirrored, of a consumer
	Loop     string        // route by which something of this node came back to it and was refused
	Beat     time.Duration // how far apart heartbeats are, of the feed where they are furthest
	Feeds    []FeedStatus  // what it carries, in the order of names; not to be written to
}

// FeedStatus is how one of the feeds of a link is: a mount at a consumer, at a provider an export that the consumer follows.
type FeedStatus struct {
	Mount    string // empty at a provider
	Export   string // empty at a consumer for the only one
	State    State
	Since    model.Time
	Detail   string
	Lag      time.Duration
	Skew     time.Duration
	Heard    model.Time
	Stale    bool
	AsOf     model.Time    // what is mirrored was true then, of a mount
	Lanes    []LaneLag     // how long what is missing has been on its way, of a mount
	Interval time.Duration // samples come at least this far apart, of a mount: 0 live, below 0 never
	Contexts int
	Loop     string
	Refused  string                // nodes behind the provider that are not taken, and why; of a consumer
	Beat     time.Duration         // how far apart heartbeats are: a cut is noticed after two
	Wanted   []follow.InterestRule // at which pace samples are asked for, of a consumer; not to be written to
}

// name is what a feed is called where there are several.
func (f *FeedStatus) name() string {
	if f.Mount != "" {
		return f.Mount
	}
	return f.Export
}

// turn sets a feed's state.
func (f *FeedStatus) turn(state State, detail string, now model.Time) {
	if f.State != state {
		f.Since = now
	}
	f.State, f.Detail = state, detail
}

// told reports whether two are told alike to whoever watches: figures may differ.
func (f *FeedStatus) told(other *FeedStatus) bool {
	return f.Mount == other.Mount && f.Export == other.Export && f.State == other.State && f.Detail == other.Detail &&
		f.Stale == other.Stale && f.Loop == other.Loop && f.Refused == other.Refused &&
		f.Beat == other.Beat && slices.EqualFunc(f.Wanted, other.Wanted, sameRule)
}

// worst are the states of feeds that are not up, the one that counts most first.
var worst = []State{StateStale, StateRefused, StateWithdrawn, StateStalled, StateConnecting, StateStarting}

// judge is how a link is that carries these feeds: up only where all of them are.
func judge(feeds []FeedStatus) (State, string) {
	var bad []string
	state, up := StateUp, 0
	for i := range feeds {
		f := &feeds[i]
		if f.State == StateUp {
			up++
			continue
		}
		if state == StateUp || slices.Index(worst, f.State) < slices.Index(worst, state) {
			state = f.State
		}
		text := f.Detail
		if len(feeds) > 1 {
			text = strings.TrimSuffix(f.name()+" is "+string(f.State)+": "+text, ": ")
		}
		bad = append(bad, text)
	}
	if up > 0 && up < len(feeds) {
		state = StatePartial
	}
	return state, strings.Join(bad, "; ")
}

// report works out how the link is from what it carries, and tells who watches.
func (l *link) report() {
	l.mu.Lock()
	feeds := l.carried()
	turned := !slices.EqualFunc(feeds, l.status.Feeds, func(a, b FeedStatus) bool { return a.told(&b) })
	l.sum(feeds)
	switch {
	case l.cfg.Role == pki.RoleProvider && len(feeds) == 0:
		turned = l.idle() || turned
	case l.cfg.Role == pki.RoleConsumer && l.line == nil:
	case len(feeds) == 0:
		turned = l.turn(StateIdle, "nothing is mounted over it") || turned
	default:
		state, detail := judge(feeds)
		if detail == "" {
			detail = l.wrongClock()
		}
		turned = l.turn(state, detail) || turned
	}
	l.mu.Unlock()
	if turned {
		l.tell()
	}
}

// carried is how everything is that the link carries. mu is held.
func (l *link) carried() (feeds []FeedStatus) {
	if l.cfg.Role == pki.RoleConsumer {
		for _, f := range l.feeds {
			feeds = append(feeds, f.status)
		}
		return feeds
	}
	for _, s := range l.sessions {
		if !closed(s.conn) { // else it has ended, and is about to notice
			feeds = append(feeds, s.status)
		}
	}
	slices.SortStableFunc(feeds, func(a, b FeedStatus) int { return strings.Compare(a.Export, b.Export) })
	return feeds
}

// sum adds up feeds. mu is held.
func (l *link) sum(feeds []FeedStatus) {
	s := &l.status
	s.Feeds, s.Lag, s.Beat, s.Stale, s.Contexts, s.Loop = feeds, 0, 0, false, 0, ""
	newest := model.Time(0) // not s.Heard: a clock can be set back
	for i := range feeds {
		f := &feeds[i]
		if f.Heard > newest {
			newest, s.Heard, s.Skew = f.Heard, f.Heard, f.Skew
		}
		s.Lag, s.Beat, s.Stale, s.Contexts = max(s.Lag, f.Lag), max(s.Beat, f.Beat), s.Stale || f.Stale, s.Contexts+f.Contexts
		if s.Loop == "" {
			s.Loop = f.Loop
		}
	}
}

// tell tells who watches how the link is.
func (l *link) tell() { l.hub.changed(l.cfg.Name, l.statusNow()) }

// statusAsOf is how the link is, with figures as of now.
func (l *link) statusAsOf(now model.Time) Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refresh(now)
	told := l.status
	if len(told.Feeds) > 0 {
		l.sum(l.carried())
	}
	status := l.status
	l.status = told // what is new of it is told at the next look
	return status
}

func (l *link) statusNow() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

// turn sets the state, and reports whether that is another. mu is held.
func (l *link) turn(state State, detail string) bool {
	changed := l.status.State != state || l.status.Detail != detail
	if l.status.State != state {
		l.status.Since = l.hub.clock()
		if state == StateUp {
			l.hub.traffic.ups.Add(1)
		}
	}
	l.status.State, l.status.Detail = state, detail
	return changed
}

func (l *link) set(state State, detail, address string) {
	l.mu.Lock()
	changed := l.turn(state, detail)
	if address != "" {
		l.status.Address = address
	}
	l.mu.Unlock()
	if changed {
		l.tell()
	}
}

// lost notes why there is no connection. What a provider has revoked is taken out of the tree.
func (l *link) lost(err error) {
	state, detail := StateConnecting, ""
	if err != nil {
		detail = err.Error()
		reason, refused := pki.RefusalOf(err)
		if refused {
			state = StateRefused
		}
		l.hub.traffic.failures.Add(1)
		l.failed(detail)
		l.mu.Lock()
		l.problem = err
		l.tries++
		l.mu.Unlock()
		l.cutFeeds(refused && reason == pki.Revoked, detail)
	} else {
		l.cutFeeds(false, "")
	}
	l.set(state, detail, "")
	l.report()
}

// failed notes a problem, to be found also when it is over.
func (l *link) failed(detail string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status.Problem, l.status.Failed = detail, l.hub.clock()
}
