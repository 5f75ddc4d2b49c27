package peering

import (
	"context"
	"slices"
	"sync"
	"time"

	"banyan/fault"
	"banyan/model"
	"banyan/proto"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	pb "google.golang.org/protobuf/proto"
)

// How much one neighbour may have under way here. Its requests come in one at a time; what one would unpack to is counted while it is still packed, and it is
// unpacked only when there is room for that, which it takes for as long as it is done. Only others of the same neighbour wait behind it.
const (
	mostIntake   = 16 << 20
	mostJoining  = 8 << 20 // of who has not joined yet
	leastIntake  = 4 << 10
	mostUnpacked = 32 << 20 // a second: who unpacks much waits until that can have been collected
	smallShare   = 256 << 10
	keptFrame    = 64 << 10        // a frame that is no longer is used again for the next request
	mostOpen     = 2*mostFeeds + 8 // streams
)

// intake is what one neighbour has under way.
type intake struct {
	reads chan struct{}  // holds one while a request comes in, and guards frame
	frame proto.RawFrame // what the one that comes in is packed in
	mu    sync.Mutex     // guards the rest
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

// read reads a request when those before it have been read, and unpacks it when there is room for it. It says how much it takes.
func (i *intake) read(ctx context.Context, from func(any) error, into any) (share int64, err error) {
	m, is := into.(pb.Message)
	if !is || fault.Planted(fault.RequestsAllAtOnce) {
		return 0, from(into)
	}
	select {
	case i.reads <- struct{}{}:
		defer func() { <-i.reads }()
	case <-ctx.Done():
		return 0, proto.Status(ctx.Err())
	}
	if cap(i.frame.Bytes) > keptFrame {
		i.frame.Bytes = nil
	}
	if err := from(&i.frame); err != nil {
		return 0, err
	}
	err = proto.UnmarshalWithin(i.frame.Bytes, m, func(bytes int64) error {
		share = min(i.most, max(leastIntake, bytes))
		if err := i.take(ctx, share); err != nil {
			share = 0
			return err
		}
		return nil
	})
	return share, proto.Status(err)
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

// settle gives a share back that was taken at a moment, a large one not before what it was for can have been collected: else a neighbour that asks for much
// without a pause keeps the memory of many requests in use, and the processors busy with unpacking.
func (i *intake) settle(share int64, taken time.Time) {
	if share == 0 {
		return
	}
	left := time.Duration(share)*time.Second/mostUnpacked - time.Since(taken)
	if share <= smallShare || left <= 0 || fault.Planted(fault.RequestsUnpaced) {
		i.give(share)
		return
	}
	time.AfterFunc(left, func() { i.give(share) })
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
			i, share, taken := intakeOf(ctx), int64(0), time.Time{}
			defer func() { i.settle(share, taken) }()
			return inner(server, ctx, func(into any) (err error) {
				share, err = i.read(ctx, read, into)
				taken = time.Now()
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
