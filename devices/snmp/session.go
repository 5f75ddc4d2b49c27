package snmp

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/gosnmp/gosnmp"

	"banyan/model"
)

// Limits of one request.
const (
	maxOIDs             = 128
	defaultOIDs         = 32
	maxRepetitions      = 200
	defaultRepetitions  = 24
	defaultTry          = 2 * time.Second // how long a try may take where nobody set a deadline
	least               = 50 * time.Millisecond
	bulkValuesPerObject = 2 // of a bulk answer, for each object that a request may have: about what fits into one datagram
)

// session is the conversation with one device: one request at a time. It learns what the device can bear, and keeps that for its life.
type session struct {
	target target
	now    func() time.Time
	turn   chan struct{} // holds a token while a request is under way; guards all fields below

	client *gosnmp.GoSNMP // that of version 3, which knows the device's engine; else the one that is borrowed for a request
	wire   *wire          // nil while there is no socket
	names  []string       // reused
	damage error          // why the last single object could not be decoded

	oids        int  // objects in a request; halved when the device finds answers too big
	repetitions int  // rows in a bulk request
	noBulk      bool // version 1, or a device that does not know GETBULK
}

func newSession(t target, oids, repetitions int) *session {
	return &session{
		target: t, now: time.Now, turn: make(chan struct{}, 1), oids: oids, repetitions: repetitions, noBulk: t.version == gosnmp.Version1 || repetitions == 0,
	}
}

// request sends one request and returns what the device answered to it, which may be an error status. The caller holds the turn.
func (s *session) request(ctx context.Context, kind gosnmp.PDUType, list []oid, nonRepeaters, repetitions int) (*gosnmp.SnmpPacket, error) {
	s.names = s.names[:0]
	for _, o := range list {
		s.names = append(s.names, string(o))
	}
	return s.send(ctx, func() (*gosnmp.SnmpPacket, error) {
		switch kind {
		case gosnmp.GetBulkRequest:
			return s.client.GetBulk(s.names, uint8(nonRepeaters), uint32(repetitions))
		case gosnmp.GetNextRequest:
			return s.client.GetNext(s.names)
		}
		return s.client.Get(s.names)
	})
}

// send runs one exchange with the socket open and the context watched. After a failure the socket is closed: the next request begins
// anew, with the name looked up again and, in version 3, the device's engine asked again.
func (s *session) send(ctx context.Context, exchange func() (*gosnmp.SnmpPacket, error)) (*gosnmp.SnmpPacket, error) {
	if err := ctx.Err(); err != nil {
		return nil, s.failure(ctx, err)
	}
	if err := s.connect(ctx); err != nil {
		return nil, s.failure(ctx, err)
	}
	if err := s.borrow(); err != nil {
		return nil, s.failure(ctx, err)
	}
	s.client.Conn, s.client.Context, s.client.Timeout = s.wire, ctx, s.patience(ctx)
	s.wire.begin()
	unwatch := context.AfterFunc(ctx, s.wire.cancel)
	answer, err := exchange()
	unwatch()
	s.giveBack()
	if err == nil && answer.PDUType != gosnmp.GetResponse {
		err = errNotAnswer
	}
	if err != nil {
		err = s.failure(ctx, err)
		s.disconnect()
		return nil, err
	}
	return answer, nil
}

// patience is how long one try may take, so that all of them fit into what is left.
func (s *session) patience(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return defaultTry
	}
	return max(time.Until(deadline)/time.Duration(s.target.retries+1), least)
}

// connect opens the socket. Nothing is sent.
func (s *session) connect(ctx context.Context) error {
	if s.wire != nil {
		return nil
	}
	if s.target.version != gosnmp.Version3 {
		conn, err := (&net.Dialer{}).DialContext(ctx, "udp", s.target.String())
		if err != nil {
			return err
		}
		s.wire = &wire{Conn: conn}
		return nil
	}
	c := s.target.client()
	c.Context, c.Timeout = ctx, s.patience(ctx)
	if err := c.Connect(); err != nil {
		return err
	}
	s.client, s.wire = c, &wire{Conn: c.Conn}
	return nil
}

func (s *session) disconnect() {
	if s.wire != nil {
		_ = s.wire.Close() // a socket of datagrams has nothing left to lose
		s.client, s.wire = nil, nil
	}
}

// clients are those of versions 1 and 2c while nobody uses them. Each has a buffer of 64 KiB for what it receives, which thousands of devices that
// wait for their next poll do not need.
var clients sync.Pool

// borrow takes a client for one request, where the session has none of its own.
func (s *session) borrow() error {
	if s.target.version == gosnmp.Version3 {
		return nil
	}
	c, _ := clients.Get().(*gosnmp.GoSNMP)
	if c == nil {
		// Connect makes the buffer and draws the first request ID, and opens a socket as well, to which nothing is sent.
		c = (&target{host: "127.0.0.1", port: defaultPort, version: gosnmp.Version2c}).client()
		if err := c.Connect(); err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	c.Version, c.Community, c.Retries = s.target.version, s.target.community, s.target.retries
	s.client = c
	return nil
}

func (s *session) giveBack() {
	if s.target.version == gosnmp.Version3 {
		return
	}
	c := s.client
	s.client = nil
	c.Conn, c.Context, c.Community = nil, nil, ""
	clients.Put(c)
}

// take waits for the turn.
func (s *session) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return model.Errorf(model.KindOf(ctx.Err()), "the device was busy with another request until the time given was over")
	}
}

func (s *session) release() { <-s.turn }

// close gives the socket back. No request is under way any more.
func (s *session) close() {
	s.turn <- struct{}{}
	s.disconnect()
	s.release()
}

// lower makes requests smaller for as long as the session lives. It returns false when they are as small as can be.
func (s *session) lower() bool {
	switch {
	case s.repetitions > 1 && s.repetitions*2 > s.oids:
		s.repetitions /= 2
	case s.oids > 1:
		s.oids /= 2
	case s.repetitions > 1:
		s.repetitions /= 2
	case !s.noBulk:
		s.noBulk = true
	default:
		return false
	}
	return true
}
