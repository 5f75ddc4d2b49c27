package peering

import (
	"banyan/fault"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/tree"
	"slices"
)

// Bounds of the schemas that are remembered: beyond them, and beyond a quarter of what the mirror may take, those that no context has are forgotten. So many are
// told at most until the provider begins anew.
const (
	mostSchemas = 65_536
	schemaShare = 4
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
	if m.learned == nil {
		m.learned = make(map[model.SchemaHash]bool)
	}
	if m.learned[s.Hash] = true; len(m.learned) > mostSchemas {
		return model.Errorf(model.KindExhausted, "the provider tells more than %d schemas", mostSchemas)
	}
	if _, known := m.schemas[s.Hash]; known {
		return nil
	}
	cost := func() int64 { return schemaCost*int64(m.schemaBytes+len(s.Raw)) + schemaLeast*int64(len(m.schemas)+1) }
	if len(m.schemas) >= mostSchemas || cost() > m.mostHeld()/schemaShare {
		m.forgetSchemas()
	}
	if len(m.schemas) >= mostSchemas {
		return model.Errorf(model.KindExhausted, "the provider tells more than %d schemas", mostSchemas)
	}
	if err := m.room(schemaCost*int64(len(s.Raw)) + schemaLeast); err != nil {
		return err
	}
	m.schemas[s.Hash] = s
	m.schemaBytes += len(s.Raw)
	return nil
}

// withdraw lets nothing stay of what went with a delta, or with a comparison. Schemas that were told stay while the provider counts on them.
func (m *Mirror) withdraw() {
	for hash, s := range m.schemas {
		if !m.learned[hash] {
			delete(m.schemas, hash)
			m.schemaBytes -= len(s.Raw)
		}
	}
	m.all(func(_ model.ContextID, c *mirrored) {
		if _, known := m.schemas[c.schema.Hash]; !known {
			m.schemas[c.schema.Hash] = c.schema
			m.schemaBytes += len(c.schema.Raw)
		}
	})
	m.columns, m.batch = proto.Samples{}, tree.Batch{}
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
			m.shed(c.slots)
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
	tooFar := m.bindWaiting()
	if delta.GetAnew() {
		m.learned = nil
	}
	if m.finishComparison() || delta.GetAnew() {
		m.withdraw()
	}
	m.progress()
	at := m.place
	if delta.GetThrough() == 0 {
		at.Chain = nil // in the middle of a stretch no place is true: who begins from here compares
	}
	m.cfg.Keeper.Keep(r.gone, r.rows, at)
	return tooFar
}

// progress says how far the mirror has come.
func (m *Mirror) progress() {
	m.stale.applied(m.settled, m.place.Samples)
	m.exact = m.exact || m.stale.link == nil && !m.paced
}

// settle takes the provider's word that the latest samples of everything up to a change number were told.
func (m *Mirror) settle(changes uint64) {
	if changes = min(changes, m.applied); changes <= m.settled {
		return
	}
	m.settled = changes
	if m.finishComparison() {
		m.withdraw()
		m.cfg.Keeper.Keep(nil, nil, m.place)
	}
	m.progress()
}

// compare begins a comparison, or begins again with one that was cut.
func (m *Mirror) compare(view uint64, chain model.Chain, same bool) (known []knownContext) {
	known = make([]knownContext, 0, m.count)
	m.all(func(id model.ContextID, c *mirrored) { known = append(known, knownContext{id, c}) })
	m.comparison = &comparison{chain: chain, same: same}
	m.stale.compared()
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

// refusedContext is a context that is not permitted.
type refusedContext struct {
	id   model.ContextID
	path model.Path
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
	type going struct {
		id        model.ContextID
		withdrawn bool
	}
	gone := make(map[*mirrored]going)
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
			gone[c] = going{id, wire.GetWithdrawn() || wire.GetChange() == 0} // a comparison does not know why it is not there
		}
	}
	rows := make([]*Row, len(delta.GetDefinitions()))
	m.refusedNow, m.enrol.counted, m.enrol.coming = m.refusedNow[:0], false, m.enrol.coming[:0]
	count, cost := m.count-len(gone), int64(0)
	for c := range gone {
		cost -= c.cost
	}
	told, comes := make(map[model.Path]bool, len(rows)), false
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
		cost += rowCost(rows[i])
		if c := m.find(rows[i].ID, rows[i].Path); c == nil {
			count, comes = count+1, true
		} else if _, goes := gone[c]; !goes {
			cost -= c.cost
		}
	}
	for _, refused := range m.refusedNow { // what was permitted on another route
		if c := m.find(refused.id, refused.path); c != nil {
			gone[c] = going{refused.id, true}
		}
	}
	if err := m.fits(count, cost, comes); err != nil {
		return nil, err
	}
	r := &reading{}
	for _, wire := range delta.GetRemovals() {
		m.newest = max(m.newest, wire.GetChange())
	}
	for c, of := range gone {
		m.forget(r, of.id, c, of.withdrawn)
	}
	for i, wire := range delta.GetDefinitions() {
		if rows[i] != nil {
			m.take(r, rows[i], wire.GetDefined())
		}
	}
	return r, nil
}

