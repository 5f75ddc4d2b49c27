package follow

import (
	"math"
	"slices"

	"banyan/model"
	"banyan/tree"
)

// held is what a follower knows of an interest that is not live: which pace each context has, what was told last of each variable, and what waits.
// There is none where everything is live, so that live followers do as little as ever.
//
// The first sample after a definition and a change of quality pass at any pace, so that nothing looks better than it is. Of what is
// held back nothing is kept but that there is something: when its time comes the tree has the newest.
type held struct {
	rules   []InterestRule
	paces   []*paced // the first one is live, for what no rule names
	members []memberPace
	pages   []*heldPage
	due     []tree.Slot // to be told now
	count   uint64      // samples that were held back
	unsure  bool        // until now all was told live, and nobody noted what: of each variable one more passes
}

// paced is one pace with what waits at it. All variables of a pace are told together: what comes after a quiet time at once, the rest when the
// interval has passed since.
type paced struct {
	Pace
	told    model.Time
	waiting []tree.Slot
}

// memberPace is decided once for each definition of a context.
type memberPace struct {
	definedAt uint64
	pace      *paced
}

// heldPage is what was told last of the variables at some slots.
type heldPage struct {
	bits    [pageSize]uint64
	quality [pageSize]uint16
	state   [pageSize]uint8
}

const (
	isKnown   = 1 << iota // bits and quality were told
	isPending             // something newer was held back
	isListed              // it is among those that wait
	isOverdue             // the sample with the version in bits is to pass when it comes, or a later one
)

func newHeld(rules []InterestRule) *held {
	h := &held{rules: rules, paces: []*paced{{}}}
	for _, r := range rules {
		if _, there := h.find(r.Pace); !there {
			h.paces = append(h.paces, &paced{Pace: r.Pace})
		}
	}
	return h
}

// find is the index of a pace.
func (h *held) find(pace Pace) (int, bool) {
	i := slices.IndexFunc(h.paces, func(p *paced) bool { return p.Pace == pace })
	return i, i >= 0
}

// live reports whether nothing is to be held back.
func (h *held) live() bool {
	for _, p := range h.paces {
		if !p.Live() {
			return false
		}
	}
	return true
}

// paceOf is the pace of a member. What was told of another that had its slots is forgotten. View.mu is held.
func (h *held) paceOf(index tree.Index, m *member) *paced {
	if n := int(index) + 1; n > len(h.members) {
		h.members = append(h.members, make([]memberPace, n-len(h.members)+n/2)...)
	}
	d := &h.members[index]
	if d.definedAt != m.definedAt {
		for slot := m.slots.First; slot < m.slots.First+tree.Slot(m.slots.Count); slot++ {
			p, s := h.at(slot)
			p.state[s] &= isListed
		}
		*d = memberPace{definedAt: m.definedAt}
	}
	if d.pace == nil {
		i, _ := h.find(h.decide(m.path))
		d.pace = h.paces[i]
	}
	return d.pace
}

func (h *held) decide(path model.Path) Pace {
	for i := len(h.rules) - 1; i >= 0; i-- {
		if h.rules[i].Pattern.Matches(path) {
			return h.rules[i].Pace
		}
	}
	return Pace{}
}

// at is the page of a slot, and where in it.
func (h *held) at(slot tree.Slot) (*heldPage, int) {
	page := int(slot >> pageBits)
	for len(h.pages) <= page {
		h.pages = append(h.pages, nil)
	}
	if h.pages[page] == nil {
		h.pages[page] = &heldPage{}
	}
	return h.pages[page], int(slot & pageMask)
}

// pass notes that a sample of a slot is told.
func (h *held) pass(slot tree.Slot, bits uint64, quality uint16) {
	p, s := h.at(slot)
	p.bits[s], p.quality[s] = bits, quality
	p.state[s] = p.state[s]&isListed | isKnown
}

// admits decides on a sample that has come, and notes it where it is not told now.
func (h *held) admits(pace *paced, slot tree.Slot, kind model.Type, bits uint64, quality uint16, version uint64) bool {
	p, s := h.at(slot)
	known, overdue := p.state[s]&isKnown != 0, p.state[s]&isOverdue != 0
	switch {
	case pace.Live(), overdue && version >= p.bits[s], known && quality != p.quality[s], !known && (quality != 0 || h.unsure):
		h.pass(slot, bits, quality)
		return true
	case overdue, pace.Interval < 0, known && pace.within(kind, bits, p.bits[s]):
		p.state[s] |= isPending
	case pace.Interval == 0:
		h.pass(slot, bits, quality)
		return true
	default:
		h.wait(pace, slot)
	}
	h.count++
	return false
}

// wait lists a slot among those of its pace.
func (h *held) wait(pace *paced, slot tree.Slot) {
	p, s := h.at(slot)
	if p.state[s] |= isPending; p.state[s]&isListed == 0 {
		p.state[s] |= isListed
		pace.waiting = append(pace.waiting, slot)
	}
}

// within reports whether a number differs by less than the deadband from the one that was told. What is no number does not.
func (p Pace) within(kind model.Type, bits, told uint64) bool {
	if p.Deadband <= 0 {
		return false
	}
	switch kind {
	case model.TypeInt64:
		return math.Abs(float64(int64(bits))-float64(int64(told))) < p.Deadband
	case model.TypeFloat64:
		return bits == told || math.Abs(math.Float64frombits(bits)-math.Float64frombits(told)) < p.Deadband
	default:
		return false
	}
}

// mistaken says that samples which passed were not told after all: those that are told in their place pass, too.
func (h *held) mistaken(run *tree.Run) {
	for _, slot := range run.Slots {
		h.expect(slot, 0)
	}
}

// passFresh notes the latest samples that are told with a definition. Those that the ring still has to bring pass when they come.
func (h *held) passFresh(run *tree.Run, at uint64) {
	for i, slot := range run.Slots {
		if run.Versions[i] <= at {
			h.pass(slot, run.Bits[i], run.Quality[i])
			continue
		}
		h.expect(slot, run.Versions[i])
	}
}

// expect lets the sample of a version pass when the ring brings it.
func (h *held) expect(slot tree.Slot, version uint64) {
	p, s := h.at(slot)
	p.bits[s] = version
	p.state[s] = p.state[s]&isListed | isOverdue
}
