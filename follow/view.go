package follow

import (
	"hash/fnv"
	"sync"
	"sync/atomic"

	"banyan/fault"
	"banyan/model"
	"banyan/tree"
)

// Selection says what a view shows. It is asked once for each context when it comes or changes, never for a sample. It must not change:
// another policy is another selection, and another view.
type Selection interface {
	// Key is equal for selections of equal content. The view's ID, which readers are told, is made from it: where what is shown must not be guessed by the ID,
	// the key must not be guessed either.
	Key() string
	// Selects says whether the context of this kind at path is shown.
	Selects(path model.Path, kind string) bool
	// Schema is what is shown of a schema: itself, or one derived from it.
	Schema(*model.Schema) (*model.Schema, error)
}

// Naming is a Selection that shows a part of what may be known of: references to the rest are told, too.
type Naming interface {
	Selection
	// Names says whether the context of this kind at path may be named. It is true for whatever Selects is true for.
	Names(path model.Path, kind string) bool
}

// View is one selection of one tree below a root, with the handles of its contexts. All followers of equal selections share it. Keys are given in
// the order in which samples first need them; they hold as long as the process lives.
type View struct {
	ID   uint64 // the same for the same selection, also after a restart
	Root model.Path

	tree      *tree.Tree
	selection Selection
	names     func(path model.Path, kind string) bool

	mu        sync.RWMutex
	last      uint64   // greatest change number that concerns what is shown
	seen      uint64   // change number up to which members are true
	newest    uint64   // greatest definedAt
	members   []member // by tree.Index
	pages     []*keyPage
	bindings  []tree.Index // in the order of keys; none where the context is gone
	nextKey   uint32
	batches   batchCache
	drops     uint64                             // counts members that were taken out: what was made of them is to be forgotten
	withdrawn uint64                             // counts what was withdrawn, whole contexts and what there was more of them
	schemas   map[model.SchemaHash]*model.Schema // what is shown of each schema
	idle      []*encoder                         // none of which is in use

	shape atomic.Pointer[viewShape] // may be read without mu
}

// viewShape is what tells whether something that was made before is good still.
type viewShape struct {
	viewState
	seen  uint64
	bound int // how many bindings there are
}

// reshape says what is so now. View.mu is held for writing.
func (v *View) reshape() { v.shape.Store(&viewShape{v.state(), v.seen, len(v.bindings)}) }

// member is a context of the tree as the view sees it; its schema is nil where it does not.
type member struct {
	id        model.ContextID
	path      model.Path    // below the view's root
	schema    *model.Schema // as shown
	full      *model.Schema // as it is
	slots     tree.SlotRun
	change    uint64 // number of its last change
	definedAt uint64 // number of the change that gave it this identity and schema
	key       uint32 // of its first variable, 0 before a sample needed it
}

const (
	pageBits = 12
	pageSize = 1 << pageBits
	pageMask = pageSize - 1
)

// keyPage maps slots to keys: 0 is a slot that is not shown, unbound one that is shown and has no key yet.
type keyPage struct {
	key    [pageSize]uint32
	member [pageSize]tree.Index
}

const (
	hidden  = 0
	unbound = 1
)

// NewView makes a view of what selection shows at and below root.
func NewView(t *tree.Tree, root model.Path, selection Selection) *View {
	v := &View{
		ID: viewID(root, selection), Root: root, tree: t, selection: selection, names: selection.Selects, nextKey: unbound + 1,
		schemas: make(map[model.SchemaHash]*model.Schema),
	}
	v.reshape()
	if wider, some := selection.(Naming); some {
		v.names = wider.Names
	}
	return v
}

// viewID names the content: equal selections below equal roots have equal views, and none has the ID 0.
func viewID(root model.Path, selection Selection) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(root.String() + "\x00" + selection.Key()))
	return h.Sum64() | 1
}

// advancePart is how many changes are taken in at a time: a million contexts at once are some hundred MB, and publishers wait while they are collected.
const advancePart = 4096

