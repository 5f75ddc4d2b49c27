package follow

import (
	"sync"

	"banyan/model"
	"banyan/proto"
	"banyan/tree"
)

// translate puts the samples of a run that the follower may be told into its scratch columns, and says which shown contexts have no key yet and which
// ones may not be told yet. View.mu is held for reading.
func (f *Follower) translate(run *tree.Run) (missing, inactive []tree.Index) {
	v, to := f.view, &f.scratch
	all := v.newest <= f.acked && f.acked >= f.listed
	plain := all && len(v.reborn) == 0 && len(f.ahead) == 0 && run.Boxed == nil
	for i, slot := range run.Slots {
		if int(slot>>pageBits) >= len(v.pages) {
			continue
		}
		p, s := v.pages[slot>>pageBits], slot&pageMask
		key := p.key[s]
		if key <= unbound {
			if key == unbound {
				missing = appendNew(missing, p.member[s])
			}
			continue
		}
		if !plain {
			if !run.Lapped && f.outdated(slot, run.First+uint64(i)) {
				continue
			}
			if !all && !f.active(&v.members[p.member[s]]) {
				inactive = appendNew(inactive, p.member[s])
				continue
			}
			if len(run.Boxed) > i && run.Quality[i]&tree.NoValue == 0 && !run.Boxed[i].IsNone() {
				to.Boxed = append(to.Boxed, proto.Boxed{Index: len(to.Keys), Value: v.Relative(run.Boxed[i])})
			}
		}
		to.Keys = append(to.Keys, key)
		to.Bits = append(to.Bits, run.Bits[i])
		to.Source = append(to.Source, run.Source[i])
		to.Owner = append(to.Owner, run.Owner[i])
		to.Quality = append(to.Quality, run.Quality[i])
	}
	return missing, inactive
}

// outdated reports whether the sample at a position was of a context that had the slot before, or is older than what was told already.
func (f *Follower) outdated(slot tree.Slot, position uint64) bool {
	born, changed := f.view.reborn[slot]
	return changed && position < born || position < f.ahead[slot]
}

func appendNew(list []tree.Index, index tree.Index) []tree.Index {
	if n := len(list); n > 0 && list[n-1] == index {
		return list
	}
	return append(list, index)
}

// Relative translates a reference to the view's root: what lies outside of it is told as outside.
func (v *View) Relative(value model.Value) model.Value {
	switch value.Type() {
	case model.TypeRef:
		return v.relativeRef(value)
	case model.TypeTable:
		return v.relativeTable(value)
	default:
		return value
	}
}

func (v *View) relativeRef(value model.Value) model.Value {
	to, inside := value.Ref()
	below, contained := v.Root.Below(to.Path)
	if !inside || !contained || !v.selection.Selects(to.Path, "") {
		return model.RefOutside()
	}
	return model.Ref(model.Address{Path: below, Name: to.Name})
}

func (v *View) relativeTable(value model.Value) model.Value {
	table := value.Table()
	refs := false
	for _, c := range table.Columns {
		refs = refs || c.Type == model.TypeRef
	}
	if !refs {
		return value
	}
	copied := &model.Table{Columns: table.Columns}
	for _, row := range table.Rows {
		cells := make([]model.Value, len(row))
		for i, cell := range row {
			cells[i] = v.Relative(cell)
		}
		copied.Rows = append(copied.Rows, cells)
	}
	return model.TableValue(copied)
}

// batchCache keeps the encoded form of whole chunks of the ring, so that followers of equal interest share it.
type batchCache struct {
	mu      sync.Mutex
	entries [64]struct {
		first   uint64
		encoded []byte
		samples int
	}
}

func (c *batchCache) find(first uint64) ([]byte, int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &c.entries[first/pageSize%uint64(len(c.entries))]
	return e.encoded, e.samples, e.encoded != nil && e.first == first
}

func (c *batchCache) keep(first uint64, encoded []byte, samples int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &c.entries[first/pageSize%uint64(len(c.entries))]
	e.first, e.encoded, e.samples = first, encoded, samples
}
