package pki

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"sync"
	"testing"
	"time"

	"banyan/model"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testNow = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func newAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	a, err := Create(t.TempDir(), name, testNow)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// pinned is Pins as a map.
type pinned map[model.NodeID][]*x509.Certificate

func (p pinned) Roots(node model.NodeID) ([]*x509.Certificate, error) { return p[node], nil }

func pin(authorities ...*Authority) pinned {
	p := pinned{}
	for _, a := range authorities {
		p[a.ID()] = append(p[a.ID()], a.Root())
	}
	return p
}

// impersonate is the authority of an attacker who signs in the name of victim.
func impersonate(t testing.TB, victim *Authority) *Authority {
	own := newAuthority(t, "mallory")
	own.id = victim.id
	return own
}

// show makes a certificate of any class and time, as Config.Certificate.
func show(t testing.TB, a *Authority, names Identity, at time.Time) func() *tls.Certificate {
	t.Helper()
	_, made, err := a.freshLeaf(names, []string{"localhost"}, at, LinkLifetime)
	if err != nil {
		t.Fatal(err)
	}
	return func() *tls.Certificate { return made }
}

func admitAll(Peer) error { return nil }

// logged is a logger that writes to memory.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) logger() hclog.Logger { return hclog.New(&hclog.LoggerOptions{Output: l}) }

// dialled is a TCP connection over loopback with both its ends.
func dialled(t testing.TB) (acceptor, dialler net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialler, err = net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	acceptor, err = listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = acceptor.Close(); _ = dialler.Close() })
	return acceptor, dialler
}

type end struct {
	conn *tls.Conn
	peer Peer
	err  error
}

// meet runs both ends over TCP until both are done.
func meet(t testing.TB, accept, connect func(net.Conn) end) (acceptor, dialler end) {
	t.Helper()
	left, right := dialled(t)
	done := make(chan end, 1)
	go func() { done <- accept(left) }()
	dialler = connect(right)
	acceptor = <-done
	t.Cleanup(func() {
		for _, e := range []end{acceptor, dialler} {
			if e.conn != nil {
				_ = e.conn.Close()
			}
		}
	})
	return acceptor, dialler
}

func accepting(config Config) func(net.Conn) end {
	return func(c net.Conn) end {
		conn, peer, err := Accept(context.Background(), c, config)
		return end{conn, peer, err}
	}
}

func connecting(config Config) func(net.Conn) end {
	return func(c net.Conn) end {
		conn, peer, err := Connect(context.Background(), c, config)
		return end{conn, peer, err}
	}
}
