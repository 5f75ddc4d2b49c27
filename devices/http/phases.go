package http

import (
	"crypto/tls"
	"net/http/httptrace"
	"sync"
	"time"

	"banyan/devices"
)

// phases are how long the parts of an exchange took, added up over redirects, and where it stands. A connection is made in a goroutine of its own, which can
// outlive the poll by a moment, hence the lock.
type phases struct {
	mu        sync.Mutex // guards the rest
	dns       time.Duration
	connect   time.Duration
	tls       time.Duration
	firstByte time.Duration
	body      time.Duration

	doing    string // for messages
	dnsBegan time.Time
	dialling map[string]time.Time // by address
	tlsBegan time.Time
	asked    time.Time
	answered time.Time
	server   string

	certificate devices.Certificate // of the last server that showed one
}

// see notes a certificate.
func (p *phases) see(c devices.Certificate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.certificate = c
}

// seen is the certificate that was noted last.
func (p *phases) seen() devices.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.certificate
}

// trace notes the phases of one request to host.
func (p *phases) trace(host string) *httptrace.ClientTrace {
	p.mu.Lock()
	p.doing, p.dialling, p.answered = "connecting to "+host, map[string]time.Time{}, time.Time{}
	p.mu.Unlock()
	note := func(what func(now time.Time)) {
		now := time.Now()
		p.mu.Lock()
		defer p.mu.Unlock()
		what(now)
	}
	return &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { note(func(now time.Time) { p.dnsBegan = now }) },
		DNSDone:  func(httptrace.DNSDoneInfo) { note(func(now time.Time) { p.dns += now.Sub(p.dnsBegan) }) },
		ConnectStart: func(_, address string) {
			note(func(now time.Time) { p.dialling[address], p.server = now, address })
		},
		ConnectDone: func(_, address string, err error) {
			note(func(now time.Time) {
				if err == nil {
					p.connect, p.server = p.connect+now.Sub(p.dialling[address]), address
				}
			})
		},
		TLSHandshakeStart: func() { note(func(now time.Time) { p.tlsBegan, p.doing = now, "TLS with "+host }) },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			note(func(now time.Time) {
				if err == nil {
					p.tls += now.Sub(p.tlsBegan)
				}
			})
		},
		GotConn: func(info httptrace.GotConnInfo) {
			note(func(now time.Time) {
				p.asked, p.doing = now, "waiting for the answer of "+host
				if a := info.Conn.RemoteAddr(); a != nil {
					p.server = a.String()
				}
			})
		},
		WroteRequest: func(httptrace.WroteRequestInfo) { note(func(now time.Time) { p.asked = now }) },
		GotFirstResponseByte: func() {
			note(func(now time.Time) {
				p.firstByte += max(0, now.Sub(p.asked))
				p.answered, p.doing = now, "reading the answer of "+host
			})
		},
	}
}

// read notes that the body was read, as far as it was to be.
func (p *phases) read() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.answered.IsZero() {
		p.body += time.Since(p.answered)
	}
}

// now is what is being done.
func (p *phases) now() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.doing
}
