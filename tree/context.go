package tree

import (
	"slices"

	"banyan/model"
)

// Index names a context within one process. It may be given again once the context was removed.
type Index uint32

// none is the index of no context. The root has index 1.
const (
	none Index = 0
	root Index = 1
)

// Context is what the tree knows of one context at one moment. Settings and Schema are shared and must not be changed.
type Context struct {
	Index    Index
	ID       model.ContextID
	Path     model.Path
	Label    string
	Schema   *model.Schema
	Settings []model.Value // by index in the schema; shorter, or no value, where the default holds
	Version  model.Version // position of the last change at its owner
	Change   uint64        // this node's number of the last change
	Slots    SlotRun       // of the variables, in the schema's order
	Route    Route         // empty for an own context
	Extra    string        // what a later version told of it beside all this, as it came on the wire: nobody here reads it, whoever is told of the context gets it
}

// Setting is the value of the setting at index i of the schema, its default where it was not set.
func (c *Context) Setting(i int) model.Value {
	if i < len(c.Settings) && !c.Settings[i].IsNone() {
		return c.Settings[i]
	}
	return c.Schema.Settings[i].Default
}

// SettingNamed is the value of the setting called name, no value where there is none.
func (c *Context) SettingNamed(name string) model.Value {
	if i := c.Schema.SettingIndex(name); i >= 0 {
		return c.Setting(i)
	}
	return model.Value{}
}

// Hop is one node on the way from here to a context's owner.
type Hop struct {
	Node model.NodeID
	Name string
}

// Route is the nodes between here and the owner, the nearest first, the owner last.
type Route []Hop

// record is a context in memory. A record without a schema is only a place on the way to a context below it.
type record struct {
	origin   uint32 // index in contextTable.origins
	number   uint64
	path     model.Path
	label    string
	extra    string
	schema   *model.Schema
	settings []model.Value
	epoch    uint32 // index in contextTable.epochs: of the version
	version  uint64
	change   uint64
	slots    SlotRun
	route    uint32 // index in contextTable.routes
	parent   Index
	child    Index // first child
	next     Index // next sibling
	previous Index
}

type origin struct {
	node  model.NodeID
	epoch model.Epoch
}

type idKey struct {
	origin uint32
	number uint64
}

// contextTable holds the records and the ways to find them. It is guarded by Tree.mu.
type contextTable struct {
	records []record
	free    []Index
	count   int // of records that are contexts
	byPath  map[model.Path]Index
	byID    map[idKey][]Index // one context can be mounted at several paths

	origins   interned[origin]
	epochs    interned[model.Epoch]
	routes    []Route
	routeOf   map[string]uint32
	routeUse  []int
	freeRoute []uint32
	schemas   map[model.SchemaHash]*model.Schema
	schemaUse map[model.SchemaHash]int
}

func newContextTable() contextTable {
	return contextTable{
		records:   make([]record, 2),
		byPath:    map[model.Path]Index{model.Root: root},
		byID:      make(map[idKey][]Index),
		origins:   newInterned[origin](),
		epochs:    newInterned[model.Epoch](),
		routes:    []Route{nil},
		routeOf:   map[string]uint32{"": 0},
		routeUse:  []int{0},
		schemas:   make(map[model.SchemaHash]*model.Schema),
		schemaUse: make(map[model.SchemaHash]int),
	}
}

// internRoute gives a route an index, and counts that it is used once more.
func (c *contextTable) internRoute(r Route) uint32 {
	text := r.text()
	i, known := c.routeOf[text]
	if !known {
		if n := len(c.freeRoute); n > 0 {
			i, c.freeRoute = c.freeRoute[n-1], c.freeRoute[:n-1]
		} else {
			i = uint32(len(c.routes))
			c.routes, c.routeUse = append(c.routes, nil), append(c.routeUse, 0)
		}
		c.routes[i] = slices.Clone(r)
		c.routeOf[text] = i
	}
	c.routeUse[i]++
	return i
}

func (c *contextTable) releaseRoute(i uint32) {
	if i == 0 {
		return // that of own contexts
	}
	if c.routeUse[i]--; c.routeUse[i] == 0 {
		delete(c.routeOf, c.routes[i].text())
		c.routes[i] = nil
		c.freeRoute = append(c.freeRoute, i)
	}
}

func (r Route) text() string {
	var text []byte
	for _, hop := range r {
		text = append(append(append(text, hop.Node[:]...), hop.Name...), 0)
	}
	return string(text)
}

func (c *contextTable) internSchema(s *model.Schema) *model.Schema {
	if known := c.schemas[s.Hash]; known != nil {
		s = known
	} else {
		c.schemas[s.Hash] = s
	}
	c.schemaUse[s.Hash]++
	return s
}

func (c *contextTable) releaseSchema(s *model.Schema) {
	if c.schemaUse[s.Hash]--; c.schemaUse[s.Hash] == 0 {
		delete(c.schemas, s.Hash)
		delete(c.schemaUse, s.Hash)
	}
}

// place is the record at path, made together with the places above it where it is missing.
func (c *contextTable) place(path model.Path) Index {
	if i, there := c.byPath[path]; there {
		return i
	}
	parent := c.place(path.Parent())
	var i Index
	if n := len(c.free); n > 0 {
		i, c.free = c.free[n-1], c.free[:n-1]
	} else {
		c.records = append(c.records, record{})
		i = Index(len(c.records) - 1)
	}
	first := c.records[parent].child
	c.records[i] = record{path: path, parent: parent, next: first}
	if first != none {
		c.records[first].previous = i
	}
	c.records[parent].child = i
	c.byPath[path] = i
	return i
}

// prune takes away a place that is no context and has none below it, and the places above it for which the same holds.
func (c *contextTable) prune(i Index) {
	for i != root {
		r := &c.records[i]
		if r.schema != nil || r.child != none {
			return
		}
		parent := r.parent
		if r.previous != none {
			c.records[r.previous].next = r.next
		} else {
			c.records[parent].child = r.next
		}
		if r.next != none {
			c.records[r.next].previous = r.previous
		}
		delete(c.byPath, r.path)
		c.records[i] = record{}
		c.free = append(c.free, i)
		i = parent
	}
}

func (c *contextTable) id(r *record) model.ContextID {
	if r.schema == nil {
		return model.ContextID{}
	}
	o := c.origins.values[r.origin]
	return model.ContextID{Node: o.node, Epoch: o.epoch, Number: r.number}
}

// context is the public form of a record that is a context.
func (c *contextTable) context(i Index) Context {
	r := &c.records[i]
	return Context{
		Index: i, ID: c.id(r), Path: r.path, Label: r.label, Extra: r.extra, Schema: r.schema, Settings: r.settings,
		Version: model.Version{Epoch: c.epochs.values[r.epoch], Number: r.version}, Change: r.change, Slots: r.slots, Route: c.routes[r.route],
	}
}
