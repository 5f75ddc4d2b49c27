package proto

import (
	"slices"
	"strings"
	"testing"

	_ "banyan/proto/apiv1"
	_ "banyan/proto/linkv1"
	"banyan/proto/modelv1"
	_ "banyan/proto/storev1"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// everyMessage are all messages of this program, by name: they are taken from what is compiled in, so that a new one is tried as soon as it is there.
func everyMessage() []protoreflect.MessageType {
	var all []protoreflect.MessageType
	protoregistry.GlobalTypes.RangeMessages(func(m protoreflect.MessageType) bool {
		if strings.HasPrefix(string(m.Descriptor().FullName()), "banyan.") && !m.Descriptor().IsMapEntry() {
			all = append(all, m)
		}
		return true
	})
	slices.SortFunc(all, func(a, b protoreflect.MessageType) int {
		return strings.Compare(string(a.Descriptor().FullName()), string(b.Descriptor().FullName()))
	})
	return all
}

// FuzzMessages: bytes in place of any message are refused or read, within the limits of what they may unfold into, and what was read is written and read again
// as the same, with what a later version has said in it.
func FuzzMessages(f *testing.F) {
	all := everyMessage()
	names := make([]string, len(all))
	for i, m := range all {
		names[i] = string(m.Descriptor().FullName())
		f.Add(names[i], []byte{})
		f.Add(names[i], []byte{0x0a, 0x02, 0x0a, 0x00, 0xf8, 0x7f, 0x01})
	}
	f.Fuzz(func(t *testing.T, name string, raw []byte) {
		at, known := slices.BinarySearch(names, name)
		if !known {
			at = len(name) % len(all)
		}
		wire := all[at].New().Interface()
		if Unmarshal(raw, wire) != nil {
			return
		}
		written, err := proto.MarshalOptions{Deterministic: true}.Marshal(wire)
		if err != nil {
			t.Fatalf("%s was read and cannot be written: %v", names[at], err)
		}
		again := all[at].New().Interface()
		if err := Unmarshal(written, again); err != nil {
			t.Fatalf("%s was written and cannot be read: %v", names[at], err)
		}
		if second, err := (proto.MarshalOptions{Deterministic: true}).Marshal(again); err != nil || string(second) != string(written) {
			t.Fatalf("%s was written as %x, and then as %x, %v", names[at], written, second, err)
		}
		convert(t, wire)
	})
}

// convert turns what there is into the model, and back where both ways exist.
func convert(t *testing.T, wire proto.Message) {
	switch m := wire.(type) {
	case *modelv1.Error:
		_ = FromError(ToError(m))
	case *modelv1.Epoch:
		if e := ToEpoch(m); ToEpoch(FromEpoch(e)) != e {
			t.Errorf("the epoch %v comes back as another", e)
		}
	case *modelv1.Position:
		if p := ToPosition(m); ToPosition(FromPosition(p)) != p {
			t.Errorf("the position %v comes back as another", p)
		}
	case *modelv1.Chain:
		if c, err := ToChain(m); err == nil {
			if again, err := ToChain(FromChain(c)); err != nil || !slices.Equal(again, c) {
				t.Errorf("the chain %v comes back as %v, %v", c, again, err)
			}
		}
	case *modelv1.ContextId:
		if id, err := ToContextID(m); err == nil {
			if again, err := ToContextID(FromContextID(id)); err != nil || again != id {
				t.Errorf("%v comes back as %v, %v", id, again, err)
			}
		}
		_, _ = ToNodeID(m.GetNode())
	case *modelv1.Argument:
		if arguments, err := ToArguments([]*modelv1.Argument{m}); err == nil {
			if again, err := ToArguments(FromArguments(arguments)); err != nil || len(again) != 1 || !again[0].Value.Equal(arguments[0].Value) {
				t.Errorf("%v comes back as %v, %v", arguments, again, err)
			}
		}
	}
}
