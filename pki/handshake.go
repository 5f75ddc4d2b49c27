package pki

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"banyan/fault"
	"banyan/model"

	"github.com/hashicorp/go-hclog"
)

// What a connection gets before it has proved who it is.
const (
	HandshakeTimeout  = 10 * time.Second
	MaxHandshakeBytes = 64 << 10
)

// Config says how one end of a connection between nodes proves who it is and whom it takes.
type Config struct {
	// Certificate is this node's certificate, with its root behind it: Leaf.Current. Asked at each handshake. Required.
	Certificate func() *tls.Certificate
	// Protocols are the ALPN protocols that are taken, out of this package's. Required; exactly one to connect.
	Protocols []string
	// Node is who is to answer. Required to connect (with ProtocolJoin it is Token.Node), and not used to accept.
	Node model.NodeID
	// Pins are the roots of the nodes that are known. Required unless the only protocol is ProtocolJoin.
	Pins Pins
	// Admit decides on a peer whose certificate is in order, once per connection, at both ends: revoked, disabled, wrong role, no
	// invitation open. It returns nil or what Refuse makes; another error refuses as well, and its text stays here. Required.
	Admit func(Peer) error
	// Timeout bounds everything up to both verdicts. Default HandshakeTimeout; too short refuses what is far away.
	Timeout time.Duration
	// Clock is the present, for validity. Default time.Now.
	Clock func() time.Time
	// Logger gets each refusal with its incident number and all that a stranger is not told. Default none.
	Logger hclog.Logger
	// Notes bounds what Logger gets about strangers; no bound when nil.
	Notes *Notes
}

func (c *Config) validate(dialled bool) error {
	onlyJoin := true
	for _, p := range c.Protocols {
		if classOf(p) == ClassNone {
			return model.Errorf(model.KindInvalid, "pki: unknown protocol %q", p)
		}
		onlyJoin = onlyJoin && p == ProtocolJoin
	}
	switch {
	case c.Certificate == nil || c.Admit == nil || len(c.Protocols) == 0:
		return model.Errorf(model.KindInvalid, "pki: Certificate, Admit and Protocols are required")
	case c.Pins == nil && !onlyJoin:
		return model.Errorf(model.KindInvalid, "pki: Pins are required")
	case dialled && (len(c.Protocols) != 1 || c.Node.IsZero()):
		return model.Errorf(model.KindInvalid, "pki: whoever dials names one protocol and one node")
	case !dialled && !c.Node.IsZero():
		return model.Errorf(model.KindInvalid, "pki: whoever accepts cannot name a node")
	}
	if c.Timeout <= 0 {
		c.Timeout = HandshakeTimeout
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return nil
}

// Accept proves both ends of an accepted connection to each other and returns it when both accept. On an error, which is a *model.Error,
// conn is closed and the other end was told as much as it may know; the Peer is then what the other end claims, as far as it came to that. A refusal of
// ours is in the log with its incident number already.
func Accept(ctx context.Context, conn net.Conn, config Config) (*tls.Conn, Peer, error) {
	return begin(ctx, conn, config, false)
}

// Connect is Accept for the end that dialled.
func Connect(ctx context.Context, conn net.Conn, config Config) (*tls.Conn, Peer, error) {
	return begin(ctx, conn, config, true)
}

// attempt is one handshake.
type attempt struct {
	config  Config
	dialled bool
	raw     *guardedConn

	peer  Peer
	known bool  // the peer may be told why it is refused
	held  error // what VerifyConnection found; as long as it was not called, that

	offered  []string // by the dialler, as the acceptor saw it
	versions []uint16
}

var errUnverified = Refuse(NoCertificate, "the other end was never verified")

func begin(ctx context.Context, conn net.Conn, config Config, dialled bool) (*tls.Conn, Peer, error) {
	if err := config.validate(dialled); err != nil {
		_ = conn.Close()
		return nil, Peer{}, err
	}
	a := &attempt{config: config, dialled: dialled, held: errUnverified,
		raw: &guardedConn{Conn: conn, dialled: dialled, left: MaxHandshakeBytes}}
	ctx, cancel := context.WithTimeout(ctx, config.Timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	secured, err := a.run(ctx)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, a.peer, a.named(ctx, err)
	}
	a.raw.lifted.Store(true)
	return secured, a.peer, nil
}

func (a *attempt) run(ctx context.Context) (*tls.Conn, error) {
	conn := tls.Server(a.raw, a.tlsConfig())
	if a.dialled {
		conn = tls.Client(a.raw, a.tlsConfig())
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, a.explain(ctx, err)
	}
	if err := a.exchange(ctx, fault.Overheard(conn, "verdict")); err != nil {
		_ = conn.CloseWrite() // so that the verdict is not taken for a connection that broke
		return nil, err
	}
	return conn, nil
}

// tlsConfig is never handed out: what VerifyConnection finds is held, and counts only because run goes on to exchange.
func (a *attempt) tlsConfig() *tls.Config {
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: a.config.Protocols, SessionTicketsDisabled: true, Time: a.config.Clock,
		VerifyConnection: func(state tls.ConnectionState) error {
			a.peer, a.known, a.held = a.config.identify(state)
			a.peer.Dialler = !a.dialled
			if address := a.raw.RemoteAddr(); address != nil {
				a.peer.Address = address.String()
			}
			return nil
		},
	}
	if a.dialled {
		config.InsecureSkipVerify = true // there are no host names to verify; identify verifies, in VerifyConnection
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if a.held != nil {
				return &tls.Certificate{}, nil // who is not whom we dialled does not learn who we are
			}
			return a.config.Certificate(), nil
		}
		return config
	}
	config.ClientAuth = tls.RequestClientCert
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.config.Certificate(), nil }
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		a.offered, a.versions = hello.SupportedProtos, hello.SupportedVersions
		return nil, nil
	}
	return config
}

