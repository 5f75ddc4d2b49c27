package pki

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"banyan/model"
)

// scene is an acceptor and a dialler that would accept each other, before a fault is put in.
type scene struct {
	t                 *testing.T
	acceptor          *Authority
	dialler           *Authority
	accept, connect   Config
	acceptAs, dialsAs Identity
	dial              func(net.Conn) end // nil means Connect
}

var listeners = []string{"link", "join", "member"}

func newScene(t *testing.T, listener string) *scene {
	s := &scene{t: t, acceptor: newAuthority(t, "hq"), dialler: newAuthority(t, "berlin")}
	s.acceptAs, s.dialsAs = Identity{Class: ClassLink}, Identity{Class: ClassLink}
	taken, used := []string{ProtocolConsumer, ProtocolProvider}, ProtocolProvider
	switch listener {
	case "join":
		taken, used = []string{ProtocolJoin}, ProtocolJoin
	case "member":
		s.dialler = s.acceptor
		s.acceptAs, s.dialsAs = Identity{Class: ClassMember, Member: 1}, Identity{Class: ClassMember, Member: 2}
		taken, used = []string{ProtocolMember}, ProtocolMember
	}
	clock := func() time.Time { return testNow }
	pins := pin(s.acceptor)
	pins[s.dialler.ID()] = pin(s.dialler)[s.dialler.ID()]
	s.accept = Config{Protocols: taken, Pins: pins, Admit: admitAll, Clock: clock, Certificate: show(t, s.acceptor, s.acceptAs, testNow)}
	s.connect = Config{Protocols: []string{used}, Pins: pins, Admit: admitAll, Clock: clock, Node: s.acceptor.ID(),
		Certificate: show(t, s.dialler, s.dialsAs, testNow)}
	return s
}

// other is a class that the listener does not take.
func (s *scene) other() Identity {
	if s.dialsAs.Class == ClassMember {
		return Identity{Class: ClassLink}
	}
	return Identity{Class: ClassMember, Member: 7}
}

// bare dials without this package's dialler: as another program would.
func (s *scene) bare(config *tls.Config) {
	config.InsecureSkipVerify = true
	s.dial = func(c net.Conn) end {
		conn := tls.Client(c, config)
		defer conn.Close()
		if err := conn.Handshake(); err != nil {
			return end{err: err}
		}
		_ = writeVerdict(conn, verdict{OK: true})
		v, err := readVerdict(conn)
		if err == nil && !v.OK {
			err = v.told("the other end")
		}
		return end{err: err}
	}
}

// defect is what is wrong, who finds it, and whether the end that did it is known to the one that finds it.
type defect struct {
	name    string
	put     func(*scene)
	refusal Refusal
	text    string
	known   bool   // the refused end is told the text (at the join listener nobody is known)
	finds   string // "acceptor" or "dialler"; with alert, the refused end has TLS's own text
	alert   string
	except  string // a listener at which it is no fault
}

