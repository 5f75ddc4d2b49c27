package snmp

import (
	"net"
	"sync"
	"time"
)

// wire is the socket below gosnmp. It ends a read when the request's context is cancelled, which gosnmp by itself notices only at its next
// sending, and counts what came in, so that silence and answers to something else can be told apart.
type wire struct {
	net.Conn

	mu      sync.Mutex // guards what is below, and the order of deadlines
	over    bool       // the request is cancelled: deadlines do not count any more
	answers int        // datagrams since begin
}

var past = time.Unix(1, 0)

// begin prepares for the next request.
func (w *wire) begin() {
	w.mu.Lock()
	w.over, w.answers = false, 0
	w.mu.Unlock()
}

// cancel ends the request that is under way.
func (w *wire) cancel() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	_ = w.Conn.SetDeadline(past) // a closed socket ends the read as well
}

// SetDeadline is the socket's, unless the request is cancelled.
func (w *wire) SetDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		t = past
	}
	return w.Conn.SetDeadline(t)
}

// Read is the socket's.
func (w *wire) Read(to []byte) (int, error) {
	n, err := w.Conn.Read(to)
	if err == nil {
		w.mu.Lock()
		w.answers++
		w.mu.Unlock()
	}
	return n, err
}

func (w *wire) heard() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answers > 0
}
