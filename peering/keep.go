package peering

import (
	"bytes"
	"context"
	"errors"
	"io"

	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
)

// Shelf keeps sealed backups of providers.
type Shelf interface {
	// Keeps says how large a backup is kept for a link's provider, 0 for none, and the SHA-256 of the newest that is.
	Keeps(link string) (most int64, newest []byte)
	// Take begins to take a backup, or goes on with it.
	Take(link string, sum []byte, size int64) (Taking, error)
}

// Taking is a backup that is being taken.
type Taking interface {
	io.Writer
	// Offset is from which byte on it is still to come.
	Offset() int64
	// Finish keeps it, where it is whole. Stop gives up; what has come stays for another try.
	Finish() error
	Stop()
}

// Backup is a sealed backup of this node.
type Backup struct {
	Sum  []byte // SHA-256
	Size int64
	// Open opens it for reading.
	Open func() (io.ReadSeekCloser, error)
}

// BackupSource has the newest backup of this node, for those who keep it.
type BackupSource interface {
	// Backup is what is to be kept over a link, and whether there is anything.
	Backup(link string) (Backup, bool)
	// Sent is told that the consumer of a link keeps a backup, or why it does not.
	Sent(link string, sum []byte, err error)
}

// What may be on its way of a backup: the bulk connection is paced by what the consumer has on its disk.
const (
	keepChunk  = 64 << 10
	keepWindow = 256 << 10
)

// keep takes the provider's backups as long as the bulk connection stands.
func (ln *line) keep(ctx context.Context, client linkv1.LinkServiceClient) {
	shelf, name := ln.link.hub.cfg.Shelf, ln.link.cfg.Name
	if shelf == nil {
		return
	}
	most, newest := shelf.Keeps(name)
	if most <= 0 {
		return
	}
	stream, err := client.Keep(ctx)
	if err != nil {
		return
	}
	if stream.Send(&linkv1.KeepRequest{Body: &linkv1.KeepRequest_Keeping{Keeping: &linkv1.Keeping{Most: uint64(most), Newest: newest}}}) != nil {
		return
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return
		}
		offer := response.GetOffer()
		if offer == nil {
			return
		}
		answer := &linkv1.KeepAnswer{Sum: offer.GetSum()}
		switch err := takeBackup(stream, shelf, name, offer); {
		case errors.Is(err, errStream):
			return
		case err != nil:
			ln.link.hub.log.Warn("a backup of the provider is not kept", "link", name, "error", err)
			answer.Refused = proto.FromError(err)
		default:
			answer.Kept = true
		}
		if stream.Send(&linkv1.KeepRequest{Body: &linkv1.KeepRequest_Answer{Answer: answer}}) != nil {
			return
		}
	}
}

// errStream says that the stream has ended, so that nobody is there to be answered.
var errStream = errors.New("the stream has ended")

// takeBackup takes one backup that was offered.
func takeBackup(stream linkv1.LinkService_KeepClient, shelf Shelf, name string, offer *linkv1.KeepOffer) error {
	taking, err := shelf.Take(name, offer.GetSum(), int64(min(offer.GetSize(), 1<<62)))
	if err != nil {
		return err
	}
	finished := false
	defer func() {
		if !finished {
			taking.Stop()
		}
	}()
	answer := &linkv1.KeepAnswer{Sum: offer.GetSum(), From: uint64(taking.Offset())}
	if stream.Send(&linkv1.KeepRequest{Body: &linkv1.KeepRequest_Answer{Answer: answer}}) != nil {
		return errStream
	}
	for uint64(taking.Offset()) < offer.GetSize() {
		response, err := stream.Recv()
		if err != nil {
			return errStream
		}
		if len(response.GetChunk()) == 0 {
			return model.Errorf(model.KindInvalid, "the provider broke off in its backup")
		}
		if _, err := taking.Write(response.GetChunk()); err != nil {
			return err
		}
		received := &linkv1.KeepRequest{Body: &linkv1.KeepRequest_Received{Received: uint64(taking.Offset())}}
		if stream.Send(received) != nil {
			return errStream
		}
	}
	finished = true
	return taking.Finish()
}

// Keep hands this node's backups to a consumer that keeps them.
func (h *Hub) Keep(stream linkv1.LinkService_KeepServer) error {
	l, _, err := h.caller(stream.Context())
	if err != nil {
		return proto.Status(err)
	}
	if h.cfg.Backups == nil {
		return proto.Status(model.Errorf(model.KindUnavailable, "there is nothing to keep"))
	}
	l.keeps(1)
	defer l.keeps(-1)
	k := &keeping{link: l, stream: stream, source: h.cfg.Backups, in: make(chan *linkv1.KeepRequest)}
	go k.receive() // it ends with the stream, which ends when this returns
	return proto.Status(k.run())
}

