package proto

import (
	"banyan/model"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec that Codec falls back to
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Field numbers of the messages that carry samples. They are the hot path, so they are put together and taken apart by hand.
const (
	fieldFrameSamples    = 4 // ProviderFrame.samples
	fieldLiveSamples     = 1 // LiveSamples.samples
	fieldLiveThrough     = 2
	fieldLiveConflated   = 3
	fieldResponseSamples = 2 // FollowResponse.samples
	fieldFollowSamples   = 1 // FollowSamples.samples
	fieldFollowConflated = 2
	fieldFrameAck        = 3 // ConsumerFrame.ack
	fieldAckChanges      = 1 // Ack.changes
	fieldAckSamples      = 2
	fieldAckBytes        = 3
	frameOverhead        = 64
)

// RawFrame is one encoded message. Sent through Codec it goes out as it is, so that a batch encoded once serves many streams; gRPC may
// still hold its bytes after the send has returned, so they must not be changed any more. A frame that is received into may be used again.
type RawFrame struct {
	Bytes []byte
}

// SplitFrame is an encoded message to be sent, in two parts, of which the second one may be shared: it is what RawFrame is, without being put
// together.
type SplitFrame struct{ Head, Shared []byte }

// AppendLiveSamples appends a ProviderFrame that carries an encoded batch.
func AppendLiveSamples(to, samples []byte, through, conflated uint64) []byte {
	return append(AppendLiveHead(to, len(samples), through, conflated), samples...)
}

// AppendLiveHead appends what stands before the encoded batch, of so many bytes, in a ProviderFrame that carries it: nothing comes after, so that a
// batch can be shared by frames that differ in the rest.
func AppendLiveHead(to []byte, batch int, through, conflated uint64) []byte {
	size := protowire.SizeTag(fieldLiveSamples) + protowire.SizeBytes(batch) + protowire.SizeTag(fieldLiveThrough) + protowire.SizeVarint(through)
	if conflated != 0 {
		size += protowire.SizeTag(fieldLiveConflated) + protowire.SizeVarint(conflated)
	}
	to = protowire.AppendTag(to, fieldFrameSamples, protowire.BytesType)
	to = protowire.AppendVarint(to, uint64(size))
	to = protowire.AppendTag(to, fieldLiveThrough, protowire.VarintType)
	to = protowire.AppendVarint(to, through)
	if conflated != 0 {
		to = protowire.AppendTag(to, fieldLiveConflated, protowire.VarintType)
		to = protowire.AppendVarint(to, conflated)
	}
	to = protowire.AppendTag(to, fieldLiveSamples, protowire.BytesType)
	return protowire.AppendVarint(to, uint64(batch))
}

// AppendFollowSamples appends a FollowResponse that carries an encoded batch.
func AppendFollowSamples(to, samples []byte, conflated uint64) []byte {
	size := protowire.SizeTag(fieldFollowSamples) + protowire.SizeBytes(len(samples))
	if conflated != 0 {
		size += protowire.SizeTag(fieldFollowConflated) + protowire.SizeVarint(conflated)
	}
	to = protowire.AppendTag(to, fieldResponseSamples, protowire.BytesType)
	to = protowire.AppendVarint(to, uint64(size))
	to = protowire.AppendTag(to, fieldFollowSamples, protowire.BytesType)
	to = protowire.AppendBytes(to, samples)
	if conflated != 0 {
		to = protowire.AppendTag(to, fieldFollowConflated, protowire.VarintType)
		to = protowire.AppendVarint(to, conflated)
	}
	return to
}

// LiveSamples takes a ProviderFrame apart where it is one that carries samples and nothing else.
func (f *RawFrame) LiveSamples() (samples []byte, through, conflated uint64, ok bool) {
	return f.samples(fieldFrameSamples, fieldLiveSamples, fieldLiveThrough, fieldLiveConflated)
}

// FollowSamples takes a FollowResponse apart where it is one that carries samples and nothing else.
func (f *RawFrame) FollowSamples() (samples []byte, conflated uint64, ok bool) {
	samples, _, conflated, ok = f.samples(fieldResponseSamples, fieldFollowSamples, 0, fieldFollowConflated)
	return samples, conflated, ok
}

func (f *RawFrame) samples(outer, inner, fieldThrough, fieldConflated protowire.Number) (samples []byte, through, conflated uint64, ok bool) {
	number, kind, n := protowire.ConsumeTag(f.Bytes)
	if n < 0 || number != outer || kind != protowire.BytesType {
		return nil, 0, 0, false
	}
	body, m := protowire.ConsumeBytes(f.Bytes[n:])
	if m < 0 || n+m != len(f.Bytes) {
		return nil, 0, 0, false
	}
	for len(body) > 0 {
		number, kind, n = protowire.ConsumeTag(body)
		if n < 0 {
			return nil, 0, 0, false
		}
		if m = protowire.ConsumeFieldValue(number, kind, body[n:]); m < 0 {
			return nil, 0, 0, false
		}
		switch value := body[n : n+m]; {
		case number == inner && kind == protowire.BytesType:
			samples, _ = protowire.ConsumeBytes(value)
		case number == fieldThrough && kind == protowire.VarintType:
			through, _ = protowire.ConsumeVarint(value)
		case number == fieldConflated && kind == protowire.VarintType:
			conflated, _ = protowire.ConsumeVarint(value)
		}
		body = body[n+m:]
	}
	return samples, through, conflated, true
}

// Ack is what a consumer acknowledges: see banyan.link.v1.Ack.
type Ack struct{ Changes, Samples, Bytes uint64 }

// Ack takes a ConsumerFrame apart where it is one that acknowledges and nothing else.
func (f *RawFrame) Ack() (ack Ack, ok bool) {
	number, kind, n := protowire.ConsumeTag(f.Bytes)
	if n < 0 || number != fieldFrameAck || kind != protowire.BytesType {
		return Ack{}, false
	}
	body, m := protowire.ConsumeBytes(f.Bytes[n:])
	if m < 0 || n+m != len(f.Bytes) {
		return Ack{}, false
	}
	for len(body) > 0 {
		number, kind, n = protowire.ConsumeTag(body)
		if n < 0 || kind != protowire.VarintType {
			return Ack{}, false
		}
		value, m := protowire.ConsumeVarint(body[n:])
		if m < 0 {
			return Ack{}, false
		}
		switch number {
		case fieldAckChanges:
			ack.Changes = value
		case fieldAckSamples:
			ack.Samples = value
		case fieldAckBytes:
			ack.Bytes = value
		}
		body = body[n+m:]
	}
	return ack, true
}

// Codec is gRPC's protobuf codec with one addition: a *RawFrame is sent and received without being encoded or decoded, and a *SplitFrame is sent so.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

// Name is the name of the protobuf codec.
func (Codec) Name() string { return "proto" }

// Marshal encodes a message.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	switch frame := v.(type) {
	case *RawFrame:
		return mem.BufferSlice{mem.SliceBuffer(frame.Bytes)}, nil
	case *SplitFrame:
		return mem.BufferSlice{mem.SliceBuffer(frame.Head), mem.SliceBuffer(frame.Shared)}, nil
	}
	return standard.Marshal(v)
}

// Unmarshal decodes a message. A *RawFrame keeps the memory that it has where that suffices.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	raw, ok := v.(*RawFrame)
	if !ok {
		return unmarshalMessage(data, v)
	}
	n := data.Len()
	if n > MaxFrameBytes {
		return model.Errorf(model.KindExhausted, "received a message of %d bytes, at most %d are allowed", n, MaxFrameBytes)
	}
	if cap(raw.Bytes) < n {
		raw.Bytes = make([]byte, n+n/4+frameOverhead)
	}
	raw.Bytes = raw.Bytes[:n]
	data.CopyTo(raw.Bytes)
	return nil
}

func unmarshalMessage(data mem.BufferSlice, v any) error {
	message, ok := v.(proto.Message)
	if !ok {
		return standard.Unmarshal(data, v)
	}
	whole := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer whole.Free()
	return Unmarshal(whole.ReadOnlyData(), message)
}

// MaxFrameBytes is the largest message that a node sends or takes.
const MaxFrameBytes = 4 << 20

// standard is looked up once: a Codec that was registered under its name later must not end up calling itself.
var standard = encoding.GetCodecV2("proto")
