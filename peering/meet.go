package peering

import (
	"context"
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

// Meeting is a life that answers on a new connection of a link, beside the one that was taken before.
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

// meet asks which life is at the other end of a connection, and has it judged before anything else is said. A refusal is told to the other end.
func (l *link) meet(ctx context.Context, conn *provenConn, live bool) error {
	if l.hub.cfg.Meet == nil {
		return nil
	}
	clientConn, err := conn.grpc()
	if err != nil {
		return err
	}
	client := linkv1.NewLinkServiceClient(clientConn)
	ctx, cancel := context.WithTimeout(ctx, meetTime)
	defer cancel()
	response, err := client.Meet(ctx, &linkv1.MeetRequest{})
	if status.Code(err) == codes.Unimplemented {
		return nil // of a version that cannot be restored
	}
	if err != nil {
		return proto.FromStatus(err)
	}
	told, err := readLife(response)
	if err != nil {
		return err
	}
	l.mu.Lock()
	m := Meeting{Link: l.cfg.Name, Address: conn.peer.Address, Told: told, Known: l.known, Heard: max(l.heard, l.status.Heard), Live: live}
	l.mu.Unlock()
	if err := l.hub.cfg.Meet(ctx, m); err != nil {
		_, _ = client.Meet(ctx, &linkv1.MeetRequest{Refused: proto.FromError(err)}) // it is refused, whether or not it hears why
		return err
	}
	l.mu.Lock()
	l.known = told.Chain
	l.mu.Unlock()
	return nil
}

func readLife(response *linkv1.MeetResponse) (Life, error) {
	chain, err := proto.ToChain(response.GetChain())
	if err != nil {
		return Life{}, err
	}
	life := Life{Chain: chain}
	if len(response.GetRestores()) > mostRestores {
		return life, model.Errorf(model.KindExhausted, "the provider tells more than %d restores", mostRestores)
	}
	for _, raw := range response.GetRestores() {
		var id RestoreID
		if copy(id[:], raw) != len(id) || len(raw) != len(id) {
			return life, model.Errorf(model.KindInvalid, "the ID of a restore has %d bytes", len(id))
		}
		life.Restores = append(life.Restores, id)
	}
	return life, nil
}

// Meet tells which life this is, and hears that it is refused.
func (h *Hub) Meet(ctx context.Context, request *linkv1.MeetRequest) (*linkv1.MeetResponse, error) {
	l, conn, err := h.caller(ctx)
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
	response := &linkv1.MeetResponse{Chain: proto.FromChain(h.cfg.Chain)}
	for _, id := range h.cfg.Restores {
		response.Restores = append(response.Restores, id[:])
	}
	return response, nil
}

// mostReason bounds what is shown of the other end's words.
const mostReason = 600

// refused ends a connection that the consumer does not take.
func (l *link) refused(conn *provenConn, reason string) {
	err := pki.Refuse(pki.Cloned, pki.Printable(reason, mostReason))
	l.mu.Lock()
	l.ended = err
	l.mu.Unlock()
	if !l.cfg.Dials {
		l.lost(err)
	}
	time.AfterFunc(time.Second, func() { _ = conn.Close() }) // after the answer; mostly the consumer has closed it
}
