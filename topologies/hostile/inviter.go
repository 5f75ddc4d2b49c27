package hostile

import (
	"context"
	"net"
	"time"

	"banyan/pki"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/proto/modelv1"

	"google.golang.org/grpc"
)

// Inviter is a node that invites a victim, or says that it keeps a backup for it, and answers then what it pleases.
type Inviter struct {
	linkv1.UnimplementedJoinServiceServer
	*Peer
	bomb *Bomb
}

// Invite lets a peer wait for who comes with a token, until ctx ends. It gives the token.
func (p *Peer) Invite(ctx context.Context, b *Bomb) (token string, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	t, err := pki.NewToken(pki.Token{
		Addresses: []string{listener.Addr().String()}, Node: p.ID(), Inviter: pki.RoleProvider, JoinDials: true, Recovery: b.Asks == AskFetch,
	}, time.Now())
	if err != nil {
		return "", err
	}
	server := grpc.NewServer(grpc.ForceServerCodecV2(proto.Codec{}), grpc.MaxSendMsgSize(256<<20))
	linkv1.RegisterJoinServiceServer(server, &Inviter{Peer: p, bomb: b})
	context.AfterFunc(ctx, func() {
		_ = listener.Close()
		server.Stop()
	})
	go func() { _ = server.Serve(proving{listener, p}) }() // it ends with ctx
	return t.Reveal(), nil
}

// proving is a listener whose connections have proved who they are.
type proving struct {
	net.Listener
	peer *Peer
}

// Accept takes the next one.
func (l proving) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		secured, _, err := pki.Accept(context.Background(), conn, pki.Config{
			Certificate: l.peer.leaf.Current, Protocols: []string{pki.ProtocolJoin}, Pins: l.peer, Admit: func(pki.Peer) error { return nil },
		})
		if err == nil {
			return hidden{secured}, nil
		}
	}
}

// Redeem answers who joins.
func (i *Inviter) Redeem(context.Context, *linkv1.RedeemRequest) (*linkv1.RedeemResponse, error) {
	response := &linkv1.RedeemResponse{Name: i.Name, Link: "victim"}
	i.bomb.redeem(response)
	i.note(response)
	return response, nil
}

// Recover answers who wants its backup.
func (i *Inviter) Recover(stream linkv1.JoinService_RecoverServer) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	return i.bomb.restore(&Handing{i.Peer, stream})
}

// Handing is a stream by which a backup is handed out.
type Handing struct {
	*Peer
	stream linkv1.JoinService_RecoverServer
}

// Send says something.
func (h *Handing) Send(response *linkv1.RecoverResponse) error {
	h.note(response)
	return h.stream.Send(response)
}

// inviterBombs wait for who joins, or fetches what is kept for it.
func inviterBombs() []*Bomb {
	joined := func(name, sends, reason string, lie func(*linkv1.RedeemResponse)) *Bomb {
		return &Bomb{Name: name, Sends: sends, Reason: reason, Aims: []string{"RedeemResponse"}, Asks: AskJoin, redeem: lie}
	}
	handed := func(name, sends, reason string, aims []string, lie func(*Handing) error) *Bomb {
		return &Bomb{Name: name, Sends: sends, Reason: reason, Aims: append(aims, "RecoverResponse"), Asks: AskFetch, restore: lie}
	}
	return []*Bomb{
		joined("inviter of many roots", "an answer to who joins with 60,000 roots and 60,000 patterns", "more than 64 roots", func(r *linkv1.RedeemResponse) {
			r.Terms = &linkv1.ExportTerms{Root: "/../x"}
			for range 60_000 {
				r.Roots, r.Terms.Patterns = append(r.Roots, []byte{1}), append(r.Terms.Patterns, "/**")
			}
		}),
		joined("inviter whose name rings", "an answer to who joins with a name of 1 MiB that rings", "segment", func(r *linkv1.RedeemResponse) { r.Name = ring(1 << 20) }),
		joined("inviter with a book", "an answer to who joins that is an error of 3 MiB", "segment", func(r *linkv1.RedeemResponse) {
			r.Name, r.Error = "", &modelv1.Error{Kind: 4, Detail: ring(3 << 20)}
		}),
		handed("challenge that is none", "a challenge of 3 MiB that nobody can open", "challenge", []string{"RecoverResponse.challenge"}, func(h *Handing) error {
			return h.Send(&linkv1.RecoverResponse{Body: &linkv1.RecoverResponse_Challenge{Challenge: make([]byte, 3<<20)}})
		}),
		handed("backup before the challenge", "a backup of 2^63 bytes, pieces of it and an error before the challenge", "recovery key",
			[]string{"RecoverResponse.backup", "RecoverResponse.chunk", "RecoverResponse.error"}, func(h *Handing) error {
				for _, r := range []*linkv1.RecoverResponse{
					{Body: &linkv1.RecoverResponse_Backup{Backup: &linkv1.KeepOffer{Size: 1 << 63}}}, {Body: &linkv1.RecoverResponse_Error{Error: &modelv1.Error{Detail: ring(1 << 20)}}},
					{Body: &linkv1.RecoverResponse_Chunk{Chunk: make([]byte, 3<<20)}},
				} {
					_ = h.Send(r) // who fetches may have hung up
				}
				return nil
			}),
	}
}
