package store

import (
	"database/sql"

	"banyan/model"
)

// contextRow is a row of contexts.
type contextRow struct {
	key      int64
	id       model.ContextID
	path     model.Path
	label    string
	schema   model.SchemaHash
	revision model.Revision
	change   uint64
}

const contextColumns = "key, node, ordinal, random, number, path, label, schema, revision_epoch, revision, change"

// scan reads the columns of contextColumns.
func (r *contextRow) scan(rows *sql.Rows, chains *chains) error {
	var node, schema sql.RawBytes
	var ordinal, random, revisionEpoch int64
	var path string
	err := rows.Scan(&r.key, &node, &ordinal, &random, &r.id.Number, &path, &r.label, &schema, &revisionEpoch, &r.revision.Number, &r.change)
	if err != nil {
		return err
	}
	if len(node) != len(r.id.Node) || len(schema) != len(r.schema) {
		return model.Errorf(model.KindCorrupt, "the row of %s is damaged", path)
	}
	copy(r.id.Node[:], node)
	copy(r.schema[:], schema)
	r.id.Epoch = model.Epoch{Ordinal: uint64(ordinal), Random: uint64(random)}
	r.revision.Epoch = chains.epochOf(uint64(revisionEpoch))
	r.path, err = model.ParsePath(path)
	return err
}

// expect checks the revision that a command names; none is any.
func (r *contextRow) expect(revision model.Revision) error {
	if revision.IsZero() || revision == r.revision {
		return nil
	}
	return &model.Error{
		Kind: model.KindConflict, Path: r.path, Detail: "its revision is " + r.revision.String() + ", not " + revision.String(),
		Remedy: "read it again and decide anew",
	}
}

// find is the row of a target.
func (t *Transaction) find(target Target) (*contextRow, error) {
	var found *contextRow
	scan := func(rows *sql.Rows) error {
		found = &contextRow{}
		return found.scan(rows, &t.chains)
	}
	var err error
	if id := target.ID; !id.IsZero() {
		err = t.query(scan, "SELECT "+contextColumns+" FROM contexts WHERE number = ?1 AND ordinal = ?2 AND random = ?3 AND node = ?4",
			id.Number, int64(id.Epoch.Ordinal), int64(id.Epoch.Random), id.Node[:])
	} else {
		err = t.query(scan, "SELECT "+contextColumns+" FROM contexts WHERE path = ?1", target.Path.String())
	}
	if err == nil && found == nil {
		err = &model.Error{Kind: model.KindNotFound, Path: target.Path, Detail: "there is no " + target.text()}
	}
	return found, err
}

// below are the rows under path in the order of paths, path itself left out, at most most of them.
func (t *Transaction) below(path model.Path, most int) ([]contextRow, error) {
	from, to := beneath(path)
	var found []contextRow
	err := t.query(func(rows *sql.Rows) error {
		found = append(found, contextRow{})
		return found[len(found)-1].scan(rows, &t.chains)
	}, "SELECT "+contextColumns+" FROM contexts WHERE path > ?1 AND path < ?2 ORDER BY path LIMIT ?3", from, to, most)
	return found, err
}

// beneath are the bounds, both outside, of the texts of all paths under path: "0" is the byte after "/".
func beneath(path model.Path) (from, to string) {
	if path.IsRoot() {
		return "/", "0"
	}
	return path.String() + "/", path.String() + "0"
}

// schema is the schema with that hash, which is in the file.
func (t *Transaction) schema(hash model.SchemaHash) (*model.Schema, error) {
	var there bool
	err := t.query(func(rows *sql.Rows) error { return rows.Scan(&there) }, "SELECT 1 FROM schemas WHERE hash = ?1", hash[:])
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, model.Errorf(model.KindNotFound, "there is no schema %s: it is put before it is used", hash)
	}
	if known := t.store.knownSchema(hash); known != nil {
		return known, nil
	}
	var schema *model.Schema
	err = t.query(func(rows *sql.Rows) error {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return err
		}
		schema, err = decodeSchema(hash[:], body)
		return err
	}, "SELECT body FROM schemas WHERE hash = ?1", hash[:])
	if err != nil {
		return nil, err
	}
	return t.store.learnSchema(schema), nil
}

// knownSchema is the schema with that hash, where it was read before. Schemas are immutable and named by their bytes: that one is known
// does not mean that the file has it.
func (s *Store) knownSchema(hash model.SchemaHash) *model.Schema {
	s.schemasMu.Lock()
	defer s.schemasMu.Unlock()
	return s.schemas[hash]
}

// learnSchema keeps a schema and returns the one that everybody shares.
func (s *Store) learnSchema(schema *model.Schema) *model.Schema {
	s.schemasMu.Lock()
	defer s.schemasMu.Unlock()
	if known := s.schemas[schema.Hash]; known != nil {
		return known
	}
	s.schemas[schema.Hash] = schema
	return schema
}
