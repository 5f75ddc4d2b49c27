package peering

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"banyan/model"
	"banyan/pki"
	"banyan/proto"
	"banyan/proto/linkv1"
)

// Examiner is a Dialer that can tell what becomes of each step of dialling.
type Examiner interface {
	Examine(ctx context.Context, to Destination) []Reach
}

// Reach is what became of trying one address of a destination, step by step.
type Reach struct {
	Address    string
	Proxy      string   // that it is reached through; empty for none
	Name       string   // that was looked up, of the proxy where there is one; empty where it has none
	Answers    []string // addresses that the name has
	Unresolved error    // why it has none
	Tries      []Try    // to each of them
	Err        error    // of the proxy, or of the settings
	Conn       net.Conn // nil where nobody was reached

	Looked bool // somebody was reached, and this is who
	Seen   pki.Seen
	Wrong  error // why that is not the peer
}

// Try is one connection.
type Try struct {
	To     string
	Err    error
	Silent bool // nobody said anything
}

// Diagnosis is what can be found out about a link by looking.
type Diagnosis struct {
	Config LinkConfig
	Status Status
	Peer   *pki.Peer // at the other end of the connection that stands
	Reach  []Reach   // of each address, where this node dials and there is no connection
	Tried  bool      // the link itself has just tried to connect
	Failed error     // why it had no connection the last time, as an error
	Theirs *Told     // what the other end knows of the link
	Unsaid error     // why it does not tell
}

// Told is what the other end of a link told of itself.
type Told struct {
	*linkv1.InspectResponse
	At   model.Time // when, by this node's clock
	Skew time.Duration
}

// lookWithin bounds looking at one address, and askWithin a question to the other end.
const (
	lookWithin = 5 * time.Second
	askWithin  = 5 * time.Second
)

// Diagnose looks at a link: how it is, what becomes of each step of dialling, and what the other end knows. It disturbs nothing: it looks at addresses
// without showing who asks, and the one real try to connect is the link's own, which is only made earlier.
func (h *Hub) Diagnose(ctx context.Context, name string) (Diagnosis, bool) {
	h.mu.Lock()
	r := h.links[name]
	h.mu.Unlock()
	if r == nil {
		return Diagnosis{}, false
	}
	l := r.link
	d := Diagnosis{Config: l.cfg, Status: l.statusAsOf(h.now())}
	var work sync.WaitGroup
	if conn := l.standing(); conn != nil {
		who := conn.peer
		d.Peer = &who
		d.Theirs, d.Unsaid = l.inspect(ctx)
	} else if l.cfg.Dials && !l.cfg.Refused {
		work.Go(func() { d.Reach = h.look(ctx, l) })
		work.Go(func() { d.Tried = l.try(ctx) })
	}
	work.Wait()
	l.mu.Lock()
	d.Failed = l.problem
	l.mu.Unlock()
	d.Status = l.statusAsOf(h.now())
	return d, true
}

// standing is the connection of a link that sessions are on, nil for none.
func (l *link) standing() *provenConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.line != nil:
		return l.line.conn
	case l.current != nil && !closed(l.current):
		return l.current
	}
	return nil
}

// look looks at each address.
func (h *Hub) look(ctx context.Context, l *link) []Reach {
	to := Destination{l.cfg.Addresses, l.cfg.Proxy}
	var found []Reach
	if examiner, can := h.cfg.Dial.(Examiner); can {
		found = examiner.Examine(ctx, to)
	} else {
		for _, address := range to.Addresses {
			dialled, err := h.cfg.Dial.Dial(ctx, Destination{[]string{address}, to.Proxy})
			found = append(found, Reach{Address: address, Conn: dialled.Conn, Tries: []Try{{To: address, Err: err}}})
		}
	}
	var work sync.WaitGroup
	for i := range found {
		f := &found[i]
		if f.Conn == nil {
			continue
		}
		work.Go(func() {
			protocol := pki.ProtocolConsumer
			if l.cfg.Role == pki.RoleProvider {
				protocol = pki.ProtocolProvider
			}
			config := h.pkiConfig(protocol)
			config.Node, config.Timeout = l.cfg.Peer, lookWithin
			f.Seen, f.Wrong = pki.Glance(ctx, f.Conn, config)
			f.Conn, f.Looked = nil, true
		})
	}
	work.Wait()
	return found
}