// exchange tells the other end our verdict and hears its own. The dialler speaks first: when the acceptor speaks, all that the dialler
// sent has been read, so that closing the connection after a refusal cannot destroy the refusal on its way.
func (a *attempt) exchange(ctx context.Context, conn net.Conn) error {
	if a.dialled {
		if err := a.decide(ctx, conn); err != nil {
			return err
		}
		return a.hear(ctx, conn)
	}
	if err := a.hear(ctx, conn); err != nil {
		return err
	}
	return a.decide(ctx, conn)
}

// hear reads the other end's verdict.
func (a *attempt) hear(ctx context.Context, conn net.Conn) error {
	v, err := readVerdict(conn)
	switch {
	case err != nil && a.held != nil:
		return a.refuse(conn, a.held)
	case err != nil:
		return a.explain(ctx, err)
	case v.OK:
		return nil
	}
	by := "the other end"
	if a.held == nil {
		by = "node " + a.peer.Node.Short()
	}
	return v.told(by)
}

// decide tells our verdict.
func (a *attempt) decide(ctx context.Context, conn net.Conn) error {
	err := a.held
	if err == nil {
		err = a.config.Admit(a.peer)
	}
	if err != nil {
		return a.refuse(conn, err)
	}
	if err := writeVerdict(conn, verdict{OK: true}); err != nil {
		return a.explain(ctx, err)
	}
	return nil
}

// refuse logs everything, tells a known peer the reason and a stranger an incident number, and returns the error for this end.
func (a *attempt) refuse(conn io.Writer, cause error) error {
	incident := a.incident(cause)
	v := verdict{Refusal: RefusedOtherwise.String(), Kind: model.KindUnauthenticated, Incident: incident}
	var refused *model.Error
	if reason, ok := RefusalOf(cause); !ok {
		v.Kind = model.KindUnavailable // we failed, the peer did not
	} else if a.known && errors.As(cause, &refused) {
		v.Refusal, v.Kind, v.Detail = reason.String(), refused.Kind, refused.Detail
	}
	if conn != nil {
		_ = writeVerdict(conn, v) // who does not hear it sees the connection end
	}
	if errors.As(cause, &refused) {
		with := *refused
		with.Detail += "; incident " + incident
		return &with
	}
	return cause
}

