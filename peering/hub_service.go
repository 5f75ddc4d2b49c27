package peering

import (
	"banyan/model"
	"banyan/pki"
	"banyan/proto"
	"banyan/proto/linkv1"
	"context"

	"google.golang.org/grpc/peer"
)

// caller is the link whose consumer calls, by the certificate of the connection.
func (h *Hub) caller(ctx context.Context) (*link, *provenConn, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, nil, model.Errorf(model.KindUnauthenticated, "the connection was not proved")
	}
	proven, ok := p.AuthInfo.(provenPeer)
	if !ok || proven.conn.peer.Protocol == pki.ProtocolJoin {
		return nil, nil, model.Errorf(model.KindUnauthenticated, "the connection is not one of a link")
	}
	if proven.conn.refused.Load() {
		return nil, nil, refusedLife()
	}
	who := proven.conn.peer
	proven.conn.heard.Store(int64(h.now()))
	h.mu.Lock()
	defer h.mu.Unlock()
	refused := pki.Refuse(pki.WrongRole, "nothing is provided over this link")
	for _, r := range h.links {
		cfg := &r.link.cfg
		switch {
		case cfg.Peer != who.Node || cfg.Role != pki.RoleProvider:
		case !cfg.Refused:
			return r.link, proven.conn, nil
		default:
			refused = refuse(cfg.Refusal) // unless another link with this node holds
			r.link.hasTold()
		}
	}
	return nil, nil, refused
}

// Follow is the urgent stream of a consumer.
func (h *Hub) Follow(stream linkv1.LinkService_FollowServer) error {
	l, conn, err := h.caller(stream.Context())
	if err != nil {
		return proto.Status(err)
	}
	return l.follow(stream, conn)
}

// Bulk is the bulk stream of a consumer.
func (h *Hub) Bulk(stream linkv1.LinkService_BulkServer) error {
	l, _, err := h.caller(stream.Context())
	if err != nil {
		return proto.Status(err)
	}
	return l.serveBulk(stream)
}

// Execute does what a consumer asks for.
func (h *Hub) Execute(ctx context.Context, request *linkv1.ExecuteRequest) (*linkv1.ExecuteResponse, error) {
	l, _, err := h.caller(ctx)
	if err != nil {
		return nil, proto.Status(err)
	}
	response, err := h.cfg.Execute(ctx, l.cfg.Name, request)
	return response, proto.Status(err)
}

// Explain says what this node would decide on what a consumer asks about.
func (h *Hub) Explain(ctx context.Context, request *linkv1.ExplainRequest) (*linkv1.ExplainResponse, error) {
	l, _, err := h.caller(ctx)
	if err != nil {
		return nil, proto.Status(err)
	}
	if h.cfg.Explain == nil {
		return nil, proto.Status(model.Errorf(model.KindUnsupported, "nothing is explained here"))
	}
	response, err := h.cfg.Explain(ctx, l.cfg.Name, request)
	return response, proto.Status(err)
}

// Redeem answers who joins.
func (h *Hub) Redeem(ctx context.Context, request *linkv1.RedeemRequest) (*linkv1.RedeemResponse, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, proto.Status(model.Errorf(model.KindUnauthenticated, "the connection was not proved"))
	}
	proven, ok := p.AuthInfo.(provenPeer)
	if !ok || proven.conn.peer.Protocol != pki.ProtocolJoin || h.cfg.Redeem == nil {
		return nil, proto.Status(model.Errorf(model.KindUnauthenticated, "the connection is not one of a node that joins"))
	}
	response, err := h.cfg.Redeem(ctx, proven.conn.peer, request)
	if err == nil {
		proven.conn.letIn()
	}
	return response, proto.Status(err)
}
