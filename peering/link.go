package peering

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/pki"
)

// LinkConfig says what a link is. A link whose config changes is started anew, unless only its exports or mounts did: they come and go one by one.
type LinkConfig struct {
	Name      string
	Peer      model.NodeID
	Role      pki.Role      // this node's
	Dials     bool          // this node opens the connections
	Addresses []string      // host:port, the preferred one first; needed to dial
	Proxy     Proxy         // through which it dials
	Beat      time.Duration // between heartbeats, at least; 0 is the hub's
	Refusal   pki.Refusal
	Refused   bool // the link may not be used now, for the reason Refusal

	Exports []Export // what is shown; of a provider
	Mounts  []Mount  // what is mounted, and where; of a consumer

	Known model.Chain // of the life of the consumer that was taken last, as it was noted; of a provider, for its start
}

// Export is one of the selections that a provider shows over a link.
type Export struct {
	Name string
	View *follow.View // nil where it cannot be used now
}

// Mount is one of the places where a consumer hangs what it gets over a link.
type Mount struct {
	Name   string
	Export string // its name at the provider; empty for the only one
	Mirror *Mirror
}

// mostFeeds bounds the exports that go over one link at a time.
const mostFeeds = 64

// ExportFor is which of the exports of a link a consumer means by a name, and whether there is one. The empty name, which is all that version 1 knows,
// is the export that the link was made with, which has the link's name, or else the only one: of several none is meant, since a mount must not turn
// into another one when the one that it was made for is gone.
func ExportFor(link, name string, exports []string) (at int, found bool) {
	for i, e := range exports {
		if e == name || name == "" && (e == link || len(exports) == 1) {
			return i, true
		}
	}
	return 0, false
}

// beat is how far apart this end wants heartbeats to be.
func (l *link) beat() time.Duration {
	if l.cfg.Beat > 0 {
		return l.cfg.Beat
	}
	return l.hub.cfg.Beat
}

// sameLink reports whether two are the same but for what they carry.
func (c *LinkConfig) sameLink(other *LinkConfig) bool {
	return c.Name == other.Name && c.Peer == other.Peer && c.Role == other.Role && c.Dials == other.Dials &&
		slices.Equal(c.Addresses, other.Addresses) && c.Proxy == other.Proxy && c.Beat == other.Beat && c.Refused == other.Refused && c.Refusal == other.Refusal
}

// link is one running link: one proven connection with what it carries, which are feeds at a consumer and sessions of exports at a provider.
type link struct {
	cfg LinkConfig // but for exports and mounts, which change while it runs
	hub *Hub

	due     atomic.Int64 // when it is to be looked at next, as model.Time
	judging sync.Mutex   // held while the life of a consumer is judged and taken

	// mu guards all below.
	mu       sync.Mutex
	status   Status
	named    time.Duration    // how far the peer's clock is off, as it was told last; 0 where that is not worth a word
	over     bool             // no connection is taken any more
	known    model.Chain      // of the life of the peer that was taken last
	heard    model.Time       // when the peer was last proved to be there, before this start
	arrivals []arrival        // the newest connections that were not of who came before
	extra    chan *provenConn // connections that the peer dialled
	backups  chan struct{}    // capacity 1: there is a newer backup to be kept by the peer
	problem  error            // why there was no connection the last time
	tries    int              // how often there was none
	hurry    chan struct{}    // capacity 1: the next try is to come now
	news     chan struct{}    // capacity 1: there is something new to tell the peer about this end
	offence  model.Time       // when the peer broke the protocol last
	offences int              // how often it did so of late
	broke    string           // how
	shunned  model.Time       // until then it is not heard

	// Of a consumer.
	feeds []*feed // in the order of their names
	line  *line   // nil while there is no connection

	// Of a provider.
	exports  []Export
	marks    map[string]*Marks // by export
	sessions []*providerSession
	conns    []*provenConn // that gRPC serves
	current  *provenConn   // of conns: the one that sessions are on, or will be
	bulk     *provenConn   // of conns: the newest that this node dialled for listings
	dialling bool          // it is about to be another one
	ended    error         // why the connection ended, where its own end knows
	keeping  int           // streams for backups that stand
	consumer *Told         // what the consumer told of itself
	intake   *intake       // what the consumer has under way, over all connections
	told     chan struct{} // closed when the consumer heard that the link is revoked
}

func newLink(hub *Hub, cfg LinkConfig) *link {
	l := &link{
		cfg: cfg, hub: hub, extra: make(chan *provenConn, 2), backups: make(chan struct{}, 1), told: make(chan struct{}),
		hurry: make(chan struct{}, 1), news: make(chan struct{}, 1), intake: newIntake(mostIntake),
		status: Status{State: StateConnecting, Since: hub.clock()},
	}
	if len(cfg.Known) > 0 {
		l.known, l.heard = cfg.Known, hub.clock() // it may have been here until just now
	}
	if cfg.Refused {
		l.status.State, l.status.Detail = StateDisabled, cfg.Refusal.String()
	}
	l.due.Store(int64(never))
	l.begin(&cfg)
	return l
}

