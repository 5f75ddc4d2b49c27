package tree

import (
	"math"
	"slices"
	"strings"

	"banyan/model"
)

// Lookup is the context at path.
func (t *Tree) Lookup(path model.Path) (Context, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i, there := t.contexts.byPath[path]
	if !there || t.contexts.records[i].schema == nil {
		return Context{}, false
	}
	return t.contexts.context(i), true
}

// ByID are the paths of the context with that ID: one, or several where it is mounted more than once.
func (t *Tree) ByID(id model.ContextID) []model.Path {
	t.mu.RLock()
	defer t.mu.RUnlock()
	c := &t.contexts
	o, known := c.origins.of[origin{id.Node, id.Epoch}]
	if !known {
		return nil
	}
	var paths []model.Path
	for _, i := range c.byID[idKey{o, id.Number}] {
		paths = append(paths, c.records[i].path)
	}
	return paths
}

// Count is how many contexts there are, and how many different ones: one that is mounted twice is one.
func (t *Tree) Count() (contexts, identities int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.contexts.count, len(t.contexts.byID)
}

// Schema is the schema with that hash, where some context has it.
func (t *Tree) Schema(hash model.SchemaHash) (*model.Schema, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s, there := t.contexts.schemas[hash]
	return s, there
}

// Child is one entry of a listing.
type Child struct {
	Context Context // its Schema is nil where the path is only a place on the way to contexts further down
	Path    model.Path
	Parent  bool // there is something below it
}

// Children lists what lies directly below path in the order of segments, after the segment after, at most most; more says that
// there are further ones.
func (t *Tree) Children(path model.Path, after string, most int) (children []Child, more bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	c := &t.contexts
	i, there := c.byPath[path]
	if !there {
		return nil, false
	}
	var found []Index
	for child := c.records[i].child; child != none; child = c.records[child].next {
		if c.records[child].path.Base() > after {
			found = append(found, child)
		}
	}
	slices.SortFunc(found, func(a, b Index) int { return strings.Compare(c.records[a].path.Base(), c.records[b].path.Base()) })
	if len(found) > most {
		found, more = found[:most], true
	}
	for _, child := range found {
		r := &c.records[child]
		entry := Child{Path: r.path, Parent: r.child != none}
		if r.schema != nil {
			entry.Context = c.context(child)
		}
		children = append(children, entry)
	}
	return children, more
}

// Walk calls visit for every context at and below path, parents before children, until it returns false. descend, where it is not nil,
// says whether to go below a path. The tree's structure stands still meanwhile: visit must be quick and must not call the tree.
func (t *Tree) Walk(path model.Path, descend func(model.Path) bool, visit func(*Context) bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if i, there := t.contexts.byPath[path]; there {
		t.walk(i, descend, visit)
	}
}

// Snapshot is every context at and below path as of one moment, and the change number of that moment.
func (t *Tree) Snapshot(path model.Path) (contexts []Context, head uint64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if i, there := t.contexts.byPath[path]; there {
		t.walk(i, nil, func(c *Context) bool {
			contexts = append(contexts, *c)
			return true
		})
	}
	return contexts, t.changes.visible()
}

func (t *Tree) walk(i Index, descend func(model.Path) bool, visit func(*Context) bool) bool {
	r := &t.contexts.records[i]
	if r.schema != nil {
		if c := t.contexts.context(i); !visit(&c) {
			return false
		}
	}
	if r.child == none || descend != nil && !descend(r.path) {
		return true
	}
	for child := r.child; child != none; child = t.contexts.records[child].next {
		if !t.walk(child, descend, visit) {
			return false
		}
	}
	return true
}

// Read answers what a setting or a variable is now, with staleness laid over it. It does not know of rights: a secret is
// never read here, its value being none.
func (t *Tree) Read(address model.Address) (model.Reading, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i, there := t.contexts.byPath[address.Path]
	if !there || t.contexts.records[i].schema == nil {
		return model.Reading{}, false
	}
	c := t.contexts.context(i)
	reading := model.Reading{Path: c.Path, Name: address.Name, Via: c.Route.Names()}
	version := uint64(math.MaxUint64) // a setting is as its owner told it, a restart of the owner takes nothing from it
	if at := c.Schema.SettingIndex(address.Name); at >= 0 {
		definition := &c.Schema.Settings[at]
		reading.Setting, reading.Unit, reading.Revision = true, definition.Unit, c.Version
		if !definition.Secret {
			reading.Sample.Value = c.Setting(at)
		}
	} else if at := c.Schema.VariableIndex(address.Name); at >= 0 {
		reading.Unit = c.Schema.Variables[at].Unit
		t.samples.Lock()
		reading.Sample, reading.Received = t.slots.sample(c.Slots.First + Slot(at))
		version = t.slots.version(c.Slots.First + Slot(at))
		t.samples.Unlock()
	} else {
		return model.Reading{}, false
	}
	t.lay(&reading, version)
	return reading, true
}

// lay puts the staleness that holds at the reading's path over it: it is then uncertain at best, since the overlay's time. What was
// restored and never published since is stale since it was kept. Tree.mu is held.
func (t *Tree) lay(reading *model.Reading, version uint64) {
	o, stale := t.staleness(reading.Path, version)
	since := o.Since
	if o.Before != 0 {
		since = max(since, reading.Received) // it was known to be true when it came
	}
	if !stale && version == 0 && !reading.Sample.Value.IsNone() {
		since, stale = reading.Received, true
	}
	if !stale {
		return
	}
	if reading.Sample.Quality.Level == model.Good {
		reading.Sample.Quality = model.QualityStale
	}
	reading.Since = since
}

// Freshness sums up what the variables of a context can be trusted for.
type Freshness struct {
	Quality model.Quality // the worst, without what a device does not have, or is not set to read
	Newest  model.Time    // source time of the newest sample
	Stale   model.Time    // since when something of it is stale, 0 when nothing is
}

// Freshness sums up the variables of the context at path; where there is no context, it tells whether what lies below is stale.
func (t *Tree) Freshness(path model.Path) (f Freshness, variables int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if o, stale := t.staleness(path, math.MaxUint64); stale {
		f.Stale = o.Since
	}
	i, there := t.contexts.byPath[path]
	if !there || t.contexts.records[i].schema == nil {
		return f, 0
	}
	run := t.contexts.records[i].slots
	t.samples.Lock()
	defer t.samples.Unlock()
	for slot := run.First; slot < run.First+Slot(run.Count); slot++ {
		reading := model.Reading{Path: path}
		reading.Sample, reading.Received = t.slots.sample(slot)
		t.lay(&reading, t.slots.version(slot))
		quality := reading.Sample.Quality
		nothing := quality.Level == model.Uncertain && quality.Reason == model.ReasonNotSet && reading.Sample.Value.IsNone()
		if nothing || quality.Reason == model.ReasonUnsupported {
			quality = model.QualityGood
		}
		if slot == run.First {
			f.Quality = quality
		}
		f.Quality, f.Newest = f.Quality.Worse(quality), max(f.Newest, reading.Sample.Source)
		if reading.Since != 0 && (f.Stale == 0 || reading.Since < f.Stale) {
			f.Stale = reading.Since
		}
	}
	return f, int(run.Count)
}

// Staleness is the overlay that holds for everything at and below path, where one does.
func (t *Tree) Staleness(path model.Path) (Overlay, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.staleness(path, math.MaxUint64)
}

// Names are the route's node names in its order.
func (r Route) Names() []string {
	if len(r) == 0 {
		return nil
	}
	names := make([]string, len(r))
	for i, hop := range r {
		names[i] = hop.Name
	}
	return names
}
