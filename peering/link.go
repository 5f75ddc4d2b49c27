package peering

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"banyan/fault"
	"banyan/follow"
	"banyan/model"
	"banyan/pki"
	"banyan/proto"
	"banyan/proto/linkv1"
)

// LinkConfig says what a link is. A link whose config changes is started anew.
type LinkConfig struct {
	Name      string
	Peer      model.NodeID
	Role      pki.Role // this node's
	Dials     bool     // this node opens the connections
	Addresses []string // host:port, the preferred one first; needed to dial
	Proxy     Proxy    // through which it dials
	Refusal   pki.Refusal
	Refused   bool // the link may not be used now, for the reason Refusal

	View   *follow.View // what is exported; of a provider
	Mirror *Mirror      // where it is mounted; of a consumer
}

func (c *LinkConfig) equal(other *LinkConfig) bool {
	return c.Name == other.Name && c.Peer == other.Peer && c.Role == other.Role && c.Dials == other.Dials &&
		slices.Equal(c.Addresses, other.Addresses) && c.Proxy == other.Proxy && c.Refused == other.Refused && c.Refusal == other.Refusal &&
		c.View == other.View && c.Mirror == other.Mirror
}

// State is how a link is.
type State string

// The states of a link.
const (
	StateConnecting State = "connecting" // no connection yet, or not any more
	StateStarting   State = "starting"   // connected, and not proved to work both ways yet
	StateUp         State = "up"
	StateStalled    State = "stalled" // beats pass, and something that was told does not arrive
	StateStale      State = "stale"   // beats do not pass
	StateRefused    State = "refused"
	StateDisabled   State = "disabled"
)

// Status is the state of a link with everything that explains it.
type Status struct {
	State    State
	Since    model.Time
	Skew     time.Duration // how far the clock of the peer is ahead of this node's, negative for behind
	Lag      time.Duration // round trip of the newest heartbeat
	Detail   string
	Address  string     // of the other end
	Route    string     // how it was dialled, by name, address and proxy; empty where the peer dials
	Problem  string     // why there was no connection the last time that there was none, also when there is one again
	Failed   model.Time // when that was
	PeerName string
	Heard    model.Time // when the peer was last proved to be there
	Stale    bool       // what is mirrored is stale since the link was cut, of a consumer: until all has been applied that was told after it
	Contexts int        // that are mirrored, of a consumer
	Loop     string     // route by which something of this node came back to it and was refused
}

// link is one running link.
type link struct {
	cfg LinkConfig
	hub *Hub

	// mu guards all below.
	mu       sync.Mutex
	status   Status
	conns    []*provenConn // that gRPC serves, of a provider
	ended    error         // why the newest session ended, where its own end knows
	consumer *consumerSession
	provider *providerSession
	over     bool             // no connection is taken any more
	known    model.Chain      // of the life that was taken last, of a consumer
	heard    model.Time       // when the peer was last proved to be there, before this start
	extra    chan *provenConn // connections that the peer dialled
	backups  chan struct{}    // capacity 1: there is a newer backup to be kept by the peer
}

func newLink(hub *Hub, cfg LinkConfig) *link {
	l := &link{cfg: cfg, hub: hub, extra: make(chan *provenConn, 2), backups: make(chan struct{}, 1)}
	if cfg.Mirror != nil {
		at := cfg.Mirror.Place()
		l.known, l.heard = at.Chain, at.Heard
	}
	l.status = Status{State: StateConnecting, Since: hub.clock()}
	if cfg.Refused {
		l.status.State, l.status.Detail = StateDisabled, cfg.Refusal.String()
	}
	return l
}

// run keeps the link up until ctx ends, and tells the peer then.
func (l *link) run(ctx context.Context) {
	defer l.finish()
	if l.cfg.Refused || l.cfg.Role == pki.RoleProvider && !l.cfg.Dials {
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
			sleep(ctx, backoff(attempt, l.hub.cfg.Reconnect))
			attempt++
		}
	}
}

// provide serves the connection that this node dialled until it ends.
func (l *link) provide(ctx context.Context, conn *provenConn) error {
	l.mu.Lock()
	l.ended = nil
	l.mu.Unlock()
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
		l.mu.Lock()
		used := l.provider != nil && l.provider.conn == conn
		l.mu.Unlock()
		if !used {
			_ = conn.Close()
			return model.Errorf(model.KindTimeout, "the consumer has no session on the connection")
		}
	}
}

