package server

import (
	"context"
	"errors"
	"math"
	"strconv"

	"banyan/model"
	"banyan/proto"

	"connectrpc.com/connect"
	"github.com/hashicorp/go-hclog"
)

// errorsOut is the one place where errors become those of the API.
type errorsOut struct{ log hclog.Logger }

var _ connect.Interceptor = errorsOut{}

// WrapUnary turns the error of a single answer.
func (e errorsOut) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		response, err := next(ctx, request)
		return response, toAPI(e.log, err)
	}
}

// WrapStreamingClient does nothing: this is a server.
func (e errorsOut) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler turns the error with which a stream ends.
func (e errorsOut) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		return toAPI(e.log, next(ctx, conn))
	}
}

func (a *api) out(err error) error { return toAPI(a.log, err) }

// toAPI is an error with the code of its kind and its wire form as a detail. One without a kind stays in the log.
func toAPI(log hclog.Logger, err error) error {
	if err == nil {
		return nil
	}
	var already *connect.Error
	if errors.As(err, &already) {
		return err
	}
	wire := proto.FromError(err)
	if model.ErrorKind(wire.GetKind()) == model.KindInternal {
		log.Error("a request failed", "error", err)
	}
	out := connect.NewError(connect.Code(proto.Code(err)), errors.New(proto.ToError(wire).Error()))
	if detail, failed := connect.NewErrorDetail(wire); failed == nil {
		out.AddDetail(detail)
	}
	if seconds := retryAfter(err); seconds != "" {
		out.Meta().Set("Retry-After", seconds)
	}
	return out
}

// retryAfter is the header that says when to come again, in whole seconds; empty where the error does not know.
func retryAfter(err error) string {
	var tooMany tooMany
	if !errors.As(err, &tooMany) {
		return ""
	}
	return strconv.Itoa(max(1, int(math.Ceil(tooMany.after.Seconds()))))
}
