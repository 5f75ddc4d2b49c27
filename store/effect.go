package store

import (
	"database/sql"

	"banyan/model"
	"banyan/tree"
)

// op is one thing that a transaction does to the live tree: a context is what its row says, or is no longer at its path. The order of ops is
// that in which they happened.
type op struct {
	key   int64 // of the context
	path  model.Path
	gone  *contextRow // not nil for a removal: what the row was
	by    model.Revision
	of    *Result
	comes bool   // the context was not at the path before
	later *op    // says the same and more, so that this one is passed over
	moot  bool   // nobody is to see it
	given uint64 // change number
}

// put notes that a context changed.
func (t *Transaction) put(key int64, path model.Path) {
	t.ops = append(t.ops, op{key: key, path: path, by: t.now})
}

// arrive notes that a context was created or came to a path.
func (t *Transaction) arrive(key int64, path model.Path) {
	t.ops = append(t.ops, op{key: key, path: path, by: t.now, comes: true})
}

// bury notes that a context is no longer at the path of its row.
func (t *Transaction) bury(row *contextRow) {
	gone := *row
	t.ops = append(t.ops, op{key: row.key, path: row.path, gone: &gone, by: t.now})
}

// Shown is what a transaction changed in the live tree, for tree.Tree.Apply: removals are of what was there before it, and puts are
// what is there after it, so that removals come first.
type Shown struct {
	Puts     []tree.Put
	Removals []tree.Removal
}

// number gives each op its change number, writes it, and collects what to show. first is the number of the first one.
func (t *Transaction) number(first uint64) (Shown, error) {
	t.passOver()
	next := first
	for i := range t.ops {
		o := &t.ops[i]
		if o.later != nil || o.moot {
			continue
		}
		o.given = next
		next++
		t.change = o.given
		var err error
		if o.gone != nil {
			err = t.writeTombstone(o)
		} else {
			err = t.exec("UPDATE contexts SET change = ?1 WHERE key = ?2", o.given, o.key)
		}
		if err != nil {
			return Shown{}, err
		}
	}
	for i := range t.ops {
		o := &t.ops[i]
		shown := o
		for shown.later != nil {
			shown = shown.later
		}
		o.of.Change = max(o.of.Change, shown.given)
	}
	return t.shown()
}

// passOver leaves out what is overtaken within the transaction: of several puts of one context at one path all but the last, puts before
// a removal, and the removal too where the context was never shown at that path.
func (t *Transaction) passOver() {
	type place struct {
		key  int64
		path model.Path
	}
	last := make(map[place]*op, len(t.ops))
	came := make(map[place]bool)
	for i := range t.ops {
		o := &t.ops[i]
		at := place{o.key, o.path}
		if earlier := last[at]; earlier != nil {
			earlier.later = o
		}
		if o.gone != nil {
			o.moot = came[at]
			delete(last, at)
			delete(came, at)
			continue
		}
		last[at] = o
		came[at] = came[at] || o.comes
	}
}

func (t *Transaction) writeTombstone(o *op) error {
	id := o.gone.id
	return t.exec(`INSERT INTO tombstones (change, node, ordinal, random, number, path, revision_epoch, revision)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)`,
		o.given, id.Node[:], int64(id.Epoch.Ordinal), int64(id.Epoch.Random), id.Number, o.path.String(), o.by.Epoch.Ordinal, o.by.Number)
}

func (t *Transaction) shown() (Shown, error) {
	var shown Shown
	for i := range t.ops {
		o := &t.ops[i]
		switch {
		case o.later != nil || o.moot:
		case o.gone != nil:
			shown.Removals = append(shown.Removals, tree.Removal{Path: o.path, Version: o.by, Number: o.given})
		default:
			put, err := t.read(o.key)
			if err != nil {
				return Shown{}, err
			}
			shown.Puts = append(shown.Puts, put)
		}
	}
	return shown, nil
}

// read is a context as its rows now say.
func (t *Transaction) read(key int64) (tree.Put, error) {
	var row contextRow
	err := t.query(func(rows *sql.Rows) error { return row.scan(rows, &t.chains) }, "SELECT "+contextColumns+" FROM contexts WHERE key = ?1", key)
	if err != nil {
		return tree.Put{}, err
	}
	schema, err := t.schema(row.schema)
	if err != nil {
		return tree.Put{}, err
	}
	put := tree.Put{ID: row.id, Path: row.path, Label: row.label, Schema: schema, Version: row.revision, Number: row.change}
	err = t.query(func(rows *sql.Rows) error {
		var name string
		var value sql.RawBytes
		if err := rows.Scan(&name, &value); err != nil {
			return err
		}
		return setValue(&put, name, value)
	}, "SELECT name, value FROM settings WHERE context = ?1 AND sealed = 0", key)
	return put, err
}

// setValue puts a stored setting where its schema says. The values of secret settings are not among them: the live tree never has them.
func setValue(put *tree.Put, name string, encoded []byte) error {
	at := put.Schema.SettingIndex(name)
	if at < 0 {
		return model.Errorf(model.KindCorrupt, "%s has a stored setting %s, which its kind %s does not have", put.Path, name, put.Schema.Kind)
	}
	value, err := decodeValue(encoded)
	if err != nil {
		return err
	}
	if put.Settings == nil {
		put.Settings = make([]model.Value, len(put.Schema.Settings))
	}
	put.Settings[at] = value
	return nil
}
