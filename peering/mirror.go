package peering

import (
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/tree"
)

// Place is how far a mirror has come in its provider's streams. Samples and Bindings count within Epoch.
type Place struct {
	View     uint64
	Epoch    model.Epoch
	Chain    model.Chain
	Changes  uint64
	Samples  uint64
	Bindings uint32
	Heard    model.Time // when the provider was last proved to be there
}

// Row is a mirrored context as it is kept.
type Row struct {
	ID       model.ContextID
	Path     model.Path // below the mount
	Label    string
	Schema   *model.Schema
	Settings []model.Value
	Version  model.Version
	Change   uint64 // provider's change number
	Local    uint64 // this node's change number
	Route    tree.Route
}

// Keeper keeps what is mirrored, behind and in batches; it is a cache, and losing it costs a comparison. It must not block.
type Keeper interface {
	// Keep takes contexts that went, then those that came or changed, and the place that they make true.
	Keep(gone []Gone, rows []Row, at Place)
}

// Gone is a context that is mirrored no longer.
type Gone struct {
	ID      model.ContextID
	Path    model.Path // below the mount
	Version model.Version
	Local   uint64 // this node's change number
}

// MirrorConfig says where a mirror hangs and whose it is.
type MirrorConfig struct {
	Tree     *tree.Tree
	Mount    model.Path
	Self     tree.Hop // this node
	Peer     tree.Hop // the provider
	Keeper   Keeper
	MostRows int // contexts that are taken; a provider that tells more is cut off. Default 5,000,000
}

// Mirror is a provider's export as it hangs in this node's tree. It outlives the sessions with the provider. It is for one goroutine at a time.
type Mirror struct {
	cfg       MirrorConfig
	place     Place
	contexts  map[model.ContextID]*mirrored
	schemas   map[model.SchemaHash]*model.Schema
	slots     []tree.Slot                // by key; noSlot where there is none
	bound     map[model.ContextID]uint32 // keys told before their context's definition
	comparing uint64                     // view whose comparison is under way, 0 for none
	loop      string                     // route of the last context that was refused since it passes through here
	batch     tree.Batch
	columns   proto.Samples
	stale     staleness
}

type mirrored struct {
	path    model.Path // below the mount
	version model.Version
	change  uint64
	schema  *model.Schema
	slots   tree.SlotRun
	key     uint32
}

const noSlot = tree.Slot(1<<32 - 1)

// NewMirror makes a mirror from what was kept: rows whose contexts are in the tree already, and the place they make true.
func NewMirror(cfg MirrorConfig, rows []Row, at Place) *Mirror {
	if cfg.MostRows == 0 {
		cfg.MostRows = 5_000_000
	}
	m := &Mirror{
		cfg: cfg, place: at, contexts: make(map[model.ContextID]*mirrored, len(rows)),
		schemas: make(map[model.SchemaHash]*model.Schema), bound: make(map[model.ContextID]uint32),
	}
	m.place.Bindings, m.place.Samples = 0, 0 // keys and values are not kept together with the rows: the provider tells all that it has published
	for i := range rows {
		r := &rows[i]
		path, err := cfg.Mount.Join(r.Path)
		if err != nil {
			continue
		}
		c, there := cfg.Tree.Lookup(path)
		if !there || c.ID != r.ID {
			continue
		}
		m.schemas[r.Schema.Hash] = r.Schema
		m.contexts[r.ID] = &mirrored{path: r.Path, version: r.Version, change: r.Change, schema: r.Schema, slots: c.Slots}
	}
	m.stale = staleness{tree: cfg.Tree, mount: cfg.Mount}
	since := at.Heard
	m.stale.cut(since, m.hop())
	return m
}

func (m *Mirror) hop() string { return m.cfg.Self.Name + " > " + m.cfg.Peer.Name }

// Place is how far the mirror has come.
func (m *Mirror) Place() Place { return m.place }

// Count is how many contexts are mirrored.
func (m *Mirror) Count() int { return len(m.contexts) }

// Loop is the route by which something that this node exports came back to it, empty where nothing did.
func (m *Mirror) Loop() string { return m.loop }

// Runs are the slots of all mirrored contexts, for a checkpoint.
func (m *Mirror) Runs() []tree.SlotRun {
	runs := make([]tree.SlotRun, 0, len(m.contexts))
	for _, c := range m.contexts {
		runs = append(runs, c.slots)
	}
	return runs
}

// Purge takes everything that is mirrored out of the tree and forgets it.
func (m *Mirror) Purge() {
	r := &reading{}
	for id, c := range m.contexts {
		m.forget(r, id, c.path.String())
	}
	m.remove(r)
	m.contexts = make(map[model.ContextID]*mirrored)
	m.slots, m.bound, m.place = nil, make(map[model.ContextID]uint32), Place{}
	m.stale.clear()
	m.cfg.Keeper.Keep(r.gone, nil, m.place)
}

