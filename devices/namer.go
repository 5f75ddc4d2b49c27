package devices

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"banyan/model"
)

// Namer makes path segments of the names that things have in the world: a disk "/var", an interface "Gi0/1". What is not allowed in a
// segment becomes "-", and the root disk "/" becomes "root"; when two names would come out alike, the later one gets a
// piece of its hash behind. A name keeps its segment as long as the Namer lives. The zero Namer is ready; it is for
// one goroutine at a time, and its names are those of the children of one context.
type Namer struct {
	segments map[string]string // by name
	taken    map[string]bool
}

// Segment is the segment for a name.
func (n *Namer) Segment(name string) string {
	if s, known := n.segments[name]; known {
		return s
	}
	if n.segments == nil {
		n.segments, n.taken = map[string]string{}, map[string]bool{}
	}
	segment := sanitise(name)
	for round := 1; n.taken[segment]; round++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", round, name))
		segment = sanitise(name) + "-" + hex.EncodeToString(sum[:4])
	}
	n.segments[name], n.taken[segment] = segment, true
	return segment
}

// Forget gives the segments of all names but the kept ones free again.
func (n *Namer) Forget(keep func(name string) bool) {
	for name, segment := range n.segments {
		if !keep(name) {
			delete(n.segments, name)
			delete(n.taken, segment)
		}
	}
}

// sanitise makes a segment of at most 180 bytes, so that a hash fits behind it.
func sanitise(name string) string {
	if name == "/" {
		return "root"
	}
	safe := strings.Map(func(r rune) rune {
		if r < 0x80 && model.CheckSegment("x"+string(r)) == nil {
			return r
		}
		return '-'
	}, name)
	safe = safe[:min(len(safe), 180)]
	if safe != name {
		safe = strings.Trim(safe, "-")
	}
	if model.CheckSegment(safe) != nil {
		return "unnamed"
	}
	return safe
}