var faults = []defect{
	{name: "unknown node", finds: "acceptor", refusal: UnknownNode, text: "is not known here", except: "join",
		put: func(s *scene) {
			s.dialler = newAuthority(s.t, "stranger")
			s.connect.Certificate = show(s.t, s.dialler, s.dialsAs, testNow)
		}},
	{name: "wrong fingerprint", finds: "acceptor", refusal: WrongFingerprint, text: "may not vouch for it",
		put: func(s *scene) {
			s.connect.Certificate = show(s.t, impersonate(s.t, s.dialler), s.dialsAs, testNow)
		}},
	{name: "wrong class", finds: "acceptor", refusal: WrongClass, text: "showed a certificate of the class", known: true,
		put: func(s *scene) { s.connect.Certificate = show(s.t, s.dialler, s.other(), testNow) }},
	{name: "class api", finds: "acceptor", refusal: WrongClass, text: "certificate of the class api",
		put: func(s *scene) { s.connect.Certificate = show(s.t, s.dialler, Identity{Class: ClassAPI}, testNow) }},
	{name: "the root itself", finds: "acceptor", refusal: WrongClass, text: "certificate of the class unknown",
		put: func(s *scene) {
			s.connect.Certificate = func() *tls.Certificate {
				return &tls.Certificate{Certificate: [][]byte{s.dialler.Root().Raw}, PrivateKey: s.dialler.held.key}
			}
		}},
	{name: "expired leaf", finds: "acceptor", refusal: ExpiredLeaf, known: true,
		text: "to 2026-07-03T12:00:00Z, and the clock of this node says 2026-07-04T12:00:00Z",
		put: func(s *scene) {
			s.connect.Certificate = show(s.t, s.dialler, s.dialsAs, testNow.Add(24*time.Hour))
			s.accept.Clock = func() time.Time { return testNow.Add(72 * time.Hour) }
		}},
	{name: "leaf not yet valid", finds: "acceptor", refusal: NotYetValid, text: "the clock of this node says", known: true,
		put: func(s *scene) {
			s.connect.Certificate = show(s.t, s.dialler, s.dialsAs, testNow.Add(12*time.Hour+time.Minute))
		}},
	{name: "expired root", finds: "acceptor", refusal: ExpiredLeaf, text: "the certificate of node", known: true,
		put: func(s *scene) { s.accept.Clock = func() time.Time { return testNow.Add(RootLifetime + time.Hour) } }},
	{name: "no certificate", finds: "acceptor", refusal: NoCertificate, text: "showed no certificate",
		put: func(s *scene) { s.bare(&tls.Config{NextProtos: s.connect.Protocols}) }},
	{name: "no protocol", finds: "acceptor", refusal: WrongProtocol, text: `speaks the protocol ""`,
		put: func(s *scene) { s.bare(&tls.Config{}) }},
	{name: "wrong protocol", finds: "acceptor", refusal: WrongProtocol, text: "speaks the protocols", alert: "no application protocol",
		put: func(s *scene) { s.bare(&tls.Config{NextProtos: []string{"h2"}}) }},
	{name: "TLS 1.2", finds: "acceptor", refusal: WrongProtocol, text: "does not speak TLS 1.3", alert: "protocol version",
		put: func(s *scene) {
			s.bare(&tls.Config{NextProtos: s.connect.Protocols, MaxVersion: tls.VersionTLS12})
		}},
	plaintext("plaintext", "GET / HTTP/1.1\r\nHost: hq\r\n\r\n"),
	plaintext("a TLS record that is no handshake", "\x17\x03\x01\x00\x01x"),
	admission(Revoked), admission(Disabled), admission(WrongRole),
	admission(InvitationUsed), admission(InvitationExpired), admission(InvitationForeign),
	{name: "the acceptor is another node", finds: "dialler", refusal: WrongFingerprint, text: "expected was",
		put: func(s *scene) { s.connect.Node = newAuthority(s.t, "elsewhere").ID() }},
	{name: "the acceptor is an impostor", finds: "dialler", refusal: WrongFingerprint, text: "may not vouch for it",
		put: func(s *scene) {
			s.accept.Certificate = show(s.t, impersonate(s.t, s.acceptor), s.acceptAs, testNow)
		}},
	{name: "the acceptor's leaf expired", finds: "dialler", refusal: ExpiredLeaf, text: "the clock of this node says", known: true,
		put: func(s *scene) { s.connect.Clock = func() time.Time { return testNow.Add(48 * time.Hour) } }},
	{name: "the acceptor's class is wrong", finds: "dialler", refusal: WrongClass, text: "showed a certificate of the class", known: true,
		put: func(s *scene) { s.accept.Certificate = show(s.t, s.acceptor, s.other(), testNow) }},
	{name: "the acceptor shows class api", finds: "dialler", refusal: WrongClass, text: "certificate of the class api",
		put: func(s *scene) { s.accept.Certificate = show(s.t, s.acceptor, Identity{Class: ClassAPI}, testNow) }},
	{name: "the acceptor was revoked", finds: "dialler", refusal: Revoked, text: "revoked by alice", known: true,
		put: func(s *scene) {
			s.connect.Admit = func(Peer) error { return Refuse(Revoked, "revoked by alice") }
		}},
}

