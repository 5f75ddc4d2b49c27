package store

import (
	"database/sql"
	"fmt"
	"slices"

	"banyan/model"
)

// mostBelow is the most contexts that one Move or Remove takes with it.
const mostBelow = 1_000_000

func (t *Transaction) putSchema(schema *model.Schema) error {
	decoded, err := decodeSchema(schema.Hash[:], []byte(schema.Raw))
	if err != nil {
		return err
	}
	t.store.learnSchema(decoded)
	return t.exec("INSERT INTO schemas (hash, body) VALUES (?1, ?2) ON CONFLICT (hash) DO NOTHING", schema.Hash[:], []byte(schema.Raw))
}

func (t *Transaction) create(c *Create) error {
	if c.ID.Node != t.store.cfg.Node || t.chains.context.Index(c.ID.Epoch) < 0 {
		return model.Errorf(model.KindInvalid, "%s is not an ID of this node", c.ID)
	}
	schema, err := t.schema(c.Schema)
	if err != nil {
		return err
	}
	switch _, err := t.find(ByID(c.ID)); model.KindOf(err) {
	case model.KindNotFound:
	default:
		if err != nil {
			return err
		}
		return model.Errorf(model.KindExists, "there is a context with the ID %s", c.ID)
	}
	switch _, err := t.find(At(c.Path)); model.KindOf(err) {
	case model.KindNotFound:
	default:
		if err != nil {
			return err
		}
		return model.Errorf(model.KindExists, "there is something of that name")
	}
	var key int64
	err = t.query(func(rows *sql.Rows) error { return rows.Scan(&key) },
		`INSERT INTO contexts (node, ordinal, random, number, path, label, kind, schema, revision_epoch, revision, change)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0) RETURNING key`,
		c.ID.Node[:], int64(c.ID.Epoch.Ordinal), int64(c.ID.Epoch.Random), c.ID.Number, c.Path.String(), c.Label, schema.Kind, c.Schema[:],
		t.now.Epoch.Ordinal, t.now.Number)
	if err != nil {
		return err
	}
	t.context = max(t.context, c.ID.Number)
	if err := t.writeSettings(key, schema, c.Settings); err != nil {
		return err
	}
	t.arrive(key, c.Path)
	return nil
}

func (t *Transaction) set(c *Set) error {
	row, err := t.find(c.Target)
	if err != nil {
		return err
	}
	if err := row.expect(c.Expected); err != nil {
		return err
	}
	schema, err := t.schema(row.schema)
	if err != nil {
		return err
	}
	if err := t.writeSettings(row.key, schema, c.Settings); err != nil {
		return err
	}
	return t.touch(row)
}

// touch gives a context the revision of this commit.
func (t *Transaction) touch(row *contextRow) error {
	t.put(row.key, row.path)
	return t.exec("UPDATE contexts SET revision_epoch = ?1, revision = ?2 WHERE key = ?3", t.now.Epoch.Ordinal, t.now.Number, row.key)
}

