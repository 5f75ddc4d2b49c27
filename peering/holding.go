package peering

import (
	"fmt"

	"banyan/fault"
	"banyan/model"
	"banyan/tree"
)

// What things of a mirror take in memory, about: with the live tree, the file's batch and what finds them. A provider that tells more than its mount may take is
// cut off: nobody else can say where a large network ends and a bomb begins.
const (
	contextCost  = 1200
	variableCost = 64
	goneCost     = 256 // what is kept of a context that is gone, beside its variables
	schemaCost   = 12  // for each byte of it: an entry of three bytes takes some hundred
	schemaLeast  = 1024
	bindingCost  = 112
	pageCost     = 4*keyPageSize + 64
	learnedCost  = 64
	longText     = 64 // values up to here are in what a variable costs
	defaultHeld  = 2 << 30
	maxBindings  = 1 << 18 // in one message
)

// holding counts what a mirror takes.
type holding struct {
	contexts int64
	long     map[tree.Slot]int32 // values of variables that are longer than longText
	texts    int64               // of all of them
	gone     spent               // contexts that are gone longer
	going    spent               // those that have gone since: counted apart, since with some that go every day the last one would keep all before it
}

// spent is what contexts that are gone still take: their slots cannot be used again before the ring has passed at.
type spent struct {
	bytes int64
	at    uint64
}

// Bound says how much memory what is mounted may take, bytes, about; 0 is 2 GiB. It is for any goroutine.
func (m *Mirror) Bound(bytes int64) { m.most.Store(bytes) }

// held is how much the mirror takes.
func (m *Mirror) held() int64 {
	h := &m.holds
	if h.gone.bytes > 0 && !m.cfg.Tree.Holds(h.gone.at-1) {
		h.gone = spent{}
	}
	if h.gone.bytes == 0 && !fault.Planted(fault.GoneCountsForever) {
		h.gone, h.going = h.going, spent{}
	}
	return h.contexts + h.texts + h.gone.bytes + h.going.bytes + schemaCost*int64(m.schemaBytes) + schemaLeast*int64(len(m.schemas)) + learnedCost*int64(len(m.learned)) +
		bindingCost*int64(len(m.waiting)) + pageCost*int64(m.keys.count)
}

func (m *Mirror) mostHeld() int64 {
	if most := m.most.Load(); most > 0 {
		return most
	}
	return defaultHeld
}

// room refuses what would take more than the mount may.
func (m *Mirror) room(more int64) error {
	most, held := m.mostHeld(), m.held()+more
	if held <= most || fault.Planted(fault.MountsNotCounted) {
		return nil
	}
	return &model.Error{
		Kind: model.KindExhausted, Detail: fmt.Sprintf("the provider tells more than this mount may take: about %s, and %s are allowed", mebibytes(held), mebibytes(most)),
		Remedy: "raise the setting memory of the mount if that much is meant to be there",
	}
}

func mebibytes(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// rowCost is what a context takes.
func rowCost(row *Row) int64 {
	cost := contextCost + variableCost*len(row.Schema.Variables) + len(row.Path.String()) + len(row.Label) + len(row.Extra) + 48*len(row.Settings)
	for _, v := range row.Settings {
		cost += footprint(v)
	}
	return int64(cost)
}

// footprint is about what a value takes beside its place: of a table much more than its texts.
func footprint(v model.Value) int {
	if v.Type() == model.TypeTable {
		return 6 * v.Size()
	}
	return v.Size()
}

// long counts a value of a variable, and refuses it where that is too much.
func (m *Mirror) long(slot tree.Slot, v model.Value) error {
	size, h := footprint(v), &m.holds
	before, was := h.long[slot]
	switch {
	case size <= longText && !was:
		return nil
	case size <= longText:
		h.texts -= int64(before)
		delete(h.long, slot)
		return nil
	}
	if err := m.room(int64(size) - int64(before)); err != nil {
		return err
	}
	if h.long == nil {
		h.long = make(map[tree.Slot]int32)
	}
	h.long[slot] = int32(size)
	h.texts += int64(size) - int64(before)
	return nil
}

// shed counts the values of some variables no more, which are gone.
func (m *Mirror) shed(slots tree.SlotRun) {
	h := &m.holds
	h.going = spent{h.going.bytes + goneCost + variableCost*int64(slots.Count), m.cfg.Tree.Head()}
	if len(h.long) == 0 {
		return
	}
	for slot := slots.First; slot < slots.First+tree.Slot(slots.Count); slot++ {
		if size, was := h.long[slot]; was {
			h.texts -= int64(size)
			delete(h.long, slot)
		}
	}
}
