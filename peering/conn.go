package peering

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"banyan/fault"
	"banyan/pki"
	"banyan/proto"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// Limits of gRPC between nodes, all in one place.
const (
	maxStreams     = 512 // requests under way on one connection
	maxHeaderBytes = 16 << 10
	writeBuffer    = 128 << 10 // of a provider, shared by all connections while something is written
	askBuffer      = 8 << 10   // of a consumer, which says little
	readBuffer     = 0         // TLS has one of its own
	mostConns      = 8         // of one link: the newest ones

	// A window is what the other end may send before anybody has read it. What a provider tells goes far and fast; what a consumer says is short, and of a long
	// request gRPC lets come what it waits for.
	streamWindow = 2 << 20
	connWindow   = 4 << 20
	callWindow   = 64 << 10
	callsWindow  = 1 << 20
)

// provenConn is a connection whose ends have proved who they are. gRPC gets it finished. done is closed with it.
type provenConn struct {
	net.Conn
	peer pki.Peer
	once sync.Once
	done chan struct{}

	dialling sync.Mutex // guards client
	client   *grpc.ClientConn

	intake  *intake
	traffic *traffic
	step    Doorstep     // nil where it was dialled
	heard   atomic.Int64 // when a call came over it, as model.Time
	refused atomic.Bool  // the life of the consumer at the other end is not taken
}

// newProvenConn paces what a node sends, over all connections with it together.
func (h *Hub) newProvenConn(conn *tls.Conn, peer pki.Peer) *provenConn {
	client := peer.Role() == pki.RoleProvider || peer.Protocol == pki.ProtocolJoin && !peer.Dialler
	done := make(chan struct{})
	return &provenConn{
		Conn: h.cfg.Frames.Wrap(conn, peer.Node.String(), client, done), peer: peer, done: done, traffic: &h.traffic, intake: newIntake(mostJoining),
	}
}

// letIn says that the other end may stay.
func (c *provenConn) letIn() {
	if c.step != nil {
		c.step.LetIn()
	}
}

// Close closes the connection at once and without TLS's farewell, which would wait for a peer that does not read, for 5 s.
func (c *provenConn) Close() error {
	c.once.Do(func() { close(c.done) })
	if secured, ok := c.Conn.(interface{ NetConn() net.Conn }); ok {
		return secured.NetConn().Close()
	}
	return c.Conn.Close()
}

// closeSoon closes the connection when the other end has had time to hear why.
func (c *provenConn) closeSoon() { time.AfterFunc(time.Second, func() { _ = c.Close() }) }

// grpc is the client over the connection, the same each time. It is closed with Close of the client, and ends with the connection.
func (c *provenConn) grpc() (*grpc.ClientConn, error) {
	c.dialling.Lock()
	defer c.dialling.Unlock()
	if c.client == nil {
		client, err := newClient(c)
		if err != nil {
			return nil, err
		}
		c.client = client
	}
	return c.client, nil
}

// abandon closes the connection and the client over it.
func (c *provenConn) abandon() {
	c.dialling.Lock()
	client := c.client
	c.dialling.Unlock()
	if client != nil {
		_ = client.Close()
	}
	_ = c.Close()
}

// provenPeer is what gRPC carries of a connection.
type provenPeer struct {
	conn *provenConn
}

// AuthType names how the peer was proved.
func (provenPeer) AuthType() string { return "banyan" }

// handed is gRPC's credentials for connections that come finished.
type handed struct{}

var _ credentials.TransportCredentials = handed{}

func (handed) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return handOver(conn)
}

func (handed) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return handOver(conn)
}

func handOver(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	proven, ok := conn.(*provenConn)
	if !ok {
		return nil, nil, errors.New("the connection was not proved")
	}
	return fault.Overheard(proven, "link"), provenPeer{proven}, nil
}

func (handed) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}
func (handed) Clone() credentials.TransportCredentials { return handed{} }
func (handed) OverrideServerName(string) error         { return nil }

// inlet is a listener whose connections are handed in.
type inlet struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newInlet() *inlet { return &inlet{conns: make(chan net.Conn), done: make(chan struct{})} }

func (f *inlet) Accept() (net.Conn, error) {
	select {
	case conn := <-f.conns:
		return conn, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

func (f *inlet) Close() error {
	f.once.Do(func() { close(f.done) })
	return nil
}

func (f *inlet) Addr() net.Addr { return &net.TCPAddr{} }

// hand gives a connection to whoever accepts, and closes it when nobody does any more.
func (f *inlet) hand(conn net.Conn) {
	select {
	case f.conns <- conn:
	case <-f.done:
		_ = conn.Close()
	}
}

// newServer is a gRPC server for finished connections.
func newServer() *grpc.Server {
	return grpc.NewServer(
		grpc.Creds(handed{}), grpc.ForceServerCodecV2(proto.Codec{}),
		grpc.MaxRecvMsgSize(proto.MaxFrameBytes), grpc.MaxSendMsgSize(proto.MaxFrameBytes),
		grpc.MaxConcurrentStreams(maxStreams), grpc.MaxHeaderListSize(maxHeaderBytes), grpc.ConnectionTimeout(10*time.Second),
		grpc.InitialWindowSize(callWindow), grpc.InitialConnWindowSize(callsWindow), grpc.WriteBufferSize(writeBuffer),
		grpc.ReadBufferSize(readBuffer),
	)
}

// newClient is a gRPC client over one finished connection. It cannot reconnect: whoever owns the link does.
func newClient(conn *provenConn) (*grpc.ClientConn, error) {
	var once sync.Once
	return grpc.NewClient("passthrough:///link",
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			var first net.Conn
			once.Do(func() { first = conn })
			if first == nil {
				return nil, errors.New("the connection has ended")
			}
			return first, nil
		}),
		grpc.WithTransportCredentials(handed{}), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithNoProxy(),
		grpc.WithIdleTimeout(0), grpc.WithMaxHeaderListSize(maxHeaderBytes),
		grpc.WithInitialWindowSize(streamWindow), grpc.WithInitialConnWindowSize(connWindow), grpc.WithWriteBufferSize(askBuffer),
		grpc.WithReadBufferSize(readBuffer),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(proto.Codec{}), grpc.MaxCallRecvMsgSize(proto.MaxFrameBytes),
			grpc.MaxCallSendMsgSize(proto.MaxFrameBytes)),
	)
}
