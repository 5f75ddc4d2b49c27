package tree

import (
	"slices"
	"sort"
	"sync/atomic"

	"banyan/model"
)

// Put is the whole state of a context that was created or changed: what it is after the change, never a difference.
type Put struct {
	ID       model.ContextID
	Path     model.Path
	Label    string
	Schema   *model.Schema
	Settings []model.Value
	Version  model.Version
	Route    Route
	Extra    string  // see Context
	Anew     bool    // what its variables were is not true any more, though they are the same ones: they have no samples
	Number   uint64  // change number that it keeps from before a restart; 0 gives it the next one, and Apply says which
	Slots    SlotRun // of its variables: said by Apply
}

// Removal is a context that is no more. Number is as in Put.
type Removal struct {
	Path    model.Path
	Version model.Version
	Number  uint64
	// Withdrawn says that the context may not be shown here any more: no sample of it stays in the ring, and it is forgotten that it was there, soon after.
	Withdrawn bool
}

// Tombstone is what is remembered of a removed context.
type Tombstone struct {
	Index   Index // that it had, none after a restart
	ID      model.ContextID
	Path    model.Path
	Kind    string // of its schema, empty where that is not known any more
	Version model.Version
	Change  uint64

	Withdrawn bool // see Removal
	at        model.Time
}

type logEntry struct {
	number    uint64
	index     Index // none for a tombstone
	tombstone *Tombstone
}

// changeLog orders what changed by number: the latest entry of each context counts, older ones are passed over and swept away when
// they are the greater part. It is guarded by Tree.mu.
type changeLog struct {
	next           uint64        // number of the next change
	reserved       uint64        // first number of an outstanding reservation, 0 for none
	head           atomic.Uint64 // visible, as of the last change; may be read without
	entries        []logEntry
	live           int
	tombstones     int
	withdrawn      int // of the tombstones
	mostTombstones int
	horizon        uint64 // below it removals are not remembered
}

// visible is the greatest number up to which all changes are applied.
func (l *changeLog) visible() uint64 {
	if l.reserved != 0 {
		return l.reserved - 1
	}
	return l.next - 1
}

// Reserve takes count consecutive change numbers for changes that are made durable before they are applied. Until Apply or
// Release gives them back, readers see no change with a greater number. One reservation may be outstanding.
func (t *Tree) Reserve(count int) (first uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changes.reserved != 0 {
		panic("tree: a reservation of change numbers is outstanding")
	}
	first = t.changes.next
	t.changes.reserved = first
	t.changes.next += uint64(count)
	return first
}

// Release ends the reservation; numbers that were not used stay unused.
func (t *Tree) Release() {
	t.mu.Lock()
	t.changes.reserved = 0
	t.changes.head.Store(t.changes.visible())
	t.mu.Unlock()
	t.wakeReaders()
}

// Apply makes removals and puts visible at once, removals first. What got a new number, and the slots, stand in puts and removals
// afterwards. It returns the first number that it could give.
func (t *Tree) Apply(puts []Put, removals []Removal) (first uint64) {
	t.mu.Lock()
	first = t.changes.next
	var withdrawn []SlotRun
	for i := range removals {
		if slots := t.remove(&removals[i]); removals[i].Withdrawn {
			withdrawn = append(withdrawn, slots)
		}
	}
	t.wipe(withdrawn)
	var rebound []SlotRun
	for i := range puts {
		if slots := t.put(&puts[i]); slots.Count > 0 && len(puts[i].Route) > 0 {
			rebound = append(rebound, slots) // of what its provider shows differently now nobody may see what it had
		}
	}
	t.wipe(rebound)
	t.sweep()
	t.changes.head.Store(t.changes.visible())
	t.mu.Unlock()
	t.wakeReaders()
	return first
}

func (t *Tree) number(kept uint64) uint64 {
	if kept != 0 {
		return kept
	}
	n := t.changes.next
	t.changes.next++
	return n
}

