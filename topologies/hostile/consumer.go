package hostile

import (
	"context"
	"net"
	"time"

	"banyan/pki"
	"banyan/proto"
	"banyan/proto/linkv1"

	"google.golang.org/grpc"
	pb "google.golang.org/protobuf/proto"
)

// Calling is a consumer's connection to the victim.
type Calling struct {
	*Peer
	Link   linkv1.LinkServiceClient
	Join   linkv1.JoinServiceClient
	client *grpc.ClientConn
	conn   net.Conn
	ctx    context.Context //nolint:containedctx // of one bomb, for all calls that it makes
}

// call opens a connection as a consumer. Meeting is left to the bomb.
func (p *Peer) call(ctx context.Context, protocol string) (*Calling, error) {
	conn, err := p.heard(ctx, protocol)
	if err != nil {
		return nil, err
	}
	client, err := clientOver(conn)
	if err != nil {
		return nil, err
	}
	return &Calling{Peer: p, Link: linkv1.NewLinkServiceClient(client), Join: linkv1.NewJoinServiceClient(client), client: client, conn: conn, ctx: ctx}, nil
}

// Close ends the connection at once.
func (c *Calling) Close() {
	_ = c.client.Close()
	_ = c.conn.Close()
}

// Meet says that this is the life that it is.
func (c *Calling) Meet() error {
	_, err := c.Link.Meet(c.ctx, &linkv1.MeetRequest{Version: 2, Chain: proto.FromChain(c.chain())})
	return proto.FromStatus(err)
}

// Said notes a request.
func (c *Calling) Said(m pb.Message) { c.note(m) }

// talking is a stream on which a consumer follows.
type talking struct {
	*Calling
	stream linkv1.LinkService_FollowClient
}

// Talk opens a stream, and begins with the hello where there is one.
func (c *Calling) Talk(hello *linkv1.Hello) (*talking, error) {
	stream, err := c.Link.Follow(c.ctx)
	if err != nil {
		return nil, proto.FromStatus(err)
	}
	t := &talking{c, stream}
	if hello != nil {
		err = t.Send(&linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Hello{Hello: hello}})
	}
	return t, err
}

// Send says something.
func (t *talking) Send(frame *linkv1.ConsumerFrame) error {
	t.note(frame)
	return t.stream.Send(frame)
}

// End reads until the victim ends the stream, echoing its heartbeats, and is why.
func (t *talking) End() error {
	for {
		frame, err := t.stream.Recv()
		if err != nil {
			return proto.FromStatus(err)
		}
		if n := frame.GetBeat().GetNumber(); n > 0 {
			_ = t.stream.Send(&linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Beat{Beat: &linkv1.Beat{Echo: n, Clock: time.Now().UnixNano()}}})
		}
	}
}

// throw lets a consumer throw a bomb, and is what the victim answered.
func (p *Peer) throw(ctx context.Context, bomb *Bomb) error {
	protocol := pki.ProtocolConsumer
	if bomb.Stranger {
		protocol = pki.ProtocolJoin
	}
	c, err := p.call(ctx, protocol)
	if err != nil {
		return err
	}
	defer c.Close()
	if !bomb.Stranger && !bomb.Rude {
		if err := c.Meet(); err != nil {
			return err
		}
	}
	return bomb.call(c)
}
