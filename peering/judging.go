package peering

import (
	"context"

	"banyan/proto"

	"google.golang.org/grpc"
	pb "google.golang.org/protobuf/proto"
)

// judging is the way to a provider for single questions. An answer that no node gives that speaks the protocol ends the line, as such a frame of a session does.
type judging struct {
	grpc.ClientConnInterface
	line *line
}

// Invoke asks, and reads the answer by itself: gRPC would say only that it could not.
func (j judging) Invoke(ctx context.Context, method string, args, reply any, options ...grpc.CallOption) error {
	into, is := reply.(pb.Message)
	if !is {
		return j.ClientConnInterface.Invoke(ctx, method, args, reply, options...)
	}
	raw := &proto.RawFrame{}
	err := j.ClientConnInterface.Invoke(ctx, method, args, raw, options...)
	if err == nil {
		err = proto.Unmarshal(raw.Bytes, into)
	} else if proto.Told(err) || !tooLarge(proto.FromStatus(err)) {
		return err
	}
	if err = proto.FromStatus(err); offends(err) {
		j.line.fail(offence{err})
	}
	return err
}
