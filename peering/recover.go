package peering

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"time"

	"banyan/model"
	"banyan/pki"
	"banyan/proto"
	"banyan/proto/linkv1"

	"google.golang.org/grpc/peer"
)

// Recovery is one try to get a backup that is kept for another node, by somebody who has shown a token for it.
type Recovery interface {
	// Challenge is a question that the holder of the recovery key can answer.
	Challenge() []byte
	// Answered opens the backup where the answer is right. What is refused here counts as a try.
	Answered(answer []byte) (file io.ReadCloser, size int64, sum []byte, err error)
	// Kept uses the token up: the backup has come whole.
	Kept() error
}

// recoverTime bounds one try, proveKeyTime what comes before the backup.
const (
	recoverTime  = time.Hour
	proveKeyTime = 30 * time.Second
	recoverChunk = 64 << 10
)

// Recover answers who has a token for the backup that is kept for another node.
func (h *Hub) Recover(stream linkv1.JoinService_RecoverServer) error {
	p, ok := peer.FromContext(stream.Context())
	if !ok {
		return proto.Status(model.Errorf(model.KindUnauthenticated, "the connection was not proved"))
	}
	proven, ok := p.AuthInfo.(provenPeer)
	if !ok || proven.conn.peer.Protocol != pki.ProtocolJoin || h.cfg.Recover == nil {
		return proto.Status(model.Errorf(model.KindUnauthenticated, "the connection is not one of a node that joins"))
	}
	ctx, cancel := context.WithTimeout(stream.Context(), recoverTime)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = proven.conn.Close() })()
	early := time.AfterFunc(proveKeyTime, func() { _ = proven.conn.Close() })
	defer early.Stop()
	err := h.recover(ctx, stream, proven.conn, early)
	if err != nil {
		h.log.Warn("a kept backup was not handed out", "address", proven.conn.peer.Address, "error", err)
	}
	return proto.Status(err)
}

func (h *Hub) recover(ctx context.Context, stream linkv1.JoinService_RecoverServer, proven *provenConn, early *time.Timer) error {
	request, err := stream.Recv()
	if err != nil {
		return err
	}
	try, err := h.cfg.Recover(ctx, proven.peer, request.GetSecret())
	if err != nil {
		return err
	}
	proven.letIn()
	if err := stream.Send(&linkv1.RecoverResponse{Body: &linkv1.RecoverResponse_Challenge{Challenge: try.Challenge()}}); err != nil {
		return err
	}
	if request, err = stream.Recv(); err != nil {
		return err
	}
	file, size, sum, err := try.Answered(request.GetAnswer())
	if err != nil {
		return err
	}
	defer file.Close()
	early.Stop()
	offer := &linkv1.KeepOffer{Sum: sum, Size: uint64(size)}
	if err := stream.Send(&linkv1.RecoverResponse{Body: &linkv1.RecoverResponse_Backup{Backup: offer}}); err != nil {
		return err
	}
	chunk := make([]byte, recoverChunk)
	for {
		n, err := io.ReadFull(file, chunk)
		if n > 0 {
			if err := stream.Send(&linkv1.RecoverResponse{Body: &linkv1.RecoverResponse_Chunk{Chunk: bytes.Clone(chunk[:n])}}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return model.Errorf(model.KindInternal, "the kept backup cannot be read: %w", err)
		}
	}
	if request, err = stream.Recv(); err != nil || !request.GetKept() {
		return errors.Join(err, model.Errorf(model.KindUnavailable, "whoever asked for the backup did not take it"))
	}
	return try.Kept()
}

// Fetching says how a kept backup is fetched with a token.
type Fetching struct {
	Token pki.Token
	Proxy Proxy
	// Answer opens the challenge of asker, put to asked.
	Answer func(challenge []byte, asker, asked model.NodeID) ([]byte, error)
	// Self is who asks: a throw-away identity.
	Self model.NodeID
	// Begin is told how large the backup is, and takes it.
	Begin func(size int64) (io.Writer, error)
	// Done is called when it has come whole, before the token is used up.
	Done func() error
}

// Fetch gets the backup that a token is for.
func (h *Hub) Fetch(ctx context.Context, f Fetching) error {
	config := h.pkiConfig(pki.ProtocolJoin)
	config.Node = f.Token.Node
	proven, _, err := h.connectTo(ctx, "", Destination{f.Token.Addresses, f.Proxy}, config)
	if err != nil {
		return err
	}
	defer proven.abandon()
	clientConn, err := proven.grpc()
	if err != nil {
		return err
	}
	stream, err := linkv1.NewJoinServiceClient(clientConn).Recover(ctx)
	if err != nil {
		return proto.FromStatus(err)
	}
	return proto.FromStatus(f.run(stream))
}

func (f *Fetching) run(stream linkv1.JoinService_RecoverClient) error {
	response, err := f.ask(stream, &linkv1.RecoverRequest{Body: &linkv1.RecoverRequest_Secret{Secret: f.Token.Secret.Reveal()}})
	if err != nil {
		return err
	}
	answer, err := f.Answer(response.GetChallenge(), f.Token.Node, f.Self)
	if err != nil {
		return err
	}
	if response, err = f.ask(stream, &linkv1.RecoverRequest{Body: &linkv1.RecoverRequest_Answer{Answer: answer}}); err != nil {
		return err
	}
	offer := response.GetBackup()
	if offer == nil || offer.GetSize() > 1<<62 {
		return model.Errorf(model.KindInvalid, "the other node does not say which backup it has")
	}
	if err := f.take(stream, offer); err != nil {
		return err
	}
	if err := stream.Send(&linkv1.RecoverRequest{Body: &linkv1.RecoverRequest_Kept{Kept: true}}); err != nil {
		return nil //nolint:nilerr // the backup is here; the token ends by itself
	}
	_ = stream.CloseSend()
	_, _ = stream.Recv() // the token is used up when the stream ends
	return nil
}

func (f *Fetching) ask(stream linkv1.JoinService_RecoverClient, request *linkv1.RecoverRequest) (*linkv1.RecoverResponse, error) {
	if err := stream.Send(request); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return stream.Recv() // after a failed Send it says why
}

func (f *Fetching) take(stream linkv1.JoinService_RecoverClient, offer *linkv1.KeepOffer) error {
	to, err := f.Begin(int64(offer.GetSize()))
	if err != nil {
		return err
	}
	sum := sha256.New()
	for left := offer.GetSize(); left > 0; {
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		chunk := response.GetChunk()
		if len(chunk) == 0 || uint64(len(chunk)) > left {
			return model.Errorf(model.KindInvalid, "the other node sends something else than the backup")
		}
		if _, err := to.Write(chunk); err != nil {
			return err
		}
		sum.Write(chunk)
		left -= uint64(len(chunk))
	}
	if !bytes.Equal(sum.Sum(nil), offer.GetSum()) {
		return model.Errorf(model.KindCorrupt, "the backup that came is not the one that was kept")
	}
	return f.Done()
}
