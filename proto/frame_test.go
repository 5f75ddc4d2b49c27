package proto

import (
	"bytes"
	"slices"
	"testing"

	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/proto/linkv1"
	"banyan/proto/modelv1"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func TestRawFramesAgainstGenerated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSamples(t)
		encoded, wire := s.Append(nil), toWire(s)
		number := rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64())
		through, conflated := number.Draw(t, "through"), number.Draw(t, "conflated")

		live := &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Samples{Samples: &linkv1.LiveSamples{Samples: wire, Through: through, Conflated: conflated}}}
		generated, _ := proto.Marshal(live)
		ours := AppendLiveSamples(nil, encoded, through, conflated)
		var frame linkv1.ProviderFrame
		if err := proto.Unmarshal(ours, &frame); err != nil || !proto.Equal(&frame, live) {
			t.Fatalf("generated code reads %v, %v\nwant %v", &frame, err, live)
		}
		for _, raw := range [][]byte{generated, ours} {
			samples, gotThrough, gotConflated, ok := (&RawFrame{raw}).LiveSamples()
			checkCarried(t, s, samples, ok && gotThrough == through && gotConflated == conflated)
			if _, _, ok := (&RawFrame{raw}).FollowSamples(); ok {
				t.Fatal("a frame of a link is taken for one of the API")
			}
			if _, _, _, ok := (&RawFrame{raw[:len(raw)-1]}).LiveSamples(); ok {
				t.Fatal("a cut frame is taken")
			}
		}

		follow := &apiv1.FollowResponse{Body: &apiv1.FollowResponse_Samples{Samples: &apiv1.FollowSamples{Samples: wire, Conflated: conflated}}}
		generated, _ = proto.Marshal(follow)
		ours = AppendFollowSamples(nil, encoded, conflated)
		var response apiv1.FollowResponse
		if err := proto.Unmarshal(ours, &response); err != nil || !proto.Equal(&response, follow) {
			t.Fatalf("generated code reads %v, %v\nwant %v", &response, err, follow)
		}
		for _, raw := range [][]byte{generated, ours} {
			samples, gotConflated, ok := (&RawFrame{raw}).FollowSamples()
			checkCarried(t, s, samples, ok && gotConflated == conflated)
		}
	})
}

func checkCarried(t *rapid.T, want *Samples, samples []byte, ok bool) {
	var got Samples
	if err := got.Decode(samples); err != nil || !ok || !sameSamples(&got, want) {
		t.Fatalf("carried %+v, %v %v\nwant %+v", got, ok, err, want)
	}
}

func TestRawFrameOfSomethingElse(t *testing.T) {
	beat, _ := proto.Marshal(&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Beat{Beat: &linkv1.Beat{Number: 1}}})
	live := AppendLiveSamples(nil, benchBatch(2).Append(nil), 7, 1)
	for name, raw := range map[string][]byte{"empty": {}, "beat": beat, "two bodies": slices.Concat(live, beat), "damaged": {0x22, 2, 0x0a, 5}, "zeros": make([]byte, 9)} {
		if _, _, _, ok := (&RawFrame{raw}).LiveSamples(); ok {
			t.Errorf("%s: taken for samples", name)
		}
	}
}

func TestAcknowledgementsAgainstGenerated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64())
		want := Ack{number.Draw(t, "changes"), number.Draw(t, "samples"), number.Draw(t, "bytes")}
		raw, _ := proto.Marshal(&linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Ack{
			Ack: &linkv1.Ack{Changes: want.Changes, Samples: want.Samples, Bytes: want.Bytes},
		}})
		if got, is := (&RawFrame{raw}).Ack(); !is || got != want {
			t.Fatalf("read %+v, %v, want %+v", got, is, want)
		}
		if _, is := (&RawFrame{raw[:len(raw)-1]}).Ack(); is {
			t.Fatal("a cut one is taken")
		}
	})
	beat, _ := proto.Marshal(&linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Beat{Beat: &linkv1.Beat{Number: 1}}})
	ack, _ := proto.Marshal(&linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Ack{Ack: &linkv1.Ack{Changes: 1}}})
	for name, raw := range map[string][]byte{"empty": {}, "beat": beat, "two bodies": slices.Concat(ack, beat), "not a number": {0x1a, 3, 0x0a, 1, 5}} {
		if _, is := (&RawFrame{raw}).Ack(); is {
			t.Errorf("%s: taken for an acknowledgement", name)
		}
	}
}