// plaintext sends what is no handshake, and expects not one byte.
func plaintext(name, sent string) defect {
	return defect{name: name, finds: "acceptor", refusal: Plaintext, text: "sent plaintext, not TLS", alert: "0 bytes came back",
		put: func(s *scene) {
			s.dial = func(c net.Conn) end {
				_, _ = io.WriteString(c, sent)
				answer, _ := io.ReadAll(c)
				return end{err: fmt.Errorf("%d bytes came back", len(answer))}
			}
		}}
}

// admission is a policy refusal of the acceptor.
func admission(r Refusal) defect {
	text := "by alice on Monday: " + r.String()
	return defect{name: r.String(), finds: "acceptor", refusal: r, text: text, known: true,
		put: func(s *scene) { s.accept.Admit = func(Peer) error { return Refuse(r, text) } }}
}

var incidentPattern = regexp.MustCompile(`incident ([0-9a-f]{8})`)

// TestRefusals puts every fault before every listener and asserts what both ends say, and what the log of the refusing end says.
func TestRefusals(t *testing.T) {
	for _, listener := range listeners {
		for _, f := range faults {
			if f.except == listener {
				continue
			}
			t.Run(listener+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				s := newScene(t, listener)
				var log logged
				f.put(s)
				finder, refused := &end{}, &end{}
				if f.finds == "acceptor" {
					s.accept.Logger = log.logger()
					*finder, *refused = s.meet()
				} else {
					s.connect.Logger = log.logger()
					*refused, *finder = s.meet()
				}
				if finder.conn != nil || refused.conn != nil {
					t.Fatal("a connection came out of it")
				}
				if r, ok := RefusalOf(finder.err); !ok || r != f.refusal || !strings.Contains(finder.err.Error(), f.text) {
					t.Errorf("the finder says %v (%v), want %v: %s", finder.err, r, f.refusal, f.text)
				}
				if incident := incidentPattern.FindStringSubmatch(finder.err.Error()); incident == nil ||
					!strings.Contains(log.String(), "incident="+incident[1]+" refusal="+f.refusal.String()) {
					t.Errorf("the log does not have the refusal: %s", log.String())
				}
				known := f.known && (listener != "join" || f.finds == "dialler")
				checkRefused(t, f, known, refused.err, log.String())
			})
		}
	}
}

func (s *scene) meet() (acceptor, dialler end) {
	if s.dial == nil {
		s.dial = connecting(s.connect)
	}
	return meet(s.t, accepting(s.accept), s.dial)
}

// checkRefused: a known peer is told the reason, a stranger an incident that the other end's log explains.
func checkRefused(t *testing.T, f defect, known bool, err error, log string) {
	t.Helper()
	text := fmt.Sprint(err)
	reason, _ := RefusalOf(err)
	switch {
	case f.alert != "":
		if !strings.Contains(text, f.alert) {
			t.Errorf("the refused end says %s, want %s", text, f.alert)
		}
	case known:
		if reason != f.refusal || !strings.Contains(text, f.text) || !strings.Contains(text, " refused this connection: ") {
			t.Errorf("the refused end says %s (%v), want %v: %s", text, reason, f.refusal, f.text)
		}
		var e *model.Error
		if !errors.As(err, &e) || e.Remedy == "" {
			t.Errorf("the refused end has no remedy: %s", text)
		}
	default:
		incident := incidentPattern.FindStringSubmatch(text)
		if incident == nil || reason != RefusedOtherwise || strings.Contains(text, f.text) || model.KindOf(err) != model.KindUnauthenticated {
			t.Fatalf("the refused stranger says %s (%v)", text, reason)
		}
		if !strings.Contains(log, "incident="+incident[1]) || !strings.Contains(strings.ReplaceAll(log, `\"`, `"`), f.text) {
			t.Errorf("incident %s is not explained by the log: %s", incident[1], log)
		}
	}
}

