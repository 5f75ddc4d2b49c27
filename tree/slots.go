package tree

import (
	"cmp"
	"slices"

	"banyan/model"
)

// Slot is the place of one variable's latest sample. Slots of one context are consecutive, in the order of its schema's variables.
// A slot is not given to another context before every sample that it held has left the ring.
type Slot uint32

const (
	pageBits  = 12
	pageSlots = 1 << pageBits
	pageMask  = pageSlots - 1
)

// flagNone in a quality code says that there is no value: a scalar's bits cannot.
const flagNone = 1 << 15

// page holds the samples of 4,096 slots by column, free of pointers but for boxed.
type page struct {
	bits     [pageSlots]uint64
	source   [pageSlots]model.Time
	owner    [pageSlots]model.Time
	received [pageSlots]model.Time
	version  [pageSlots]uint64 // position in the ring of the slot's latest sample + 1; 0 is never published
	quality  [pageSlots]uint16
	kind     [pageSlots]model.Type
	watched  [pageSlots / 64]uint64
	newest   uint64                  // the greatest version in the page: a lapped reader skips pages that are older than it
	boxed    *[pageSlots]model.Value // values that do not fit in 64 bits; nil until there is one
}

type freed struct {
	first Slot
	count uint32
	at    uint64 // ring head when it was freed
}

// slotTable allocates runs of slots. It is guarded by Tree.samples.
type slotTable struct {
	pages []*page
	next  Slot
	free  map[uint32][]freed // by length of the run, oldest first
	given int                // slots that were given back since they were gathered last
	wide  []freed            // what was free for long, neighbours put together, of any length
}

// gatherFrom is from how many free slots on they are gathered: contexts that come and go with ever other numbers of variables would each leave theirs.
const gatherFrom = 1 << 16

// reuse finds a run of slots that were given back and that nothing in the ring speaks of.
func (s *slotTable) reuse(count uint32, oldest uint64) (Slot, bool) {
	if runs := s.free[count]; len(runs) > 0 && runs[0].at <= oldest {
		s.free[count] = runs[1:]
		return runs[0].first, true
	}
	if s.given >= gatherFrom && s.given > int(s.next)/4 {
		s.gather(oldest)
	}
	for i := len(s.wide) - 1; i >= 0; i-- {
		if w := &s.wide[i]; w.count >= count {
			w.count -= count
			first := w.first + Slot(w.count)
			if w.count == 0 {
				s.wide = slices.Delete(s.wide, i, i+1)
			}
			return first, true
		}
	}
	return 0, false
}

// gather puts free runs together that lie side by side.
func (s *slotTable) gather(oldest uint64) {
	all := s.wide
	s.given = 0
	for count, runs := range s.free {
		n := 0
		for n < len(runs) && runs[n].at <= oldest {
			n++
		}
		all = append(all, runs[:n]...)
		if s.free[count] = slices.Clone(runs[n:]); len(runs) == n {
			delete(s.free, count)
		}
	}
	slices.SortFunc(all, func(a, b freed) int { return cmp.Compare(a.first, b.first) })
	s.wide = all[:0]
	for _, run := range all {
		if last := len(s.wide) - 1; last >= 0 && s.wide[last].first+Slot(s.wide[last].count) == run.first {
			s.wide[last].count += run.count
		} else {
			s.wide = append(s.wide, run)
		}
	}
}

func (s *slotTable) page(slot Slot) (*page, uint32) {
	return s.pages[slot>>pageBits], uint32(slot) & pageMask
}

// allocate gives a run of slots for the variables of a schema. oldest is the first position that the ring still holds.
func (s *slotTable) allocate(variables []model.Variable, oldest uint64) Slot {
	count := uint32(len(variables))
	if count == 0 {
		return 0
	}
	first, again := s.reuse(count, oldest)
	if !again {
		first = s.next
		s.next += Slot(count)
		for len(s.pages)<<pageBits < int(s.next) {
			s.pages = append(s.pages, &page{})
		}
	}
	for i, v := range variables {
		p, at := s.page(first + Slot(i))
		p.bits[at], p.source[at], p.owner[at], p.received[at], p.version[at] = 0, 0, 0, 0, 0
		p.quality[at] = model.QualityNotRead.Code() | flagNone
		p.kind[at] = v.Type
		if p.boxed != nil {
			p.boxed[at] = model.Value{}
		}
	}
	return first
}

// release takes a run back for use once the ring has moved past head.
func (s *slotTable) release(first Slot, count uint32, head uint64) {
	if count == 0 {
		return
	}
	if s.free == nil {
		s.free = make(map[uint32][]freed)
	}
	for slot := first; slot < first+Slot(count); slot++ {
		p, at := s.page(slot)
		p.bits[at], p.source[at], p.owner[at], p.received[at], p.version[at] = 0, 0, 0, 0, 0
		p.quality[at] = model.QualityNotRead.Code() | flagNone
		if p.boxed != nil {
			p.boxed[at] = model.Value{}
		}
	}
	s.free[count] = append(s.free[count], freed{first, count, head})
	s.given += int(count)
}

// sample reads a slot.
func (s *slotTable) sample(slot Slot) (model.Sample, model.Time) {
	p, at := s.page(slot)
	sample := model.Sample{
		Quality: model.QualityFromCode(p.quality[at] &^ flagNone),
		Source:  p.source[at],
		Owner:   p.owner[at],
	}
	switch {
	case p.quality[at]&flagNone != 0:
	case p.kind[at].IsScalar():
		sample.Value = model.Scalar(p.kind[at], p.bits[at])
	case p.boxed != nil:
		sample.Value = p.boxed[at]
	}
	return sample, p.received[at]
}

// version is the position in the ring of the slot's latest sample + 1, 0 where it was not published since the start.
func (s *slotTable) version(slot Slot) uint64 {
	p, at := s.page(slot)
	return p.version[at]
}
