package peering

import (
	"strings"
	"time"

	"banyan/model"
	"banyan/pki"
)

// An offence is a frame that no node sends that speaks the protocol. It ends the connection, and who commits one is not heard for a while, longer each time: else a
// peer that comes back at once keeps this node busy with proving, reading and refusing. What is refused for another reason, as a version that is too new or an
// export that is not granted, is none.

// offence is an error that says that the other end broke the protocol. It is made where a frame is read, and never wrapped.
type offence struct{ error }

// Unwrap is what was wrong.
func (o offence) Unwrap() error { return o.error }

// forgiven is after how long without an offence the next one counts as the first.
const forgiven = 5 * time.Minute

// offends reports whether an error of the machine that reads frames says that the other end breaks the protocol.
func offends(err error) bool {
	switch model.KindOf(err) {
	case model.KindInvalid, model.KindCorrupt, model.KindExhausted, model.KindDenied:
		_, refused := pki.RefusalOf(err)
		return !refused
	default:
		return false
	}
}

// tooLarge reports whether gRPC refused a message of the other end before anybody saw it.
func tooLarge(err error) bool {
	return model.KindOf(err) == model.KindExhausted && strings.Contains(err.Error(), "received message larger than max")
}

// offended notes an offence.
func (l *link) offended(err error) {
	now := l.hub.now()
	l.mu.Lock()
	if time.Duration(now-l.offence) > forgiven {
		l.offences = 0
	}
	l.shunned = now + model.Time(backoff(l.offences, l.hub.cfg.Reconnect))
	l.offence, l.offences, l.broke = now, l.offences+1, err.Error()
	count := l.offences
	l.mu.Unlock()
	l.failed(err.Error())
	l.hub.log.Warn("the other node broke the protocol, and is not heard for a while", "link", l.cfg.Name, "offences", count, "error", err)
}

// shuns says why the peer is not heard now, nil where it is.
func (l *link) shuns() error {
	now := l.hub.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if now >= l.shunned {
		return nil
	}
	left := max(time.Second, time.Duration(l.shunned-now).Round(time.Second))
	return pki.Refuse(pki.RefusedOtherwise, "the node broke the protocol ("+l.broke+") and is heard again in "+left.String())
}

// pause is how long a link that dials rests after an offence.
func (l *link) pause() time.Duration {
	now := l.hub.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, time.Duration(l.shunned-now))
}
