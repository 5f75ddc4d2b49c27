package modbus

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"banyan/model"
)

// format says how registers become a value.
type format struct {
	name      string
	registers int // 0: as many as the point's length says
	typ       model.Type
}

var formats = map[string]format{
	"uint16":  {"uint16", 1, model.TypeInt64},
	"int16":   {"int16", 1, model.TypeInt64},
	"uint32":  {"uint32", 2, model.TypeInt64},
	"int32":   {"int32", 2, model.TypeInt64},
	"uint64":  {"uint64", 4, model.TypeInt64},
	"int64":   {"int64", 4, model.TypeInt64},
	"float32": {"float32", 2, model.TypeFloat64},
	"float64": {"float64", 4, model.TypeFloat64},
	"bit":     {"bit", 1, model.TypeBool},
	"string":  {"string", 0, model.TypeString},
}

// Orders of the bytes of a number that fills several registers, named by where the bytes A (most significant) to D go.
const (
	orderBig         = "abcd" // most significant register first, as most devices do
	orderWordSwapped = "cdab" // least significant register first
	orderByteSwapped = "badc" // bytes exchanged in each register
	orderLittle      = "dcba" // both
)

var orders = []string{orderBig, orderWordSwapped, orderByteSwapped, orderLittle}

// arrange brings the bytes of registers from one order to the big one, or back, which is the same.
func arrange(raw []byte, order string) []byte {
	b := slices.Clone(raw)
	if order == orderByteSwapped || order == orderLittle {
		for i := 0; i+1 < len(b); i += 2 {
			b[i], b[i+1] = b[i+1], b[i]
		}
	}
	if order == orderWordSwapped || order == orderLittle {
		for i, j := 0, len(b)-2; i < j; i, j = i+2, j-2 {
			b[i], b[i+1], b[j], b[j+1] = b[j], b[j+1], b[i], b[i+1]
		}
	}
	return b
}

// number decodes registers in the big order. whole says that the number is a whole one and fits an int64.
func (f format) number(b []byte) (whole bool, i int64, fraction float64) {
	switch f.name {
	case "uint16":
		return true, int64(binary.BigEndian.Uint16(b)), 0
	case "int16":
		return true, int64(int16(binary.BigEndian.Uint16(b))), 0
	case "uint32":
		return true, int64(binary.BigEndian.Uint32(b)), 0
	case "int32":
		return true, int64(int32(binary.BigEndian.Uint32(b))), 0
	case "uint64":
		u := binary.BigEndian.Uint64(b)
		return u <= math.MaxInt64, int64(u), float64(u)
	case "int64":
		return true, int64(binary.BigEndian.Uint64(b)), 0
	case "float32":
		return false, 0, float64(math.Float32frombits(binary.BigEndian.Uint32(b)))
	}
	return false, 0, math.Float64frombits(binary.BigEndian.Uint64(b))
}

// encode is the way back: the registers of a number, in the big order. What does not fit is refused.
func (f format) encode(v float64) ([]byte, error) {
	b := make([]byte, 2*f.registers)
	switch f.name {
	case "float32":
		if math.Abs(v) > math.MaxFloat32 {
			return nil, model.Errorf(model.KindInvalid, "%v is too large for a float32", v)
		}
		binary.BigEndian.PutUint32(b, math.Float32bits(float32(v)))
		return b, nil
	case "float64":
		binary.BigEndian.PutUint64(b, math.Float64bits(v))
		return b, nil
	}
	low, high := f.limits()
	whole := math.Round(v)
	if !(whole >= low && whole <= high) {
		return nil, model.Errorf(model.KindInvalid, "%v does not fit an %s", v, f.name)
	}
	bits := uint64(int64(whole))
	if whole >= 1<<63 {
		bits = uint64(whole)
	}
	for i := range b {
		b[len(b)-1-i] = byte(bits >> (8 * i))
	}
	return b, nil
}

// limits are the least and the greatest number of a whole format. Beyond 2^53 they are the nearest that a float64 can be and that still fit.
func (f format) limits() (low, high float64) {
	switch f.name {
	case "uint16":
		return 0, math.MaxUint16
	case "int16":
		return math.MinInt16, math.MaxInt16
	case "uint32":
		return 0, math.MaxUint32
	case "int32":
		return math.MinInt32, math.MaxInt32
	case "uint64":
		return 0, math.Nextafter(1<<64, 0)
	}
	return -1 << 63, math.Nextafter(1<<63, 0)
}

// text is the string in registers: up to the first zero, without spaces at its end; what is not ASCII shows as ?.
func text(b []byte) string {
	if end := slices.Index(b, 0); end >= 0 {
		b = b[:end]
	}
	return strings.TrimRight(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, latin(b)), " ")
}

func latin(b []byte) string {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes)
}