// TestAccepted: without a fault every listener takes its peer, and both ends know who the other is.
func TestAccepted(t *testing.T) {
	for _, listener := range listeners {
		t.Run(listener, func(t *testing.T) {
			s := newScene(t, listener)
			a, d := s.meet()
			if a.err != nil || d.err != nil {
				t.Fatal(a.err, d.err)
			}
			if a.peer.Node != s.dialler.ID() || d.peer.Node != s.acceptor.ID() || !a.peer.Dialler || d.peer.Dialler {
				t.Errorf("the peers are %+v and %+v", a.peer, d.peer)
			}
			if a.peer.Pinned == (listener == "join") || a.peer.Class != s.dialsAs.Class || a.peer.Member != s.dialsAs.Member {
				t.Errorf("the acceptor's peer is %+v", a.peer)
			}
			if listener == "link" && (a.peer.Role() != RoleProvider || d.peer.Role() != RoleConsumer) {
				t.Errorf("the roles are %v and %v", a.peer.Role(), d.peer.Role())
			}
			if Fingerprint(a.peer.Root) != s.dialler.ID() || Fingerprint(d.peer.Root) != s.acceptor.ID() {
				t.Error("the roots are not those of the nodes")
			}
			for _, ends := range [][2]end{{a, d}, {d, a}} { // what follows the verdicts arrives whole
				go func() { _, _ = ends[0].conn.Write(make([]byte, 2*MaxHandshakeBytes)) }()
				if _, err := io.ReadFull(ends[1].conn, make([]byte, 2*MaxHandshakeBytes)); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestOwnIDOnly: among many pinned nodes, each root vouches for its own ID and for no other.
func TestOwnIDOnly(t *testing.T) {
	var nodes []*Authority
	for i := range 5 {
		nodes = append(nodes, newAuthority(t, fmt.Sprint("node", i)))
	}
	pins := pin(nodes...)
	for i, signer := range nodes {
		for j, claimed := range nodes {
			forger := &Authority{id: claimed.id, held: signer.ring()}
			s := newScene(t, "link")
			s.accept.Pins = pins
			s.connect.Certificate = show(t, forger, s.dialsAs, testNow)
			a, _ := s.meet()
			if r, _ := RefusalOf(a.err); (a.err == nil) != (i == j) || i != j && r != WrongFingerprint {
				t.Errorf("root %d for ID %d: %v", i, j, a.err)
			}
		}
	}
}

// TestAPIListener: no link or member certificate means anything to it, and a link dialler at its port is told which port it wants.
func TestAPIListener(t *testing.T) {
	s := newScene(t, "link")
	leaf, err := s.acceptor.APILeaf([]string{"localhost"}, LeafConfig{Clock: s.accept.Clock})
	if err != nil {
		t.Fatal(err)
	}
	serve := func(c net.Conn) end {
		conn := tls.Server(c, APIConfig(leaf))
		defer conn.Close()
		return end{err: conn.Handshake()}
	}
	a, d := meet(t, serve, connecting(s.connect))
	if r, _ := RefusalOf(d.err); r != WrongProtocol || !strings.Contains(d.err.Error(), "does not speak banyan-link-provider/1") ||
		!strings.Contains(d.err.Error(), "port 7443") || a.err == nil {
		t.Errorf("the dialler says %v, the listener %v", d.err, a.err)
	}
	shown := func(c net.Conn) end {
		conn := tls.Server(c, APIConfig(leaf))
		defer conn.Close()
		err := conn.Handshake()
		if n := len(conn.ConnectionState().PeerCertificates); err == nil && n > 0 {
			err = fmt.Errorf("%d certificates were shown", n)
		}
		return end{err: err}
	}
	asked := false
	s.bare(&tls.Config{NextProtos: []string{"h2"}, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		return s.connect.Certificate(), nil
	}})
	if a, _ := meet(t, shown, s.dial); a.err != nil || asked {
		t.Errorf("the API's listener asked for a certificate: %v", a.err)
	}
}

// TestPlaintextAnswer: a dialler says that what answers is no TLS.
func TestPlaintextAnswer(t *testing.T) {
	s := newScene(t, "link")
	_, d := meet(t, func(c net.Conn) end {
		_, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.2p1\r\n")
		_, _ = io.Copy(io.Discard, c)
		return end{}
	}, connecting(s.connect))
	if r, _ := RefusalOf(d.err); r != Plaintext || !strings.Contains(d.err.Error(), "plaintext, not TLS") {
		t.Error(d.err)
	}
}

// TestUndecided: when we cannot decide, the peer hears that it is our fault, and nothing of what went wrong.
func TestUndecided(t *testing.T) {
	s := newScene(t, "link")
	s.accept.Admit = func(Peer) error { return errors.New("database is locked") }
	a, d := s.meet()
	if model.KindOf(a.err) != model.KindInternal || model.KindOf(d.err) != model.KindUnavailable || strings.Contains(d.err.Error(), "locked") {
		t.Errorf("%v; %v", a.err, d.err)
	}
}

// TestNoCertificateForStrangers: who is not whom we dialled does not learn who we are.
func TestNoCertificateForStrangers(t *testing.T) {
	s := newScene(t, "link")
	s.connect.Node = newAuthority(t, "elsewhere").ID()
	s.connect.Certificate = func() *tls.Certificate {
		t.Error("the certificate was asked for")
		return nil
	}
	if _, d := s.meet(); d.err == nil {
		t.Error("accepted")
	}
}

// ticketCounter is a session cache that keeps nothing.
type ticketCounter struct{ tickets int }

func (*ticketCounter) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (c *ticketCounter) Put(_ string, session *tls.ClientSessionState) {
	if session != nil {
		c.tickets++
	}
}

// TestNoTickets: no session can be resumed, so that each connection is verified and admitted.
func TestNoTickets(t *testing.T) {
	s := newScene(t, "link")
	counter := &ticketCounter{}
	s.bare(&tls.Config{NextProtos: s.connect.Protocols, Certificates: []tls.Certificate{*s.connect.Certificate()}, ClientSessionCache: counter,
		ServerName: "hq"})
	if a, d := s.meet(); a.err != nil || d.err != nil || counter.tickets > 0 {
		t.Errorf("%v, %v, %d tickets", a.err, d.err, counter.tickets)
	}
}

// TestBeforeProof: before it has proved who it is a connection gets 10 s and 64 KiB, at both ends, and in each stage.
func TestBeforeProof(t *testing.T) {
	s := newScene(t, "link")
	stages := map[string]func(net.Conn){
		"silent": func(net.Conn) {},
		"begun":  func(c net.Conn) { _, _ = c.Write([]byte{recordHandshake, 3}) },
		"drips": func(c net.Conn) {
			for {
				if _, err := c.Write([]byte{recordHandshake}); err != nil {
					return
				}
				time.Sleep(time.Second) // in the bubble's time
			}
		},
		"no verdict": func(c net.Conn) {
			conn := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: s.connect.Protocols, Time: s.connect.Clock,
				Certificates: []tls.Certificate{*s.connect.Certificate()}})
			_ = conn.Handshake()
			_, _ = conn.Read(make([]byte, 1))
		},
	}
	for name, other := range stages {
		for _, side := range []func(net.Conn) end{accepting(s.accept), connecting(s.connect)} {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				var others sync.WaitGroup
				others.Go(func() { other(there) })
				if name != "no verdict" {
					others.Go(func() { _, _ = io.Copy(io.Discard, there) })
				}
				begun := time.Now()
				err := side(here).err
				if took := time.Since(begun); took > HandshakeTimeout || err == nil {
					t.Errorf("%s: ended after %s with %v", name, took, err)
				}
				if name == "silent" && (model.KindOf(err) != model.KindTimeout || !errors.Is(err, context.DeadlineExceeded)) {
					t.Errorf("%s: %v", name, err)
				}
				_ = there.Close()
				others.Wait()
			})
		}
	}
}

