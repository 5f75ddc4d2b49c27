package store

import (
	"context"
	"database/sql"

	"banyan/model"
	"banyan/tree"
)

// read reads all that a mirror has, as it is in the live tree. A file that turns out to be damaged is set aside and begun anew; whole says
// that what was removed below the mount is known.
func (m *Mirror) read(ctx context.Context, mount Mount) (found *remembered, whole bool, err error) {
	m.io.Lock()
	defer m.io.Unlock()
	m.rouse()
	if m.session == nil {
		return &remembered{}, false, nil
	}
	found, err = m.readRows(mount)
	if err == nil {
		return found, !m.begun, nil
	}
	m.log.Warn("mirror is damaged and set aside", "file", m.file, "error", err)
	if err := m.session.close(); err != nil {
		m.log.Warn("mirror was not closed cleanly", "error", err)
	}
	if err := setAside(m.file); err != nil {
		return nil, false, err
	}
	m.session, _, err = openCache(ctx, m.file, "mirror", m.log, m.load)
	return &remembered{}, false, err
}

func (m *Mirror) readRows(mount Mount) (*remembered, error) {
	found := &remembered{}
	err := m.session.query(func(rows *sql.Rows) error {
		row, err := m.scanRow(rows)
		if err != nil {
			return err
		}
		path, err := mount.Path.Join(row.Path)
		if err != nil {
			return nil //nolint:nilerr // the mount was moved to where this path is too long: it is not shown
		}
		if mount.Each != nil {
			mount.Each(row)
		}
		found.puts = append(found.puts, tree.Put{
			ID: row.ID, Path: path, Label: row.Label, Schema: row.Schema, Settings: row.Settings, Version: row.Version, Route: row.Route, Extra: row.Extra, Number: row.Change,
		})
		return nil
	}, `SELECT path, origin, number, label, schema, settings, version_ordinal, version_random, version, provider_change, change, route, extra
		FROM contexts ORDER BY change`)
	if err != nil {
		return nil, err
	}
	err = m.session.query(func(rows *sql.Rows) error {
		var stone tree.Tombstone
		var below string
		var origin, ordinal, random int64
		err := rows.Scan(&stone.Change, &below, &origin, &stone.ID.Number, &ordinal, &random, &stone.Version.Number)
		if err != nil {
			return err
		}
		path, err := model.ParsePath(below)
		if err != nil {
			return err
		}
		if stone.Path, err = mount.Path.Join(path); err != nil {
			return nil //nolint:nilerr // as above
		}
		o := m.interned.origins[origin]
		stone.ID.Node, stone.ID.Epoch = o.node, o.epoch
		stone.Version.Epoch = model.Epoch{Ordinal: uint64(ordinal), Random: uint64(random)}
		found.stones = append(found.stones, stone)
		return nil
	}, "SELECT change, path, origin, number, version_ordinal, version_random, version FROM tombstones ORDER BY change")
	return found, err
}

// scanRow reads the columns of a row of contexts.
func (m *Mirror) scanRow(rows *sql.Rows) (*MirrorRow, error) {
	r := &MirrorRow{}
	var path string
	var origin, versionOrdinal, versionRandom, route int64
	var schema, settings, extra sql.RawBytes
	err := rows.Scan(&path, &origin, &r.ID.Number, &r.Label, &schema, &settings, &versionOrdinal, &versionRandom, &r.Version.Number,
		&r.ProviderChange, &r.Change, &route, &extra)
	if err != nil {
		return nil, err
	}
	if r.Path, err = model.ParsePath(path); err != nil {
		return nil, err
	}
	o, known := m.interned.origins[origin]
	if len(schema) == len(model.SchemaHash{}) {
		r.Schema = m.interned.schemas[model.SchemaHash(schema)]
	}
	if !known || r.Schema == nil {
		return nil, model.Errorf(model.KindCorrupt, "the row of %s points to nothing", path)
	}
	r.ID.Node, r.ID.Epoch = o.node, o.epoch
	r.Version.Epoch = model.Epoch{Ordinal: uint64(versionOrdinal), Random: uint64(versionRandom)}
	r.Route, r.Extra = m.interned.routes[route], string(extra)
	r.Settings, err = decodeSettings(settings, r.Schema)
	return r, err
}
