package proto

import (
	"strings"

	"banyan/model"
	"banyan/proto/modelv1"

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

// What a message takes in memory, about: of each part what protobuf makes of it beside its bytes, and of one whose parts are not counted so many times its length.
const (
	partCost      = 96
	uncountedCost = 8
)

// mostValueBytes is how long a value may be on the wire: a cell of a table has up to 13 bytes there, of which the model counts 8, and a row 5 more.
const mostValueBytes = 9 * model.MaxValueBytes / 4

// Unmarshal decodes a message from another node. One that would take many times its length in memory is refused before it is decoded.
func Unmarshal(raw []byte, into proto.Message) error { return UnmarshalWithin(raw, into, nil) }

// UnmarshalWithin is Unmarshal that asks for room before it decodes, for so many bytes of memory, about.
func UnmarshalWithin(raw []byte, into proto.Message, room func(bytes int64) error) error {
	descriptor := into.ProtoReflect().Descriptor()
	takes := int64(len(raw)) * uncountedCost
	if len(raw) > uncountedBytes {
		c := counter{left: maxParts}
		if err := c.count(raw, descriptor, 0); err != nil {
			return err
		}
		takes = int64(len(raw)) + partCost*int64(maxParts-c.left)
	}
	if room != nil {
		if err := room(takes); err != nil {
			return err
		}
	}
	if err := proto.Unmarshal(raw, into); err != nil {
		return damaged("a " + string(descriptor.Name()))
	}
	return nil
}

// counter counts what a message unfolds into.
type counter struct {
	left int // messages, strings and byte fields that may still come
}

// count takes what raw unfolds into off what is left, and says what there is too much of. What is damaged is counted up to there, since the decoder comes
// no further either.
func (c *counter) count(raw []byte, descriptor protoreflect.MessageDescriptor, depth int) error {
	if depth > maxPartDepth {
		return model.Errorf(model.KindExhausted, "received a %s that is nested more than %d deep", descriptor.Name(), maxPartDepth)
	}
	if len(raw) > mostValueBytes && descriptor == valueDescriptor {
		return model.Errorf(model.KindExhausted, "received a value of %d bytes, at most %d are allowed", len(raw), model.MaxValueBytes)
	}
	fields := descriptor.Fields()
	var times [mostFields]int
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return nil
		}
		length := protowire.ConsumeFieldValue(number, kind, raw[n:])
		if length < 0 {
			return nil
		}
		if kind == protowire.BytesType {
			if c.left--; c.left < 0 {
				return model.Errorf(model.KindExhausted, "received a %s of more than %d parts", descriptor.Name(), maxParts)
			}
			field := fields.ByNumber(number)
			if field != nil && field.Index() < mostFields && (field.IsList() && !field.IsPacked() || field.Message() != nil) {
				times[field.Index()]++
				if most := mostTimes(field); times[field.Index()] > most {
					return model.Errorf(model.KindExhausted, "received a %s with more than %d %s", descriptor.Name(), most, plainly(field))
				}
			}
			if field != nil && field.Message() != nil {
				part, _ := protowire.ConsumeBytes(raw[n:])
				if err := c.count(part, field.Message(), depth+1); err != nil {
					return err
				}
			}
		}
		raw = raw[n+length:]
	}
	return nil
}

var valueDescriptor = (*modelv1.Value)(nil).ProtoReflect().Descriptor()

// plainly is the name of a field as people read it.
func plainly(field protoreflect.FieldDescriptor) string {
	return strings.ReplaceAll(string(field.Name()), "_", " ")
}
