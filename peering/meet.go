package peering

import (
	"context"
	"slices"
	"time"

	"banyan/model"
	"banyan/pki"
	"banyan/proto"
	"banyan/proto/linkv1"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// RestoreID names one restore of a node from a backup.
type RestoreID [16]byte

// Life is one life of a node: the chain of its change numbers, whose last epoch is the life itself, and the restores that led to it, the newest last.
type Life struct {
	Chain    model.Chain
	Restores []RestoreID
}

// Meeting is a life of the other node that is there on a new connection of a link, beside the one that was taken before.
type Meeting struct {
	Link    string
	Address string      // where it is
	Told    Life        // it
	Known   model.Chain // of the one that was taken last, empty for none
	Heard   model.Time  // when that one was last proved to be there
	Live    bool        // that one is linked now
}

const (
	meetTime     = 5 * time.Second
	mostRestores = 1024
)

// meet asks which life is at the other end of a connection and which version it speaks, and has it judged before anything else is said. A refusal is
// told to the other end.
func (l *link) meet(ctx context.Context, conn *provenConn, live bool) (version uint32, err error) {
	clientConn, err := conn.grpc()
	if err != nil {
		return 0, err
	}
	client := linkv1.NewLinkServiceClient(clientConn)
	ctx, cancel := context.WithTimeout(ctx, meetTime)
	defer cancel()
	response, err := l.ask(ctx, client)
	if err != nil {
		return 0, err
	}
	version = min(protocolVersion, max(1, response.GetVersion()))
	if l.hub.cfg.Meet == nil || response == nil {
		return version, nil
	}
	told, err := readLife(response)
	if err != nil {
		l.offended(err)
		return 0, err
	}
	l.mu.Lock()
	m := Meeting{Link: l.cfg.Name, Address: conn.peer.Address, Told: told, Known: l.known, Heard: max(l.heard, l.status.Heard), Live: live}
	l.mu.Unlock()
	if err := l.hub.cfg.Meet(ctx, m); err != nil {
		_, _ = client.Meet(ctx, &linkv1.MeetRequest{Refused: proto.FromError(err)}) // it is refused, whether or not it hears why
		return 0, err
	}
	l.mu.Lock()
	l.known = told.Chain
	l.mu.Unlock()
	return version, nil
}

// ask asks the provider who it is. There is no answer from a version that cannot be restored.
func (l *link) ask(ctx context.Context, client linkv1.LinkServiceClient) (*linkv1.MeetResponse, error) {
	response, err := client.Meet(ctx, l.hub.ownLife())
	switch {
	case status.Code(err) == codes.Unimplemented:
		return nil, nil //nolint:nilnil // so it is
	case err != nil:
		return nil, proto.FromStatus(err)
	case response.GetRefusal() != "":
		return nil, pki.Told(response.GetRefusal(), proto.ToError(response.GetError()))
	}
	return response, nil
}

func readLife(from tellsLife) (Life, error) {
	chain, err := proto.ToChain(from.GetChain())
	if err != nil {
		return Life{}, err
	}
	life := Life{Chain: chain}
	if len(from.GetRestores()) > mostRestores {
		return life, model.Errorf(model.KindExhausted, "the other end tells more than %d restores", mostRestores)
	}
	for _, raw := range from.GetRestores() {
		var id RestoreID
		if copy(id[:], raw) != len(id) || len(raw) != len(id) {
			return life, model.Errorf(model.KindInvalid, "the ID of a restore has %d bytes", len(id))
		}
		life.Restores = append(life.Restores, id)
	}
	return life, nil
}

// ownLife is this node's own life.
func (h *Hub) ownLife() *linkv1.MeetRequest {
	life := &linkv1.MeetRequest{Version: protocolVersion, Chain: proto.FromChain(h.cfg.Chain)}
	for _, id := range h.cfg.Restores {
		life.Restores = append(life.Restores, id[:])
	}
	return life
}

// Meet tells which life this is, and hears that it is refused. The consumer of a link that may not be used is told so here.
func (h *Hub) Meet(ctx context.Context, request *linkv1.MeetRequest) (*linkv1.MeetResponse, error) {
	l, conn, err := h.caller(ctx)
	if reason, refused := pki.RefusalOf(err); refused && request.GetVersion() >= 2 {
		return &linkv1.MeetResponse{Version: protocolVersion, Error: proto.FromError(err), Refusal: reason.String()}, nil
	}
	if err != nil {
		return nil, proto.Status(err)
	}
	if request.GetRefused() != nil {
		reason := model.Error{Kind: model.KindDenied, Detail: "refused"}
		if told := proto.ToError(request.GetRefused()); told != nil {
			reason.Detail = told.Error()
		}
		l.refused(conn, reason.Detail)
		return &linkv1.MeetResponse{}, nil
	}
	if err := l.judge(ctx, conn, request); err != nil {
		return &linkv1.MeetResponse{Version: h.speak, Error: proto.FromError(err), Refusal: pki.Cloned.String()}, nil
	}
	own := h.ownLife()
	return &linkv1.MeetResponse{Version: h.speak, Chain: own.GetChain(), Restores: own.GetRestores()}, nil
}

// mostReason bounds what is shown of the other end's words.
const mostReason = 600

// refused ends a connection that the consumer does not take.
func (l *link) refused(conn *provenConn, reason string) {
	err := pki.RefusedBy(pki.Cloned, pki.Printable(reason, mostReason))
	l.mu.Lock()
	l.ended = err
	l.conns = slices.DeleteFunc(l.conns, func(other *provenConn) bool { return other == conn })
	if l.current == conn {
		l.current = nil
	}
	l.mu.Unlock()
	if !l.cfg.Dials {
		l.lost(err)
	}
	conn.closeSoon() // after the answer; mostly the consumer has closed it
}
