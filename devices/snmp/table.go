package snmp

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"banyan/devices"
)

// askAgain is after how many polls a column is asked for again that the device did not have.
const askAgain = 30

// maxLabel bounds the label of a row, in bytes.
const maxLabel = 200

// tableState is a table of one device as it was read last.
type tableState struct {
	*tablePlan
	polls    int64
	rows     map[string]*row // by index
	order    []*row          // by index, as in a walk
	absent   []int64         // of columns: the device does not have it; the poll in which it is asked again
	unused   []bool          // of columns: it would only be used where another one is missing, and none is
	children *devices.Rows
	shown    bool // it has rows that are shown
	moved    bool // some of them are others, or elsewhere, than before

	scratch *scratch // while it is read
	clock   *clock
	now     *moment
	maxRows int
	cut     bool // there are more rows than allowed
	only    bool // rows that are not here yet do not count
	origin  []int
}

// row is what is kept of a row from one poll to the next.
type row struct {
	index    string
	seen     int64
	line     int // in the scratch
	at       *moment
	label    string
	hidden   bool
	counters []counter // of rates, by point
	began    uint64    // ifCounterDiscontinuityTime
}

// scratch is the room for the answers of one table. It is handed from poll to poll and device to device, since it is large and needed for a moment only.
type scratch struct {
	cells []reading
	when  []*moment
	lines int
	batch []devices.Update
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func newTable(p *tablePlan, clock *clock, maxRows int) *tableState {
	return &tableState{tablePlan: p, rows: map[string]*row{}, absent: make([]int64, len(p.columns)), unused: make([]bool, len(p.columns)), clock: clock, maxRows: maxRows}
}

// read walks the table. What the device fails at is in problems; an error means that it does not answer.
func (t *tableState) read(ctx context.Context, s *session) (problems []string, err error) {
	t.polls++
	t.cut, t.moved = false, false
	t.scratch.lines = 0
	var first, rest []int
	for i := range t.columns {
		switch {
		case t.absent[i] > t.polls || t.unused[i]:
		case slices.Contains(t.rowsFrom, i):
			first = append(first, i)
		default:
			rest = append(rest, i)
		}
	}
	failed := false
	walk := func(columns []int) error {
		t.origin = columns
		errs, err := s.walkColumns(ctx, pick(t.columns, columns), t.clockObject(), t)
		for i, e := range errs {
			if e != nil {
				failed = true
				problems = append(problems, t.declared.Name+": "+e.Error())
				t.mark(columns[i])
			}
		}
		return err
	}
	t.only = false
	if len(first) > 0 {
		if err := walk(first); err != nil {
			return problems, err
		}
		t.only = true
	}
	if !t.only || len(t.rows) > 0 {
		if err := walk(rest); err != nil {
			return problems, err
		}
	}
	if t.cut {
		problems = append(problems, fmt.Sprintf("%s: there are more than %d rows; see the setting max_rows", t.declared.Name, t.maxRows))
	}
	t.settle(failed)
	return problems, nil
}

func (t *tableState) clockObject() oid {
	if t.rates {
		return oidUptime
	}
	return ""
}

func pick(list []oid, places []int) []oid {
	picked := make([]oid, len(places))
	for i, at := range places {
		picked[i] = list[at]
	}
	return picked
}

// stamp is the time of the answers that follow.
func (t *tableState) stamp(clock reading, wall time.Time) { t.now = t.clock.at(clock, wall) }

// take puts an answer into its cell.
func (t *tableState) take(column int, index string, r reading) bool {
	w := t.rows[index]
	if w == nil || w.seen != t.polls {
		if t.only {
			return true
		}
		if t.scratch.lines >= t.maxRows {
			t.cut = true
			return false
		}
		if w == nil {
			w = &row{index: index}
			t.rows[index] = w
		}
		w.seen, w.line = t.polls, t.scratch.line(len(t.columns))
	}
	at := w.line*len(t.columns) + t.origin[column]
	t.scratch.cells[at], t.scratch.when[at] = r, t.now
	w.at = t.now
	return true
}

// line makes room for a row.
func (s *scratch) line(width int) int {
	from := s.lines * width
	if need := from + width; need > len(s.cells) {
		s.cells = slices.Grow(s.cells, width)[:need]
		s.when = slices.Grow(s.when, width)[:need]
	}
	clear(s.cells[from : from+width])
	clear(s.when[from : from+width])
	s.lines++
	return s.lines - 1
}

func (t *tableState) cells(w *row) []reading {
	n := len(t.columns)
	return t.scratch.cells[w.line*n : (w.line+1)*n]
}

// mark notes that a column could not be read to its end: what is missing in it failed.
func (t *tableState) mark(column int) {
	for _, w := range t.rows {
		if w.seen == t.polls {
			if cell := &t.cells(w)[column]; cell.form == nothing {
				cell.form = broken
			}
		}
	}
}

// settle forgets rows that are gone, orders the others, and lets columns sleep that are of no use. After a failure nothing is forgotten.
func (t *tableState) settle(failed bool) {
	known := len(t.order)
	if !failed {
		for index, w := range t.rows {
			if w.seen != t.polls {
				delete(t.rows, index)
			}
		}
	}
	stays := func(w *row) bool { return t.rows[w.index] == w }
	same := known == len(t.rows)
	for _, w := range t.order {
		same = same && stays(w)
	}
	if !same {
		t.moved = true
		t.order = t.order[:0]
		for _, w := range t.rows {
			t.order = append(t.order, w)
		}
		slices.SortFunc(t.order, func(a, b *row) int { return oid(a.index).compare(oid(b.index)) })
	}
	if !failed && !t.cut {
		t.rest()
	}
}

// rest finds out which columns to leave out: those that the device does not have, for a while, and those that would only be used where another
// one is missing and none is.
func (t *tableState) rest() {
	there, needed := make([]bool, len(t.columns)), make([]bool, len(t.columns))
	for _, w := range t.order {
		cells := t.cells(w)
		for i := range cells {
			there[i] = there[i] || cells[i].form != nothing
		}
		for _, p := range t.points {
			for _, at := range p.from {
				needed[at] = true
				if c := cells[at]; c.there() && !(c.form == octets && c.text == "") {
					break
				}
			}
		}
	}
	for i := range t.columns {
		if asked := t.absent[i] <= t.polls && !t.unused[i]; asked && !there[i] {
			t.absent[i] = t.polls + askAgain
		}
		t.unused[i] = len(t.order) > 0 && !needed[i]
	}
}

// wakeAll has everything asked for again: the device was restarted, and may have become another one.
func (t *tableState) wakeAll() {
	clear(t.absent)
	clear(t.unused)
}

// publish brings rows and values to the children.
func (t *tableState) publish(d *device, to devices.Publisher) error {
	t.name(d)
	children, err := t.place(to)
	if err != nil {
		return err
	}
	i := 0
	for _, w := range t.order {
		switch {
		case w.hidden:
			continue
		case w.seen == t.polls:
			children[i].Publish(t.batch(d, w))
		default:
			children[i].Publish(t.failedBatch())
		}
		i++
	}
	return nil
}

// place has a child for each row that is shown, and notes where they are, for writing.
func (t *tableState) place(to devices.Publisher) ([]devices.Publisher, error) {
	list := make([]devices.Row, 0, len(t.order))
	for _, w := range t.order {
		if !w.hidden {
			list = append(list, devices.Row{Name: w.label, Schema: t.schema})
		}
	}
	if len(list) == 0 {
		t.children = nil // the folder goes too
		t.moved, t.shown = t.shown, false
		return nil, nil
	}
	if t.children == nil {
		t.children = &devices.Rows{Segment: t.declared.Name, Label: t.declared.Title}
		t.shown, t.moved = true, true
	}
	return t.children.Place(to, list)
}

// name finds out what each row is called. The first of several with one name keeps it, the others get their index behind.
func (t *tableState) name(d *device) {
	taken := make(map[string]bool, len(t.order))
	for _, w := range t.order {
		label := w.label
		if w.seen == t.polls {
			label = t.labelOf(d, w)
		}
		hidden := t.usage && !d.filter.shows(label)
		if taken[label] {
			label += " (" + w.index + ")"
		}
		taken[label] = true
		if label != w.label || hidden != w.hidden {
			w.label, w.hidden, t.moved = label, hidden, true
		}
	}
}

func (t *tableState) labelOf(d *device, w *row) string {
	label := ""
	if i := slices.IndexFunc(t.points, func(p point) bool { return p.declared.Name == t.declared.Label }); i >= 0 {
		v, _ := t.value(d, w, &t.points[i])
		label = strings.TrimSpace(latin(v.String()))
		if v.IsNone() {
			label = ""
		}
	}
	if label == "" && t.usage {
		label = "if" + w.index
	}
	if label == "" {
		label = t.indexLabel(w.index)
	}
	if len(label) > maxLabel {
		label = strings.ToValidUTF8(label[:maxLabel], "")
	}
	return label
}

func (t *tableState) indexLabel(index string) string {
	values, err := decodeIndex(t.index, index)
	if err != nil || len(values) == 0 {
		return index
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.value.plain()
	}
	return cmp.Or(strings.Join(texts, "/"), index)
}
