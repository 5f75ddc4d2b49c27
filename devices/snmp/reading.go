package snmp

import (
	"math"
	"net"
	"strconv"

	"github.com/gosnmp/gosnmp"
)

// form is what a device answered for one object.
type form uint8

const (
	nothing   form = iota // not asked, or not answered
	integer               // Integer32
	unsigned              // Gauge32, Unsigned32
	counter32             // wraps at 2^32
	counter64             // wraps at 2^64
	ticks                 // hundredths of a second
	float                 // Opaque float or double
	octets                // any bytes
	objectID              // an object identifier, in text
	address               // an IPv4 address, in text
	absent                // the device has no such object
	ended                 // a walk has reached the end of all that the device has
	broken                // the answer makes no sense
)

// reading is an answer for one object, without interpretation.
type reading struct {
	form   form
	number uint64 // of integers the two's complement, of floats their bits
	text   string // octets, object, address
}

func (r reading) there() bool { return r.form > nothing && r.form < absent }

// numeric reports whether the reading is a whole number.
func (r reading) numeric() bool { return r.form >= integer && r.form <= ticks }

// read takes over what gosnmp has decoded. Octets are copied: gosnmp's lie in the datagram.
func read(v *gosnmp.SnmpPDU) reading {
	switch v.Type {
	case gosnmp.Integer:
		if n, ok := v.Value.(int); ok {
			return reading{form: integer, number: uint64(int64(n))}
		}
	case gosnmp.Gauge32, gosnmp.Uinteger32:
		return whole(unsigned, v.Value)
	case gosnmp.Counter32:
		return whole(counter32, v.Value)
	case gosnmp.TimeTicks:
		return whole(ticks, v.Value)
	case gosnmp.Counter64:
		return whole(counter64, v.Value)
	case gosnmp.OctetString, gosnmp.BitString:
		if b, ok := v.Value.([]byte); ok {
			return reading{form: octets, text: string(b)}
		}
	case gosnmp.ObjectIdentifier:
		if text, ok := v.Value.(string); ok {
			return reading{form: objectID, text: oid(text).String()}
		}
	case gosnmp.IPAddress:
		if text, ok := v.Value.(string); ok && net.ParseIP(text) != nil {
			return reading{form: address, text: text}
		}
	case gosnmp.OpaqueFloat:
		if f, ok := v.Value.(float32); ok {
			return reading{form: float, number: math.Float64bits(float64(f))}
		}
	case gosnmp.OpaqueDouble:
		if f, ok := v.Value.(float64); ok {
			return reading{form: float, number: math.Float64bits(f)}
		}
	case gosnmp.Opaque:
		if b, ok := v.Value.([]byte); ok {
			return reading{form: octets, text: string(b)}
		}
	case gosnmp.NoSuchObject, gosnmp.NoSuchInstance, gosnmp.Null:
		return reading{form: absent}
	case gosnmp.EndOfMibView:
		return reading{form: ended}
	}
	return reading{form: broken}
}

func whole(s form, value any) reading {
	switch n := value.(type) {
	case uint:
		return reading{form: s, number: uint64(n)}
	case uint32:
		return reading{form: s, number: uint64(n)}
	case uint64:
		return reading{form: s, number: n}
	case int:
		return reading{form: s, number: uint64(int64(n))}
	}
	return reading{form: broken}
}

// signed is the number of a whole number; one beyond the range of an int64 becomes the nearest in it, and says so.
func (r reading) signed() (n int64, exact bool) {
	if r.form == integer || r.number <= math.MaxInt64 {
		return int64(r.number), true
	}
	return math.MaxInt64, false
}

// typeName is what the standards call the form.
func (r reading) typeName() string {
	names := [...]string{"", "Integer32", "Gauge32", "Counter32", "Counter64", "TimeTicks", "Float", "OctetString", "ObjectIdentifier", "IpAddress", "noSuchObject", "endOfMibView", "unknown"}
	return names[r.form]
}

// plain is the reading in text, as a walk shows it: numbers in decimal, octets as text where they are text and in hexadecimal where not.
func (r reading) plain() string {
	switch r.form {
	case integer:
		return strconv.FormatInt(int64(r.number), 10)
	case unsigned, counter32, counter64, ticks:
		return strconv.FormatUint(r.number, 10)
	case float:
		return strconv.FormatFloat(math.Float64frombits(r.number), 'g', -1, 64)
	case octets:
		return showOctets(r.text)
	case objectID, address:
		return r.text
	}
	return ""
}
