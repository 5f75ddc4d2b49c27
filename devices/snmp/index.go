package snmp

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"banyan/model"
)

// The kinds of parts that the index of a row can have. The words stand in profiles, under the key index.
const (
	indexInteger = "integer" // one arc
	indexString  = "string"  // its length and then its octets
	indexImplied = "implied" // a string without its length, up to the end (IMPLIED)
	indexIP      = "ip"      // four arcs
	indexMAC     = "mac"     // six arcs
	indexInet    = "inet"    // InetAddressType, length, octets (RFC 4001)
	indexOID     = "oid"     // its length and then its arcs
	indexRest    = "rest"    // whatever is left, in numbers
)

var indexKinds = []string{indexInteger, indexString, indexImplied, indexIP, indexMAC, indexInet, indexOID, indexRest}

// indexPart declares one part of an index.
type indexPart struct {
	name string
	kind string
}

// indexValue is a part of a row's index: what it means, and the arcs that it is.
type indexValue struct {
	value reading // integer, octets or address
	arcs  string
}

// decodeIndex splits what stands behind a column's identifier into its parts.
func decodeIndex(parts []indexPart, suffix string) ([]indexValue, error) {
	rest := arcs(suffix)
	values := make([]indexValue, 0, len(parts))
	for _, part := range parts {
		value, used, ok := decodePart(part.kind, rest)
		if !ok {
			return nil, model.Errorf(model.KindCorrupt, "the index %.80s has no %s where %s is expected", suffix, part.kind, part.name)
		}
		values = append(values, indexValue{value: value, arcs: joinArcs(rest[:used])})
		rest = rest[used:]
	}
	if len(rest) > 0 {
		return nil, model.Errorf(model.KindCorrupt, "the index %.80s is longer than declared", suffix)
	}
	return values, nil
}

// decodePart reads one part and says how many arcs it takes.
func decodePart(kind string, rest []uint32) (value reading, used int, ok bool) {
	switch kind {
	case indexInteger:
		if len(rest) == 0 {
			return reading{}, 0, false
		}
		return reading{form: unsigned, number: uint64(rest[0])}, 1, true
	case indexString, indexOID, indexInet:
		return decodeCounted(kind, rest)
	case indexImplied:
		text, ok := octetsOf(rest)
		return reading{form: octets, text: text}, len(rest), ok
	case indexIP, indexMAC:
		size := 4
		if kind == indexMAC {
			size = 6
		}
		text, ok := octetsOf(rest[:min(size, len(rest))])
		if !ok || len(text) != size {
			return reading{}, 0, false
		}
		shown, _ := showIP(text)
		if kind == indexMAC {
			shown, _ = showMAC(text)
		}
		return reading{form: address, text: shown}, size, true
	case indexRest:
		return reading{form: objectID, text: joinArcs(rest)}, len(rest), true
	}
	return reading{}, 0, false
}

// decodeCounted reads a part that begins with its length.
func decodeCounted(kind string, rest []uint32) (value reading, used int, ok bool) {
	if kind == indexInet {
		if len(rest) == 0 {
			return reading{}, 0, false
		}
		rest, used = rest[1:], 1 // the length says as much as the type
	}
	if len(rest) == 0 || int64(rest[0]) > int64(len(rest)-1) {
		return reading{}, 0, false
	}
	size := int(rest[0])
	body := rest[1 : 1+size]
	used += 1 + size
	if kind == indexOID {
		return reading{form: objectID, text: joinArcs(body)}, used, true
	}
	text, ok := octetsOf(body)
	if kind == indexInet {
		shown, known := showIP(text)
		if !known {
			shown = showOctets(text)
		}
		return reading{form: address, text: shown}, used, ok
	}
	return reading{form: octets, text: text}, used, ok
}

func octetsOf(list []uint32) (string, bool) {
	raw := make([]byte, len(list))
	for i, arc := range list {
		if arc > 255 {
			return "", false
		}
		raw[i] = byte(arc)
	}
	return string(raw), true
}

func joinArcs(list []uint32) string {
	var out []byte
	for i, arc := range list {
		if i > 0 {
			out = append(out, '.')
		}
		out = strconv.AppendUint(out, uint64(arc), 10)
	}
	return string(out)
}

// encodePart is the way back, for finding a row by what another row says: the arcs of a reading as a part of an index.
func encodePart(kind string, r reading) (string, bool) {
	switch kind {
	case indexInteger:
		n, exact := r.signed()
		return strconv.FormatInt(n, 10), r.numeric() && exact && n >= 0
	case indexString:
		return strings.TrimSuffix(strconv.Itoa(len(r.text))+"."+dotted(r.text), "."), r.form == octets
	case indexImplied:
		return dotted(r.text), r.form == octets
	case indexIP:
		addr, err := netip.ParseAddr(r.text)
		if r.form == octets && len(r.text) == 4 {
			return dotted(r.text), true
		}
		return r.text, r.form == address && err == nil && addr.Is4()
	case indexRest:
		return r.text, r.form == objectID && !slices.Contains(strings.Split(r.text, "."), "")
	}
	return "", false
}

func dotted(raw string) string {
	list := make([]uint32, len(raw))
	for i := range len(raw) {
		list[i] = uint32(raw[i])
	}
	return joinArcs(list)
}