// learn takes a schema.
func (m *Mirror) learn(body *linkv1.SchemaBody) error {
	s, err := proto.ToSchema(body.GetBody())
	if err != nil {
		return err
	}
	if string(s.Hash[:]) != string(body.GetHash()) {
		return model.Errorf(model.KindCorrupt, "received a schema whose hash is another")
	}
	m.schemas[s.Hash] = s
	return nil
}

// apply takes a delta into the tree.
func (m *Mirror) apply(delta *linkv1.Delta) error {
	r, err := m.readDelta(delta)
	if err != nil {
		return err
	}
	m.remove(r)
	m.cfg.Tree.Apply(r.puts, nil)
	for i := range r.puts {
		put := &r.puts[i]
		c := m.contexts[put.ID]
		if c.slots != put.Slots {
			m.unbind(c)
			c.slots = put.Slots
		}
		r.rows[i].Local = put.Number
		if key, waiting := m.bound[put.ID]; waiting {
			m.bindTo(put.ID, key)
		}
	}
	if delta.GetThrough() > m.place.Changes {
		m.place.Changes = delta.GetThrough()
	}
	if m.comparing != 0 && delta.GetThrough() >= delta.GetHead() {
		m.place.View, m.comparing = m.comparing, 0
	}
	m.stale.applied(m.place.Changes, m.place.Samples)
	m.cfg.Keeper.Keep(r.gone, r.rows, m.place)
	return nil
}

// remove takes out of the tree what goes.
func (m *Mirror) remove(r *reading) {
	m.cfg.Tree.Apply(nil, r.removals)
	for i := range r.removals {
		r.gone[i].Local = r.removals[i].Number
	}
}

// reading is a delta on its way into the tree: rows and puts belong together by index, and so do removals and gone.
type reading struct {
	puts     []tree.Put
	rows     []Row
	removals []tree.Removal
	gone     []Gone
}

