package store

import (
	"database/sql"
	"slices"

	"banyan/model"
	wire "banyan/proto"
	"banyan/proto/storev1"
	"banyan/tree"

	"google.golang.org/protobuf/proto"
)

// origin is who created contexts, and in which epoch.
type origin struct {
	node  model.NodeID
	epoch model.Epoch
}

// mirrorTables are the small tables that the rows of a mirror point into, both ways.
type mirrorTables struct {
	originKey map[origin]int64
	origins   map[int64]origin
	routeKey  map[string]int64
	routes    map[int64]tree.Route
	schemas   map[model.SchemaHash]*model.Schema
	last      struct { // the route that was looked for last
		route tree.Route
		key   int64
	}
}

// scanInto scans rows of one column; the last one counts.
func scanInto[T any](to *T) func(*sql.Rows) error {
	return func(rows *sql.Rows) error { return rows.Scan(to) }
}

// collect scans rows of one column, all of them.
func collect[T any](to *[]T) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var value T
		err := rows.Scan(&value)
		*to = append(*to, value)
		return err
	}
}

func (m *mirrorTables) load(s *session) error {
	*m = mirrorTables{
		originKey: map[origin]int64{}, origins: map[int64]origin{}, routeKey: map[string]int64{}, routes: map[int64]tree.Route{},
		schemas: map[model.SchemaHash]*model.Schema{},
	}
	err := s.query(func(rows *sql.Rows) error {
		var key, ordinal, random int64
		var node sql.RawBytes
		if err := rows.Scan(&key, &node, &ordinal, &random); err != nil {
			return err
		}
		id, err := wire.ToNodeID(node)
		o := origin{id, model.Epoch{Ordinal: uint64(ordinal), Random: uint64(random)}}
		m.originKey[o], m.origins[key] = key, o
		return err
	}, "SELECT key, node, ordinal, random FROM origins")
	if err != nil {
		return err
	}
	err = s.query(func(rows *sql.Rows) error {
		var key int64
		var hops []byte
		if err := rows.Scan(&key, &hops); err != nil {
			return err
		}
		route, err := decodeRoute(hops)
		m.routeKey[string(hops)], m.routes[key] = key, route
		return err
	}, "SELECT key, hops FROM routes")
	if err != nil {
		return err
	}
	return s.query(func(rows *sql.Rows) error {
		var hash, body sql.RawBytes
		if err := rows.Scan(&hash, &body); err != nil {
			return err
		}
		schema, err := decodeSchema(hash, body)
		if err == nil {
			m.schemas[schema.Hash] = schema
		}
		return err
	}, "SELECT hash, body FROM schemas")
}

// keyed lets what a row points into be there.
func (m *mirrorTables) keyed(s *session, row MirrorRow) (r keyedRow, err error) {
	r.MirrorRow = row
	if r.origin, err = m.origin(s, row.ID); err != nil {
		return r, err
	}
	if r.route, err = m.route(s, row.Route); err != nil {
		return r, err
	}
	return r, m.schema(s, row.Schema)
}

func (m *mirrorTables) origin(s *session, id model.ContextID) (int64, error) {
	o := origin{id.Node, id.Epoch}
	if key, known := m.originKey[o]; known {
		return key, nil
	}
	var key int64
	err := s.query(scanInto(&key), "INSERT INTO origins (node, ordinal, random) VALUES (?1, ?2, ?3) RETURNING key",
		id.Node[:], int64(id.Epoch.Ordinal), int64(id.Epoch.Random))
	m.originKey[o], m.origins[key] = key, o
	return key, err
}

func (m *mirrorTables) route(s *session, route tree.Route) (int64, error) {
	if m.last.key != 0 && slices.Equal(m.last.route, route) { // as nearly always
		return m.last.key, nil
	}
	hops, err := encodeRoute(route)
	if err != nil {
		return 0, err
	}
	key, known := m.routeKey[string(hops)]
	if !known {
		err = s.query(scanInto(&key), "INSERT INTO routes (hops) VALUES (?1) RETURNING key", hops)
		m.routeKey[string(hops)], m.routes[key] = key, route
	}
	m.last.route, m.last.key = route, key
	return key, err
}

func (m *mirrorTables) schema(s *session, schema *model.Schema) error {
	if m.schemas[schema.Hash] != nil {
		return nil
	}
	m.schemas[schema.Hash] = schema
	return s.exec("INSERT INTO schemas (hash, body) VALUES (?1, ?2)", schema.Hash[:], []byte(schema.Raw))
}

func encodeRoute(route tree.Route) ([]byte, error) {
	m := &storev1.Route{}
	for _, hop := range route {
		m.Hops = append(m.Hops, &storev1.Hop{Node: hop.Node[:], Name: hop.Name})
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	return notNil(encoded), err
}

func decodeRoute(encoded []byte) (tree.Route, error) {
	var m storev1.Route
	if err := proto.Unmarshal(encoded, &m); err != nil {
		return nil, err
	}
	var route tree.Route
	for _, hop := range m.GetHops() {
		node, err := wire.ToNodeID(hop.GetNode())
		if err != nil {
			return nil, err
		}
		route = append(route, tree.Hop{Node: node, Name: hop.GetName()})
	}
	return route, nil
}

// encodeSettings packs the values that are set.
func encodeSettings(values []model.Value) ([]byte, error) {
	if len(values) == 0 {
		return []byte{}, nil
	}
	m := &storev1.Settings{}
	for i, v := range values {
		if !v.IsNone() {
			m.Values = append(m.Values, &storev1.IndexedValue{Index: uint32(i), Value: wire.FromValue(v)})
		}
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	return notNil(encoded), err
}

func decodeSettings(encoded []byte, schema *model.Schema) ([]model.Value, error) {
	if len(encoded) == 0 {
		return nil, nil
	}
	var m storev1.Settings
	if err := proto.Unmarshal(encoded, &m); err != nil {
		return nil, err
	}
	values := make([]model.Value, len(schema.Settings))
	for _, v := range m.GetValues() {
		if int(v.GetIndex()) >= len(values) {
			return nil, model.Errorf(model.KindCorrupt, "a stored setting %d, the kind %s has %d", v.GetIndex(), schema.Kind, len(values))
		}
		var err error
		if values[v.GetIndex()], err = wire.ToValue(v.GetValue()); err != nil {
			return nil, err
		}
	}
	return values, nil
}