// put puts a context and returns the slots that it had under another schema.
func (t *Tree) put(p *Put) (had SlotRun) {
	c := &t.contexts
	i := c.place(p.Path)
	r := &c.records[i]
	key := idKey{c.origins.take(origin{p.ID.Node, p.ID.Epoch}), p.ID.Number}
	if r.schema != nil && (idKey{r.origin, r.number}) != key {
		t.replace(i, p)
	}
	epoch := c.epochs.take(p.Version.Epoch)
	if r.schema == nil {
		c.count++
		t.changes.live++
		c.byID[key] = append(c.byID[key], i)
	} else {
		c.origins.release(r.origin)
		c.epochs.release(r.epoch)
	}
	if r.schema == nil || r.schema.Hash != p.Schema.Hash || p.Anew {
		had = r.slots
		t.bind(r, p.Schema)
	}
	r.origin, r.number = key.origin, key.number
	r.label, r.settings, r.extra = p.Label, p.Settings, p.Extra
	r.epoch, r.version = epoch, p.Version.Number
	route := c.internRoute(p.Route)
	c.releaseRoute(r.route)
	r.route = route
	r.change = t.number(p.Number)
	p.Number, p.Slots = r.change, r.slots
	t.log(logEntry{number: r.change, index: i})
	return had
}

// replace makes room for another context at the path of one that nobody removed. Readers are told of its removal like of any other, but
// where the other keeps a number from before a restart: then the tombstone does, too.
func (t *Tree) replace(i Index, by *Put) {
	r := &t.contexts.records[i]
	if by.Number == 0 {
		t.bury(&Tombstone{Index: i, ID: t.contexts.id(r), Path: r.path, Kind: r.schema.Kind, Version: by.Version, Change: t.number(0)})
	}
	t.clear(i)
	t.changes.live--
}

func (t *Tree) bury(stone *Tombstone) {
	t.changes.tombstones++
	if stone.Withdrawn {
		t.changes.withdrawn++
	}
	t.log(logEntry{number: stone.Change, tombstone: stone})
}

// bind gives a record the slots of a schema, new ones, since a handle of the old ones must not reach them.
func (t *Tree) bind(r *record, s *model.Schema) {
	t.samples.Lock()
	defer t.samples.Unlock()
	if r.schema != nil {
		t.freeSlots(r)
		t.contexts.releaseSchema(r.schema)
	}
	r.schema = t.contexts.internSchema(s)
	r.slots = SlotRun{t.slots.allocate(s.Variables, t.ring.oldest()), uint32(len(s.Variables))}
}

func (t *Tree) freeSlots(r *record) {
	t.dropWatchers(r.slots.First, r.slots.Count)
	t.slots.release(r.slots.First, r.slots.Count, t.ring.head.Load())
	r.slots = SlotRun{}
}

// clear makes a context a mere place.
func (t *Tree) clear(i Index) {
	c := &t.contexts
	r := &c.records[i]
	key := idKey{r.origin, r.number}
	if left := slices.DeleteFunc(c.byID[key], func(other Index) bool { return other == i }); len(left) > 0 {
		c.byID[key] = left
	} else {
		delete(c.byID, key)
	}
	t.samples.Lock()
	t.freeSlots(r)
	t.samples.Unlock()
	c.releaseSchema(r.schema)
	c.releaseRoute(r.route)
	c.origins.release(r.origin)
	c.epochs.release(r.epoch)
	c.count--
	*r = record{path: r.path, parent: r.parent, child: r.child, next: r.next, previous: r.previous}
}

// remove takes a context out and returns the slots that it had.
func (t *Tree) remove(m *Removal) SlotRun {
	c := &t.contexts
	i, there := c.byPath[m.Path]
	if !there || c.records[i].schema == nil {
		return SlotRun{}
	}
	m.Number = t.number(m.Number)
	r := &c.records[i]
	slots := r.slots
	stone := &Tombstone{
		Index: i, ID: c.id(r), Path: m.Path, Kind: r.schema.Kind, Version: m.Version, Change: m.Number, Withdrawn: m.Withdrawn, at: t.now(),
	}
	t.clear(i)
	t.changes.live--
	c.prune(i)
	t.bury(stone)
	return slots
}

