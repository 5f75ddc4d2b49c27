package proto

import (
	"banyan/model"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Limits of what one message may unfold into. Two bytes on the wire can become a message of some 70 bytes in memory, so from a length on at
// which that matters its parts are counted before they are made. A table within its limits has fewer: 2^17 cells in 2^16 rows.
const (
	uncountedBytes = 64 << 10
	maxParts       = 1 << 18
	maxPartDepth   = 64
)

// Unmarshal decodes a message from another node. One that would take many times its length in memory is refused before it is decoded.
func Unmarshal(raw []byte, into proto.Message) error {
	descriptor := into.ProtoReflect().Descriptor()
	if len(raw) > uncountedBytes {
		if left := maxParts; !countParts(raw, descriptor, &left, 0) {
			return model.Errorf(model.KindExhausted, "received a %s of more than %d parts, or nested more than %d deep",
				descriptor.Name(), maxParts, maxPartDepth)
		}
	}
	if err := proto.Unmarshal(raw, into); err != nil {
		return damaged("a " + string(descriptor.Name()))
	}
	return nil
}

// countParts takes the messages, strings and byte fields that raw unfolds into off left, and reports whether they are within the limits. What is damaged
// is counted up to there, since the decoder comes no further either.
func countParts(raw []byte, descriptor protoreflect.MessageDescriptor, left *int, depth int) bool {
	if depth > maxPartDepth {
		return false
	}
	fields := descriptor.Fields()
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return true
		}
		length := protowire.ConsumeFieldValue(number, kind, raw[n:])
		if length < 0 {
			return true
		}
		if kind == protowire.BytesType {
			if *left--; *left < 0 {
				return false
			}
			if field := fields.ByNumber(number); field != nil && field.Message() != nil {
				part, _ := protowire.ConsumeBytes(raw[n:])
				if !countParts(part, field.Message(), left, depth+1) {
					return false
				}
			}
		}
		raw = raw[n+length:]
	}
	return true
}