func (a *attempt) incident(cause error) string {
	var random [4]byte
	_, _ = rand.Read(random[:]) // it never fails
	incident := hex.EncodeToString(random[:])
	reason, _ := RefusalOf(cause)
	about := []any{
		"incident", incident, "refusal", reason.String(), "reason", cause.Error(),
		"address", fmt.Sprint(a.raw.RemoteAddr()), "node", a.peer.Node.String(), "serial", a.peer.Serial,
	}
	if !a.known {
		left, write := a.config.Notes.take(time.Now())
		if !write {
			return incident
		}
		if left > 0 {
			about = append(about, "not_written", left)
		}
	}
	a.config.Logger.Warn("a connection was refused", about...)
	return incident
}

// explain makes an error with a kind, a text and a remedy from what TLS and the network say.
func (a *attempt) explain(ctx context.Context, err error) error {
	var remote *net.OpError
	alert := ""
	if errors.As(err, &remote) && remote.Op == "remote error" {
		alert = remote.Err.Error()
	}
	overlap := func(p string) bool { return slices.Contains(a.config.Protocols, p) }
	switch {
	case a.raw.plaintext && a.dialled:
		return Refuse(Plaintext, "what answers at this address is plaintext, not TLS: it begins with "+a.raw.first)
	case a.raw.plaintext:
		return a.refuse(nil, Refuse(Plaintext, "the other end sent plaintext, not TLS"))
	case a.raw.exceeded:
		return model.Errorf(model.KindExhausted, "the other end sent more than %d bytes before it had proved who it is", MaxHandshakeBytes)
	case ctx.Err() != nil:
		return ctx.Err()
	case len(a.versions) > 0 && !slices.Contains(a.versions, tls.VersionTLS13):
		return a.refuse(nil, Refuse(WrongProtocol, "the other end does not speak TLS 1.3"))
	case len(a.offered) > 0 && !slices.ContainsFunc(a.offered, overlap):
		return a.refuse(nil, Refuse(WrongProtocol, fmt.Sprintf("the other end speaks the protocols %s, and this one %q",
			quoted(fmt.Sprintf("%q", a.offered)), a.config.Protocols)))
	case alert == "tls: no application protocol":
		refused := Refuse(WrongProtocol, fmt.Sprintf("what answers at this address does not speak %s", a.config.Protocols[0]))
		refused.Remedy = refusals[WrongProtocol].foreign
		return refused
	case alert != "":
		return Refuse(RefusedOtherwise, "the other end ended the handshake: "+Printable(alert, maxDetailBytes))
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &remote):
		return model.Errorf(model.KindUnavailable, "the connection ended before both ends had accepted: %w", err)
	}
	return model.Errorf(model.KindUnauthenticated, "the handshake failed: %w", err)
}

// named gives an error its operation, and the end of a context its own words.
func (a *attempt) named(ctx context.Context, err error) error {
	_, refused := RefusalOf(err)
	switch {
	case refused:
	case errors.Is(ctx.Err(), context.Canceled):
		err = model.Errorf(model.KindCanceled, "given up: %w", ctx.Err())
	case ctx.Err() != nil:
		err = &model.Error{Kind: model.KindTimeout, Err: ctx.Err(), Detail: fmt.Sprintf("the other end had not proved who it is after %s", a.config.Timeout),
			Remedy: "if it is only far away or busy it will come back by itself"}
	}
	var known *model.Error
	if !errors.As(err, &known) {
		known = model.Errorf(model.KindInternal, "%w", err)
	}
	with := *known
	with.Op = "accept"
	if a.dialled {
		with.Op = "connect"
	}
	return &with
}
