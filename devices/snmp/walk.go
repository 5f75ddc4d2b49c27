package snmp

import (
	"context"
	"time"

	"github.com/gosnmp/gosnmp"

	"banyan/model"
)

// taker gets what a walk finds.
type taker interface {
	// stamp is told each answer's time, by the device's clock where that was asked for as well.
	stamp(clock reading, wall time.Time)

	// take gets each object: which column, what stands behind the column's identifier, and the answer. False means that nobody wants more
	// of this column.
	take(column int, index string, r reading) bool
}

// cursor is how far a column was walked.
type cursor struct {
	column int // its place in the list that is walked
	root   oid
	last   oid // found last; the root before that
	err    error
}

// walkColumns walks several columns side by side, as many of them in a request as fit, and stops each where it ends. A column that the device walks in
// circles, or fails at, ends with an error of its own in errs, which may be nil; the error besides means that the device did not answer. With a clock, that
// object is read in every request as well, so that counters come with the device's own time.
func (s *session) walkColumns(ctx context.Context, columns []oid, clock oid, take taker) (errs []error, err error) {
	var open []cursor
	for i, root := range columns {
		open = append(open, cursor{column: i, root: root, last: root})
	}
	for len(open) > 0 {
		width, err := s.step(ctx, open, clock, take)
		if err != nil {
			return errs, err
		}
		kept := open[:0]
		for i, c := range open {
			switch {
			case c.err != nil:
				if errs == nil {
					errs = make([]error, len(columns))
				}
				errs[c.column] = c.err
			case i >= width || c.last != "":
				kept = append(kept, c)
			}
		}
		open = kept
	}
	return errs, nil
}

// step does one request for the first open columns, as many as fit, and says how many that were. The last of a column that has ended is empty.
func (s *session) step(ctx context.Context, open []cursor, clock oid, take taker) (width int, err error) {
	if err := s.take(ctx); err != nil {
		return 0, err
	}
	defer s.release()
	for {
		fixed := 0
		var list []oid
		if clock != "" && s.oids > 1 {
			fixed, list = 1, append(list, clock)
		}
		width = min(len(open), max(1, s.oids-fixed))
		for _, c := range open[:width] {
			list = append(list, c.last)
		}
		answer, err := s.ask(ctx, list, fixed, width)
		if err != nil {
			if model.KindOf(err) == model.KindTimeout && ctx.Err() == nil || model.KindOf(err) == model.KindCorrupt {
				s.lower() // for the next time: there are devices that are silent when they are asked for too much
			}
			return width, err
		}
		switch again, err := s.complains(answer, open[:width], fixed); {
		case err != nil:
			return width, err
		case again:
			continue
		case answer.Error != gosnmp.NoError:
			return width, nil
		case len(answer.Variables) <= fixed && s.lower():
			continue
		case len(answer.Variables) <= fixed:
			return width, model.Errorf(model.KindCorrupt, "the device answers with nothing to a request for what comes next")
		}
		now := reading{}
		if fixed > 0 {
			now = clockOf(&answer.Variables[0], clock)
		}
		take.stamp(now, s.now())
		advance(open[:width], answer.Variables[fixed:], take)
		return width, nil
	}
}

// ask sends the request that fits the device.
func (s *session) ask(ctx context.Context, list []oid, fixed, width int) (*gosnmp.SnmpPacket, error) {
	if s.noBulk {
		return s.request(ctx, gosnmp.GetNextRequest, list, 0, 0)
	}
	rows := min(s.repetitions, max(1, s.oids*bulkValuesPerObject/width))
	return s.request(ctx, gosnmp.GetBulkRequest, list, fixed, rows)
}

// complains handles an error status: it asks for less, or ends the column that the device complains about.
func (s *session) complains(answer *gosnmp.SnmpPacket, open []cursor, fixed int) (again bool, err error) {
	switch answer.Error {
	case gosnmp.NoError:
		return false, nil
	case gosnmp.TooBig:
		if !s.lower() {
			return false, model.Errorf(model.KindCorrupt, "the device finds an answer with a single object too big")
		}
		return true, nil
	}
	at := int(answer.ErrorIndex) - 1 - fixed
	if at < 0 || at >= len(open) {
		if len(open) > 1 || !s.noBulk {
			if s.lower() {
				return true, nil
			}
		}
		at = 0
	}
	open[at].last = ""
	if answer.Error != gosnmp.NoSuchName { // in version 1 that is the end of all that the device has
		open[at].err = model.Errorf(model.KindCorrupt, "the device fails at %s: %s", open[at].root, status(answer.Error))
	}
	return false, nil
}

// advance takes over an answer: the columns in turns, as many as the device sent. What did not fit is asked for again.
func advance(open []cursor, answers []gosnmp.SnmpPDU, take taker) {
	for i := range answers {
		if c := &open[i%len(open)]; c.last != "" && c.err == nil {
			c.take(&answers[i], take)
		}
	}
}

// clockOf is the device's uptime. What comes next is answered, so it is asked for without its .0.
func clockOf(v *gosnmp.SnmpPDU, asked oid) reading {
	if _, ok := oid(v.Name).below(asked); ok {
		return read(v)
	}
	return reading{}
}

// take moves the cursor on by one answer.
func (c *cursor) take(v *gosnmp.SnmpPDU, take taker) {
	index, inside := oid(v.Name).below(c.root)
	r := reading{}
	if inside {
		r = read(v)
	}
	switch {
	case !inside || r.form == ended:
		c.last = ""
	case c.last != c.root && oid(v.Name).compare(c.last) <= 0:
		c.err = model.Errorf(model.KindCorrupt, "the device walks in circles: %s comes after %s", oid(v.Name), c.last)
	default:
		c.last = oid(v.Name)
		if !take.take(c.column, index, r) {
			c.last = ""
		}
	}
}