// Bury restores tombstones from before a restart.
func (t *Tree) Bury(stones []Tombstone, horizon uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range stones {
		t.bury(&stones[i])
	}
	t.changes.horizon = max(t.changes.horizon, horizon)
}

// log adds an entry in the order of numbers; those kept from before a restart may come out of order.
func (t *Tree) log(e logEntry) {
	l := &t.changes
	if n := len(l.entries); n == 0 || l.entries[n-1].number < e.number {
		l.entries = append(l.entries, e)
		return
	}
	at := sort.Search(len(l.entries), func(i int) bool { return l.entries[i].number > e.number })
	l.entries = slices.Insert(l.entries, at, e)
}

// current reports whether an entry tells the latest change of what it is about.
func (t *Tree) current(e *logEntry) bool {
	if e.index == none {
		return e.tombstone != nil
	}
	return t.contexts.records[e.index].change == e.number
}

// sweep forgets the oldest tombstones beyond the limit and entries that were overtaken.
func (t *Tree) sweep() {
	l := &t.changes
	for i := 0; i < len(l.entries) && l.tombstones > l.mostTombstones; i++ {
		if e := &l.entries[i]; e.tombstone != nil {
			l.horizon = max(l.horizon, e.number+1)
			if e.tombstone.Withdrawn {
				l.withdrawn--
			}
			e.tombstone = nil
			l.tombstones--
		}
	}
	if len(l.entries) > 2*(l.live+l.tombstones)+1024 {
		l.entries = slices.DeleteFunc(l.entries, func(e logEntry) bool { return !t.current(&e) })
	}
}

// Delta is a stretch of the change log.
type Delta struct {
	Contexts   []Context
	Tombstones []Tombstone
	Through    uint64 // everything up to this number was told
	Head       uint64 // everything up to this number could be told
	Horizon    uint64 // removals with a lesser number are not all among them
}

// ChangesSince tells what changed after number, in the order of change numbers, at most most contexts and tombstones at a time;
// keep says which contexts are wanted, all where it is nil.
func (t *Tree) ChangesSince(number uint64, most int, keep func(*Context) bool) Delta {
	return t.ChangesOf(number, most, keep, nil)
}

// ChangesOf is ChangesSince with gone, which says which tombstones are wanted. What is not wanted does not count: where a stretch ends, and whether
// another follows, depends on what is wanted alone.
func (t *Tree) ChangesOf(number uint64, most int, keep func(*Context) bool, gone func(*Tombstone) bool) Delta {
	t.mu.RLock()
	defer t.mu.RUnlock()
	l := &t.changes
	d := Delta{Head: l.visible(), Horizon: l.horizon}
	d.Through = d.Head
	at := sort.Search(len(l.entries), func(i int) bool { return l.entries[i].number > number })
	if keep == nil {
		d.Contexts = make([]Context, 0, min(most, len(l.entries)-at))
	}
	for ; at < len(l.entries) && l.entries[at].number <= d.Head; at++ {
		e := &l.entries[at]
		if !t.current(e) || e.tombstone != nil && gone != nil && !gone(e.tombstone) {
			continue
		}
		var c Context
		if e.tombstone == nil {
			if c = t.contexts.context(e.index); keep != nil && !keep(&c) {
				continue
			}
		}
		if len(d.Contexts)+len(d.Tombstones) >= most {
			d.Through = e.number - 1
			break
		}
		if e.tombstone != nil {
			d.Tombstones = append(d.Tombstones, *e.tombstone)
		} else {
			d.Contexts = append(d.Contexts, c)
		}
	}
	return d
}

// ChangeHead is the greatest change number up to which all changes are visible.
func (t *Tree) ChangeHead() uint64 { return t.changes.head.Load() }

// Horizon is the least change number since which all removals are known: a reader that stopped before it compares everything.
func (t *Tree) Horizon() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.changes.horizon
}