// advance takes in what changed in the tree. View.mu is held.
func (v *View) advance() {
	before, horizon := v.drops, uint64(0)
	for first := true; ; first = false {
		d := v.tree.ChangesSince(v.seen, advancePart, nil)
		// Of an empty view nothing can be missing, unless removals were forgotten since its first part.
		if v.seen+1 < d.Horizon && (first && v.seen > 0 || !first && d.Horizon > horizon) {
			const all = 1<<31 - 1
			d = v.tree.ChangesSince(0, all, nil)
			v.dropMissing(d.Contexts)
			v.last = d.Head
		}
		horizon = d.Horizon
		v.takeIn(&d)
		if v.seen = d.Through; d.Through >= d.Head {
			break
		}
	}
	if v.drops != before {
		v.forget()
	}
	v.reshape()
}

// takeIn takes in a stretch of changes: of one place in the tree, what was there before goes before what is there comes.
func (v *View) takeIn(d *tree.Delta) {
	for i := range d.Tombstones {
		if stone := &d.Tombstones[i]; v.Root.Contains(stone.Path) && v.selection.Selects(stone.Path, stone.Kind) {
			v.last = max(v.last, stone.Change)
			if stone.Withdrawn {
				v.withdrawn++
			}
		}
		if at := d.Tombstones[i].Index; int(at) < len(v.members) && v.members[at].id == d.Tombstones[i].ID {
			v.drop(at)
		}
	}
	for i := range d.Contexts {
		v.take(&d.Contexts[i])
	}
}

// forget lets nothing stay of members that were taken out: neither what was encoded of their samples nor the schemas that no context has any more.
func (v *View) forget() {
	v.batches.clear()
	v.idle = nil
	for hash := range v.schemas {
		if _, there := v.tree.Schema(hash); !there {
			delete(v.schemas, hash)
		}
	}
}

// dropMissing drops the members that are none of the tree's contexts, where their tombstones are not remembered any more. View.mu is held.
func (v *View) dropMissing(contexts []tree.Context) {
	there := make(map[tree.Index]model.ContextID, len(contexts))
	for i := range contexts {
		there[contexts[i].Index] = contexts[i].ID
	}
	for i := range v.members {
		if index := tree.Index(i); v.members[i].schema != nil && there[index] != v.members[i].id {
			v.drop(index)
		}
	}
}

