package doorstep

import (
	"net"
	"sync"
)

// Gathered is a connection below TLS that can send several records with one system call. TLS writes each by itself, of 16 KiB at most, and each that arrives
// wakes the other end. A full frame of HTTP/2 is nine bytes longer than a record, so that it would be two.
type Gathered struct {
	net.Conn
	mu      sync.Mutex // guards the rest, and is held while what was gathered is written, so that nothing overtakes it
	records *[]byte    // nil where nothing is gathered
	err     error      // nothing can be written any more: some of a record may be missing
}

// recordBytes is how much TLS puts into one record.
const recordBytes = 16 << 10

// mostRecords is how many bytes of memory are kept for another time.
const mostRecords = 256 << 10

var recordMemory = sync.Pool{New: func() any { return new([]byte) }}

// Gather makes one of a connection.
func Gather(conn net.Conn) *Gathered { return &Gathered{Conn: conn} }

// Write writes, or keeps, a record.
func (g *Gathered) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return 0, g.err
	}
	if g.records != nil {
		*g.records = append(*g.records, p...)
		return len(p), nil
	}
	return g.Conn.Write(p)
}

// begin lets records be gathered.
func (g *Gathered) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.records == nil {
		g.records = recordMemory.Get().(*[]byte)
	}
}

// end writes what was gathered.
func (g *Gathered) end() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.records
	if all == nil {
		return g.err
	}
	g.records = nil
	if len(*all) > 0 && g.err == nil {
		_, g.err = g.Conn.Write(*all)
	}
	if cap(*all) <= mostRecords {
		*all = (*all)[:0]
		recordMemory.Put(all)
	}
	return g.err
}
