package pki

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
)

// Seen is what showed itself at the other end of a connection.
type Seen struct {
	Peer         Peer // what it claims to be
	Certificates []*x509.Certificate
}

var errSeen = errors.New("seen")

// Glance connects like Connect, and ends the connection as soon as it has seen who answers: before it shows who asks, so that the other end takes it for
// nothing that began. The error is why Connect would not take who answers; nil where it would. What the other end thinks of this one is not learned.
func Glance(ctx context.Context, conn net.Conn, config Config) (Seen, error) {
	defer func() { _ = conn.Close() }()
	config.Admit = func(Peer) error { return nil }
	if err := config.validate(true); err != nil {
		return Seen{}, err
	}
	a := &attempt{config: config, dialled: true, held: errUnverified, raw: &guardedConn{Conn: conn, dialled: true, left: MaxHandshakeBytes}}
	ctx, cancel := context.WithTimeout(ctx, config.Timeout)
	defer cancel()
	var seen Seen
	settings := a.tlsConfig()
	verify := settings.VerifyConnection
	settings.VerifyConnection = func(state tls.ConnectionState) error {
		_ = verify(state) // it holds what it finds
		seen.Certificates = state.PeerCertificates
		return errSeen
	}
	err := tls.Client(a.raw, settings).HandshakeContext(ctx)
	seen.Peer = a.peer
	switch {
	case errors.Is(err, errSeen):
		return seen, a.held
	case err == nil:
		return seen, errUnverified
	}
	return seen, a.named(ctx, a.explain(ctx, err))
}
