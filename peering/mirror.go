package peering

import (
	"container/heap"
	"slices"

	"banyan/follow"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/tree"
)

// Place is how far a mirror has come in its provider's streams. Samples and Bindings count within Epoch. While a comparison is under way, and in the
// middle of a stretch of changes, Chain is empty: nothing is sure then.
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
	cfg         MirrorConfig
	place       Place
	applied     uint64 // every change up to this number was told by this session or is known to be here from before
	settled     uint64 // up to this change number the latest samples are here as well: a session that follows goes on from here
	exact       bool   // the mirror was up to date once since Samples began to count, so that Samples says all that it has
	newest      uint64 // greatest change number that something here was told with
	contexts    map[model.ContextID]*mirrored
	count       int
	schemas     map[model.SchemaHash]*model.Schema
	schemaBytes int
	keys        keyTable
	waiting     waitingBindings
	comparison  *comparison // under way
	loop        string      // route of the last context that was refused since it passes through here
	batch       tree.Batch
	columns     proto.Samples
	stale       staleness
}

// comparison is one that is under way, or was cut.
type comparison struct {
	chain model.Chain
	ended bool   // everything was told
	at    uint64 // with this change number
}

type mirrored struct {
	path    model.Path // below the mount
	version model.Version
	schema  *model.Schema
	slots   tree.SlotRun
	key     uint32
	defined uint64    // change number of the definition that keys are for, 0 where an earlier session told it
	content uint64    // follow.Content of it as it was told
	next    *mirrored // same context at another path
}

// NewMirror makes a mirror from what was kept: rows whose contexts are in the tree already, and the place they make true.
func NewMirror(cfg MirrorConfig, rows []Row, at Place) *Mirror {
	if cfg.MostRows == 0 {
		cfg.MostRows = 5_000_000
	}
	m := &Mirror{
		cfg: cfg, place: at, applied: at.Changes, settled: at.Changes, newest: at.Changes, contexts: make(map[model.ContextID]*mirrored, len(rows)),
		schemas: make(map[model.SchemaHash]*model.Schema),
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
		if _, known := m.schemas[r.Schema.Hash]; !known {
			m.schemas[r.Schema.Hash] = r.Schema
			m.schemaBytes += len(r.Schema.Raw)
		}
		m.newest = max(m.newest, r.Change)
		m.add(r.ID, &mirrored{path: r.Path, version: r.Version, schema: r.Schema, slots: c.Slots, content: m.content(r)})
	}
	m.stale = staleness{tree: cfg.Tree, mount: cfg.Mount}
	since := at.Heard
	m.stale.cut(since, m.hop())
	return m
}

// find is the context at a path below the mount, nil where there is none with that ID.
func (m *Mirror) find(id model.ContextID, path model.Path) *mirrored {
	for c := m.contexts[id]; c != nil; c = c.next {
		if c.path == path {
			return c
		}
	}
	return nil
}

func (m *Mirror) add(id model.ContextID, c *mirrored) {
	c.next = m.contexts[id]
	m.contexts[id] = c
	m.count++
}

func (m *Mirror) drop(id model.ContextID, c *mirrored) {
	m.unbind(c)
	m.count--
	first := m.contexts[id]
	if first == c && c.next == nil {
		delete(m.contexts, id)
		return
	}
	if first == c {
		m.contexts[id] = c.next
		return
	}
	for first.next != c {
		first = first.next
	}
	first.next = c.next
}

// all calls visit for every context.
func (m *Mirror) all(visit func(model.ContextID, *mirrored)) {
	for id, c := range m.contexts {
		for ; c != nil; c = c.next {
			visit(id, c)
		}
	}
}

func (m *Mirror) hop() string { return m.cfg.Self.Name + " > " + m.cfg.Peer.Name }

// Place is how far the mirror has come.
func (m *Mirror) Place() Place { return m.place }

// Count is how many contexts are mirrored.
func (m *Mirror) Count() int { return m.count }

// Loop is the route by which something that this node exports came back to it, empty where nothing did.
func (m *Mirror) Loop() string { return m.loop }

// Runs are the slots of all mirrored contexts, for a checkpoint.
func (m *Mirror) Runs() []tree.SlotRun {
	runs := make([]tree.SlotRun, 0, m.count)
	m.all(func(_ model.ContextID, c *mirrored) { runs = append(runs, c.slots) })
	return runs
}

// Purge takes everything that is mirrored out of the tree and forgets it.
func (m *Mirror) Purge() {
	r := &reading{}
	m.all(func(id model.ContextID, c *mirrored) { m.goes(r, id, c) })
	m.remove(r)
	m.contexts, m.count = make(map[model.ContextID]*mirrored), 0
	m.keys, m.waiting, m.place, m.comparison = keyTable{}, nil, Place{}, nil
	m.applied, m.settled, m.newest = 0, 0, 0
	m.stale.clear()
	m.cfg.Keeper.Keep(r.gone, nil, m.place)
}

