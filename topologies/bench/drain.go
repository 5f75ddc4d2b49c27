package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"banyan/model"
	"banyan/peering"
	"banyan/pki"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/topologies"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
)

// runDrain is so many consumers of the sharing node that take what they are told and acknowledge it, as a mirror would, and keep nothing of it.
func runDrain(dir, address string, consumers int) error {
	root, err := pki.Look(sharerDir(dir))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	var told atomic.Uint64
	failed := make(chan error, consumers)
	for i := range consumers {
		authority, err := pki.Load(consumerDir(dir, i))
		if err != nil {
			return err
		}
		work.Go(func() {
			failed <- drain(ctx, authority, pki.Fingerprint(root), topologies.Known{pki.Fingerprint(root): root}, address, &told)
		})
	}
	go func() {
		waitForEnd()
		cancel()
	}()
	for range consumers {
		if err := <-failed; err != nil && ctx.Err() == nil {
			return fmt.Errorf("a consumer: %w", err)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(told.Load())
}

// drain is one consumer until ctx ends. It counts the samples that it is told.
func drain(ctx context.Context, authority *pki.Authority, sharer model.NodeID, known topologies.Known, address string, told *atomic.Uint64) error {
	leaf, err := authority.LinkLeaf(pki.LeafConfig{})
	if err != nil {
		return err
	}
	plain, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	conn, _, err := pki.Connect(ctx, plain, pki.Config{
		Certificate: leaf.Current, Protocols: []string{pki.ProtocolConsumer}, Node: sharer, Pins: known,
		Admit: func(pki.Peer) error { return nil },
	})
	if err != nil {
		return err
	}
	client, err := grpc.NewClient("passthrough:///sharer", grpc.WithTransportCredentials(insecure.NewCredentials()), // what it dials is secured
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return conn, nil }),
		grpc.WithInitialWindowSize(4<<20), grpc.WithInitialConnWindowSize(8<<20), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(proto.Codec{})))
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	stream, err := linkv1.NewLinkServiceClient(client).Follow(ctx)
	if err != nil {
		return err
	}
	hello := &linkv1.Hello{Version: 2, Link: "sharer", Session: []byte("0123456789abcdef")}
	if err := stream.Send(&linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Hello{Hello: hello}}); err != nil {
		return err
	}
	d := drained{stream: stream, told: told}
	for raw := (&proto.RawFrame{}); ; {
		if err := stream.RecvMsg(raw); err != nil {
			return err
		}
		if err := d.take(raw); err != nil {
			return err
		}
	}
}

// drained is how far a consumer has come.
type drained struct {
	stream linkv1.LinkService_FollowClient
	ack    linkv1.Ack
	acked  uint64 // bytes
	beat   uint64
	told   *atomic.Uint64 // samples, of all consumers
}

func (d *drained) take(raw *proto.RawFrame) error {
	d.ack.Bytes += uint64(len(raw.Bytes))
	batch, through, _, samples := raw.LiveSamples()
	if samples {
		d.told.Add(samplesIn(batch))
		d.ack.Samples = through
		if d.ack.Bytes-d.acked < peering.AckBytes {
			return nil
		}
		return d.acknowledge()
	}
	var frame linkv1.ProviderFrame
	if err := proto.Unmarshal(raw.Bytes, &frame); err != nil {
		return err
	}
	switch body := frame.GetBody().(type) {
	case *linkv1.ProviderFrame_Delta:
		d.ack.Changes = max(d.ack.Changes, body.Delta.GetThrough())
		return d.acknowledge()
	case *linkv1.ProviderFrame_Beat:
		if body.Beat.GetNumber() == 0 {
			return nil
		}
		d.beat++
		if err := d.send(&linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Beat{Beat: &linkv1.Beat{Number: d.beat, Echo: body.Beat.GetNumber()}}}); err != nil {
			return err
		}
		return d.acknowledge()
	case *linkv1.ProviderFrame_Farewell:
		return errors.New("the sharing node has ended the session")
	}
	return nil
}

// samplesIn is how many samples are in an encoded batch: its column of fixed width tells it without decoding.
func samplesIn(batch []byte) (count uint64) {
	const fieldBits = 2
	_ = fields(batch, func(number protowire.Number, _ uint64, column []byte) {
		if number == fieldBits {
			count = uint64(len(column) / 8)
		}
	})
	return count
}

func (d *drained) acknowledge() error {
	d.acked = d.ack.GetBytes()
	return d.send(&linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Ack{
		Ack: &linkv1.Ack{Changes: d.ack.GetChanges(), Samples: d.ack.GetSamples(), Bytes: d.ack.GetBytes()},
	}})
}

func (d *drained) send(frame *linkv1.ConsumerFrame) error { return d.stream.Send(frame) }
