package mqtt

import (
	"errors"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The payload of Sparkplug B (specification 3.0.0, chapter 6.4), as far as it is used here. It is read and written by hand since six fields of two
// messages are needed of it.

// payload is a message of an edge node.
type payload struct {
	timestamp uint64 // milliseconds since 1970-01-01 UTC; 0 where it is not told
	seq       uint64
	hasSeq    bool
	metrics   []metric
}

// metric is one value in it.
type metric struct {
	name       string
	alias      uint64
	hasAlias   bool
	timestamp  uint64
	datatype   uint32
	historical bool
	null       bool
	kind       valueKind
	bits       uint64 // int, long, float, double, bool
	text       string // string, bytes
}

type valueKind uint8

const (
	kindNone valueKind = iota
	kindInt
	kindLong
	kindFloat
	kindDouble
	kindBool
	kindString
	kindBytes
	kindOther // data sets and templates
)

// Numbers of fields.
const (
	payloadTimestamp = 1
	payloadMetrics   = 2
	payloadSeq       = 3

	metricName       = 1
	metricAlias      = 2
	metricTimestamp  = 3
	metricDatatype   = 4
	metricHistorical = 5
	metricNull       = 7
	metricFirstValue = 10 // int, long, float, double, bool, string, bytes, data set, template, extension
	metricLastValue  = 19
)

const maxMetrics = 10_000

var errPayload = errors.New("this is no Sparkplug B payload")

// field is one field of a message: a number or bytes.
type field struct {
	number protowire.Number
	typ    protowire.Type
	value  uint64
	bytes  []byte
}

// fields calls each for every field. It refuses what is cut or malformed.
func fields(raw []byte, each func(f field) error) error {
	for len(raw) > 0 {
		number, typ, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return errPayload
		}
		raw = raw[n:]
		f := field{number: number, typ: typ}
		switch typ {
		case protowire.VarintType:
			f.value, n = protowire.ConsumeVarint(raw)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(raw)
			f.value = uint64(v)
		case protowire.Fixed64Type:
			f.value, n = protowire.ConsumeFixed64(raw)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(raw)
		default:
			n = protowire.ConsumeFieldValue(number, typ, raw)
		}
		if n < 0 {
			return errPayload
		}
		raw = raw[n:]
		if err := each(f); err != nil {
			return err
		}
	}
	return nil
}

func decodePayload(raw []byte) (payload, error) {
	var p payload
	err := fields(raw, func(f field) error {
		switch {
		case f.number == payloadTimestamp && f.typ == protowire.VarintType:
			p.timestamp = f.value
		case f.number == payloadSeq && f.typ == protowire.VarintType:
			p.seq, p.hasSeq = f.value, true
		case f.number == payloadMetrics && f.typ == protowire.BytesType:
			if len(p.metrics) >= maxMetrics {
				return errPayload
			}
			m, err := decodeMetric(f.bytes)
			if err != nil {
				return err
			}
			p.metrics = append(p.metrics, m)
		}
		return nil
	})
	return p, err
}

func decodeMetric(raw []byte) (metric, error) {
	var m metric
	err := fields(raw, func(f field) error {
		if f.number >= metricFirstValue && f.number <= metricLastValue {
			return m.take(f)
		}
		if f.number == metricName && f.typ == protowire.BytesType {
			m.name = string(f.bytes)
		}
		if f.typ != protowire.VarintType {
			return nil
		}
		switch f.number {
		case metricAlias:
			m.alias, m.hasAlias = f.value, true
		case metricTimestamp:
			m.timestamp = f.value
		case metricDatatype:
			m.datatype = uint32(f.value)
		case metricHistorical:
			m.historical = f.value != 0
		case metricNull:
			m.null = f.value != 0
		}
		return nil
	})
	return m, err
}

// take reads the value, which is in one of several fields.
func (m *metric) take(f field) error {
	forms := [...]struct {
		kind valueKind
		typ  protowire.Type
	}{
		{kindInt, protowire.VarintType}, {kindLong, protowire.VarintType}, {kindFloat, protowire.Fixed32Type}, {kindDouble, protowire.Fixed64Type},
		{kindBool, protowire.VarintType}, {kindString, protowire.BytesType}, {kindBytes, protowire.BytesType},
	}
	at := int(f.number) - metricFirstValue
	if at >= len(forms) {
		m.kind = kindOther
		return nil
	}
	if forms[at].typ != f.typ {
		return errPayload
	}
	m.kind, m.bits, m.text = forms[at].kind, f.value, string(f.bytes)
	return nil
}

// encode writes a payload; for commands, announcements and tests.
func (p *payload) encode() []byte {
	var to []byte
	to = protowire.AppendVarint(protowire.AppendTag(to, payloadTimestamp, protowire.VarintType), p.timestamp)
	for i := range p.metrics {
		to = protowire.AppendBytes(protowire.AppendTag(to, payloadMetrics, protowire.BytesType), p.metrics[i].encode())
	}
	if p.hasSeq {
		to = protowire.AppendVarint(protowire.AppendTag(to, payloadSeq, protowire.VarintType), p.seq)
	}
	return to
}

func (m *metric) encode() []byte {
	var to []byte
	number := func(n protowire.Number, v uint64) {
		to = protowire.AppendVarint(protowire.AppendTag(to, n, protowire.VarintType), v)
	}
	if m.name != "" {
		to = protowire.AppendString(protowire.AppendTag(to, metricName, protowire.BytesType), m.name)
	}
	if m.hasAlias {
		number(metricAlias, m.alias)
	}
	number(metricTimestamp, m.timestamp)
	number(metricDatatype, uint64(m.datatype))
	if m.null {
		number(metricNull, 1)
	}
	switch m.kind {
	case kindInt, kindLong, kindBool:
		at := map[valueKind]protowire.Number{kindInt: 10, kindLong: 11, kindBool: 14}[m.kind]
		number(at, m.bits)
	case kindFloat:
		to = protowire.AppendFixed32(protowire.AppendTag(to, 12, protowire.Fixed32Type), uint32(m.bits))
	case kindDouble:
		to = protowire.AppendFixed64(protowire.AppendTag(to, 13, protowire.Fixed64Type), m.bits)
	case kindString:
		to = protowire.AppendString(protowire.AppendTag(to, 15, protowire.BytesType), m.text)
	case kindBytes:
		to = protowire.AppendString(protowire.AppendTag(to, 16, protowire.BytesType), m.text)
	}
	return to
}

// number is a metric's value as a float64, where it is a number.
func (m *metric) number() float64 {
	switch m.kind {
	case kindFloat:
		return float64(math.Float32frombits(uint32(m.bits)))
	case kindDouble:
		return math.Float64frombits(m.bits)
	}
	return float64(m.bits)
}
