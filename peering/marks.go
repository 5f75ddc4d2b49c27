package peering

import (
	"sort"
	"sync"

	"banyan/follow"
	"banyan/model"
)

// Marks are the numbers by which one consumer is told positions in the ring of samples. The positions themselves count what it is not shown, too: by
// their steps it would know how much is published that is hidden from it. So each time that a position is told it gets the next number, at a distance
// that depends on nothing but on what was told before. Positions that lie ahead (the head of a heartbeat, the place before which something is stale)
// get one far away, which is reached when everything before them was told.
//
// A consumer that comes back says a number, and goes on from exactly the position that it stood for; where that is forgotten, it is told the latest of each
// variable. Marks outlive sessions, and belong to one consumer of one export.
type Marks struct {
	mu    sync.Mutex
	told  []mark             // in the order of both; several numbers may stand for one position
	stale map[staleAt]uint64 // numbers of the positions before which something is stale, as they were told last
}

type mark struct{ position, number uint64 }

// staleAt is a path that is stale before a position: two at one position have two numbers, as they would if something hidden lay between.
type staleAt struct {
	path     model.Path
	position uint64
}

const (
	marksKept  = 16_384
	markStep   = 1 << 12 // from one number that is told to the next: others may come between
	markAhead  = 1 << 32 // to a position that lies ahead: more than is told until it is reached
	mostMarked = 1 << 62 // no consumer was told as much
)

// NewMarks makes marks for a consumer that was told nothing yet.
func NewMarks() *Marks { return &Marks{told: []mark{{0, markAhead}}} }

// resume is the position that a number stands for. For one that is not known, all that are told from now on are above it.
func (m *Marks) resume(number uint64) (position uint64, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := sort.Search(len(m.told), func(i int) bool { return m.told[i].number >= number })
	if at < len(m.told) && m.told[at].number == number && m.told[at].position > 0 {
		return m.told[at].position, true
	}
	m.told, m.stale = []mark{{0, max(number, m.told[len(m.told)-1].number) + markAhead}}, nil
	return 0, false
}

// again says that samples are told once more from before: the places before which something is stale get numbers anew, among those of what is told.
func (m *Marks) again() {
	m.mu.Lock()
	m.stale = nil
	m.mu.Unlock()
}

// ahead is the number of the ring's head, which is told before what lies before it.
func (m *Marks) ahead(head uint64) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.append(head, markAhead)
}

func (m *Marks) append(position, step uint64) uint64 {
	last := m.told[len(m.told)-1]
	m.told = append(m.told, mark{max(position, last.position), last.number + step})
	if len(m.told) > 2*marksKept {
		m.told = append(m.told[:0], m.told[len(m.told)-marksKept:]...)
	}
	return last.number + step
}

// through is the number of a position up to which everything is told now. stop says that something is stale up to exactly there: its number is told.
func (m *Marks) through(position uint64, stop bool) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if stop {
		number := uint64(0)
		for s, told := range m.stale {
			if s.position == position {
				number = max(number, told)
			}
		}
		if number > 0 {
			return number, nil
		}
	}
	if m.told[len(m.told)-1].position <= position { // as good as always
		return m.append(position, markStep), nil
	}
	at := sort.Search(len(m.told), func(i int) bool { return m.told[i].position > position })
	switch at {
	case 0:
		return m.told[0].number, nil // it was passed so long ago that nobody goes on from there
	}
	return m.between(at, position)
}

// between gives a number to a position that lies between two that have one.
func (m *Marks) between(at int, position uint64) (uint64, error) {
	before, after := m.told[at-1].number, m.told[at].number
	step := max(1, min(markStep, (after-before)/markStep))
	if before+step >= after {
		return 0, model.Errorf(model.KindUnavailable, "more was told between two heartbeats than there are numbers for")
	}
	m.told = append(m.told, mark{})
	copy(m.told[at+1:], m.told[at:])
	m.told[at] = mark{position, before + step}
	return before + step, nil
}

// before are the numbers of the positions before which something is stale, the same each time that one is told. 0 stands for all. What is new and lies at
// or before at, which the follower has passed, gets one that is to be told right after, which is passed: whether it lies exactly at what was told last
// depends on what is hidden, and must not be seen. through is up to where samples were told, and reached the greatest number.
func (m *Marks) before(stale []follow.Stale, through, at, reached uint64) (numbers []uint64, passed uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	numbers = make([]uint64, len(stale))
	next := make(map[staleAt]uint64, len(stale))
	for i, s := range stale {
		position, key := s.Before, staleAt{s.Path, s.Before}
		number, known := m.stale[key]
		switch {
		case position == 0:
			continue
		case known:
		case position <= at:
			number = m.append(max(position, through), markAhead)
		default:
			if number, err = m.stand(position); err != nil {
				return nil, 0, err
			}
		}
		if position <= at && number > reached {
			passed = max(passed, number)
		}
		next[key], numbers[i] = number, number
	}
	m.stale = next
	return numbers, passed, nil
}

// stand gives a position that lies ahead a number above all that were told for it and those before it.
func (m *Marks) stand(position uint64) (uint64, error) {
	at := sort.Search(len(m.told), func(i int) bool { return m.told[i].position > position })
	switch at {
	case len(m.told):
		return m.append(position, markAhead), nil
	case 0:
		return m.told[0].number, nil
	}
	return m.between(at, position)
}