// refresh advances the view where the tree has moved on.
func (v *View) refresh() {
	if v.shape.Load().seen >= v.tree.ChangeHead() {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.advance()
}

// take makes the context a member, or keeps it one, or drops it.
func (v *View) take(c *tree.Context) {
	for int(c.Index) >= len(v.members) {
		v.members = append(v.members, make([]member, max(64, len(v.members)/2))...)
	}
	m := &v.members[c.Index]
	if m.change >= c.Change {
		return
	}
	if !v.shows(c) {
		v.drop(c.Index)
		m.change = c.Change
		return
	}
	if m.schema == nil || m.id != c.ID || m.full.Hash != c.Schema.Hash || m.slots != c.Slots {
		shown, err := v.shownSchema(c.Schema)
		if fault.Planted(fault.ReboundShowsAll) && m.schema != nil && m.id == c.ID {
			shown, err = c.Schema, nil
		}
		if m.schema != nil && m.id == c.ID && len(c.Route) > 0 {
			v.withdrawn++
		}
		v.drop(c.Index)
		if err != nil {
			return // a schema that cannot be derived is not shown
		}
		below, _ := v.Root.Below(c.Path)
		*m = member{id: c.ID, path: below, schema: shown, full: c.Schema, slots: c.Slots, definedAt: c.Change}
		v.newest = max(v.newest, c.Change)
		v.mark(c.Index, m)
	}
	m.change = c.Change
	v.last = max(v.last, c.Change)
}

// Head is the greatest change number that concerns what is shown: what is hidden does not move it.
func (v *View) Head() uint64 {
	v.refresh()
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.last
}

func (v *View) shows(c *tree.Context) bool {
	return v.Root.Contains(c.Path) && v.selection.Selects(c.Path, c.Schema.Kind)
}

// showed reports whether the view showed what was removed.
func (v *View) showed(stone *tree.Tombstone) bool {
	return v.Root.Contains(stone.Path) && (v.selection.Selects(stone.Path, stone.Kind) || fault.Planted(fault.HiddenRemovalTold))
}

func (v *View) shownSchema(s *model.Schema) (*model.Schema, error) {
	if shown := v.schemas[s.Hash]; shown != nil {
		return shown, nil
	}
	shown, err := v.selection.Schema(s)
	if err == nil {
		v.schemas[s.Hash] = shown
	}
	return shown, err
}

// mark makes the member's shown variables known by their slots.
func (v *View) mark(index tree.Index, m *member) {
	for i := range m.full.Variables {
		slot := m.slots.First + tree.Slot(i)
		for len(v.pages) <= int(slot>>pageBits) {
			v.pages = append(v.pages, &keyPage{})
		}
		p := v.pages[slot>>pageBits]
		p.member[slot&pageMask] = index
		p.key[slot&pageMask] = hidden
		if m.schema == m.full || m.schema.VariableIndex(m.full.Variables[i].Name) >= 0 {
			p.key[slot&pageMask] = unbound
		}
	}
}

// drop takes a member out. Its key is not given again.
func (v *View) drop(index tree.Index) {
	m := &v.members[index]
	if m.schema == nil {
		return
	}
	for slot := m.slots.First; slot < m.slots.First+tree.Slot(m.slots.Count); slot++ {
		if p := v.pages[slot>>pageBits]; p.member[slot&pageMask] == index {
			p.key[slot&pageMask] = hidden
		}
	}
	*m = member{change: m.change}
	v.drops++
}

// bind gives a member its key. View.mu is held for writing.
func (v *View) bind(index tree.Index) {
	m := &v.members[index]
	if m.schema == nil || m.key != 0 || len(m.schema.Variables) == 0 {
		return
	}
	m.key = v.nextKey
	v.nextKey += uint32(len(m.schema.Variables))
	v.bindings = append(v.bindings, index)
	next := m.key
	for i := range m.full.Variables {
		slot := m.slots.First + tree.Slot(i)
		if p := v.pages[slot>>pageBits]; p.key[slot&pageMask] == unbound {
			p.key[slot&pageMask] = next
			next++
		}
	}
	v.reshape()
}

// Binding is a context and the key of its first variable.
type Binding struct {
	ID      model.ContextID
	Key     uint32
	Defined uint64     // change number of the definition that the key is for
	Path    model.Path // below the view's root
	Several bool       // the context is at several paths of the tree: its ID does not say which one is meant
}

// Bindings are the bindings after the first ones, in the order of keys, at most most. A context that is gone since has no ID.
func (v *View) Bindings(after, most int) []Binding {
	if after >= v.Bound() {
		return nil
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	most = min(most, len(v.bindings)-after)
	list := make([]Binding, 0, most)
	for _, index := range v.bindings[after : after+most] {
		m := &v.members[index]
		list = append(list, Binding{m.id, m.key, m.definedAt, m.path, m.schema != nil && len(v.tree.ByID(m.id)) > 1})
	}
	return list
}

// Bound is how many bindings there are.
func (v *View) Bound() int { return v.shape.Load().bound }

// Keys gives keys to entries that were just told, for a follower whose reader learns definitions and keys in one. An entry that the view no longer
// has as it was told gets 0, as one without variables does: what it is now is told next.
func (v *View) Keys(entries []Entry) []uint32 {
	keys := make([]uint32, len(entries))
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range entries {
		e := &entries[i]
		if int(e.Context.Index) >= len(v.members) {
			continue
		}
		m := &v.members[e.Context.Index]
		if m.id != e.Context.ID || m.schema != e.Schema {
			continue
		}
		v.bind(e.Context.Index)
		keys[i] = m.key
	}
	return keys
}
