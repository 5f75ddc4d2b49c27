package modbus

import (
	"cmp"
	"slices"
)

// span is registers, or bits, that one request reads.
type span struct {
	area   area
	first  int
	count  int
	places []place
}

// place is one value in a span.
type place struct {
	*point
	row    int // 0 for a point of the device, else the row of its table, from 1
	table  int
	column int // index among the points, or the columns
	first  int // in the area
}

// plan puts what is read into as few requests as may be: places that lie close are read together, up to what one request can carry. With alone
// each place is a request of its own, for devices that refuse a whole request for one register in it that they do not have.
func (l *layout) plan(alone bool) []span {
	var places []place
	for i, p := range l.points {
		places = append(places, place{point: p, column: i, first: p.first})
	}
	for t := range l.tables {
		table := &l.tables[t]
		for row := range table.count {
			for c, p := range table.columns {
				places = append(places, place{point: p, row: row + 1, table: t, column: c, first: p.first + row*table.stride})
			}
		}
	}
	slices.SortStableFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.area.function, b.area.function), cmp.Compare(a.first, b.first))
	})
	var spans []span
	for _, p := range places {
		if last := len(spans) - 1; !alone && last >= 0 && spans[last].takes(&p, l) {
			s := &spans[last]
			s.places = append(s.places, p)
			s.count = max(s.count, p.first+p.count-s.first)
			continue
		}
		spans = append(spans, span{area: p.area, first: p.first, count: p.count, places: []place{p}})
	}
	return spans
}

// takes reports whether a place that lies behind can be read along.
func (s *span) takes(p *place, l *layout) bool {
	most, gap := l.maxRegisters, l.gap
	if s.area.bits {
		most, gap = mostBits, 16*l.gap
	}
	end := max(s.first+s.count, p.first+p.count)
	return s.area.function == p.area.function && p.first <= s.first+s.count+gap && end-s.first <= most
}
