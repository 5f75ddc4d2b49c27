package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"banyan/model"
)

// Sealer encrypts values with the node's key. What was sealed opens only for the same setting of the same context, so that a sealed value
// moved to another one is found out. *pki.Sealer is one.
type Sealer interface {
	Seal(plain []byte, context model.ContextID, setting string) []byte
	Open(sealed []byte, context model.ContextID, setting string) ([]byte, error)
}

// Prepare seals the values of secret settings in a commit that was made here, since a sealed value comes out differently each time and
// so is decided before the commit. It returns the commit to hand on; c is left as it is. The target of a Set with a secret is from
// then on its ID.
func (s *Store) Prepare(ctx context.Context, c Commit) (Commit, error) {
	put := map[model.SchemaHash]*model.Schema{}
	created := map[model.Path]*Create{}
	changes := slices.Clone(c.Changes)
	for i, change := range changes {
		var err error
		switch change := change.(type) {
		case PutSchema:
			if change.Schema != nil {
				put[change.Schema.Hash] = change.Schema
			}
		case Create:
			schema := put[change.Schema]
			if schema == nil {
				schema, err = s.Schema(ctx, change.Schema)
			}
			if err == nil {
				change.Settings, err = s.seal(change.ID, schema, change.Settings)
			}
			created[change.Path] = &change
			err = at(err, "create", change.Path)
			changes[i] = change
		case Set:
			if len(change.Settings) > 0 {
				err = at(s.sealSet(ctx, &change, created, put), "set", change.Target.Path)
				changes[i] = change
			}
		}
		if err != nil {
			return Commit{}, err
		}
	}
	c.Changes = changes
	return c, nil
}

// sealSet seals what a Set holds. A context that the same commit creates is not yet on disk.
func (s *Store) sealSet(ctx context.Context, c *Set, created map[model.Path]*Create, put map[model.SchemaHash]*model.Schema) error {
	var id model.ContextID
	var hash model.SchemaHash
	if fresh := created[c.Target.Path]; fresh != nil && c.Target.ID.IsZero() {
		id, hash = fresh.ID, fresh.Schema
	} else {
		row, err := s.row(ctx, c.Target)
		if model.KindOf(err) == model.KindNotFound {
			return nil // refused when it is applied, unless it comes to be meanwhile without a secret in it
		}
		if err != nil {
			return err
		}
		id, hash = row.id, row.schema
	}
	schema := put[hash]
	if schema == nil {
		var err error
		if schema, err = s.Schema(ctx, hash); err != nil {
			return err
		}
	}
	sealed, err := s.seal(id, schema, c.Settings)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(sealed, func(s Setting) bool { return s.Sealed != nil }) {
		c.Settings, c.Target.ID = sealed, id
	}
	return nil
}

func (s *Store) seal(id model.ContextID, schema *model.Schema, settings []Setting) ([]Setting, error) {
	var sealed []Setting
	for i, setting := range settings {
		at := schema.SettingIndex(setting.Name)
		if at < 0 || !schema.Settings[at].Secret || setting.Value.IsNone() {
			continue
		}
		if s.cfg.Sealer == nil {
			return nil, model.Errorf(model.KindUnsupported, "setting %s is secret, and this node has no key to seal it with", setting.Name)
		}
		if setting.Value.Type() != schema.Settings[at].Type {
			return nil, model.Errorf(model.KindInvalid, "setting %s is of type %s, not %s", setting.Name, schema.Settings[at].Type, setting.Value.Type())
		}
		plain, err := encodeValue(setting.Value)
		if err != nil {
			return nil, err
		}
		if sealed == nil {
			sealed = slices.Clone(settings)
		}
		sealed[i].Value = model.Value{}
		sealed[i].Sealed = s.cfg.Sealer.Seal(plain, id, setting.Name)
	}
	if sealed == nil {
		return settings, nil
	}
	return sealed, nil
}

// row is the row of a target as it is on disk.
func (s *Store) row(ctx context.Context, target Target) (*contextRow, error) {
	query, arguments := "SELECT "+contextColumns+" FROM contexts WHERE path = ?1", []any{target.Path.String()}
	if id := target.ID; !id.IsZero() {
		query = "SELECT " + contextColumns + " FROM contexts WHERE number = ?1 AND ordinal = ?2 AND random = ?3 AND node = ?4"
		arguments = []any{id.Number, int64(id.Epoch.Ordinal), int64(id.Epoch.Random), id.Node[:]}
	}
	rows, err := s.reader.QueryContext(ctx, query, arguments...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	if !rows.Next() {
		return nil, errors.Join(rows.Err(), &model.Error{Kind: model.KindNotFound, Path: target.Path, Detail: "there is no " + target.text()})
	}
	row := &contextRow{}
	return row, row.scan(rows, s.published.Load())
}

// Schema is a stored schema.
func (s *Store) Schema(ctx context.Context, hash model.SchemaHash) (*model.Schema, error) {
	if known := s.knownSchema(hash); known != nil {
		return known, nil
	}
	var body []byte
	err := s.reader.QueryRowContext(ctx, "SELECT body FROM schemas WHERE hash = ?1", hash[:]).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, model.Errorf(model.KindNotFound, "there is no schema %s: it is put before it is used", hash)
	}
	if err != nil {
		return nil, err
	}
	schema, err := decodeSchema(hash[:], body)
	if err != nil {
		return nil, err
	}
	return s.learnSchema(schema), nil
}

// Secret opens the value of a secret setting, for the controller that needs it; no value where it is not set. The answer must go nowhere
// else.
func (s *Store) Secret(ctx context.Context, id model.ContextID, name string) (model.Value, error) {
	row, err := s.row(ctx, ByID(id))
	if err != nil {
		return model.Value{}, err
	}
	var sealed []byte
	err = s.reader.QueryRowContext(ctx, "SELECT value FROM settings WHERE context = ?1 AND name = ?2 AND sealed = 1", row.key, name).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return model.Value{}, nil
	}
	if err != nil {
		return model.Value{}, err
	}
	if s.cfg.Sealer == nil {
		return model.Value{}, model.Errorf(model.KindUnsupported, "this node has no key to open secrets with")
	}
	plain, err := s.cfg.Sealer.Open(sealed, id, name)
	if err != nil {
		return model.Value{}, &model.Error{
			Kind: model.KindCorrupt, Path: row.path, Name: name, Detail: "the secret cannot be opened with this node's key", Err: err,
			Remedy: "set it again",
		}
	}
	return decodeValue(plain)
}

// SecretsSet names the secret settings of own contexts that have a value.
func (s *Store) SecretsSet(ctx context.Context) (map[model.ContextID][]string, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT contexts.node, ordinal, random, number, settings.name
		FROM settings JOIN contexts ON contexts.key = settings.context WHERE sealed = 1`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	found := map[model.ContextID][]string{}
	for rows.Next() {
		var node sql.RawBytes
		var id model.ContextID
		var ordinal, random int64
		var name string
		if err := rows.Scan(&node, &ordinal, &random, &id.Number, &name); err != nil {
			return nil, err
		}
		copy(id.Node[:], node)
		id.Epoch = model.Epoch{Ordinal: uint64(ordinal), Random: uint64(random)}
		found[id] = append(found[id], name)
	}
	return found, rows.Err()
}
