package server

import (
	"context"
	"net/http"
	"sync/atomic"

	"banyan/model"
	"banyan/proto"
	"banyan/proto/apiv1/apiv1connect"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"github.com/hashicorp/go-hclog"
)

// Limits of the API.
const (
	maxBodyBytes   = 4 << 20
	maxStreams     = 1000 // that watch or follow, over all callers
	maxAddresses   = 1000 // of one watch
	maxList        = 1000
	defaultList    = 200
	maxHeaderBytes = 32 << 10
)

// api answers people and programs. It turns messages into the model's words and back; what is done, and for whom, the Router and the decider say.
type api struct {
	node    *Node
	log     hclog.Logger
	router  *Router
	streams atomic.Int64
	follows follows
}

func newAPI(n *Node) *api {
	a := &api{node: n, log: n.log.Named("api"), router: n.router}
	a.follows.tree = n.tree
	return a
}

var (
	_ apiv1connect.TreeServiceHandler    = (*api)(nil)
	_ apiv1connect.SessionServiceHandler = (*api)(nil)
	_ apiv1connect.NodeServiceHandler    = (*api)(nil)
)

// handler is all services, as gRPC, gRPC-Web and JSON, each method behind the table of methods.
func (a *api) handler() http.Handler {
	options := []connect.HandlerOption{
		connect.WithRequestGate(a.gate), connect.WithReadMaxBytes(maxBodyBytes), connect.WithSendMaxBytes(2 * proto.MaxFrameBytes),
		connect.WithRecover(a.recovered), connect.WithInterceptors(countCalls{a.node.counts}, errorsOut{a.log}),
		connect.WithCompressMinBytes(1 << 10), unpackLimited(), connect.WithConditionalHandlerOptions(uncompressed),
	}
	mux := http.NewServeMux()
	mount := func(path string, h http.Handler) { mux.Handle(path, h) }
	path, trees := apiv1connect.NewTreeServiceHandler(a, options...)
	mount(path, trees)
	mount(apiv1connect.TreeServiceFollowProcedure, whole(trees))
	mount(apiv1connect.NewSessionServiceHandler(a, options...))
	mount(apiv1connect.NewNodeServiceHandler(a, options...))
	reflector := grpcreflect.NewStaticReflector(
		apiv1connect.TreeServiceName, apiv1connect.SessionServiceName, apiv1connect.NodeServiceName)
	mount(grpcreflect.NewHandlerV1(reflector, options...))
	mount(grpcreflect.NewHandlerV1Alpha(reflector, options...))
	return mux
}

// uncompressed keeps the hot path from being compressed because a client offers it, as many do unasked.
func uncompressed(spec connect.Spec) []connect.HandlerOption {
	if spec.Procedure != apiv1connect.TreeServiceFollowProcedure {
		return nil
	}
	return []connect.HandlerOption{connect.WithCompression("gzip", nil, nil)}
}

// recovered answers for a handler that panicked: the log has all of it, the caller that it happened.
func (a *api) recovered(_ context.Context, spec connect.Spec, _ http.Header, what any) error {
	a.log.Error("a method panicked", "method", spec.Procedure, "panic", what)
	return model.Errorf(model.KindInternal, "an internal error; the node's log has the detail")
}
