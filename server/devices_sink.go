package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"banyan/devices"
	"banyan/model"
	"banyan/proto"
	"banyan/store"
	"banyan/tree"
)

// place is where a device, or what it found, publishes. All who publish for one context share one.
type place struct {
	id    model.ContextID
	hub   *deviceHub
	slots atomic.Pointer[placeSlots] // nil once the context is gone, and before it is made
	brood *brood                     // that the context is made with, where the device has found it just now

	// order is held for writing while everything is marked, so that a mark does not put an old value in the place of a newer one.
	order sync.RWMutex
}

// placeSlots are the slots of a context by the index of the variable.
type placeSlots struct {
	path  model.Path
	run   tree.SlotRun
	slots []tree.Slot
}

var _ devices.Sink = (*place)(nil)

// sink is the place of a device.
func (h *deviceHub) sink(id model.ContextID) devices.Sink { return h.place(id) }

func (h *deviceHub) place(id model.ContextID) *place {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.places[id]; p != nil {
		return p
	}
	p := &place{id: id, hub: h}
	if c, there := p.context(); there {
		p.bind(&c)
		h.places[id] = p
	}
	return p
}

// bind takes the slots that the context has now.
func (p *place) bind(c *tree.Context) {
	if s := p.slots.Load(); s != nil && s.run == c.Slots && s.path == c.Path {
		return
	}
	s := &placeSlots{path: c.Path, run: c.Slots, slots: make([]tree.Slot, c.Slots.Count)}
	for i := range s.slots {
		s.slots[i] = c.Slots.First + tree.Slot(i)
	}
	p.slots.Store(s)
}

// current is where to publish, nil where there is nothing. A child that was found just now is made.
func (p *place) current() *placeSlots {
	if s := p.slots.Load(); s != nil || p.brood == nil {
		return s
	}
	if err := p.brood.birth(); err != nil {
		p.hub.log.Warn("what a device has found could not be kept", "device", p.brood.parent, "error", err)
	}
	return p.slots.Load()
}

// Publish takes one batch.
func (p *place) Publish(updates []devices.Update) {
	s := p.current()
	if s == nil || len(updates) == 0 {
		return
	}
	batch := batches.Get().(*tree.Batch)
	defer batches.Put(batch)
	batch.Reset()
	for _, u := range updates {
		if u.Variable >= 0 && u.Variable < len(s.slots) {
			batch.Add(s.slots[u.Variable], model.Sample{Value: u.Value, Quality: u.Quality, Source: u.Source})
		}
	}
	p.order.RLock()
	defer p.order.RUnlock()
	p.hub.tree.Publish(batch)
}

var batches = sync.Pool{New: func() any { return &tree.Batch{} }}

// PublishScalars hands columns to the tree as they are: nothing is looked up, and nothing is done for a single sample but its source time.
func (p *place) PublishScalars(first int, source model.Time, bits []uint64) {
	s := p.current()
	if s == nil || first < 0 || first+len(bits) > len(s.slots) {
		return
	}
	times := sourceTimes.Get().(*[]model.Time)
	defer sourceTimes.Put(times)
	if cap(*times) < len(bits) {
		*times = make([]model.Time, len(bits))
	}
	column := (*times)[:len(bits)]
	for i := range column {
		column[i] = source
	}
	p.order.RLock()
	defer p.order.RUnlock()
	p.hub.tree.Publish(&tree.Batch{Slots: s.slots[first : first+len(bits)], Bits: bits, Source: column})
}

var sourceTimes = sync.Pool{New: func() any { return new([]model.Time) }}

// Schema is what the context is bound to.
func (p *place) Schema() *model.Schema {
	c, there := p.context()
	if !there {
		return nil
	}
	return c.Schema
}

// context is the context as it is now.
func (p *place) context() (tree.Context, bool) {
	for _, path := range p.hub.tree.ByID(p.id) {
		if c, there := p.hub.tree.Lookup(path); there && own(&c) && c.ID == p.id {
			return c, true
		}
	}
	return tree.Context{}, false
}

// Rebind binds the context to another schema, where it has not got that one already, and puts the last values of what stays where they are
// looked for then.
func (p *place) Rebind(ctx context.Context, schema *model.Schema) error {
	encoded, err := p.hub.encoded(schema)
	if err != nil {
		return model.Errorf(model.KindInvalid, "what the device consists of cannot be declared: %w", err)
	}
	before, there := p.context()
	if !there || before.Schema.Hash == encoded.Hash {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, childWait)
	defer cancel()
	p.order.Lock()
	defer p.order.Unlock()
	latest := p.hub.tree.Latest([]tree.SlotRun{before.Slots})
	_, err = p.hub.commits.Do(ctx, store.Commit{
		Class:   store.ClassSettings,
		Changes: []store.Change{store.PutSchema{Schema: encoded}, store.Rebind{Target: target(&before), Schema: encoded.Hash}},
	})
	if err != nil {
		return err
	}
	if after, there := p.context(); there && after.Schema.Hash == encoded.Hash {
		carry(p.hub.tree, &latest, &before, &after)
	}
	return nil
}

// carry publishes last values anew, for the variables that both schemas have by name and type.
func carry(t *tree.Tree, latest *tree.Run, before, after *tree.Context) {
	var batch tree.Batch
	for i, slot := range latest.Slots {
		v := &before.Schema.Variables[slot-before.Slots.First]
		to := after.Schema.VariableIndex(v.Name)
		if to < 0 || after.Schema.Variables[to].Type != v.Type {
			continue
		}
		batch.Slots = append(batch.Slots, after.Slots.First+tree.Slot(to))
		batch.Bits = append(batch.Bits, latest.Bits[i])
		batch.Source = append(batch.Source, latest.Source[i])
		batch.Owner = append(batch.Owner, latest.Owner[i])
		batch.Quality = append(batch.Quality, latest.Quality[i])
		value := model.Value{}
		if latest.Boxed != nil {
			value = latest.Boxed[i]
		}
		batch.Boxed = append(batch.Boxed, value)
	}
	if len(batch.Slots) > 0 {
		t.Publish(&batch)
	}
}