// drop ends what the link is not to carry any more, and returns when none of it is in use.
func (l *link) drop(cfg *LinkConfig) {
	l.dropExports(cfg.Exports)
	l.dropMounts(cfg.Mounts)
}

// carry begins what the link is to carry. What it is not to carry any more was dropped.
func (l *link) carry(cfg *LinkConfig) {
	l.begin(cfg)
	l.report()
}

func (l *link) begin(cfg *LinkConfig) {
	l.mu.Lock()
	l.exports = slices.Clone(cfg.Exports)
	l.mu.Unlock()
	for _, m := range cfg.Mounts {
		l.addMount(m)
	}
}

// run keeps the link up until ctx ends, and tells the peer then.
func (l *link) run(ctx context.Context) {
	defer l.finish()
	switch {
	case l.cfg.Refused && l.cfg.Refusal == pki.Revoked && l.cfg.Role == pki.RoleProvider && l.cfg.Dials:
		l.tellRevoked(ctx)
		return
	case l.cfg.Refused, l.cfg.Role == pki.RoleProvider && !l.cfg.Dials:
		<-ctx.Done() // the peer comes to us
		return
	}
	for attempt := 0; ctx.Err() == nil; {
		began := l.hub.now()
		conn, err := l.connect(ctx)
		if err == nil {
			l.set(StateStarting, "", conn.peer.Address)
			if l.cfg.Role == pki.RoleConsumer {
				err = l.consume(ctx, conn)
			} else {
				err = l.provide(ctx, conn)
			}
		}
		l.lost(err)
		if time.Duration(l.hub.now()-began) > steadyTime {
			attempt = 0
		}
		if l.cfg.Dials {
			l.rest(ctx, max(l.pause(), backoff(attempt, l.hub.cfg.Reconnect)))
			attempt++
		}
	}
}

// finish ends the sessions, telling a consumer why, and closes all connections.
func (l *link) finish() {
	if !l.sayFarewell() {
		return
	}
	l.mu.Lock()
	conns := l.conns
	l.over = true
	l.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
	}
	for {
		select {
		case conn := <-l.extra:
			_ = conn.Close()
		default:
			return
		}
	}
}

// Times of reconnecting: the first try comes at once, the next ones at growing distances, each by chance between half and all of it.
const (
	firstPause = 250 * time.Millisecond
	steadyTime = 10 * time.Second
	dialTime   = 5 * time.Second
)

func backoff(attempt int, most time.Duration) time.Duration {
	pause := min(most, firstPause<<min(attempt, 8))
	return pause/2 + rand.N(pause/2)
}

// rest is the pause between two tries, which ends early where somebody wants to know what becomes of the next one.
func (l *link) rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-l.hurry:
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// connect dials the addresses, or waits for the peer to.
func (l *link) connect(ctx context.Context) (*provenConn, error) {
	if !l.cfg.Dials {
		select {
		case conn := <-l.extra:
			return conn, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return l.dial(ctx)
}

func (l *link) dial(ctx context.Context) (*provenConn, error) {
	if len(l.cfg.Addresses) == 0 {
		return nil, &model.Error{
			Kind: model.KindInvalid, Detail: "link " + l.cfg.Name + " has no address to dial", Remedy: "set its addresses to host:port",
		}
	}
	config := l.hub.pkiConfig(pki.ProtocolConsumer)
	if l.cfg.Role == pki.RoleProvider {
		config = l.hub.pkiConfig(pki.ProtocolProvider)
	}
	config.Node = l.cfg.Peer
	conn, route, err := l.hub.connectTo(ctx, l.cfg.Name, Destination{l.cfg.Addresses, l.cfg.Proxy}, config)
	if err == nil {
		l.mu.Lock()
		l.status.Route = route
		l.mu.Unlock()
		l.arrived(conn)
	}
	return conn, err
}

// offer takes a connection that the peer dialled: a consumer's opens its streams on it, urgent or bulk; a provider's is the line of the feeds, or the bulk
// connection beside it, or a new line of a peer that has given up the old one.
func (l *link) offer(conn *provenConn) {
	if l.cfg.Role == pki.RoleProvider {
		l.adopt(conn)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		select {
		case l.extra <- conn:
			return
		default:
		}
	}
	_ = conn.Close()
}

func closed(conn *provenConn) bool {
	select {
	case <-conn.done:
		return true
	default:
		return false
	}
}

// startTime is how long a session may take until its first heartbeat has passed both ways.
const startTime = 10 * time.Second