// fits refuses a delta with which the mirror would have more contexts, or take more memory, than it may.
func (m *Mirror) fits(count int, cost int64, comes bool) error {
	if count > m.cfg.MostRows {
		return model.Errorf(model.KindExhausted, "the provider tells more than %d contexts", m.cfg.MostRows)
	}
	if more := count - m.count; more > 0 && m.cfg.Room != nil && more > m.cfg.Room() {
		return &model.Error{
			Kind: model.KindExhausted, Detail: "the provider tells more contexts than this node may have", Remedy: "raise limits: contexts in the node's configuration file and start it again",
		}
	}
	if err := m.room(cost); (cost > 0 || comes) && err != nil { // who brings nothing new may stay, also where less is allowed now
		return err
	}
	return nil
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
	if m.refusePermit(path, routes[wire.GetRoute()]) {
		m.refusedNow = append(m.refusedNow, refusedContext{id, path})
		return nil, nil
	}
	row := &Row{
		ID: id, Path: path, Label: cleanText(wire.GetLabel()), Schema: schema, Version: version, Change: wire.GetChange(), Route: routes[wire.GetRoute()],
		Extra: string(wire.ProtoReflect().GetUnknown()),
	}
	if len(row.Extra) > mostExtra {
		return nil, model.Errorf(model.KindExhausted, "received a context with %d bytes that this version does not know, at most %d are passed on", len(row.Extra), mostExtra)
	}
	return row, m.readSettings(row, wire.GetSettings())
}

// mostExtra bounds what is passed on of a context without being understood.
const mostExtra = 64 << 10

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
		if hop.Node == m.cfg.Self.Node && !fault.Planted(fault.LoopComesBack) {
			names := m.cfg.Self.Name
			for _, h := range route[:i] {
				names += " > " + h.Name
			}
			m.loop = names + " > " + m.cfg.Self.Name
			return true
		}
	}
	return len(route) > MaxHops
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
				m.forget(r, at.ID, other, false)
			}
		}
	}
	if c != nil && c.schema.Kind != row.Schema.Kind {
		m.forget(r, row.ID, c, false) // whom this node tells of the one kind may not be told of the other
		c = nil
	}
	anew := false
	if c == nil {
		c = &mirrored{}
		m.add(row.ID, c)
	} else {
		anew = m.redefined(c, defined)
	}
	m.newest = max(m.newest, row.Change)
	c.path, c.version, c.schema, c.defined, c.content, c.change = row.Path, row.Version, row.Schema, defined, m.content(row), row.Change
	m.holds.contexts -= c.cost
	c.cost = rowCost(row)
	m.holds.contexts += c.cost
	r.puts = append(r.puts, tree.Put{
		ID: row.ID, Path: path, Label: row.Label, Schema: row.Schema, Settings: row.Settings, Version: row.Version, Route: row.Route, Extra: row.Extra,
		Anew: anew,
	})
	r.rows = append(r.rows, *row)
}

// redefined reports whether the provider has a context anew, so that of what is here it confirms nothing: it tells the samples that there are.
func (m *Mirror) redefined(c *mirrored, defined uint64) bool {
	if c.defined != 0 {
		return defined > c.defined
	}
	return m.comparison != nil && m.comparison.same
}

// removes reports whether what is in the tree at path goes first.
func (r *reading) removes(path model.Path) bool {
	return slices.ContainsFunc(r.removals, func(m tree.Removal) bool { return m.Path == path })
}

// forget prepares a context to be taken out of the tree, and forgets it.
func (m *Mirror) forget(r *reading, id model.ContextID, c *mirrored, withdrawn bool) {
	m.goes(r, id, c, withdrawn)
	m.drop(id, c)
}

func (m *Mirror) goes(r *reading, id model.ContextID, c *mirrored, withdrawn bool) {
	if path, err := m.cfg.Mount.Join(c.path); err == nil {
		r.removals = append(r.removals, tree.Removal{Path: path, Version: c.version, Withdrawn: withdrawn})
		r.gone = append(r.gone, Gone{ID: id, Path: c.path, Version: c.version, Withdrawn: withdrawn})
	}
}
