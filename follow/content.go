package follow

import (
	"encoding/binary"
	"hash/fnv"

	"banyan/model"
	"banyan/tree"
)

// Content is a number that is the same for contexts that are told alike: label, schema as shown, settings, route, and what is passed on unread. Beside ID and version it decides
// whether one that is known must be told: equal versions say what the owner has, and not what was shown of it on the way.
func Content(label string, schema model.SchemaHash, settings []Setting, route tree.Route, extra string) uint64 {
	h := fnv.New64a()
	var b []byte
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	text(label)
	b = append(b, schema[:]...)
	for _, s := range settings {
		b = binary.AppendUvarint(b, uint64(s.Index)+1)
		b = append(b, byte(s.Value.Type()))
		text(string(s.Value.AppendJSON(nil)))
	}
	b = append(b, 0)
	for _, hop := range route {
		b = append(b, hop.Node[:]...)
		text(hop.Name)
	}
	if extra != "" { // where there is none, it is the number that version 1 makes
		text(extra)
	}
	_, _ = h.Write(b)
	return h.Sum64()
}
