package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"banyan/proto"
	"banyan/proto/apiv1"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	pb "google.golang.org/protobuf/proto"
)

// runWatcher follows everything below a path of a node over its public interface, and counts samples: each variable is a counter that
// grows by one, so that a missing one shows. It does not go by what the node says that it left out: that is so of what there was before the watching as well.
func runWatcher(o *options) error {
	stopProfile, err := profileTo(o.profile, fmt.Sprintf("watcher-%d", os.Getpid()))
	if err != nil {
		return err
	}
	defer stopProfile()
	if o.profile != "" {
		signal.Ignore(syscall.SIGTERM) // it ends when it has reported, and the profile is to be whole
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, end, err := watch(ctx, o)
	if err != nil {
		return err
	}
	defer end()
	w := &watcher{tally: newTally(o.latency)}
	go func() {
		if err := w.receive(stream); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "watcher:", err)
			os.Exit(1)
		}
	}()
	return w.tally.report(context.Background(), o.lasts)
}

// watch begins to follow what is below the path of a node.
func watch(ctx context.Context, o *options) (stream grpc.ClientStream, end func(), err error) {
	ca, err := os.ReadFile(filepath.Join(o.dir, "ca.pem"))
	if err != nil {
		return nil, nil, err
	}
	token, err := os.ReadFile(filepath.Join(o.dir, "token"))
	if err != nil {
		return nil, nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	conn, err := grpc.NewClient(o.address,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13})),
		grpc.WithInitialWindowSize(8<<20), grpc.WithInitialConnWindowSize(8<<20),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(proto.Codec{}), grpc.MaxCallRecvMsgSize(8<<20)))
	if err != nil {
		return nil, nil, err
	}
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+strings.TrimSpace(string(token)))
	end = func() { _ = conn.Close() }
	stream, err = conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, apiv1.TreeService_Follow_FullMethodName)
	if err != nil {
		end()
		return nil, nil, err
	}
	if err = stream.SendMsg(&apiv1.FollowRequest{Path: o.path}); err == nil {
		err = stream.CloseSend()
	}
	if err != nil {
		end()
	}
	return stream, end, err
}

// watcher checks counters.
type watcher struct {
	tally   *tally
	last    []float64 // by key; below 0 before the first
	ends    ends
	columns proto.Samples
	ready   bool
	each    bool // each update counts, and not what comes at once as one that is as late as its last: else a stall is one of a thousand
}

func (w *watcher) receive(stream grpc.ClientStream) error {
	raw := &proto.RawFrame{}
	for {
		if err := stream.RecvMsg(raw); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		samples, conflated, ok := raw.FollowSamples()
		if !ok {
			if err := w.define(raw.Bytes); err != nil {
				return err
			}
			continue
		}
		w.tally.conflated.Add(conflated)
		if err := w.count(samples); err != nil {
			return err
		}
	}
}

// define learns which keys are counters.
func (w *watcher) define(encoded []byte) error {
	response := &apiv1.FollowResponse{}
	if err := pb.Unmarshal(encoded, response); err != nil {
		return err
	}
	for _, c := range response.GetDefinitions().GetContexts() {
		if !strings.Contains(c.GetPath(), "/group-") {
			continue
		}
		for i := range c.GetVariables() {
			key := c.GetKey() + uint32(i)
			for len(w.last) <= int(key) {
				w.last = append(w.last, math.NaN())
			}
			w.last[key] = -1
		}
	}
	if response.GetDefinitions().GetListed() && !w.ready {
		w.ready = true
		fmt.Println("ready")
	}
	return nil
}

func (w *watcher) count(samples []byte) error {
	if err := w.columns.Decode(samples); err != nil {
		return err
	}
	counted, at := uint64(0), int64(0)
	for i, key := range w.columns.Keys {
		if int(key) >= len(w.last) || w.last[key] != w.last[key] {
			continue
		}
		value, before := math.Float64frombits(w.columns.Bits[i]), w.last[key]
		w.last[key] = value
		if before < 0 {
			continue // what there was when the watching began
		}
		if value > before {
			w.tally.missed.Add(uint64(value - before - 1))
		} else {
			w.tally.missed.Add(w.ends.anew(before, value))
		}
		if at = int64(w.columns.Source[i]); w.each {
			w.tally.add(1, at)
			continue
		}
		counted++
	}
	if counted > 0 {
		w.tally.add(counted, at)
	}
	return nil
}

// ends are the last values of counters before they began anew, which all do when a rate ends. As they are moved in turn, they have then come equally far but
// for one, or else what came last of some is missing.
type ends struct{ least, most float64 }

// anew notes where a counter began anew, and returns how many updates that shows to be missing.
func (e *ends) anew(before, value float64) (missing uint64) {
	if value != 1 {
		return 1 // it went backwards, or came twice
	}
	if before <= 1 {
		return 0 // of the time before
	}
	if e.least == 0 {
		e.least, e.most = before, before
	}
	apart := max(e.most-e.least, 1)
	e.least, e.most = min(e.least, before), max(e.most, before)
	return uint64(max(e.most-e.least, 1) - apart)
}
