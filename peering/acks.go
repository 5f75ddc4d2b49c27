package peering

import (
	"sync"

	"banyan/model"
	"banyan/proto"
)

// ackBox is where acknowledgements of a session wait for its own goroutine, the newest only. Few of them change what may be sent: most only say that
// all is well, and wake nobody. They are taken in before the next frame is made.
type ackBox struct {
	mu      sync.Mutex
	newest  proto.Ack
	at      model.Time
	some    bool // newest was not taken yet
	awaited bool // nothing can be sent until one comes
}

// put keeps what came, and reports whether the session is to be woken: it has no room for more, or definitions have arrived.
func (b *ackBox) put(ack proto.Ack, now model.Time) (wakes bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wakes = b.awaited || ack.Changes != b.newest.Changes
	b.newest, b.at, b.some, b.awaited = ack, now, true, false
	return wakes
}

// take is what came since the last call.
func (b *ackBox) take() (ack proto.Ack, at model.Time, some bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	some, b.some = b.some, false
	return b.newest, b.at, some
}

// await asks to be woken by the next one, and reports false where there is one already.
func (b *ackBox) await() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.awaited = !b.some
	return b.awaited
}
