package siege

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"banyan/model"
	"banyan/pki"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Target is a node that is attacked, and what the attacker has of it.
type Target struct {
	API, Links string
	Token      string // of somebody with few rights; for attacks of people
	Path       string // something that they may list
	Node       model.NodeID
	Root       *x509.Certificate
	Mallory    *pki.Authority // a node that is linked with it, as a consumer and as a provider; for attacks of peers
	// Sources are the addresses of this machine that attacks come from; any when empty.
	Sources []string
	// Connections are how many an attack uses at the same time; default 4.
	Connections int

	next atomic.Uint64
	Sent atomic.Uint64 // units of the attack, whatever those are
	Cut  atomic.Uint64 // connections that the node ended
}

// Roots are those that the attacker knows, for package pki.
func (t *Target) Roots(node model.NodeID) ([]*x509.Certificate, error) {
	if node == t.Node {
		return []*x509.Certificate{t.Root}, nil
	}
	return nil, nil
}

// dial connects from one of the sources.
func (t *Target) dial(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	if len(t.Sources) > 0 {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(t.Sources[t.next.Add(1)%uint64(len(t.Sources))])}
	}
	return d.DialContext(ctx, "tcp", address)
}

// each does something on so many connections until ctx ends, over and over.
func (t *Target) each(ctx context.Context, do func(ctx context.Context) error) {
	n := t.Connections
	if n == 0 {
		n = 4
	}
	t.beside(ctx, n, do)
}

func (t *Target) beside(ctx context.Context, n int, do func(ctx context.Context) error) {
	var work sync.WaitGroup
	for range n {
		work.Go(func() {
			for ctx.Err() == nil {
				if do(ctx) != nil && ctx.Err() == nil {
					t.Cut.Add(1)
					pause(ctx, time.Millisecond)
				}
			}
		})
	}
	work.Wait()
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// wire is a connection that speaks HTTP/2 by hand.
type wire struct {
	net.Conn
	out    *bufio.Writer
	framer *http2.Framer
	stream uint32 // that is opened next
	held   uint32 // that is kept open; 0 for none
	server bool   // this end is the server
	token  string
	host   string
	stop   func() bool
}

// openAPI connects to the API; with a token where it is to be sent.
func (t *Target) openAPI(ctx context.Context, token string) (*wire, error) {
	raw, err := t.dial(ctx, t.API)
	if err != nil {
		return nil, err
	}
	secured := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) //nolint:gosec // an attacker does not care whom it attacks
	w := newWire(ctx, secured, false)
	w.token, w.host = token, t.API
	return w, w.greet()
}

// openLink connects as the linked node: as the consumer, which is the client of HTTP/2, or as the provider, which is the server.
func (t *Target) openLink(ctx context.Context, provider bool) (*wire, error) {
	raw, err := t.dial(ctx, t.Links)
	if err != nil {
		return nil, err
	}
	leaf, err := t.Mallory.LinkLeaf(pki.LeafConfig{})
	if err != nil {
		return nil, err
	}
	protocol := pki.ProtocolConsumer
	if provider {
		protocol = pki.ProtocolProvider
	}
	secured, _, err := pki.Connect(ctx, raw, pki.Config{
		Certificate: leaf.Current, Protocols: []string{protocol}, Node: t.Node, Pins: t, Admit: func(pki.Peer) error { return nil },
	})
	if err != nil {
		return nil, err
	}
	w := newWire(ctx, secured, provider)
	w.host = "link"
	return w, w.greet()
}

// openHTTP1 connects to the API, and speaks HTTP/1.1 there.
func (t *Target) openHTTP1(ctx context.Context) (*tls.Conn, error) {
	raw, err := t.dial(ctx, t.API)
	if err != nil {
		return nil, err
	}
	return tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}), nil //nolint:gosec // an attacker does not care whom it attacks
}

func newWire(ctx context.Context, conn net.Conn, server bool) *wire {
	w := &wire{Conn: conn, out: bufio.NewWriterSize(conn, 16<<10), server: server, stream: 1}
	w.framer = http2.NewFramer(w.out, nil)
	w.framer.AllowIllegalWrites = true
	w.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return w
}

// greet sends what comes first.
func (w *wire) greet(settings ...http2.Setting) error {
	if !w.server {
		if _, err := w.out.WriteString(http2.ClientPreface); err != nil {
			return err
		}
	}
	if err := w.framer.WriteSettings(settings...); err != nil {
		return err
	}
	return w.out.Flush()
}

// drain takes whatever comes, and acknowledges nothing.
func (w *wire) drain() {
	go func() { _, _ = io.Copy(io.Discard, w.Conn) }()
}

func (w *wire) end() {
	w.stop()
	_ = w.Conn.Close()
}

// headers are those of a request, and more.
func (w *wire) headers(method, path, kind string, more ...hpack.HeaderField) []byte {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, f := range append([]hpack.HeaderField{
		{Name: ":method", Value: method}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: w.host}, {Name: ":path", Value: path},
		{Name: "content-type", Value: kind}, {Name: "te", Value: "trailers"},
	}, more...) {
		_ = e.WriteField(f) // a buffer takes all
	}
	if w.token != "" {
		_ = e.WriteField(hpack.HeaderField{Name: "authorization", Value: "Bearer " + w.token})
	}
	return block.Bytes()
}

// request opens the next stream.
func (w *wire) request(block []byte, last bool) (uint32, error) {
	id := w.stream
	w.stream += 2
	return id, w.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: last})
}
