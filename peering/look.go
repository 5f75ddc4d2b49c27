package peering

import (
	"context"
	"errors"

	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
)

// Look answers what became of a request, and does nothing.
func (h *Hub) Look(ctx context.Context, request *linkv1.ExecuteRequest) (*linkv1.ExecuteResponse, error) {
	l, _, err := h.caller(ctx)
	if err != nil {
		return nil, proto.Status(err)
	}
	if h.cfg.Look == nil {
		return nil, proto.Status(model.Errorf(model.KindUnsupported, "nothing is known of requests here"))
	}
	response, err := h.cfg.Look(ctx, l.cfg.Name, request)
	return response, proto.Status(err)
}

// AskFate asks the provider at the other end of a link what became of a request. A node of an earlier version, there or further on, answers with
// an error of the kind unsupported.
func (h *Hub) AskFate(ctx context.Context, name string, request *linkv1.ExecuteRequest) (*linkv1.ExecuteResponse, error) {
	h.mu.Lock()
	r := h.links[name]
	h.mu.Unlock()
	if r == nil {
		return nil, notSent{model.Errorf(model.KindUnavailable, "link %s does not run", name)}
	}
	client, err := r.link.clientFor(request.GetExport())
	if err != nil {
		return nil, err
	}
	response, err := client.Look(ctx, request)
	return response, proto.FromStatus(err)
}

// notSent is why a request did not leave this node.
type notSent struct{ why *model.Error }

func (n notSent) Error() string { return n.why.Error() }
func (n notSent) Unwrap() error { return n.why }

// NotSent reports whether an error of Ask says that the request did not leave this node.
func NotSent(err error) bool { return errors.As(err, &notSent{}) }