// TestFlood: more than 64 KiB before the proof end the connection, however they are sent.
func TestFlood(t *testing.T) {
	s := newScene(t, "link")
	huge := *s.connect.Certificate()
	for range 200 {
		huge.Certificate = append(huge.Certificate, s.dialler.Root().Raw)
	}
	s.connect.Certificate = func() *tls.Certificate { return &huge }
	if a, _ := s.meet(); model.KindOf(a.err) != model.KindExhausted {
		t.Errorf("a chain of 200 certificates: %v", a.err)
	}
}

// TestStrangersFillNoLog: a flood of refused strangers is a bounded number of lines, which say how many there are not; each still hears a number, and a
// known peer's refusal is always there.
func TestStrangersFillNoLog(t *testing.T) {
	s := newScene(t, "link")
	var log logged
	s.accept.Logger, s.accept.Notes = log.logger(), &Notes{}
	s.bare(&tls.Config{NextProtos: s.connect.Protocols})
	for range 2 * notesBurst {
		if _, d := s.meet(); !incidentPattern.MatchString(fmt.Sprint(d.err)) {
			t.Fatalf("a stranger hears %v", d.err)
		}
	}
	most := notesBurst + notesBurst/2 // it takes a while
	if lines := strings.Count(log.String(), "a connection was refused"); lines < notesBurst || lines > most {
		t.Errorf("%d strangers are %d lines", 2*notesBurst, lines)
	}
	s.accept.Notes.at = time.Now().Add(-time.Minute)
	s.meet()
	if !strings.Contains(log.String(), "not_written=") {
		t.Error("nothing says that lines are missing")
	}
	s.accept.Notes.spent = notesBurst
	s.dial, s.connect.Protocols = nil, []string{ProtocolProvider}
	s.accept.Admit = func(Peer) error { return Refuse(Revoked, "by alice") }
	s.meet()
	if !strings.Contains(log.String(), "by alice") {
		t.Error("the refusal of a known peer is missing")
	}
}

