package proto

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"banyan/model"
	"banyan/proto/modelv1"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Samples is a batch of samples by column, as banyan.model.v1.Samples carries them. Entry i of each column belongs to one sample.
type Samples struct {
	Keys    []uint32
	Bits    []uint64
	Source  []model.Time
	Owner   []model.Time
	Quality []uint16 // empty: all good
	Boxed   []Boxed  // values that do not fit in 64 bits, by ascending index
}

// Boxed is the value of the sample at an index.
type Boxed struct {
	Index int
	Value model.Value
}

// MaxSamples is the most samples in one message.
const MaxSamples = 8192

// Reset empties the batch and keeps its memory.
func (s *Samples) Reset() {
	clear(s.Boxed)
	*s = Samples{s.Keys[:0], s.Bits[:0], s.Source[:0], s.Owner[:0], s.Quality[:0], s.Boxed[:0]}
}

// Field numbers of banyan.model.v1.Samples.
const (
	fieldKeySteps     = 1
	fieldBits         = 2
	fieldSourceSteps  = 3
	fieldOwnerOffsets = 4
	fieldQuality      = 5
	fieldBoxed        = 6
)

// ordinarySize is about how many bytes a sample takes.
const ordinarySize = 12

var boxedDescriptor = (*modelv1.Boxed)(nil).ProtoReflect().Descriptor()

// lengthBytes is how many bytes a column's length takes. It is written after the column, so it has a fixed width, as a varint
// with continuation bits: every protobuf parser reads it.
const lengthBytes = 4

func openColumn(to []byte, field protowire.Number) ([]byte, int) {
	to = protowire.AppendTag(to, field, protowire.BytesType)
	return append(to, 0x80, 0x80, 0x80, 0), len(to) + lengthBytes
}

func closeColumn(to []byte, start int) {
	n := len(to) - start
	at := to[start-lengthBytes:]
	at[0], at[1], at[2], at[3] = byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14)|0x80, byte(n>>21)&0x7f
}

// Append appends the encoded batch.
func (s *Samples) Append(to []byte) []byte {
	if len(s.Keys) == 0 {
		return to
	}
	to = slices.Grow(to, len(s.Keys)*ordinarySize)
	to, start := openColumn(to, fieldKeySteps)
	previous := uint32(0)
	for _, key := range s.Keys {
		step := int32(key - previous - 1)
		previous = key
		if step == 0 {
			to = append(to, 0)
			continue
		}
		to = appendVarint(to, uint64(uint32(step<<1)^uint32(step>>31)))
	}
	closeColumn(to, start)

	to = protowire.AppendTag(to, fieldBits, protowire.BytesType)
	to = protowire.AppendVarint(to, uint64(8*len(s.Bits)))
	at := len(to)
	to = slices.Grow(to, 8*len(s.Bits))[:at+8*len(s.Bits)]
	column := to[at:]
	for i, bits := range s.Bits {
		binary.LittleEndian.PutUint64(column[8*i:8*i+8], bits)
	}

	to, start = openColumn(to, fieldSourceSteps)
	last := model.Time(0)
	for _, at := range s.Source {
		to = appendVarint(to, protowire.EncodeZigZag(int64(at-last)))
		last = at
	}
	closeColumn(to, start)

	to = s.appendOwner(to)
	to = s.appendQuality(to)
	for i := range s.Boxed {
		to = appendBoxed(to, &s.Boxed[i])
	}
	return to
}

func (s *Samples) appendOwner(to []byte) []byte {
	if len(s.Owner) == 0 {
		return to
	}
	first, same := s.Owner[0]-s.Source[0], true
	for i, at := range s.Owner {
		if at-s.Source[i] != first {
			same = false
			break
		}
	}
	if same && first == 0 {
		return to
	}
	to, start := openColumn(to, fieldOwnerOffsets)
	for i, at := range s.Owner {
		to = appendVarint(to, protowire.EncodeZigZag(int64(at-s.Source[i])))
		if same {
			break
		}
	}
	closeColumn(to, start)
	return to
}

func (s *Samples) appendQuality(to []byte) []byte {
	good := true
	for _, code := range s.Quality {
		if code != 0 {
			good = false
			break
		}
	}
	if good {
		return to
	}
	to, start := openColumn(to, fieldQuality)
	for _, code := range s.Quality {
		to = appendVarint(to, uint64(code))
	}
	closeColumn(to, start)
	return to
}

func appendBoxed(to []byte, b *Boxed) []byte {
	encoded, err := proto.Marshal(&modelv1.Boxed{Index: uint32(b.Index), Value: FromValue(b.Value)})
	if err != nil {
		return to // a value of package model always encodes
	}
	to = protowire.AppendTag(to, fieldBoxed, protowire.BytesType)
	return protowire.AppendBytes(to, encoded)
}

func appendVarint(to []byte, v uint64) []byte {
	for v >= 0x80 {
		to = append(to, byte(v)|0x80)
		v >>= 7
	}
	return append(to, byte(v))
}

// Decode reads an encoded batch into s, reusing its memory. Columns of different lengths, more than MaxSamples and damaged bytes
// are refused, and s is empty then. Fields it does not know are passed over.
func (s *Samples) Decode(from []byte) error {
	s.Reset()
	err := s.decode(from)
	if err != nil {
		s.Reset()
	}
	return err
}