// childWait bounds the making of a child: a device must not hang on the disk of the node.
const childWait = 10 * time.Second

// Child is the place of a context below this one, made where it is missing.
func (p *place) Child(segment, label string, schema *model.Schema) (devices.Publisher, error) {
	s := p.current()
	if s == nil {
		return nil, model.Errorf(model.KindNotFound, "the device was removed")
	}
	path, err := s.path.Child(segment)
	if err != nil {
		return nil, err
	}
	encoded, err := p.hub.encoded(schema)
	if err == nil {
		err = p.hub.checkPart(encoded)
	}
	if err != nil {
		return nil, err
	}
	c, there := p.hub.tree.Lookup(path)
	if !there {
		return p.hub.broodOf(p.id).add(path, label, encoded)
	}
	if !own(&c) {
		return nil, model.Errorf(model.KindConflict, "something is mounted at %s", path)
	}
	var changes []store.Change
	if c.Schema.Hash != encoded.Hash {
		changes = append(changes, store.PutSchema{Schema: encoded}, store.Rebind{Target: target(&c), Schema: encoded.Hash})
	}
	if c.Label != label {
		changes = append(changes, store.Move{Target: target(&c), Label: &label})
	}
	if err := p.hub.commitChild(p.id, changes); err != nil {
		return nil, err
	}
	return p.hub.place(c.ID), nil
}

// commitChild commits what a device found, as long as the device is there.
func (h *deviceHub) commitChild(parent model.ContextID, changes []store.Change) error {
	if len(changes) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), childWait)
	defer cancel()
	_, err := h.commits.Do(ctx, store.Commit{
		Class: store.ClassSettings, Changes: changes, Conditions: []store.Condition{{Target: store.ByID(parent)}},
	})
	return err
}

// encoded is the schema of a child with its bytes; drivers pass the same pointer for all children of one kind.
func (h *deviceHub) encoded(schema *model.Schema) (*model.Schema, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if known := h.schemas[schema]; known != nil {
		return known, nil
	}
	encoded, err := proto.NewSchema(*schema)
	if err != nil {
		return nil, err
	}
	if shared, there := h.tree.Schema(encoded.Hash); there {
		encoded = shared // a thousand devices of one type have one schema
	}
	if len(h.schemas) >= 4096 {
		clear(h.schemas) // drivers that draw new ones for ever
	}
	h.schemas[schema] = encoded
	return encoded, nil
}

// Keep removes the children that are not named.
func (p *place) Keep(segments []string) {
	s := p.current()
	if s == nil {
		return
	}
	if err := p.hub.broodOf(p.id).birth(); err != nil {
		p.hub.log.Warn("what a device has found could not be kept", "path", s.path, "error", err)
	}
	named := make(map[string]bool, len(segments))
	for _, segment := range segments {
		named[segment] = true
	}
	var changes []store.Change
	for _, c := range directlyBelow(p.hub.tree, s.path) {
		if !named[c.Path.Base()] {
			changes = append(changes, store.Remove{Target: target(&c), Below: true})
		}
	}
	for len(changes) > 0 {
		n := min(len(changes), 1000)
		if err := p.hub.commitChild(p.id, changes[:n]); err != nil {
			p.hub.log.Warn("what a device no longer has could not be removed", "path", s.path, "error", err)
			return
		}
		changes = changes[n:]
	}
}

// Fail marks all variables of the device and of what is below it. What is marked so already stays untouched.
func (p *place) Fail(quality model.Quality, _ model.Time) {
	s := p.slots.Load()
	if s == nil {
		return
	}
	var runs []tree.SlotRun
	var ids []model.ContextID
	p.hub.tree.Walk(s.path, nil, func(c *tree.Context) bool {
		if own(c) {
			runs, ids = append(runs, c.Slots), append(ids, c.ID)
		}
		return true
	})
	for _, id := range ids {
		below := p.hub.place(id)
		below.order.Lock()
		defer below.order.Unlock()
	}
	var batch tree.Batch
	mark(p.hub.tree, runs, quality, &batch)
	if len(batch.Slots) > 0 {
		p.hub.tree.Publish(&batch)
	}
}

// mark collects what is to be published so that all slots have a quality.
func mark(t *tree.Tree, runs []tree.SlotRun, quality model.Quality, to *tree.Batch) {
	latest := t.Latest(runs)
	code := quality.Code()
	seen := make(map[tree.Slot]bool, len(latest.Slots))
	for i, slot := range latest.Slots {
		seen[slot] = true
		none := latest.Quality[i] & tree.NoValue
		if latest.Quality[i]&^tree.NoValue == code {
			continue
		}
		to.Slots = append(to.Slots, slot)
		to.Bits = append(to.Bits, latest.Bits[i])
		to.Source = append(to.Source, latest.Source[i])
		to.Quality = append(to.Quality, code|none)
		value := model.Value{}
		if latest.Boxed != nil {
			value = latest.Boxed[i]
		}
		to.Boxed = append(to.Boxed, value)
	}
	for _, run := range runs {
		for slot := run.First; slot < run.First+tree.Slot(run.Count); slot++ {
			if !seen[slot] {
				to.Slots = append(to.Slots, slot)
				to.Bits = append(to.Bits, 0)
				to.Source = append(to.Source, 0)
				to.Quality = append(to.Quality, code|tree.NoValue)
				to.Boxed = append(to.Boxed, model.Value{})
			}
		}
	}
}
