package ping

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"time"
)

// pool is what all pings of a node share: one socket for each family, from the first device that needs it to the last one's end, the
// probes that are under way, and the pace.
type pool struct {
	pace pace

	mu      sync.Mutex // guards the rest, the probes too
	sockets [2]*shared // IPv4 and IPv6
	probes  map[key]*probe
	seq     uint16
	tokens  *rand.ChaCha8
	foreign uint64 // messages that answered no probe, or not as they should
}

// shared is a socket with those who use it.
type shared struct {
	socket *socket
	users  int
	ended  chan struct{} // closed when nobody reads it any more
}

// key finds a probe by what each answer bears.
type key struct {
	target netip.Addr // without zone
	seq    uint16
}

// probe is one echo request. A probe stays in the pool until its device sends anew, so that late and double answers are counted.
type probe struct {
	key    key
	echo   echo
	sent   time.Time
	round  *round
	done   bool // answered, or reported not to have arrived
	came   bool // answered
	over   bool // no longer waited for
	late   bool // answered after that
	rtt    time.Duration
	hops   int
	reason string // why it did not arrive, and who says so

	undecided bool // neither lost nor received: the poll's time was over
}

// Rates of sending, all devices together: what a small router answers without dropping, and bursts that fit into socket buffers.
const (
	sendRate  = 10_000 // a second
	sendBurst = 64
)

func newPool() *pool {
	var seed [32]byte
	_, _ = cryptorand.Read(seed[:]) // it never fails
	p := &pool{pace: pace{every: time.Second / sendRate, burst: sendBurst}, probes: map[key]*probe{}, tokens: rand.NewChaCha8(seed)}
	p.seq = uint16(p.tokens.Uint64())
	return p
}

func slot(six bool) int {
	if six {
		return 1
	}
	return 0
}

// hold opens the socket of a family or shares it; each hold is followed by one release.
func (p *pool) hold(six bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sockets[slot(six)]
	if s == nil {
		opened, err := openSocket(six, uint16(p.tokens.Uint64()))
		if err != nil {
			return err
		}
		s = &shared{socket: opened, ended: make(chan struct{})}
		p.sockets[slot(six)] = s
		go p.read(s)
	}
	s.users++
	return nil
}

// release closes the socket when nobody holds it any more, and returns when its reader has ended.
func (p *pool) release(six bool) error {
	p.mu.Lock()
	s := p.sockets[slot(six)]
	s.users--
	if s.users > 0 {
		p.mu.Unlock()
		return nil
	}
	p.sockets[slot(six)] = nil
	p.mu.Unlock()
	err := s.socket.close()
	<-s.ended
	return err
}

// read hands on what comes in until the socket is closed.
func (p *pool) read(s *shared) {
	defer close(s.ended)
	space := make([]byte, 64<<10)
	for {
		in, err := s.socket.receive(space)
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case err != nil:
			time.Sleep(10 * time.Millisecond) // nothing that this socket says is worth a busy loop
		default:
			p.take(s.socket.six, s.socket.id, in)
		}
	}
}

// launch sends one probe for a round. It waits for its turn, and while the kernel takes no more, for as long as ctx lasts.
func (p *pool) launch(ctx context.Context, r *round) error {
	if err := p.pace.wait(ctx); err != nil {
		return err
	}
	for {
		err := p.send(r)
		if !errors.Is(err, errFull) {
			return err
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// send sends a probe, which does not wait for anything. It holds mu meanwhile: with thousands of devices that want to send, a time taken outside
// of the lock would be that of waiting for it.
func (p *pool) send(r *round) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sockets[slot(r.six)]
	one := &probe{round: r, key: p.freeKey(r.target.WithZone(""))}
	one.echo = echo{id: s.socket.id, seq: one.key.seq, known: true}
	_, _ = p.tokens.Read(one.echo.token[:])
	message := request(r.six, one.echo, r.size)
	one.sent = time.Now()
	if err := s.socket.send(r.target, message); err != nil {
		return err
	}
	p.probes[one.key] = one
	r.probes = append(r.probes, one)
	return nil
}

// freeKey is a sequence number that no probe to this target uses. The caller holds mu.
func (p *pool) freeKey(target netip.Addr) key {
	for {
		p.seq++
		k := key{target, p.seq}
		if p.probes[k] == nil {
			return k
		}
	}
}

// forget takes the probes of a round out of the pool.
func (p *pool) forget(r *round) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range r.probes {
		delete(p.probes, one.key)
	}
}

// take matches what came in with the probe that it answers. Identifier, number, address and token all have to be right: other programs
// ping as well, and anybody can send anything. A report that quotes too little to bear the token has to quote the rest.
func (p *pool) take(six bool, id uint16, in packet) {
	m, ok := message{}, false
	switch {
	case in.report != "" && len(in.data) >= echoHeader:
		m, ok = message{echo: readEcho(in.data), target: in.from, reason: in.report}, true
		in.from = in.speaker
	case in.report == "":
		m, ok = decode(six, in.data)
	}
	if !ok {
		return
	}
	target := m.target
	if m.reply {
		target = in.from
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.probes[key{target.WithZone(""), m.echo.seq}]
	if one == nil || m.echo.id != id || m.echo.known && m.echo.token != one.echo.token {
		p.foreign++
		return
	}
	one.take(m, in)
}

// take notes an answer or a report. The caller holds the pool's mu.
func (o *probe) take(m message, in packet) {
	r := o.round
	switch {
	case !m.reply && (o.done || o.over):
		return
	case !m.reply:
		o.done, o.reason = true, m.reason
		if in.from.IsValid() {
			o.reason += ", says " + in.from.String()
		}
	case o.came:
		r.tally.duplicates++
		return
	case o.over:
		o.came, o.late = true, true
		r.tally.late++
		return
	default: // an answer, perhaps after a report that turns out to be wrong
		o.done, o.came, o.hops = true, true, in.hops
		o.rtt = max(0, in.at.Sub(o.sent))
	}
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// pace lets through one every so often, and a burst of those that were not asked for.
type pace struct {
	every time.Duration
	burst int

	mu   sync.Mutex // guards next
	next time.Time  // when the next one may go
}

func (p *pace) wait(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.mu.Lock()
	now := time.Now()
	if earliest := now.Add(-time.Duration(p.burst) * p.every); p.next.Before(earliest) {
		p.next = earliest
	}
	at := p.next
	p.next = at.Add(p.every)
	p.mu.Unlock()
	return sleep(ctx, at.Sub(now))
}

// sleep waits; not at all for no time.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
