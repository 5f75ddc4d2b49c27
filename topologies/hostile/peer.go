package hostile

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"banyan/model"
	"banyan/pki"
	"banyan/proto"
	"banyan/proto/linkv1"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Peer is a node that the victim takes for one of its neighbours.
type Peer struct {
	Name   string
	Victim model.NodeID
	Role   pki.Role // its own

	authority *pki.Authority
	leaf      *pki.Leaf
	root      *x509.Certificate // the victim's
	address   string
	epoch     model.Epoch
	thrown    chan struct{} // capacity 1: what a provider sends by itself was sent
	wants     chan struct{} // capacity 1: the bulk connection was asked for

	mu   sync.Mutex
	said Said // guarded by mu: what was sent, by type of message
	born uint64
}

// New makes a node in dir that is linked with nobody.
func New(dir, name string) (p *Peer, err error) {
	p = &Peer{
		Name: name, said: Said{}, thrown: make(chan struct{}, 1), wants: make(chan struct{}, 1), epoch: model.Epoch{Ordinal: 1, Random: uint64(time.Now().UnixNano())},
	}
	if p.authority, err = pki.Create(dir, name, time.Now()); err != nil {
		return nil, err
	}
	p.leaf, err = p.authority.LinkLeaf(pki.LeafConfig{})
	return p, err
}

// Join makes a node in dir and lets it join a victim by the token of an invitation.
func Join(ctx context.Context, dir, name, token string) (*Peer, error) {
	t, err := pki.ParseToken(token)
	if err != nil {
		return nil, err
	}
	p, err := New(dir, name)
	if err != nil {
		return nil, err
	}
	p.Victim, p.Role, p.address = t.Node, t.Inviter.Other(), t.Addresses[0]
	conn, err := p.dial(ctx, pki.ProtocolJoin)
	if err != nil {
		return nil, err
	}
	client, err := clientOver(conn)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	attempt := make([]byte, 32)
	_, _ = rand.Read(attempt)
	request := &linkv1.RedeemRequest{Secret: t.Secret.Reveal(), Name: name, Roots: [][]byte{p.authority.Root().Raw}, Attempt: attempt}
	if p.Role == pki.RoleProvider {
		request.Terms = &linkv1.ExportTerms{Patterns: []string{"/**"}}
	} else {
		request.Mount = "/m"
	}
	response, err := linkv1.NewJoinServiceClient(client).Redeem(ctx, request)
	if err != nil {
		return nil, proto.FromStatus(err)
	}
	if err := proto.ToError(response.GetError()); err != nil {
		return nil, err
	}
	return p, nil
}

// ID is the peer's own.
func (p *Peer) ID() model.NodeID { return p.authority.ID() }

// Roots are those of the victim.
func (p *Peer) Roots(node model.NodeID) ([]*x509.Certificate, error) {
	if node == p.Victim && p.root != nil {
		return []*x509.Certificate{p.root}, nil
	}
	return nil, nil
}

// dial opens a proven connection to the victim.
func (p *Peer) dial(ctx context.Context, protocol string) (net.Conn, error) {
	raw, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	conn, who, err := pki.Connect(ctx, raw, pki.Config{
		Certificate: p.leaf.Current, Protocols: []string{protocol}, Node: p.Victim, Pins: p, Admit: func(pki.Peer) error { return nil },
	})
	if err != nil {
		return nil, err
	}
	if p.root == nil {
		p.root = who.Root
	}
	return hidden{conn}, nil
}

// heard dials until the victim takes the connection: who has broken the protocol is not heard for a while.
func (p *Peer) heard(ctx context.Context, protocol string) (net.Conn, error) {
	for {
		conn, err := p.dial(ctx, protocol)
		if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), Shunned) {
			return conn, err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// Shunned is in what a victim says to a peer that it does not hear for a while.
const Shunned = "is heard again in"

// hidden is a connection of which gRPC does not see that it is TLS: it was proved already. It is closed at once, without waiting for who does not read.
type hidden struct{ net.Conn }

// Close closes it.
func (h hidden) Close() error { return h.Conn.(*tls.Conn).NetConn().Close() }

// clientOver is a gRPC client over one connection.
func clientOver(conn net.Conn) (*grpc.ClientConn, error) {
	var once sync.Once
	return grpc.NewClient("passthrough:///victim", grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
		var first net.Conn
		once.Do(func() { first = conn })
		if first == nil {
			return nil, errors.New("the connection has ended")
		}
		return first, nil
	}), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(), grpc.WithNoProxy(), grpc.WithIdleTimeout(0),
		grpc.WithInitialWindowSize(1<<20), grpc.WithInitialConnWindowSize(1<<20),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(proto.Codec{}), grpc.MaxCallSendMsgSize(256<<20), grpc.MaxCallRecvMsgSize(8<<20)))
}

// inlet is a listener of one connection, which is then closed with it.
type inlet struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newInlet(conn net.Conn) *inlet {
	in := &inlet{conns: make(chan net.Conn, 1), done: make(chan struct{})}
	in.conns <- noted{conn, in}
	return in
}

// Accept gives the connection once, and waits then until it has ended.
func (in *inlet) Accept() (net.Conn, error) {
	select {
	case conn := <-in.conns:
		return conn, nil
	case <-in.done:
		return nil, net.ErrClosed
	}
}

// Close ends the waiting.
func (in *inlet) Close() error {
	in.once.Do(func() { close(in.done) })
	return nil
}

// Addr is none.
func (*inlet) Addr() net.Addr { return &net.TCPAddr{} }

// noted ends its inlet when it is closed.
type noted struct {
	net.Conn
	in *inlet
}

// Close closes both.
func (n noted) Close() error {
	_ = n.in.Close()
	return n.Conn.Close()
}

// chain is the peer's own, of one epoch.
func (p *Peer) chain() model.Chain { return model.Chain{{Epoch: p.epoch, First: 1}} }

// next is a number that the peer has not given yet.
func (p *Peer) next() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.born++
	return p.born
}

// Sent is what the peer has sent so far, by the names of messages and of their fields.
func (p *Peer) Sent() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(p.said.all())
}

// Thrown is signalled when a provider has sent what it sends by itself.
func (p *Peer) Thrown() <-chan struct{} { return p.thrown }