func (s *Samples) decode(from []byte) error {
	var owner []byte
	seen := 0 // a bit for each column: none may come twice
	boxes := counter{left: maxParts}
	large := len(from) > uncountedBytes
	for len(from) > 0 {
		number, kind, n := protowire.ConsumeTag(from)
		if n < 0 {
			return damaged("samples")
		}
		from = from[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, from); n < 0 {
				return damaged("samples")
			}
			from = from[n:]
			continue
		}
		column, n := protowire.ConsumeBytes(from)
		if n < 0 {
			return damaged("samples")
		}
		from = from[n:]
		if number < fieldBoxed {
			if seen&(1<<number) != 0 {
				return damaged("samples")
			}
			seen |= 1 << number
		}
		if number == fieldOwnerOffsets {
			owner = column
			continue
		}
		if number == fieldBoxed && large { // each may be small, and all of them together not
			if err := boxes.count(column, boxedDescriptor, 0); err != nil {
				return err
			}
		}
		if err := s.decodeColumn(number, column); err != nil {
			return err
		}
	}
	return s.finish(owner)
}

func (s *Samples) decodeColumn(number protowire.Number, column []byte) (err error) {
	switch number {
	case fieldKeySteps:
		s.Keys, err = decodeVarints(s.Keys, column)
		previous := uint32(0)
		for i, step := range s.Keys {
			previous += (step>>1 ^ -(step & 1)) + 1
			s.Keys[i] = previous
		}
	case fieldBits:
		s.Bits, err = decodeFixed(s.Bits, column)
	case fieldSourceSteps:
		s.Source, err = decodeVarints(s.Source, column)
		last := model.Time(0)
		for i, step := range s.Source {
			last += unzigzag(step)
			s.Source[i] = last
		}
	case fieldQuality:
		s.Quality, err = decodeVarints(s.Quality, column)
	case fieldBoxed:
		return s.decodeBoxed(column)
	}
	return err
}

func (s *Samples) decodeBoxed(encoded []byte) error {
	var b modelv1.Boxed
	if err := Unmarshal(encoded, &b); err != nil {
		return err
	}
	value, err := ToValue(b.GetValue())
	if err != nil {
		return err
	}
	if n := len(s.Boxed); n > 0 && s.Boxed[n-1].Index >= int(b.GetIndex()) || b.GetIndex() >= MaxSamples {
		return damaged("samples")
	}
	s.Boxed = append(s.Boxed, Boxed{int(b.GetIndex()), value})
	return nil
}

// finish checks that the columns fit together and computes the owner times.
func (s *Samples) finish(owner []byte) (err error) {
	n := len(s.Keys)
	if len(s.Bits) != n || len(s.Source) != n || len(s.Quality) != 0 && len(s.Quality) != n {
		return damaged("samples")
	}
	if len(s.Boxed) > 0 && s.Boxed[len(s.Boxed)-1].Index >= n {
		return damaged("samples")
	}
	if s.Owner, err = decodeVarints(s.Owner, owner); err != nil {
		return err
	}
	switch len(s.Owner) {
	case n:
		for i, offset := range s.Owner {
			s.Owner[i] = s.Source[i] + unzigzag(offset)
		}
	case 0:
		s.Owner = append(s.Owner, s.Source...)
	case 1:
		offset := unzigzag(s.Owner[0])
		s.Owner = append(s.Owner[:0], s.Source...)
		for i := range s.Owner {
			s.Owner[i] += offset
		}
	default:
		return damaged("samples")
	}
	return nil
}

// decodeVarints reads a column into the memory of into. What does not fit in T is cut off, as protobuf does.
func decodeVarints[T ~uint16 | ~uint32 | ~int64](into []T, column []byte) ([]T, error) {
	n := countVarints(column)
	if n > MaxSamples {
		return into, tooManySamples()
	}
	into = slices.Grow(into[:0], n)[:n]
	at := 0
	for i := range into {
		v, length := uint64(column[at]), 1 // there is a byte: there are as many varints as counted
		if v >= 0x80 {
			if next := uint64(column[at+1]); next < 0x80 {
				v, length = v&0x7f|next<<7, 2
			} else if v, length = binary.Uvarint(column[at:]); length <= 0 {
				return into, damaged("samples")
			}
		}
		into[i] = T(v)
		at += length
	}
	if at != len(column) {
		return into, damaged("samples")
	}
	return into, nil
}

// countVarints counts the bytes that end one: those without the continuation bit.
func countVarints(column []byte) int {
	n := 0
	for ; len(column) >= 8; column = column[8:] {
		n += 8 - bits.OnesCount64(binary.LittleEndian.Uint64(column)&0x8080808080808080)
	}
	for _, b := range column {
		if b < 0x80 {
			n++
		}
	}
	return n
}

func decodeFixed(into []uint64, column []byte) ([]uint64, error) {
	n := len(column) / 8
	if n > MaxSamples {
		return into, tooManySamples()
	}
	if len(column)%8 != 0 {
		return into, damaged("samples")
	}
	into = slices.Grow(into[:0], n)[:n]
	for i := range into {
		into[i] = binary.LittleEndian.Uint64(column[8*i:])
	}
	return into, nil
}

func unzigzag(v model.Time) model.Time { return model.Time(protowire.DecodeZigZag(uint64(v))) }

func tooManySamples() error {
	return model.Errorf(model.KindExhausted, "received more than %d samples in one message", MaxSamples)
}

func damaged(what string) error {
	return model.Errorf(model.KindCorrupt, "received %s that cannot be decoded", what)
}