// TestCanceled: the end of the caller's context ends a handshake.
func TestCanceled(t *testing.T) {
	s := newScene(t, "link")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		here, there := net.Pipe()
		defer there.Close()
		time.AfterFunc(time.Second, cancel)
		if _, _, err := Accept(ctx, here, s.accept); model.KindOf(err) != model.KindCanceled {
			t.Error(err)
		}
	})
}

// TestConfig: what would let everybody in, or nobody, does not start.
func TestConfig(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"no admit": func(c *Config) { c.Admit = nil }, "no pins": func(c *Config) { c.Pins = nil },
		"no protocol": func(c *Config) { c.Protocols = nil }, "unknown protocol": func(c *Config) { c.Protocols = []string{"h2"} },
		"no certificate": func(c *Config) { c.Certificate = nil }, "node": func(c *Config) {
			if c.Node.IsZero() {
				c.Node[0] = 1
			} else {
				c.Node = model.NodeID{}
			}
		},
	} {
		s := newScene(t, "link")
		spoil(&s.accept)
		spoil(&s.connect)
		if a, d := s.meet(); model.KindOf(a.err) != model.KindInvalid || model.KindOf(d.err) != model.KindInvalid {
			t.Errorf("%s: %v; %v", name, a.err, d.err)
		}
	}
}

func FuzzVerdict(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x0b{\"ok\":true}"))
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x00\x00\x2a" + `{"detail":"\u001b[31m\n2026 forged\u202e"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := readVerdict(strings.NewReader(string(data)))
		if err != nil || v.OK {
			return
		}
		text := v.told("hq").Error()
		if strings.ContainsAny(text, "\x00\x1b\r\n") || len(text) > 2048 {
			t.Errorf("%q", text)
		}
	})
}
