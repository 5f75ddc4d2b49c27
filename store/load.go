package store

import (
	"context"
	"database/sql"

	"banyan/model"
	wire "banyan/proto"
	"banyan/tree"
)

// Own reads all own contexts, in the order of their change numbers, as they stand on disk. A start reads them first, finds the mounts among
// them, and hands both to Load.
func (s *Store) Own(ctx context.Context) ([]tree.Put, error) {
	chains := s.published.Load()
	rows, err := s.reader.QueryContext(ctx, "SELECT "+contextColumns+" FROM contexts ORDER BY change, key")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var puts []tree.Put
	at := map[int64]int{}
	for rows.Next() {
		var row contextRow
		if err := row.scan(rows, chains); err != nil {
			return nil, err
		}
		schema, err := s.Schema(ctx, row.schema)
		if err != nil {
			return nil, err
		}
		at[row.key] = len(puts)
		puts = append(puts, tree.Put{ID: row.id, Path: row.path, Label: row.label, Schema: schema, Version: row.revision, Number: row.change})
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return puts, s.ownSettings(ctx, puts, at)
}

func (s *Store) ownSettings(ctx context.Context, puts []tree.Put, at map[int64]int) error {
	rows, err := s.reader.QueryContext(ctx, "SELECT context, name, value FROM settings WHERE sealed = 0")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var key int64
		var name string
		var value sql.RawBytes
		if err := rows.Scan(&key, &name, &value); err != nil {
			return err
		}
		// A context made since the first query is not in the tree yet; nothing is at a start.
		if i, known := at[key]; known {
			if err := setValue(&puts[i], name, value); err != nil {
				return err
			}
		}
	}
	return rows.Err()
}

// Mount is where a mirror's contexts are in the live tree.
type Mount struct {
	ID   model.ContextID // of the context that is the mount
	Path model.Path
	// Each, where it is not nil, is told each row before it goes into the tree, for whoever goes on mirroring from there.
	Each func(*MirrorRow)
}

// Tree is where Load puts what it reads. *tree.Tree is one.
type Tree interface {
	Apply(puts []tree.Put, removals []tree.Removal) (first uint64)
	Bury(stones []tree.Tombstone, horizon uint64)
}

var _ Tree = (*tree.Tree)(nil)

// loadChunk is how many contexts are put at once.
const loadChunk = 4096

// Load puts own contexts, those of the mirrors of mounts, and what is remembered of removed ones into a tree that begins with FirstChange;
// all in the order of change numbers. Mirrors of other mounts are deleted. Where a mirror is missing or damaged, the horizon is above
// the beginning of this epoch: what was removed below its mount is not known, so those who come back compare.
func (s *Store) Load(ctx context.Context, own []tree.Put, mounts []Mount, into Tree) (contexts int, err error) {
	horizon := s.state.horizon
	stones, err := s.ownTombstones(ctx)
	if err != nil {
		return 0, err
	}
	sources := []*remembered{{puts: own, stones: stones}}
	wanted := map[model.ContextID]bool{}
	lost := s.mirrors.lost
	for _, mount := range mounts {
		wanted[mount.ID] = true
		m, err := s.Mirror(ctx, mount.ID, mount.Path)
		if err != nil {
			return 0, err
		}
		found, whole, err := m.read(ctx, mount)
		if err != nil {
			return 0, err
		}
		lost = lost || !whole
		horizon = max(horizon, m.horizon)
		sources = append(sources, found)
	}
	for _, m := range s.mirrors.all() {
		if !wanted[m.id] {
			s.log.Info("mirror of a mount that is no more is deleted", "mount", m.id.Number)
			lost = true
			if err := s.DropMirror(m.id); err != nil {
				return 0, err
			}
		}
	}
	if lost {
		// One above the beginning: also whoever has all up to the epoch before may have contexts that went with the mirror.
		horizon = max(horizon, s.FirstChange()+1)
	}
	contexts = merge(sources, into)
	into.Bury(nil, horizon)
	return contexts, nil
}

// remembered is contexts and tombstones of one file, each in the order of change numbers.
type remembered struct {
	puts   []tree.Put
	stones []tree.Tombstone
}

// head is the least change number that is left.
func (r *remembered) head() (number uint64, stone, any bool) {
	switch {
	case len(r.puts) == 0 && len(r.stones) == 0:
		return 0, false, false
	case len(r.puts) == 0 || len(r.stones) > 0 && r.stones[0].Change < r.puts[0].Number:
		return r.stones[0].Change, true, true
	}
	return r.puts[0].Number, false, true
}

// merge hands everything over in the order of change numbers: the tree's log takes an entry at its end at no cost, and one in the middle at
// that of all after it.
func merge(sources []*remembered, into Tree) (contexts int) {
	var puts []tree.Put
	var stones []tree.Tombstone
	hand := func() {
		if len(puts) > 0 {
			into.Apply(puts, nil)
		}
		if len(stones) > 0 {
			into.Bury(stones, 0)
		}
		contexts += len(puts)
		puts, stones = puts[:0], nil // the tree keeps pointers to tombstones
	}
	for {
		var least *remembered
		number, stone := uint64(0), false
		for _, source := range sources {
			if n, isStone, any := source.head(); any && (least == nil || n < number) {
				least, number, stone = source, n, isStone
			}
		}
		switch {
		case least == nil:
			hand()
			return contexts
		case stone:
			if len(puts) > 0 {
				hand()
			}
			stones = append(stones, least.stones[0])
			least.stones = least.stones[1:]
		default:
			if len(stones) > 0 || len(puts) == loadChunk {
				hand()
			}
			puts = append(puts, least.puts[0])
			least.puts = least.puts[1:]
		}
	}
}

func (s *Store) ownTombstones(ctx context.Context) ([]tree.Tombstone, error) {
	chains := s.published.Load()
	rows, err := s.reader.QueryContext(ctx,
		"SELECT change, node, ordinal, random, number, path, revision_epoch, revision FROM tombstones ORDER BY change")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var stones []tree.Tombstone
	for rows.Next() {
		var stone tree.Tombstone
		var node sql.RawBytes
		var ordinal, random, revisionEpoch int64
		var path string
		err := rows.Scan(&stone.Change, &node, &ordinal, &random, &stone.ID.Number, &path, &revisionEpoch, &stone.Version.Number)
		if err != nil {
			return nil, err
		}
		if stone.ID.Node, err = wire.ToNodeID(node); err != nil {
			return nil, err
		}
		if stone.Path, err = model.ParsePath(path); err != nil {
			return nil, err
		}
		stone.ID.Epoch = model.Epoch{Ordinal: uint64(ordinal), Random: uint64(random)}
		stone.Version.Epoch = chains.epochOf(uint64(revisionEpoch))
		stones = append(stones, stone)
	}
	return stones, rows.Err()
}
