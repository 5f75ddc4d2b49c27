package peering

import (
	"context"
	"slices"
	"sync"

	"banyan/fault"
	"banyan/model"
	"banyan/proto"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	pb "google.golang.org/protobuf/proto"
)

// How much one neighbour may have under way here. Its requests are read one at a time, since what one unpacks to is not known before; what was read takes its
// share for as long as it is done, and waits for it, and only others of the same neighbour wait behind it.
const (
	mostIntake  = 16 << 20
	mostJoining = 8 << 20 // of who has not joined yet
	leastIntake = 4 << 10
	unpacks     = 6               // how many times its length a message takes, about
	mostOpen    = 2*mostFeeds + 8 // streams
)

// intake is what one neighbour has under way.
type intake struct {
	reads chan struct{} // holds one while a request is read
	mu    sync.Mutex    // guards the rest
	most  int64
	left  int64
	open  int
	wait  []*waiter
}

type waiter struct {
	share int64
	ready chan struct{}
}

func newIntake(most int64) *intake {
	return &intake{reads: make(chan struct{}, 1), most: most, left: most}
}

// read reads a request when those before it have been read and have their share, and says how much it takes itself.
func (i *intake) read(ctx context.Context, from func(any) error, into any) (share int64, err error) {
	if !fault.Planted(fault.RequestsAllAtOnce) {
		select {
		case i.reads <- struct{}{}:
			defer func() { <-i.reads }()
		case <-ctx.Done():
			return 0, proto.Status(ctx.Err())
		}
	}
	if err := from(into); err != nil {
		return 0, err
	}
	m, is := into.(pb.Message)
	if !is {
		return 0, nil
	}
	share = min(i.most, max(leastIntake, unpacks*int64(pb.Size(m))))
	if err := i.take(ctx, share); err != nil {
		return 0, proto.Status(err)
	}
	return share, nil
}

// take waits for a share.
func (i *intake) take(ctx context.Context, share int64) error {
	i.mu.Lock()
	if len(i.wait) == 0 && i.left >= share {
		i.left -= share
		i.mu.Unlock()
		return nil
	}
	w := &waiter{share, make(chan struct{})}
	i.wait = append(i.wait, w)
	i.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if at := slices.Index(i.wait, w); at >= 0 {
		i.wait = slices.Delete(i.wait, at, at+1)
	} else {
		i.left += share // it came at the same moment
	}
	i.next()
	return ctx.Err()
}

// give gives a share back.
func (i *intake) give(share int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.left += share
	i.next()
}

// next lets those go on for whom there is enough, in the order in which they came. mu is held.
func (i *intake) next() {
	for len(i.wait) > 0 && i.left >= i.wait[0].share {
		i.left -= i.wait[0].share
		close(i.wait[0].ready)
		i.wait = i.wait[1:]
	}
}

// enter counts a stream, and refuses one too many.
func (i *intake) enter() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.open >= mostOpen {
		return model.Errorf(model.KindExhausted, "a neighbour may have %d streams at a time", mostOpen)
	}
	i.open++
	return nil
}

func (i *intake) leave() {
	i.mu.Lock()
	i.open--
	i.mu.Unlock()
}

// intakeOf is the one of who calls.
func intakeOf(ctx context.Context) *intake {
	if p, ok := peer.FromContext(ctx); ok {
		if proven, is := p.AuthInfo.(provenPeer); is {
			return proven.conn.intake
		}
	}
	return newIntake(mostJoining)
}

// measured is a service whose calls take their share.
func measured(service grpc.ServiceDesc) *grpc.ServiceDesc {
	service.Methods, service.Streams = slices.Clone(service.Methods), slices.Clone(service.Streams)
	for at := range service.Methods {
		inner := service.Methods[at].Handler
		service.Methods[at].Handler = func(server any, ctx context.Context, read func(any) error, each grpc.UnaryServerInterceptor) (any, error) {
			i, share := intakeOf(ctx), int64(0)
			defer func() { i.give(share) }()
			return inner(server, ctx, func(into any) (err error) {
				share, err = i.read(ctx, read, into)
				return err
			}, each)
		}
	}
	for at := range service.Streams {
		inner := service.Streams[at].Handler
		service.Streams[at].Handler = func(server any, stream grpc.ServerStream) error {
			i := intakeOf(stream.Context())
			if err := i.enter(); err != nil {
				return proto.Status(err)
			}
			defer i.leave()
			return inner(server, stream)
		}
	}
	return &service
}
