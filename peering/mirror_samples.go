package peering

import (
	"banyan/follow"
	"banyan/model"
	"banyan/proto/linkv1"
	"banyan/tree"
	"container/heap"
	"slices"
)

// bind takes handles.
func (m *Mirror) bind(b *linkv1.Bindings) error {
	origins, err := readOrigins(b.GetOrigins())
	if err != nil {
		return err
	}
	count := len(b.GetKey())
	if b.GetFirst() != m.place.Bindings || len(b.GetOrigin()) != count || len(b.GetNumberSteps()) != count || len(b.GetDefined()) != count {
		return model.Errorf(model.KindCorrupt, "received bindings that do not follow the ones before")
	}
	if count > maxBindings {
		return model.Errorf(model.KindExhausted, "received more than %d handles in one message", maxBindings)
	}
	if err := m.room(bindingCost * int64(count)); err != nil {
		return err
	}
	paths := b.GetPaths()
	last := uint64(0)
	for i, key := range b.GetKey() {
		last += uint64(b.GetNumberSteps()[i]) + 1
		told := binding{defined: b.GetDefined()[i], key: key}
		if told.id, err = origins.id(b.GetOrigin()[i], last); err != nil {
			return err
		}
		if len(paths) > 0 && int(paths[0].GetIndex()) == i {
			if told.path, err = model.ParsePath(paths[0].GetPath()); err != nil {
				return err
			}
			told.several, paths = true, paths[1:]
		}
		if key > 0 {
			heap.Push(&m.waiting, told)
		}
	}
	m.place.Bindings += uint32(count)
	return m.bindWaiting()
}

// bindWaiting gives the keys whose definitions have arrived. Before a comparison has told everything nobody knows which have.
func (m *Mirror) bindWaiting() error {
	if m.comparison != nil && !m.comparison.ended {
		return nil
	}
	for len(m.waiting) > 0 && m.waiting[0].defined <= m.applied {
		told := heap.Pop(&m.waiting).(binding)
		c := m.contexts[told.id]
		if told.several {
			c = m.find(told.id, told.path)
		}
		if c != nil && told.defined >= c.defined {
			m.unbind(c)
			if err := m.room(pageCost); err != nil && m.keys.needs(told.key, c.slots) {
				return err // they lie so far apart that finding them takes more than they do
			}
			m.keys.set(told.key, c.slots)
			c.key, c.defined = told.key, told.defined
		}
	}
	return nil
}

// unbind takes a context's key away, so that a sample that is still on its way reaches nothing.
func (m *Mirror) unbind(c *mirrored) {
	if c.key != 0 {
		m.keys.clear(c.key, c.slots)
		c.key = 0
	}
}

// unbindAll forgets all keys.
func (m *Mirror) unbindAll() {
	m.all(func(_ model.ContextID, c *mirrored) { c.key, c.defined = 0, 0 })
	m.keys, m.waiting, m.place.Bindings = keyTable{}, nil, 0
}

// publish takes a batch of samples into the tree.
func (m *Mirror) publish(encoded []byte, through uint64) error {
	if err := m.columns.Decode(encoded); err != nil {
		return err
	}
	m.batch.Reset()
	m.ring.Bound((m.mostHeld() - m.held()) / tree.SampleCost)
	m.batch.Of = &m.ring
	if m.publishWhole() {
		m.place.Samples = max(m.place.Samples, through)
		m.progress()
		return nil
	}
	boxed := m.columns.Boxed
	for i, key := range m.columns.Keys {
		var value model.Value
		if len(boxed) > 0 && boxed[0].Index == i {
			value, boxed = m.local(boxed[0].Value), boxed[1:]
		}
		slot, bound := m.keys.slot(key)
		if !bound {
			continue
		}
		if len(m.columns.Boxed) > 0 {
			if err := m.long(slot, value); err != nil {
				return err
			}
		}
		m.batch.Slots = append(m.batch.Slots, slot)
		m.batch.Bits = append(m.batch.Bits, m.columns.Bits[i])
		m.batch.Source = append(m.batch.Source, m.columns.Source[i])
		m.batch.Owner = append(m.batch.Owner, m.columns.Owner[i])
		if len(m.columns.Quality) > 0 {
			m.batch.Quality = append(m.batch.Quality, m.columns.Quality[i])
		}
		if len(m.columns.Boxed) > 0 {
			m.batch.Boxed = append(m.batch.Boxed, value)
		}
	}
	if len(m.batch.Slots) > 0 {
		m.cfg.Tree.Publish(&m.batch)
	}
	m.columns.Reset() // now and not with the next batch: what was told last may be withdrawn, and then nothing comes any more
	m.batch.Reset()
	m.place.Samples = max(m.place.Samples, through)
	m.progress()
	return nil
}

// publishWhole publishes what was decoded where all of it has a place here and stands in columns, which is nearly always so, and reports whether it did.
func (m *Mirror) publishWhole() bool {
	if len(m.columns.Boxed) > 0 || len(m.columns.Keys) == 0 {
		return false
	}
	slots := slices.Grow(m.batch.Slots, len(m.columns.Keys))
	for _, key := range m.columns.Keys {
		slot, bound := m.keys.slot(key)
		if !bound {
			return false
		}
		slots = append(slots, slot)
	}
	m.batch.Slots = slots[:0]
	m.cfg.Tree.Publish(&tree.Batch{Slots: slots, Bits: m.columns.Bits, Source: m.columns.Source, Owner: m.columns.Owner, Quality: m.columns.Quality, Of: &m.ring})
	return true
}

// content is what a row's definition was told as.
func (m *Mirror) content(row *Row) uint64 {
	var settings []follow.Setting
	for i, value := range row.Settings {
		if !value.IsNone() {
			settings = append(settings, follow.Setting{Index: i, Value: m.relative(value)})
		}
	}
	return follow.Content(row.Label, row.Schema.Hash, settings, row.Route[min(1, len(row.Route)):], row.Extra)
}

// local translates a reference from below the export's root to below the mount.
func (m *Mirror) local(value model.Value) model.Value {
	return translate(value, func(to model.Path) (model.Path, bool) {
		path, err := m.cfg.Mount.Join(to)
		return path, err == nil
	})
}

// relative undoes local.
func (m *Mirror) relative(value model.Value) model.Value { return translate(value, m.cfg.Mount.Below) }

// translate gives references, also those in tables, other paths; what has none is outside.
func translate(value model.Value, to func(model.Path) (model.Path, bool)) model.Value {
	switch value.Type() {
	case model.TypeRef:
		address, inside := value.Ref()
		path, there := to(address.Path)
		if !inside || !there {
			return model.RefOutside()
		}
		return model.Ref(model.Address{Path: path, Name: address.Name})
	case model.TypeTable:
		table := value.Table()
		copied := &model.Table{Columns: table.Columns}
		for _, row := range table.Rows {
			cells := make([]model.Value, len(row))
			for i, cell := range row {
				cells[i] = translate(cell, to)
			}
			copied.Rows = append(copied.Rows, cells)
		}
		return model.TableValue(copied)
	default:
		return value
	}
}
