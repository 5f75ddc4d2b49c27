package siege

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"

	"banyan/pki"
)

// knock connects over and over, as fast as that goes, and does something with each connection.
func knock(links bool, with func(ctx context.Context, conn net.Conn) error) func(context.Context, *Target) {
	return func(ctx context.Context, t *Target) {
		t.each(ctx, func(ctx context.Context) error {
			conn, err := t.dial(ctx, t.address(links))
			if err != nil {
				return err
			}
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			t.Sent.Add(1)
			return with(ctx, conn)
		})
	}
}

func (t *Target) address(links bool) string {
	if links {
		return t.Links
	}
	return t.API
}

func protocols(links bool) []string {
	if links {
		return []string{pki.ProtocolConsumer}
	}
	return []string{"h2"}
}

func stranger(links bool) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: protocols(links)} //nolint:gosec // an attacker does not care whom it attacks
}

// knocks are what a stranger does at any door.
func knocks(links bool) map[string]func(context.Context, *Target) {
	hello := helloOf(stranger(links))
	return map[string]func(context.Context, *Target){
		"handshakes": knock(links, func(ctx context.Context, conn net.Conn) error {
			secured := tls.Client(conn, stranger(links))
			_ = secured.HandshakeContext(ctx)
			return nil
		}),
		"greetings and nothing more": knock(links, func(_ context.Context, conn net.Conn) error {
			_, _ = conn.Write(hello)
			_, _ = conn.Read(make([]byte, 1))
			return nil
		}),
		"connections and nothing more": knock(links, func(context.Context, net.Conn) error { return nil }),
		"garbage": knock(links, func(_ context.Context, conn net.Conn) error {
			_, _ = io.CopyN(conn, rand.Reader, 64<<10)
			return nil
		}),
		"plaintext": knock(links, func(_ context.Context, conn net.Conn) error {
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			_, _ = io.Copy(io.Discard, conn)
			return nil
		}),
		"greetings of 64 KiB": knock(links, func(_ context.Context, conn net.Conn) error {
			big := []byte{1, 0, 0xff, 0xf0} // a ClientHello of 65,520 bytes, in records of 16 KiB
			big = append(big, make([]byte, 0xfff0)...)
			for len(big) > 0 {
				n := min(len(big), 16<<10)
				if _, err := conn.Write(append([]byte{22, 3, 1, byte(n >> 8), byte(n)}, big[:n]...)); err != nil {
					return nil
				}
				big = big[n:]
			}
			_, _ = conn.Read(make([]byte, 1))
			return nil
		}),
	}
}

// helloOf is the first record that a client sends.
func helloOf(config *tls.Config) []byte {
	here, there := net.Pipe()
	defer func() { _, _ = here.Close(), there.Close() }()
	go func() { _ = tls.Client(there, config).Handshake() }()
	record := make([]byte, 16<<10)
	n, _ := here.Read(record)
	return record[:n]
}

// Loris holds connections open that come to nothing, in turn in each of the ways, and opens anew what the node closes.
type Loris struct {
	Target *Target
	Links  bool
	Count  int

	mu   sync.Mutex // guards held
	held map[net.Conn]bool
}

// Run holds them until ctx ends.
func (l *Loris) Run(ctx context.Context) {
	l.held = map[net.Conn]bool{}
	hello := helloOf(stranger(l.Links))
	ways := []func(context.Context, net.Conn) error{
		func(ctx context.Context, conn net.Conn) error { return wait(conn) },                           // silent
		func(ctx context.Context, conn net.Conn) error { return drip(ctx, conn, hello) },               // a greeting byte by byte
		func(ctx context.Context, conn net.Conn) error { _, _ = conn.Write(hello); return wait(conn) }, // half of a handshake
		l.insideTLS("GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true),
		l.insideTLS("POST /banyan.api.v1.SessionService/Login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n", true),
		l.insideTLS("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", false), // and then nothing
	}
	var next int
	var mu sync.Mutex
	l.Target.beside(ctx, l.Count, func(ctx context.Context) error {
		conn, err := l.Target.dial(ctx, l.Target.address(l.Links))
		if err != nil {
			pause(ctx, 100*time.Millisecond)
			return err
		}
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
		l.Target.Sent.Add(1)
		l.mark(conn, true)
		defer l.mark(conn, false)
		mu.Lock()
		way := ways[next%len(ways)]
		next++
		mu.Unlock()
		err = way(ctx, conn)
		pause(ctx, 200*time.Millisecond)
		return err
	})
}

func (l *Loris) mark(conn net.Conn, held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held {
		l.held[conn] = true
	} else {
		delete(l.held, conn)
	}
}

// Held is how many connections are open at the attacker.
func (l *Loris) Held() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.held)
}

// insideTLS finishes the handshake and sends there, slowly or at once.
func (l *Loris) insideTLS(text string, slowly bool) func(context.Context, net.Conn) error {
	return func(ctx context.Context, conn net.Conn) error {
		config := stranger(l.Links)
		if !l.Links {
			config.NextProtos = []string{"http/1.1"}
		}
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return err
		}
		if slowly {
			return drip(ctx, secured, []byte(text))
		}
		_, _ = io.WriteString(secured, text)
		_, _ = io.Copy(io.Discard, secured)
		return io.EOF
	}
}

// wait ends when the node closes the connection.
func wait(conn net.Conn) error {
	_, err := io.Copy(io.Discard, conn)
	if err == nil {
		err = io.EOF
	}
	return err
}

// drip sends a byte each half second, and does not end before the node closes the connection.
func drip(ctx context.Context, conn net.Conn, text []byte) error {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_, _ = io.Copy(io.Discard, conn)
	}()
	for i := 0; ctx.Err() == nil; i++ {
		b := byte('a')
		if i < len(text) {
			b = text[i]
		}
		if _, err := conn.Write([]byte{b}); err != nil {
			return err
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-closed:
			return io.EOF
		case <-ctx.Done():
		}
	}
	return nil
}