func (m *Mirror) readDelta(delta *linkv1.Delta) (*reading, error) {
	origins, err := readOrigins(delta.GetOrigins())
	if err != nil {
		return nil, err
	}
	routes := make([]tree.Route, len(delta.GetRoutes()))
	for i, wire := range delta.GetRoutes() {
		route, err := readRoute(wire)
		if err != nil {
			return nil, err
		}
		routes[i] = append(tree.Route{m.cfg.Peer}, route...)
	}
	r := &reading{}
	for _, wire := range delta.GetRemovals() {
		id, err := origins.id(wire.GetOrigin(), wire.GetNumber())
		if err != nil {
			return nil, err
		}
		m.forget(r, id, wire.GetPath())
	}
	for _, wire := range delta.GetDefinitions() {
		row, err := m.readDefinition(delta, wire, origins, routes)
		if err != nil {
			return nil, err
		}
		if row != nil {
			if err := m.take(r, row); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

func (m *Mirror) readDefinition(delta *linkv1.Delta, wire *linkv1.Definition, origins originTable, routes []tree.Route) (*Row, error) {
	id, err := origins.id(wire.GetOrigin(), wire.GetNumber())
	if err != nil {
		return nil, err
	}
	version, err := origins.version(wire.GetVersionEpoch(), wire.GetVersion())
	if err != nil {
		return nil, err
	}
	path, err := model.ParsePath(wire.GetPath())
	if err != nil {
		return nil, err
	}
	if int(wire.GetSchema()) >= len(delta.GetSchemas()) || int(wire.GetRoute()) >= len(routes) {
		return nil, model.Errorf(model.KindCorrupt, "received the index of a schema or a route that was not told")
	}
	var hash model.SchemaHash
	copy(hash[:], delta.GetSchemas()[wire.GetSchema()])
	schema := m.schemas[hash]
	if schema == nil {
		return nil, model.Errorf(model.KindCorrupt, "received a context whose schema was not told")
	}
	if m.refuseLoop(routes[wire.GetRoute()]) {
		return nil, nil
	}
	row := &Row{
		ID: id, Path: path, Label: wire.GetLabel(), Schema: schema, Version: version, Change: wire.GetChange(), Route: routes[wire.GetRoute()],
	}
	return row, m.readSettings(row, wire.GetSettings())
}

func (m *Mirror) readSettings(row *Row, settings []*linkv1.SettingValue) error {
	for _, s := range settings {
		if int(s.GetIndex()) >= len(row.Schema.Settings) {
			return model.Errorf(model.KindCorrupt, "received a setting that its schema does not have")
		}
		value, err := proto.ToValue(s.GetValue())
		if err != nil {
			return err
		}
		if value.Type() != row.Schema.Settings[s.GetIndex()].Type {
			return model.Errorf(model.KindCorrupt, "received a setting whose value is of another type")
		}
		if row.Settings == nil {
			row.Settings = make([]model.Value, len(row.Schema.Settings))
		}
		row.Settings[s.GetIndex()] = m.local(value)
	}
	return nil
}

// refuseLoop reports whether a context has been here before, or has come too far.
func (m *Mirror) refuseLoop(route tree.Route) bool {
	for i, hop := range route {
		if hop.Node == m.cfg.Self.Node {
			names := m.cfg.Self.Name
			for _, h := range route[:i] {
				names += " > " + h.Name
			}
			m.loop = names + " > " + m.cfg.Self.Name
			return true
		}
	}
	return len(route) > maxHops
}

// take prepares a context to be put into the tree.
func (m *Mirror) take(r *reading, row *Row) error {
	c := m.contexts[row.ID]
	if c != nil && row.Change < c.change {
		return nil // overtaken
	}
	path, err := m.cfg.Mount.Join(row.Path)
	if err != nil {
		return err
	}
	if c != nil && c.path != row.Path {
		m.forget(r, row.ID, c.path.String())
		c = nil
	}
	if c == nil {
		if len(m.contexts) >= m.cfg.MostRows {
			return model.Errorf(model.KindExhausted, "the provider tells more than %d contexts", m.cfg.MostRows)
		}
		c = &mirrored{}
		m.contexts[row.ID] = c
	}
	c.path, c.version, c.change, c.schema = row.Path, row.Version, row.Change, row.Schema
	r.puts = append(r.puts, tree.Put{
		ID: row.ID, Path: path, Label: row.Label, Schema: row.Schema, Settings: row.Settings, Version: row.Version, Route: row.Route,
	})
	r.rows = append(r.rows, *row)
	return nil
}

// forget prepares a context to be taken out of the tree, where it is at that path.
func (m *Mirror) forget(r *reading, id model.ContextID, pathText string) {
	c := m.contexts[id]
	if c == nil || c.path.String() != pathText {
		return
	}
	if path, err := m.cfg.Mount.Join(c.path); err == nil {
		r.removals = append(r.removals, tree.Removal{Path: path, Version: c.version})
		r.gone = append(r.gone, Gone{ID: id, Path: c.path, Version: c.version})
	}
	m.unbind(c)
	delete(m.contexts, id)
}

// bind takes handles.
func (m *Mirror) bind(b *linkv1.Bindings) error {
	origins, err := readOrigins(b.GetOrigins())
	if err != nil {
		return err
	}
	if b.GetFirst() != m.place.Bindings || len(b.GetOrigin()) != len(b.GetKey()) || len(b.GetNumberSteps()) != len(b.GetKey()) {
		return model.Errorf(model.KindCorrupt, "received bindings that do not follow the ones before")
	}
	last := uint64(0)
	for i, key := range b.GetKey() {
		last += uint64(b.GetNumberSteps()[i]) + 1
		id, err := origins.id(b.GetOrigin()[i], last)
		if err != nil {
			return err
		}
		if key > 0 {
			m.bindTo(id, key)
		}
	}
	m.place.Bindings += uint32(len(b.GetKey()))
	return nil
}

// maxKeys bounds the table of keys: 5 million contexts with ten variables, and what was given up.
const maxKeys = 100_000_000

func (m *Mirror) bindTo(id model.ContextID, key uint32) {
	c := m.contexts[id]
	if c == nil {
		if len(m.bound) < m.cfg.MostRows {
			m.bound[id] = key
		}
		return
	}
	delete(m.bound, id)
	end := uint64(key) + uint64(c.slots.Count)
	if end > maxKeys {
		return
	}
	m.unbind(c)
	for uint64(len(m.slots)) < end {
		m.slots = append(m.slots, noSlot)
	}
	for i := range c.slots.Count {
		m.slots[key+i] = c.slots.First + tree.Slot(i)
	}
	c.key = key
}

// unbind takes a context's key away, so that a sample that is still on its way reaches nothing.
func (m *Mirror) unbind(c *mirrored) {
	if c.key == 0 {
		return
	}
	for i := range c.slots.Count {
		m.slots[c.key+i] = noSlot
	}
	c.key = 0
}

// publish takes a batch of samples into the tree.
func (m *Mirror) publish(encoded []byte, through uint64) error {
	if err := m.columns.Decode(encoded); err != nil {
		return err
	}
	m.batch.Reset()
	boxed := m.columns.Boxed
	for i, key := range m.columns.Keys {
		var value model.Value
		if len(boxed) > 0 && boxed[0].Index == i {
			value, boxed = m.local(boxed[0].Value), boxed[1:]
		}
		if int(key) >= len(m.slots) || m.slots[key] == noSlot {
			continue
		}
		m.batch.Slots = append(m.batch.Slots, m.slots[key])
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
	m.place.Samples = max(m.place.Samples, through)
	m.stale.applied(m.place.Changes, m.place.Samples)
	return nil
}

// local translates a reference from below the export's root to below the mount.
func (m *Mirror) local(value model.Value) model.Value {
	switch value.Type() {
	case model.TypeRef:
		to, inside := value.Ref()
		path, err := m.cfg.Mount.Join(to.Path)
		if !inside || err != nil {
			return model.RefOutside()
		}
		return model.Ref(model.Address{Path: path, Name: to.Name})
	case model.TypeTable:
		table := value.Table()
		copied := &model.Table{Columns: table.Columns}
		for _, row := range table.Rows {
			cells := make([]model.Value, len(row))
			for i, cell := range row {
				cells[i] = m.local(cell)
			}
			copied.Rows = append(copied.Rows, cells)
		}
		return model.TableValue(copied)
	default:
		return value
	}
}