// Bounds of the schemas that are remembered: beyond them those that no context has are forgotten.
const (
	mostSchemas     = 65_536
	mostSchemaBytes = 256 << 20
)

// learn takes a schema.
func (m *Mirror) learn(body *linkv1.SchemaBody) error {
	s, err := proto.ToSchema(body.GetBody())
	if err != nil {
		return err
	}
	if string(s.Hash[:]) != string(body.GetHash()) {
		return model.Errorf(model.KindCorrupt, "received a schema whose hash is another")
	}
	if _, known := m.schemas[s.Hash]; known {
		return nil
	}
	if len(m.schemas) >= mostSchemas || m.schemaBytes+len(s.Raw) > mostSchemaBytes {
		m.forgetSchemas()
	}
	if len(m.schemas) >= mostSchemas || m.schemaBytes+len(s.Raw) > mostSchemaBytes {
		return model.Errorf(model.KindExhausted, "the provider tells more than %d schemas or %d bytes of them", mostSchemas, mostSchemaBytes)
	}
	m.schemas[s.Hash] = s
	m.schemaBytes += len(s.Raw)
	return nil
}

// forgetSchemas forgets the schemas that no context has. A provider that tells one of them later without its body ends the session, and tells the body
// in the next one.
func (m *Mirror) forgetSchemas() {
	m.schemas, m.schemaBytes = make(map[model.SchemaHash]*model.Schema), 0
	m.all(func(_ model.ContextID, c *mirrored) {
		if _, known := m.schemas[c.schema.Hash]; !known {
			m.schemas[c.schema.Hash] = c.schema
			m.schemaBytes += len(c.schema.Raw)
		}
	})
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
		c := m.find(put.ID, r.rows[i].Path)
		if c.slots != put.Slots {
			m.unbind(c)
			c.slots = put.Slots
		}
		r.rows[i].Local = put.Number
	}
	m.applied = max(m.applied, delta.GetThrough())
	m.newest = max(m.newest, m.applied)
	m.place.Changes = max(m.place.Changes, m.applied)
	if m.comparison != nil && delta.GetThrough() >= delta.GetHead() {
		m.comparison.ended, m.comparison.at = true, max(m.comparison.at, delta.GetThrough())
	}
	m.bindWaiting()
	m.finishComparison()
	m.progress()
	at := m.place
	if delta.GetThrough() == 0 {
		at.Chain = nil // in the middle of a stretch no place is true: who begins from here compares
	}
	m.cfg.Keeper.Keep(r.gone, r.rows, at)
	return nil
}

// progress says how far the mirror has come.
func (m *Mirror) progress() {
	m.stale.applied(m.settled, m.place.Samples)
	m.exact = m.exact || m.stale.link == nil
}

// settle takes the provider's word that the latest samples of everything up to a change number were told.
func (m *Mirror) settle(changes uint64) {
	if changes = min(changes, m.applied); changes <= m.settled {
		return
	}
	m.settled = changes
	if m.finishComparison() {
		m.cfg.Keeper.Keep(nil, nil, m.place)
	}
	m.progress()
}

// compare begins a comparison, or begins again with one that was cut.
func (m *Mirror) compare(view uint64, chain model.Chain) (known []knownContext) {
	known = make([]knownContext, 0, m.count)
	m.all(func(id model.ContextID, c *mirrored) { known = append(known, knownContext{id, c}) })
	m.comparison = &comparison{chain: chain}
	m.place.View = view // handles are given within it; without a chain it is compared again
	m.applied, m.settled, m.newest, m.place.Changes, m.place.Chain = 0, 0, 0, 0, nil
	return known
}

