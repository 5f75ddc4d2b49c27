package peering

import (
	"context"

	"banyan/model"
	"banyan/pki"
	"banyan/proto"
	"banyan/proto/linkv1"
)

// Join redeems an invitation at the first of its addresses that answers. It returns the inviter as its certificate proves it, and the address.
func (h *Hub) Join(ctx context.Context, token pki.Token, request *linkv1.RedeemRequest) (*linkv1.RedeemResponse, pki.Peer, string, error) {
	err := error(model.Errorf(model.KindInvalid, "the invitation names no address"))
	for _, address := range token.Addresses {
		var response *linkv1.RedeemResponse
		var who pki.Peer
		if response, who, err = h.redeemAt(ctx, address, token, request); err == nil {
			return response, who, address, nil
		}
		if model.KindOf(err) != model.KindUnavailable && model.KindOf(err) != model.KindTimeout {
			break // it was the inviter who refused: another address leads to the same one
		}
	}
	return nil, pki.Peer{}, "", err
}

func (h *Hub) redeemAt(ctx context.Context, address string, token pki.Token, request *linkv1.RedeemRequest) (*linkv1.RedeemResponse, pki.Peer, error) {
	dialCtx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn, err := h.cfg.Dial(dialCtx, address)
	if err != nil {
		return nil, pki.Peer{}, model.Errorf(model.KindUnavailable, "dialling %s: %w", address, err)
	}
	config := h.pkiConfig(pki.ProtocolJoin)
	config.Node = token.Node
	config.Admit = func(pki.Peer) error { return nil }
	secured, who, err := pki.Connect(ctx, conn, config)
	if err != nil {
		return nil, pki.Peer{}, err
	}
	proven := newProvenConn(secured, who)
	defer func() { _ = proven.Close() }()
	client, err := newClient(proven)
	if err != nil {
		return nil, pki.Peer{}, err
	}
	defer func() { _ = client.Close() }()
	response, err := linkv1.NewJoinServiceClient(client).Redeem(ctx, request)
	return response, who, proto.FromStatus(err)
}
