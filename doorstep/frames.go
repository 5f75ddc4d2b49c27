package doorstep

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"banyan/fault"
)

// How many frames of HTTP/2, or requests of HTTP/1.1, one source may send, on all its connections, before it has to wait. What frames cost is said by costOf; what is written to it pays them
// back, since whoever is sent much has to acknowledge much.
const (
	frameRate   = 20_000 // a second
	frameBurst  = 20_000
	bytesPay    = 256 // so many bytes that are written pay for one
	mostPurses  = 4096
	frameHeader = 9
)

// The types of frames that are told apart, and the flag of padded ones.
const (
	frameData    = 0x0
	frameHeaders = 0x1
	flagPadded   = 0x8
)

// costOf is what a frame costs. A request begins with HEADERS, which is most of the work; what carries data costs little, and data that carry none as much as
// any other frame.
func costOf(kind, flags byte, length int) float64 {
	switch {
	case kind == frameHeaders:
		return 2
	case kind != frameData || length == 0 || flags&flagPadded != 0 && length <= 256:
		return 1
	case length < 256:
		return 0.25
	}
	return 0
}

// costOfText is what HTTP/1.1 costs that was read at once: an empty line ends a header, which is a request. Where the line is cut by reading, the reading pays.
func costOfText(p []byte) float64 {
	if len(p) == 0 {
		return 0
	}
	return 0.25 + 2*float64(bytes.Count(p, []byte("\n\r\n"))+bytes.Count(p, []byte("\n\n")))
}

// Frames paces the frames of all connections of an end: who sends more than a source may is read no faster than that, which costs a flood its speed, and
// nobody their connection.
type Frames struct {
	mu     sync.Mutex // guards purses
	purses map[string]*purse
	paced  atomic.Uint64
}

// NewFrames makes one.
func NewFrames() *Frames { return &Frames{purses: make(map[string]*purse)} }

// Paced is how often somebody had to wait.
func (f *Frames) Paced() uint64 { return f.paced.Load() }

func (f *Frames) purse(source string) *purse {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.purses[source]
	if p == nil {
		if len(f.purses) >= mostPurses { // a full one is as good as a new one
			for other, of := range f.purses {
				if of.full(time.Now()) {
					delete(f.purses, other)
				}
			}
		}
		p = &purse{left: frameBurst, at: time.Now()}
		f.purses[source] = p
	}
	return p
}

// purse is what a source has left.
type purse struct {
	mu   sync.Mutex // guards the rest
	left float64
	at   time.Time
}

func (p *purse) refill(now time.Time) {
	p.left = min(frameBurst, p.left+frameRate*now.Sub(p.at).Seconds())
	p.at = now
}

func (p *purse) full(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refill(now)
	return p.left >= frameBurst
}

// spend takes what frames cost, and says how long to wait until it is paid.
func (p *purse) spend(cost float64, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refill(now)
	p.left -= cost
	if p.left >= 0 {
		return 0
	}
	return time.Duration(-p.left / frameRate * float64(time.Second))
}

func (p *purse) pay(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = min(frameBurst, p.left+float64(n)/bytesPay)
}

// clientPreface is what a client of HTTP/2 sends before its first frame. Who sends something else speaks HTTP/1.1.
const clientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Framed is a connection above TLS whose frames are paced. It reads and writes as the connection below does; what it has read it returns only when it is
// paid. It does not show that TLS is below it: net/http would look for a *tls.Conn then, and read past the frames.
type Framed struct {
	net.Conn
	below  *tls.Conn
	gather *Gathered // below that; nil where it is not one
	frames *Frames
	purse  *purse
	gone   <-chan struct{}

	// Used by the one that reads.
	preface string // what is still to come of it
	other   bool   // this is not HTTP/2
	skip    int    // bytes until the next header
	header  [frameHeader]byte
	have    int // bytes of the header
}

// Wrap paces what comes from a source over conn. Client says that this end is the client of HTTP/2; gone is closed with the connection.
func (f *Frames) Wrap(conn *tls.Conn, source string, client bool, gone <-chan struct{}) *Framed {
	gather, _ := conn.NetConn().(*Gathered)
	c := &Framed{gather: gather, Conn: conn, below: conn, frames: f, purse: f.purse(source), gone: gone, preface: clientPreface}
	if client {
		c.preface = ""
	}
	return c
}

// NetConn is the connection below TLS.
func (c *Framed) NetConn() net.Conn { return c.below.NetConn() }

// CloseWrite tells the other end that nothing more comes.
func (c *Framed) CloseWrite() error { return c.below.CloseWrite() }

// Read is net.Conn's.
func (c *Framed) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	cost := c.count(p[:n])
	if cost == 0 || fault.Planted(fault.FramesUnpaced) {
		return n, err
	}
	if wait := c.purse.spend(cost, time.Now()); wait > 0 {
		c.frames.paced.Add(1)
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.gone:
		}
	}
	return n, err
}

// Write is net.Conn's.
func (c *Framed) Write(p []byte) (int, error) {
	n, err := c.write(p)
	c.purse.pay(n)
	return n, err
}

func (c *Framed) write(p []byte) (int, error) {
	if len(p) <= recordBytes || c.gather == nil {
		return c.Conn.Write(p)
	}
	c.gather.begin()
	n, err := c.Conn.Write(p)
	if failed := c.gather.end(); failed != nil {
		return 0, failed
	}
	return n, err
}

// count is what the frames that begin in p cost.
func (c *Framed) count(p []byte) (cost float64) {
	if p = c.begin(p); c.other {
		return costOfText(p)
	}
	for len(p) > 0 {
		if c.skip > 0 {
			n := min(c.skip, len(p))
			c.skip -= n
			p = p[n:]
			continue
		}
		n := copy(c.header[c.have:], p)
		c.have += n
		p = p[n:]
		if c.have < frameHeader {
			break
		}
		c.have = 0
		length := int(binary.BigEndian.Uint32(c.header[:4]) >> 8)
		c.skip = length
		cost += costOf(c.header[3], c.header[4], length)
	}
	return cost
}

// begin takes the preface off, and notices where there is none.
func (c *Framed) begin(p []byte) []byte {
	if c.other {
		return p
	}
	n := min(len(c.preface), len(p))
	if string(p[:n]) != c.preface[:n] {
		c.other = true
		return p
	}
	c.preface = c.preface[n:]
	return p[n:]
}
