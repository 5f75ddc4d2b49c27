package snmp

import (
	"banyan/devices"
	"banyan/model"
)

// batch is what a row publishes: each of its variables, in order. It is valid until the next.
func (t *tableState) batch(d *device, w *row) []devices.Update {
	batch := t.scratch.batch[:0]
	cells := t.cells(w)
	source := model.TimeOf(w.at.wall)
	speed := int64(0)
	if t.usage {
		ifSpeed := cells[t.points[usage.ifSpeed].from[0]]
		speed = speedOf(ifSpeed, cells[t.points[usage.highSpeed].from[0]])
		t.notice(w, cells)
	}
	rates := 0
	for i := range t.points {
		p := &t.points[i]
		u := devices.Update{Variable: i, Source: source}
		if p.declared.Rate {
			most := 0.0
			if t.usage && (i == usage.inRate || i == usage.outRate) {
				most = float64(speed) / 8
			}
			u.Value, u.Quality = t.rate(w, p, rates, most)
			rates++
		} else {
			u.Value, u.Quality = t.value(d, w, p)
		}
		batch = append(batch, u)
	}
	if t.usage {
		batch = addUsage(batch, speed, source)
	}
	t.scratch.batch = batch
	return batch
}

// failedBatch is what a row publishes that could not be read since the table failed.
func (t *tableState) failedBatch() []devices.Update {
	batch := t.scratch.batch[:0]
	for i := range t.schema.Variables {
		batch = append(batch, devices.Update{Variable: i, Quality: qualityFailed, Source: model.TimeOf(t.clock.seen)})
	}
	t.scratch.batch = batch
	return batch
}

// notice forgets the counters of an interface that says that they began anew.
func (t *tableState) notice(w *row, cells []reading) {
	began := cells[t.points[usage.discontinuity].from[0]]
	if began.form == ticks && began.number != w.began {
		w.began, w.counters = began.number, nil
	}
}

// value is that of a variable of a row: of its own column, of its index, or of a column of another table.
func (t *tableState) value(d *device, w *row, p *point) (model.Value, model.Quality) {
	switch {
	case p.part >= 0:
		parts, err := decodeIndex(t.index, w.index)
		if err != nil {
			return model.Value{}, qualityFailed
		}
		return p.convert(parts[p.part].value)
	case p.lookup >= 0:
		key, ok := t.key(w, p)
		if !ok {
			return model.Value{}, qualityUnsupported
		}
		return p.convert(d.lookups[p.oids[0]][key])
	}
	cells := t.cells(w)
	r, _ := p.first(cells)
	if p.times >= 0 || p.percentOf >= 0 {
		return p.related(r, cells, t.points)
	}
	return p.convert(r)
}

// key is the index by which a row finds its entry in another table.
func (t *tableState) key(w *row, p *point) (string, bool) {
	if p.by < len(t.index) {
		parts, err := decodeIndex(t.index, w.index)
		if err != nil {
			return "", false
		}
		return parts[p.by].arcs, true
	}
	by := &t.points[p.by-len(t.index)]
	if by.part >= 0 {
		parts, err := decodeIndex(t.index, w.index)
		if err != nil {
			return "", false
		}
		return parts[by.part].arcs, true
	}
	r, _ := by.first(t.cells(w))
	kind := indexInteger
	switch r.form {
	case octets:
		kind = indexString
	case address:
		kind = indexIP
	case objectID:
		kind = indexRest
	}
	return encodePart(kind, r)
}

// rate is that of a counter of a row; number says which of its rates it is.
func (t *tableState) rate(w *row, p *point, number int, most float64) (model.Value, model.Quality) {
	cells := t.cells(w)
	r, which := p.first(cells)
	if !r.numeric() {
		return p.convert(r)
	}
	for len(w.counters) <= number {
		w.counters = append(w.counters, counter{})
	}
	at := t.scratch.when[w.line*len(t.columns)+p.from[which]]
	return p.rate(&w.counters[number], r, which, at, most)
}

// rate is that of a counter, scaled.
func (p *point) rate(c *counter, r reading, which int, at *moment, most float64) (model.Value, model.Quality) {
	if c.started && c.which != which {
		c.drop() // the device counts with another object now
	}
	c.which = which
	perSecond, quality := c.next(r, at, most)
	if !c.rated {
		return model.Value{}, quality
	}
	v, judged, err := p.declared.Convert(perSecond)
	if err != nil {
		return model.Value{}, qualityFailed
	}
	return v, quality.Worse(judged)
}
