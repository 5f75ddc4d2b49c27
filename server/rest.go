package server

import (
	"context"
	"net/http"

	"banyan/access"
	"banyan/proto/apiv1"
	"banyan/rest"
)

// restHandler serves the tree as resources, by the handlers that answer the RPCs.
func (n *Node) restHandler() http.Handler {
	return rest.New(rest.Config{
		Core: restCore{n.api}, Logger: n.log.Named("rest"), MaxBody: maxBodyBytes,
		Enter: func(r *http.Request, requirement access.Requirement) (context.Context, error) {
			return n.api.enter(r.Context(), requirement, r.Header, r.RemoteAddr)
		},
	})
}

// restCore is the handlers, with streams that send to anybody.
type restCore struct{ *api }

var _ rest.Core = restCore{}

// Watch sends readings as they change.
func (c restCore) Watch(ctx context.Context, q *apiv1.WatchRequest, send func(*apiv1.WatchResponse, rest.Phase) error) error {
	return c.watch(ctx, q, send)
}

// Export sends the parts of an export.
func (c restCore) Export(ctx context.Context, q *apiv1.ExportRequest, send func(*apiv1.ExportResponse) error) error {
	return c.export(ctx, q, send)
}
