package peering

import (
	"context"

	"banyan/pki"
	"banyan/proto"
	"banyan/proto/linkv1"
)

// Join redeems an invitation at the first of its addresses where the inviter proves to be, dialled through proxy. It returns the inviter as its
// certificate proves it, and the address.
func (h *Hub) Join(ctx context.Context, token pki.Token, proxy Proxy, request *linkv1.RedeemRequest) (*linkv1.RedeemResponse, pki.Peer, string, error) {
	config := h.pkiConfig(pki.ProtocolJoin)
	config.Node = token.Node
	proven, _, err := h.connectTo(ctx, "", Destination{token.Addresses, proxy}, config)
	if err != nil {
		return nil, pki.Peer{}, "", err
	}
	defer func() { _ = proven.Close() }()
	client, err := newClient(proven)
	if err != nil {
		return nil, pki.Peer{}, "", err
	}
	defer func() { _ = client.Close() }()
	response, err := linkv1.NewJoinServiceClient(client).Redeem(ctx, request)
	return response, proven.peer, proven.peer.Address, proto.FromStatus(err)
}
