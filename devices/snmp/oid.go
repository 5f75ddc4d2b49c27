package snmp

import (
	"strconv"
	"strings"

	"banyan/model"
)

// oid is an object identifier as gosnmp has it: arcs in decimal, each with a dot before it. ".1.3.6.1.2.1.1.1.0".
type oid string

// Limits of RFC 2578, 7.1.3 and 3.5.
const (
	maxArcs = 128
	maxArc  = 1<<32 - 1
)

// parseOID reads what people write, with or without the first dot.
func parseOID(text string) (oid, error) {
	arcs := strings.Split(strings.TrimPrefix(text, "."), ".")
	if len(arcs) < 2 || len(arcs) > maxArcs {
		return "", notOID(text)
	}
	for i, arc := range arcs {
		n, err := strconv.ParseUint(arc, 10, 32)
		if err != nil || len(arc) > 1 && arc[0] == '0' || i == 0 && n > 2 || i == 1 && arcs[0] != "2" && n > 39 {
			return "", notOID(text)
		}
	}
	return oid("." + strings.Join(arcs, ".")), nil
}

func notOID(text string) error {
	return model.Errorf(model.KindInvalid, "%.80q is not an object identifier, like 1.3.6.1.2.1.1.1.0", text)
}

// String is the identifier as people write it, without the first dot.
func (o oid) String() string { return strings.TrimPrefix(string(o), ".") }

// below is what stands behind root, without the dot, for an identifier that lies below it.
func (o oid) below(root oid) (index string, ok bool) {
	if len(o) <= len(root)+1 || o[len(root)] != '.' || o[:len(root)] != root {
		return "", false
	}
	return string(o[len(root)+1:]), true
}

// compare puts identifiers in the order of a walk.
func (o oid) compare(other oid) int {
	a, b := string(o), string(other)
	for a != "" && b != "" {
		var x, y uint64
		x, a = nextArc(a)
		y, b = nextArc(b)
		if x != y {
			if x < y {
				return -1
			}
			return 1
		}
	}
	switch {
	case a == b:
		return 0
	case a == "":
		return -1
	}
	return 1
}

// nextArc takes the first arc off, with the dot before it.
func nextArc(text string) (arc uint64, rest string) {
	i := 0
	if text[0] == '.' {
		i = 1
	}
	for ; i < len(text) && text[i] != '.'; i++ {
		arc = arc*10 + uint64(text[i]-'0')
	}
	return arc, text[i:]
}

// arcs are the numbers of an identifier, or of a piece of one.
func arcs(text string) []uint32 {
	if text == "" {
		return nil
	}
	list := make([]uint32, 0, strings.Count(text, ".")+1)
	for text != "" {
		var arc uint64
		arc, text = nextArc(text)
		list = append(list, uint32(min(arc, maxArc)))
	}
	return list
}
