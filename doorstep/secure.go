package doorstep

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
)

// Secure is the listener with TLS, whose connections are *Framed. net/http serves them as if they were not encrypted, HTTP/2 included, since it knows no other way
// to be given what is already decrypted; nothing of what it serves looks at the TLS of a request.
func (l *Listener) Secure(config *tls.Config, frames *Frames) net.Listener {
	return &secured{Listener: l, config: config, frames: frames}
}

type secured struct {
	*Listener
	config *tls.Config
	frames *Frames
}

// Accept waits for a connection; the handshake is made by whoever reads first.
func (s *secured) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	below, is := conn.(*Conn)
	if !is {
		return nil, errors.New("the connection does not stand on the doorstep")
	}
	framed := s.frames.Wrap(tls.Server(Gather(below), s.config), below.source, false, below.gone)
	return &greeted{Framed: framed}, nil
}

// greeted says in plain text to who sends plain text that this is the wrong way, once and nothing more.
type greeted struct {
	*Framed
	begun bool // used by the one that reads
}

// Read is net.Conn's.
func (g *greeted) Read(p []byte) (int, error) {
	n, err := g.Framed.Read(p)
	if !g.begun {
		g.begun = true
		var no tls.RecordHeaderError
		if errors.As(err, &no) && no.Conn != nil && looksLikeHTTP(no.RecordHeader) {
			_, _ = io.WriteString(no.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nThis is HTTPS: ask with https:// in place of http://.\n")
			return 0, net.ErrClosed
		}
	}
	return n, err
}

func looksLikeHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PRI *":
		return true
	}
	return false
}

// ConnOf is the connection below TLS of one that Secure accepted, nil for another.
func ConnOf(conn net.Conn) *Conn {
	if above, is := conn.(interface{ NetConn() net.Conn }); is {
		gathered, _ := above.NetConn().(*Gathered)
		if gathered == nil {
			return nil
		}
		c, _ := gathered.Conn.(*Conn)
		return c
	}
	return nil
}