func FuzzRawFrame(f *testing.F) {
	f.Add(AppendLiveSamples(nil, benchBatch(2).Append(nil), 7, 1))
	f.Add(AppendFollowSamples(nil, nil, 0))
	f.Fuzz(func(t *testing.T, raw []byte) {
		frame := &RawFrame{raw}
		_, _, _ = frame.FollowSamples()
		var generated linkv1.ConsumerFrame
		if ack, is := frame.Ack(); is && (proto.Unmarshal(raw, &generated) != nil || generated.GetAck().GetBytes() != ack.Bytes) {
			t.Fatalf("read %+v, and generated code reads %v", ack, &generated)
		}
		_, through, conflated, ok := frame.LiveSamples()
		var read linkv1.ProviderFrame
		if !ok || proto.Unmarshal(raw, &read) != nil {
			return
		}
		if read.GetSamples().GetThrough() != through || read.GetSamples().GetConflated() != conflated {
			t.Fatalf("we read %d, %d, generated code %v", through, conflated, &read)
		}
	})
}

// pieces cuts raw into buffers as a transport does.
func pieces(raw []byte, length int) (data mem.BufferSlice) {
	for piece := range slices.Chunk(raw, length) {
		data = append(data, mem.SliceBuffer(piece))
	}
	return data
}

func TestCodec(t *testing.T) {
	var codec Codec
	sent := &RawFrame{AppendLiveSamples(nil, benchBatch(100).Append(nil), 7, 1)}
	data, err := codec.Marshal(sent)
	if err != nil || codec.Name() != "proto" || !bytes.Equal(data.Materialize(), sent.Bytes) {
		t.Fatal("a raw frame does not go out as it is", err)
	}
	received := &RawFrame{}
	for _, length := range []int{1, 7, 64, 1 << 20} {
		before := cap(received.Bytes)
		if err := codec.Unmarshal(pieces(sent.Bytes, length), received); err != nil || !bytes.Equal(received.Bytes, sent.Bytes) {
			t.Errorf("in pieces of %d: %v", length, err)
		}
		if before != 0 && cap(received.Bytes) != before {
			t.Error("memory is not used again")
		}
		var message linkv1.ProviderFrame
		if err := codec.Unmarshal(pieces(sent.Bytes, length), &message); err != nil || message.GetSamples().GetThrough() != 7 {
			t.Errorf("as a message in pieces of %d: %v", length, err)
		}
	}
	if err := codec.Unmarshal(nil, received); err != nil || len(received.Bytes) != 0 {
		t.Errorf("an empty message: %v, %d bytes are left", err, len(received.Bytes))
	}
	if err := codec.Unmarshal(pieces(make([]byte, MaxFrameBytes+1), 1<<16), received); model.KindOf(err) != model.KindExhausted {
		t.Errorf("too large: %v", err)
	}
	message := &modelv1.Position{Number: 7, Epoch: &modelv1.Epoch{Ordinal: 1}}
	data, err = codec.Marshal(message)
	again := &modelv1.Position{}
	if err != nil || codec.Unmarshal(data, again) != nil || !proto.Equal(message, again) {
		t.Errorf("a message came back as %v, %v", again, err)
	}
}

// TestUnmarshalBombs: a message is refused before it is unfolded, and one that is as large as allowed is not.
func TestUnmarshalBombs(t *testing.T) {
	for name, raw := range map[string][]byte{
		"definitions": column(3, slices.Repeat([]byte{4<<3 | 2, 0}, MaxFrameBytes/2-8)...),
		"strings":     column(3, slices.Repeat([]byte{3<<3 | 2, 0}, MaxFrameBytes/2-8)...),
	} {
		var frame linkv1.ProviderFrame
		var err error
		if n := allocatedBy(func() { err = Unmarshal(raw, &frame) }); n > 1<<20 || model.KindOf(err) != model.KindExhausted {
			t.Errorf("%s: %d KiB, %v", name, n>>10, err)
		}
	}
	deep := &modelv1.Value{Kind: &modelv1.Value_Bytes{Bytes: make([]byte, uncountedBytes)}}
	for range maxPartDepth / 3 {
		deep = &modelv1.Value{Kind: &modelv1.Value_Table{Table: &modelv1.Table{Rows: []*modelv1.Row{{Cells: []*modelv1.Value{deep}}}}}}
	}
	raw, _ := proto.Marshal(deep)
	errValue, errDeeper := Unmarshal(raw, &modelv1.Value{}), Unmarshal(column(2, column(1, raw...)...), &modelv1.Table{})
	if errValue != nil || model.KindOf(errDeeper) != model.KindExhausted {
		t.Errorf("nested as deep as allowed: %v; deeper: %v", errValue, errDeeper)
	}
	delta := &linkv1.Delta{}
	for range 4000 {
		delta.Definitions = append(delta.Definitions, &linkv1.Definition{Path: "/sites/berlin/plc", Settings: []*linkv1.SettingValue{{Index: 1, Value: FromValue(model.String("x"))}}})
	}
	raw, _ = proto.Marshal(&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Delta{Delta: delta}})
	if err := Unmarshal(raw, &linkv1.ProviderFrame{}); err != nil {
		t.Errorf("4,000 definitions: %v", err)
	}
	if err := Unmarshal([]byte{0xff}, &linkv1.Delta{}); model.KindOf(err) != model.KindCorrupt || err.Error() != "received a Delta that cannot be decoded" {
		t.Errorf("damaged: %v", err)
	}
}