func (t *Transaction) writeSettings(key int64, schema *model.Schema, settings []Setting) error {
	for i := range settings {
		s := &settings[i]
		at := schema.SettingIndex(s.Name)
		if at < 0 {
			return &model.Error{Kind: model.KindNotFound, Detail: fmt.Sprintf("the kind %s has no setting %s", schema.Kind, s.Name)}
		}
		encoded, err := s.encode(&schema.Settings[at])
		if err != nil {
			return err
		}
		if encoded == nil {
			err = t.exec("DELETE FROM settings WHERE context = ?1 AND name = ?2", key, s.Name)
		} else {
			err = t.exec(`INSERT INTO settings (context, name, sealed, value) VALUES (?1, ?2, ?3, ?4)
				ON CONFLICT (context, name) DO UPDATE SET sealed = excluded.sealed, value = excluded.value`, key, s.Name, s.Sealed != nil, encoded)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// encode is what stands in the row of a setting, nil where its default holds again.
func (s *Setting) encode(definition *model.Setting) ([]byte, error) {
	switch {
	case s.Sealed != nil && (!definition.Secret || !s.Value.IsNone()):
		return nil, model.Errorf(model.KindInvalid, "setting %s is not secret, but its value came sealed", s.Name)
	case s.Sealed != nil:
		return s.Sealed, nil
	case s.Value.IsNone():
		return nil, nil
	case definition.Secret:
		return nil, model.Errorf(model.KindInvalid, "setting %s is secret, but its value came in the open", s.Name)
	case s.Value.Type() != definition.Type:
		return nil, model.Errorf(model.KindInvalid, "setting %s is of type %s, not %s", s.Name, definition.Type, s.Value.Type())
	}
	encoded, err := encodeValue(s.Value)
	if err != nil {
		return nil, model.Errorf(model.KindInvalid, "setting %s cannot be encoded: %w", s.Name, err)
	}
	return encoded, nil
}

func (t *Transaction) rebind(c *Rebind) error {
	row, err := t.find(c.Target)
	if err != nil {
		return err
	}
	if err := row.expect(c.Expected); err != nil {
		return err
	}
	before, err := t.schema(row.schema)
	if err != nil {
		return err
	}
	after, err := t.schema(c.Schema)
	if err != nil {
		return err
	}
	for i := range before.Settings {
		old := &before.Settings[i]
		at := after.SettingIndex(old.Name)
		if at >= 0 && after.Settings[at].Type == old.Type && after.Settings[at].Secret == old.Secret {
			continue
		}
		if err := t.exec("DELETE FROM settings WHERE context = ?1 AND name = ?2", row.key, old.Name); err != nil {
			return err
		}
	}
	if err := t.exec("UPDATE contexts SET schema = ?1, kind = ?2 WHERE key = ?3", c.Schema[:], after.Kind, row.key); err != nil {
		return err
	}
	return t.touch(row)
}

func (t *Transaction) remove(c *Remove) error {
	row, err := t.find(c.Target)
	if err != nil {
		return err
	}
	if err := row.expect(c.Expected); err != nil {
		return err
	}
	most := 1
	if c.Below {
		most = mostBelow + 1
	}
	below, err := t.below(row.path, most)
	if err != nil {
		return err
	}
	switch {
	case len(below) > 0 && !c.Below:
		return &model.Error{Kind: model.KindConflict, Detail: "something is below it", Remedy: "remove it with everything below it"}
	case len(below) > mostBelow:
		return model.Errorf(model.KindExhausted, "more than %d contexts are below it", mostBelow)
	}
	// From the bottom up, so that whoever hears of it in order never has something below nothing.
	slices.Reverse(below)
	for _, gone := range append(below, *row) {
		if err := t.exec("DELETE FROM contexts WHERE key = ?1", gone.key); err != nil {
			return err
		}
		t.bury(&gone)
	}
	return nil
}

func (t *Transaction) move(c *Move) error {
	row, err := t.find(c.Target)
	if err != nil {
		return err
	}
	if err := row.expect(c.Expected); err != nil {
		return err
	}
	if c.Label != nil {
		if err := t.exec("UPDATE contexts SET label = ?1 WHERE key = ?2", *c.Label, row.key); err != nil {
			return err
		}
	}
	if c.Path.IsRoot() || c.Path == row.path {
		return t.touch(row)
	}
	if row.path.Contains(c.Path) {
		return model.Errorf(model.KindInvalid, "%s cannot be moved below itself, to %s", row.path, c.Path)
	}
	below, err := t.below(row.path, mostBelow+1)
	if err != nil {
		return err
	}
	if len(below) > mostBelow {
		return model.Errorf(model.KindExhausted, "more than %d contexts are below it", mostBelow)
	}
	from := row.path
	// In the order of paths: when something moves up, the one above it has left its place before.
	for _, moved := range append([]contextRow{*row}, below...) {
		if err := t.moveOne(&moved, from, c.Path); err != nil {
			return err
		}
	}
	return nil
}

// moveOne moves one context of a subtree whose top goes from one path to another.
func (t *Transaction) moveOne(row *contextRow, from, to model.Path) error {
	rest, _ := from.Below(row.path)
	path, err := to.Join(rest)
	if err != nil {
		return err
	}
	switch taken, err := t.find(At(path)); {
	case err == nil:
		return model.Errorf(model.KindExists, "there is something at %s", taken.path)
	case model.KindOf(err) != model.KindNotFound:
		return err
	}
	err = t.exec("UPDATE contexts SET path = ?1, revision_epoch = ?2, revision = ?3 WHERE key = ?4", path.String(), t.now.Epoch.Ordinal, t.now.Number, row.key)
	if err != nil {
		return err
	}
	t.arrive(row.key, path)
	t.bury(row)
	return nil
}

func (t *Transaction) trim(c *Trim) error {
	t.horizon = max(t.horizon, c.Horizon)
	if c.Tombstones != nil {
		// The greatest number of those that go.
		var last int64
		err := t.query(func(rows *sql.Rows) error { return rows.Scan(&last) },
			"SELECT change FROM tombstones ORDER BY change DESC LIMIT 1 OFFSET ?1", int64(*c.Tombstones))
		if err != nil {
			return err
		}
		if last > 0 {
			t.horizon = max(t.horizon, uint64(last)+1)
		}
	}
	if err := t.exec("DELETE FROM tombstones WHERE change < ?1", t.horizon); err != nil {
		return err
	}
	return t.exec("DELETE FROM requests WHERE expiry < ?1", int64(c.RequestsBefore))
}