// adopt hands a connection to gRPC, and remembers it so that it ends with the link.
func (l *link) adopt(conn *provenConn) {
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		_ = conn.Close()
		return
	}
	kept := l.conns[:0]
	for _, other := range l.conns {
		if !closed(other) {
			kept = append(kept, other)
		}
	}
	l.conns = append(kept, conn)
	l.mu.Unlock()
	l.hub.feed.hand(conn)
}

// finish ends the session, telling a consumer why, and closes all connections.
func (l *link) finish() {
	l.mu.Lock()
	session := l.provider
	l.mu.Unlock()
	if session != nil && !fault.Planted(fault.RevokedStaysOpen) {
		session.farewell(l.hub.reason(l.cfg.Name))
	}
	if fault.Planted(fault.RevokedStaysOpen) {
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
	conn, route, err := l.hub.connectTo(ctx, Destination{l.cfg.Addresses, l.cfg.Proxy}, config)
	if err == nil {
		l.mu.Lock()
		l.status.Route = route
		l.mu.Unlock()
	}
	return conn, err
}

// offer takes a connection that the peer dialled: a consumer's opens its streams on it, urgent or bulk; a provider's is the session's, or its bulk
// connection, or a new session of a peer that has given up the old one.
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

func (l *link) set(state State, detail, address string) {
	l.mu.Lock()
	changed := l.status.State != state || l.status.Detail != detail
	if l.status.State != state {
		l.status.Since = l.hub.clock()
		if state == StateUp {
			l.hub.traffic.ups.Add(1)
		}
	}
	l.status.State, l.status.Detail = state, detail
	if address != "" {
		l.status.Address = address
	}
	status := l.status
	l.mu.Unlock()
	if changed {
		l.hub.changed(l.cfg.Name, status)
	}
}

// lost notes why there is no connection.
func (l *link) lost(err error) {
	if l.cfg.Mirror != nil {
		l.cfg.Mirror.cutNow()
	}
	state, detail := StateConnecting, ""
	if err != nil {
		detail = err.Error()
		if _, refused := pki.RefusalOf(err); refused {
			state = StateRefused
		}
		l.mu.Lock()
		l.status.Problem, l.status.Failed = detail, l.hub.clock()
		l.hub.traffic.failures.Add(1)
		l.mu.Unlock()
	}
	l.set(state, detail, "")
}

// tick lets the sessions send heartbeats, notices when they do not pass, and ends the session then.
func (l *link) tick(now model.Time) {
	l.mu.Lock()
	consumer, provider := l.consumer, l.provider
	l.mu.Unlock()
	state, turned := State(""), false // turned: what is mounted is told differently, though the link may be as it was
	switch {
	case consumer != nil:
		state = consumer.tick(now)
		l.mu.Lock()
		stale, loop := l.status.Stale, l.status.Loop
		consumer.tell(&l.status)
		turned = stale != l.status.Stale || loop != l.status.Loop
		l.mu.Unlock()
		if state == StateStale {
			_ = consumer.conn.Close()
		}
	case provider != nil:
		state = provider.tick(now)
		l.mu.Lock()
		l.status.Lag, l.status.Skew, l.status.Heard = provider.lag()
		l.mu.Unlock()
		if state == StateStale {
			_ = provider.conn.Close()
			provider.end()
		}
	}
	if state == "" {
		return // there is no session, or it has just ended
	}
	detail := ""
	switch state {
	case StateStale:
		detail = "no heartbeat passes both ways"
	case StateStalled:
		detail = "something that was told does not arrive"
	}
	l.set(state, detail, "")
	if turned {
		l.mu.Lock()
		status := l.status
		l.mu.Unlock()
		l.hub.changed(l.cfg.Name, status)
	}
}

// startTime is how long a session may take until its first heartbeat has passed both ways.
const startTime = 10 * time.Second

// execute hands a request to the provider.
func (l *link) execute(ctx context.Context, request *linkv1.ExecuteRequest) (*linkv1.ExecuteResponse, error) {
	client, err := l.client()
	if err != nil {
		return nil, err
	}
	response, err := client.Execute(ctx, request)
	return response, proto.FromStatus(err)
}

// client speaks to the provider while the link stands.
func (l *link) client() (linkv1.LinkServiceClient, error) {
	l.mu.Lock()
	session := l.consumer
	status := l.status
	l.mu.Unlock()
	if session == nil || status.State != StateUp && status.State != StateStarting && status.State != StateStalled {
		return nil, &model.Error{
			Kind: model.KindUnavailable, Detail: "link " + l.cfg.Name + " is " + string(status.State) + " since " + status.Since.String(),
			Remedy: "try again when the link is up",
		}
	}
	return session.client, nil
}