// finishComparison ends a comparison of which everything has arrived, and reports whether it did.
func (m *Mirror) finishComparison() bool {
	c := m.comparison
	if c == nil || !c.ended || m.settled < c.at {
		return false
	}
	m.place.Chain, m.comparison = c.chain, nil
	return true
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
	// Everything is read before anything is taken: of a delta that is refused nothing stays.
	gone := make(map[*mirrored]model.ContextID)
	for _, wire := range delta.GetRemovals() {
		id, err := origins.id(wire.GetOrigin(), wire.GetNumber())
		if err != nil {
			return nil, err
		}
		path, err := model.ParsePath(wire.GetPath())
		if err != nil {
			return nil, err
		}
		if c := m.find(id, path); c != nil {
			gone[c] = id
		}
	}
	rows := make([]*Row, len(delta.GetDefinitions()))
	count := m.count - len(gone)
	told := make(map[model.Path]bool, len(rows))
	for i, wire := range delta.GetDefinitions() {
		if rows[i], err = m.readDefinition(delta, wire, origins, routes); err != nil {
			return nil, err
		}
		if rows[i] == nil {
			continue
		}
		if told[rows[i].Path] {
			return nil, model.Errorf(model.KindCorrupt, "received two contexts for one path")
		}
		told[rows[i].Path] = true
		if m.find(rows[i].ID, rows[i].Path) == nil {
			count++
		}
	}
	if count > m.cfg.MostRows {
		return nil, model.Errorf(model.KindExhausted, "the provider tells more than %d contexts", m.cfg.MostRows)
	}
	r := &reading{}
	for _, wire := range delta.GetRemovals() {
		m.newest = max(m.newest, wire.GetChange())
	}
	for c, id := range gone {
		m.forget(r, id, c)
	}
	for i, wire := range delta.GetDefinitions() {
		if rows[i] != nil {
			m.take(r, rows[i], wire.GetDefined())
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
	if _, err := m.cfg.Mount.Join(path); err != nil {
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
		ID: id, Path: path, Label: cleanText(wire.GetLabel()), Schema: schema, Version: version, Change: wire.GetChange(), Route: routes[wire.GetRoute()],
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
func (m *Mirror) take(r *reading, row *Row, defined uint64) {
	path, err := m.cfg.Mount.Join(row.Path)
	if err != nil {
		return // readDefinition has refused it
	}
	c := m.find(row.ID, row.Path)
	if c == nil {
		if at, there := m.cfg.Tree.Lookup(path); there {
			other := m.find(at.ID, row.Path)
			if other == nil && !r.removes(path) {
				return // this path is not the provider's
			}
			if other != nil {
				m.forget(r, at.ID, other)
			}
		}
	}
	if c != nil && c.schema.Kind != row.Schema.Kind {
		m.forget(r, row.ID, c) // whom this node tells of the one kind may not be told of the other
		c = nil
	}
	if c == nil {
		c = &mirrored{}
		m.add(row.ID, c)
	}
	m.newest = max(m.newest, row.Change)
	c.path, c.version, c.schema, c.defined, c.content = row.Path, row.Version, row.Schema, defined, m.content(row)
	r.puts = append(r.puts, tree.Put{
		ID: row.ID, Path: path, Label: row.Label, Schema: row.Schema, Settings: row.Settings, Version: row.Version, Route: row.Route,
	})
	r.rows = append(r.rows, *row)
}

// removes reports whether what is in the tree at path goes first.
func (r *reading) removes(path model.Path) bool {
	return slices.ContainsFunc(r.removals, func(m tree.Removal) bool { return m.Path == path })
}

// forget prepares a context to be taken out of the tree, and forgets it.
func (m *Mirror) forget(r *reading, id model.ContextID, c *mirrored) {
	m.goes(r, id, c)
	m.drop(id, c)
}

func (m *Mirror) goes(r *reading, id model.ContextID, c *mirrored) {
	if path, err := m.cfg.Mount.Join(c.path); err == nil {
		r.removals = append(r.removals, tree.Removal{Path: path, Version: c.version})
		r.gone = append(r.gone, Gone{ID: id, Path: c.path, Version: c.version})
	}
}

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
	if len(m.waiting)+count > m.cfg.MostRows+count/2+1<<16 {
		return model.Errorf(model.KindExhausted, "the provider gives more handles than it may tell contexts")
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
	m.bindWaiting()
	return nil
}

// bindWaiting gives the keys whose definitions have arrived. Before a comparison has told everything nobody knows which have.
func (m *Mirror) bindWaiting() {
	if m.comparison != nil && !m.comparison.ended {
		return
	}
	for len(m.waiting) > 0 && m.waiting[0].defined <= m.applied {
		told := heap.Pop(&m.waiting).(binding)
		c := m.contexts[told.id]
		if told.several {
			c = m.find(told.id, told.path)
		}
		if c != nil && told.defined >= c.defined {
			m.unbind(c)
			m.keys.set(told.key, c.slots)
			c.key = told.key
		}
	}
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
	m.place.Samples = max(m.place.Samples, through)
	m.progress()
	return nil
}

// content is what a row's definition was told as.
func (m *Mirror) content(row *Row) uint64 {
	var settings []follow.Setting
	for i, value := range row.Settings {
		if !value.IsNone() {
			settings = append(settings, follow.Setting{Index: i, Value: m.relative(value)})
		}
	}
	return follow.Content(row.Label, row.Schema.Hash, settings, row.Route[min(1, len(row.Route)):])
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
