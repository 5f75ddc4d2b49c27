package peering

import (
	"container/heap"

	"banyan/model"
	"banyan/tree"
)

// keyTable finds a slot by the key that the provider gave it. Keys are never given twice, so the table keeps pages only where some key is in use:
// what was given up costs nothing.
type keyTable struct {
	pages []*keyPage
	count int // of pages that are there
}

const (
	keyPageBits = 12
	keyPageSize = 1 << keyPageBits
)

// keyPage holds slots + 1: 0 is a key that is not in use. It is as long as the greatest key in it needs, since a node may have a thousand small mounts.
type keyPage struct {
	slots []tree.Slot
	used  int
}

const leastKeys = 64

// reach makes the page long enough for a key.
func (p *keyPage) reach(at uint32) {
	if int(at) < len(p.slots) {
		return
	}
	size := max(leastKeys, len(p.slots))
	for size <= int(at) {
		size *= 2
	}
	p.slots = append(p.slots, make([]tree.Slot, size-len(p.slots))...)
}

// slot is the slot of a key, and whether there is one.
func (t *keyTable) slot(key uint32) (tree.Slot, bool) {
	if at := int(key >> keyPageBits); at < len(t.pages) && t.pages[at] != nil {
		if slots := t.pages[at].slots; int(key%keyPageSize) < len(slots) && slots[key%keyPageSize] != 0 {
			return slots[key%keyPageSize] - 1, true
		}
	}
	return 0, false
}

// set gives consecutive keys to consecutive slots. Keys that do not fit in 32 bits are not given.
func (t *keyTable) set(key uint32, slots tree.SlotRun) {
	for i := range slots.Count {
		k := key + i
		if k < key {
			return
		}
		at := int(k >> keyPageBits)
		for len(t.pages) <= at {
			t.pages = append(t.pages, nil)
		}
		if t.pages[at] == nil {
			t.pages[at] = &keyPage{}
			t.count++
		}
		p := t.pages[at]
		p.reach(k % keyPageSize)
		if p.slots[k%keyPageSize] == 0 {
			p.used++
		}
		p.slots[k%keyPageSize] = slots.First + tree.Slot(i) + 1
	}
}

// needs reports whether keys lie where no page is.
func (t *keyTable) needs(key uint32, slots tree.SlotRun) bool {
	first, last := int(key>>keyPageBits), int((key+max(1, slots.Count)-1)>>keyPageBits)
	for at := first; at <= last; at++ {
		if at >= len(t.pages) || t.pages[at] == nil {
			return true
		}
	}
	return false
}

// clear takes keys away that still lead to these slots.
func (t *keyTable) clear(key uint32, slots tree.SlotRun) {
	for i := range slots.Count {
		k := key + i
		if s, there := t.slot(k); !there || s != slots.First+tree.Slot(i) {
			continue
		}
		p := t.pages[k>>keyPageBits]
		p.slots[k%keyPageSize] = 0
		if p.used--; p.used == 0 {
			t.pages[k>>keyPageBits] = nil
			t.count--
		}
	}
}

// binding is a key that was told, and from which change number on it holds.
type binding struct {
	id      model.ContextID
	path    model.Path // below the export's root, where the ID alone does not say which context it is
	several bool
	defined uint64
	key     uint32
}

// waitingBindings are bindings whose definition has not arrived, the earliest definition first.
type waitingBindings []binding

var _ heap.Interface = (*waitingBindings)(nil)

// Len, Less, Swap, Push and Pop are for package heap.
func (w waitingBindings) Len() int { return len(w) }

// Less orders by the change number of the definition.
func (w waitingBindings) Less(i, j int) bool { return w[i].defined < w[j].defined }

// Swap exchanges two.
func (w waitingBindings) Swap(i, j int) { w[i], w[j] = w[j], w[i] }

// Push adds one at the end.
func (w *waitingBindings) Push(b any) { *w = append(*w, b.(binding)) }

// Pop takes the last one.
func (w *waitingBindings) Pop() any {
	last := len(*w) - 1
	b := (*w)[last]
	(*w)[last] = binding{}
	*w = (*w)[:last]
	return b
}