// try has the link connect now rather than at the end of its pause, and waits for what becomes of it.
func (l *link) try(ctx context.Context) bool {
	l.mu.Lock()
	before := l.tries
	l.mu.Unlock()
	signal(l.hurry)
	ticker := time.NewTicker(tickTime)
	defer ticker.Stop()
	for {
		l.mu.Lock()
		done := l.tries != before || l.status.State == StateUp || l.status.State == StateIdle || l.status.State == StatePartial
		l.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return false
		}
	}
}

// inspect is what the other end knows: a provider is asked, of a consumer there is what it told when it connected.
func (l *link) inspect(ctx context.Context) (*Told, error) {
	l.mu.Lock()
	ln, told, version := l.line, l.consumer, l.status.Version
	l.mu.Unlock()
	if l.cfg.Role == pki.RoleProvider {
		if told == nil {
			return nil, errors.New("it has told nothing of itself")
		}
		return told, nil
	}
	if ln == nil || version < 2 {
		return nil, errors.New("its version cannot be asked")
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	began := l.hub.clock()
	response, err := ln.client.Inspect(ctx, &linkv1.InspectRequest{Consumer: l.own()})
	if err != nil {
		return nil, proto.FromStatus(err)
	}
	return l.heardOf(response, began), nil
}

// heardOf takes in what the other end told, made harmless.
func (l *link) heardOf(m *linkv1.InspectResponse, asked model.Time) *Told {
	now := l.hub.clock()
	for _, text := range []*string{&m.Software, &m.Name, &m.State, &m.LastProblem, &m.Address, &m.Rehearsal} {
		*text = pki.Printable(*text, mostReason)
	}
	m.Exports = m.Exports[:min(len(m.Exports), mostFeeds)]
	for _, e := range m.Exports {
		e.Name, e.Problem = pki.Printable(e.Name, mostReason), pki.Printable(e.Problem, mostReason)
	}
	return &Told{InspectResponse: m, At: now, Skew: time.Duration(m.Clock - int64(asked) - int64(now-asked)/2)}
}

// own is what this end knows of the link and tells the other one. Where this node dials, and through what, is its own business: of its problem the sort is
// told.
func (l *link) own() *linkv1.InspectResponse {
	l.mu.Lock()
	status, problem := l.status, l.problem
	l.mu.Unlock()
	m := &linkv1.InspectResponse{
		Version: l.hub.speak, Software: l.hub.cfg.Software, Name: l.hub.cfg.Self.Name, Clock: int64(l.hub.clock()), State: string(status.State),
		Since: int64(status.Since), LastProblemAt: int64(status.Failed), LastProblem: sortOf(problem),
	}
	if conn := l.standing(); conn != nil && !l.cfg.Dials {
		m.Address = conn.peer.Address
	}
	if certificate := l.hub.cfg.Certificate(); certificate != nil && certificate.Leaf != nil {
		m.LeafFrom, m.LeafUntil = certificate.Leaf.NotBefore.UnixNano(), certificate.Leaf.NotAfter.UnixNano()
	}
	if l.hub.cfg.Inspect != nil {
		l.hub.cfg.Inspect(l.cfg.Name, m)
	}
	return m
}

// sortOf says of a problem what the other end may know.
func sortOf(err error) string {
	if reason, refused := pki.RefusalOf(err); refused {
		return "refused: " + reason.String()
	}
	if err == nil {
		return ""
	}
	return model.KindOf(err).String()
}

// introduce tells the provider what this end knows: at the beginning, and when there is news of it.
func (ln *line) introduce() {
	if ln.version < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(ln.ctx, askWithin)
	defer cancel()
	_, _ = ln.client.Inspect(ctx, &linkv1.InspectRequest{Consumer: ln.link.own()}) // it is for the other end: nothing here waits for it
}

// Tell has the provider at the other end of a link told what is new at this one.
func (h *Hub) Tell(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.links[name]; r != nil {
		signal(r.link.news)
	}
}

// Inspect tells a consumer what this end knows of the link, and takes in what it tells of its own.
func (h *Hub) Inspect(ctx context.Context, request *linkv1.InspectRequest) (*linkv1.InspectResponse, error) {
	l, _, err := h.caller(ctx)
	if err != nil {
		return nil, proto.Status(err)
	}
	if told := request.GetConsumer(); told != nil {
		heard := l.heardOf(told, h.clock())
		l.mu.Lock()
		l.consumer = heard
		l.mu.Unlock()
	}
	return l.own(), nil
}