// keeping is the provider's end of a stream by which backups go.
type keeping struct {
	link   *link
	stream linkv1.LinkService_KeepServer
	source BackupSource
	in     chan *linkv1.KeepRequest
}

func (l *link) keeps(more int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keeping += more
}

func (k *keeping) receive() {
	defer close(k.in)
	for {
		request, err := k.stream.Recv()
		if err != nil {
			return
		}
		select {
		case k.in <- request:
		case <-k.stream.Context().Done():
			return
		}
	}
}

// next is the consumer's next message, nil when there will be none.
func (k *keeping) next() *linkv1.KeepRequest {
	return <-k.in
}

func (k *keeping) run() error {
	first := k.next().GetKeeping()
	if first == nil {
		return model.Errorf(model.KindInvalid, "the consumer does not say what it keeps")
	}
	name, settled := k.link.cfg.Name, first.GetNewest() // settled is what the consumer has, or will not have
	if len(settled) > 0 {
		k.source.Sent(name, settled, nil)
	}
	for {
		backup, some := k.source.Backup(name)
		if some && !bytes.Equal(backup.Sum, settled) {
			err := error(model.Errorf(model.KindExhausted, "the backup has %d bytes, %d are kept there at most", backup.Size, first.GetMost()))
			if uint64(backup.Size) <= first.GetMost() {
				err = k.send(backup)
			}
			if errors.Is(err, errStream) {
				return nil
			}
			settled = backup.Sum
			k.source.Sent(name, settled, err)
			continue
		}
		select {
		case <-k.link.backups:
		case <-k.stream.Context().Done():
			return nil
		}
	}
}

// send offers one backup and sends what the consumer does not have of it. Its error is why the consumer does not keep it.
func (k *keeping) send(b Backup) error {
	offer := &linkv1.KeepOffer{Sum: b.Sum, Size: uint64(b.Size)}
	if k.stream.Send(&linkv1.KeepResponse{Body: &linkv1.KeepResponse_Offer{Offer: offer}}) != nil {
		return errStream
	}
	answer := k.next().GetAnswer()
	switch {
	case answer == nil:
		return errStream
	case answer.GetRefused() != nil:
		return proto.ToError(answer.GetRefused())
	case answer.GetFrom() > uint64(b.Size):
		return model.Errorf(model.KindInvalid, "the consumer has more of the backup than there is")
	}
	file, err := b.Open()
	if err != nil {
		return errors.Join(errStream, err) // it was replaced: the next one is offered in a new stream
	}
	defer file.Close()
	if _, err := file.Seek(int64(answer.GetFrom()), io.SeekStart); err != nil {
		return errors.Join(errStream, err)
	}
	return k.pour(file, answer.GetFrom(), uint64(b.Size))
}

// pour sends bytes of a file, as many at once as the window lets, and waits until they are kept.
func (k *keeping) pour(file io.Reader, sent, size uint64) error {
	received := sent
	for {
		for sent < size && sent-received < keepWindow {
			chunk := make([]byte, min(keepChunk, size-sent))
			if _, err := io.ReadFull(file, chunk); err != nil {
				return errors.Join(errStream, err)
			}
			if k.stream.Send(&linkv1.KeepResponse{Body: &linkv1.KeepResponse_Chunk{Chunk: chunk}}) != nil {
				return errStream
			}
			sent += uint64(len(chunk))
		}
		request := k.next()
		if request == nil {
			return errStream
		}
		if answer := request.GetAnswer(); answer != nil {
			if answer.GetRefused() != nil {
				return proto.ToError(answer.GetRefused())
			}
			if answer.GetKept() && sent == size {
				return nil
			}
			return model.Errorf(model.KindInvalid, "the consumer says that it keeps what it cannot have")
		}
		if at := request.GetReceived(); at >= received && at <= sent {
			received = at
		}
	}
}

// BackupReady says that there is a newer backup of this node for the consumer of a link. Where no connection carries it yet, the bulk connection is
// asked for.
func (h *Hub) BackupReady(name string) {
	h.mu.Lock()
	r := h.links[name]
	h.mu.Unlock()
	if r == nil {
		return
	}
	signal(r.link.backups)
	r.link.mu.Lock()
	defer r.link.mu.Unlock()
	if r.link.keeping == 0 && len(r.link.sessions) > 0 {
		r.link.sessions[0].tell(r.link.sessions[0].offered)
	}
}
