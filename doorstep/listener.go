package doorstep

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"banyan/fault"
)

// What a connection gets before it has proved who it is.
const (
	Within = 10 * time.Second
	Bytes  = 64 << 10
)

// Config says what a listener lets stand before its door.
type Config struct {
	// Room is how many connections may stand there; default 256. In each case somebody is sent away for who comes: too small a room is cleared by a flood
	// before an honest peer far away is done, and each place may cost 128 KiB.
	Room int
	// OfSource is how many of these may come from one source, which is an address, of IPv6 its /64; default half of Room. Many nodes behind one address that come
	// back at the same moment need some; what is sent away comes again.
	OfSource int
	// Most is how many connections may have proved who they are; no limit when 0.
	Most int
	// Within is how long one may stand there; default 10 s.
	Within time.Duration
	// Bytes is how much one may send meanwhile; default 64 KiB. What is more waits until it has proved who it is.
	Bytes int
	// Bench is where greetings are worked out, one after the other; one of its own when nil. Listeners that share one take one processor together.
	Bench *Bench
}

func (c *Config) validate() {
	if c.Room <= 0 {
		c.Room = 256
	}
	if c.OfSource <= 0 {
		c.OfSource = max(1, c.Room/2)
	}
	if c.Within <= 0 {
		c.Within = Within
	}
	if c.Bytes <= 0 {
		c.Bytes = Bytes
	}
	if c.Bench == nil {
		c.Bench = NewBench()
	}
}

// Bench lets one stranger's greeting be worked on at a time: a handshake costs a thousand times as much as asking for it, and so all that ask for one
// take one processor at most, while those that are inside have the others.
type Bench struct{ place chan struct{} }

// NewBench makes one.
func NewBench() *Bench { return &Bench{place: make(chan struct{}, 1)} }

// Stats is what happened at a listener since it was made, and how many connections it has.
type Stats struct {
	Standing int    // connections that have not proved who they are
	Inside   int    // connections that have
	Crowded  uint64 // sent away for another one, since there was no room, or since their source had too many
	Late     uint64 // sent away since they had not proved who they are in time
	Full     uint64 // proved who they are, and found as many inside as there may be
}

// Listener accepts at once, so that nobody waits behind those who do nothing. When there is no room it sends away one of the source that has most standing
// there, at random: who comes alone from its address stays, as long as somebody has two, and in a flood from everywhere each has the same chance.
type Listener struct {
	net.Listener
	cfg Config

	mu       sync.Mutex // guards the rest
	standing map[string][]*Conn
	count    int
	stats    Stats
}

// New makes one of a listener.
func New(l net.Listener, cfg Config) *Listener {
	cfg.validate()
	return &Listener{Listener: l, cfg: cfg, standing: make(map[string][]*Conn)}
}

// Accept waits for a connection. It is a *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: raw, door: l, source: Source(raw.RemoteAddr()), since: time.Now(), left: l.cfg.Bytes, gone: make(chan struct{}), in: make(chan struct{})}
	if victim := l.enter(c); victim != nil {
		_ = victim.Close()
	}
	return c, nil
}

// enter puts a connection on the doorstep and says which one has to go for it.
func (l *Listener) enter(c *Conn) (victim *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	crowd := l.standing[c.source]
	switch {
	case len(crowd) >= l.cfg.OfSource:
	case l.count >= l.cfg.Room:
		most := len(crowd) + 1          // it counts itself
		for _, of := range l.standing { // at most Room, and only in a flood
			if len(of) > most {
				most, crowd = len(of), of
			}
		}
		if len(crowd) == 0 {
			crowd = l.anyone()
		}
	default:
		crowd = nil
	}
	if len(crowd) > 0 && fault.Planted(fault.StrangersInFront) {
		l.stats.Crowded++
		c.timer = time.AfterFunc(0, func() { _ = c.Close() })
		return nil
	}
	if len(crowd) > 0 {
		victim = crowd[rand.IntN(len(crowd))]
		l.stats.Crowded++
		l.leave(victim)
	}
	l.standing[c.source] = append(l.standing[c.source], c)
	l.count++
	c.stands = true
	c.timer = time.AfterFunc(l.cfg.Within, c.late)
	return victim
}

// anyone is a source at random, where all have one connection each.
func (l *Listener) anyone() []*Conn {
	skip := rand.IntN(len(l.standing))
	for _, of := range l.standing {
		if skip == 0 {
			return of
		}
		skip--
	}
	return nil
}

// leave takes a connection off the doorstep; the mutex is held.
func (l *Listener) leave(c *Conn) {
	if !c.stands {
		return
	}
	c.stands = false
	l.count--
	crowd := l.standing[c.source]
	for i, other := range crowd {
		if other == c {
			crowd[i] = crowd[len(crowd)-1]
			crowd[len(crowd)-1] = nil
			crowd = crowd[:len(crowd)-1]
			break
		}
	}
	if len(crowd) == 0 {
		delete(l.standing, c.source)
	} else {
		l.standing[c.source] = crowd
	}
}

// Stats is how it is now.
func (l *Listener) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.stats
	now.Standing = l.count
	return now
}

// Source is the part of an address that counts as one: the address, of IPv6 its /64, which is one household or one server. What has none is one source.
func Source(address net.Addr) string {
	if address == nil {
		return ""
	}
	return SourceOf(address.String())
}

// SourceOf is Source of an address as text, HOST:PORT.
func SourceOf(address string) string {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return ""
	}
	addr := at.Addr().Unmap().WithZone("")
	if addr.Is6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return addr.String()
}
