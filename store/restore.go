package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"

	"banyan/model"
)

// Restore is one time that a node was restored from a backup. The list of them goes with the database for good: of two nodes with one ID the
// one that was restored more often on the same line is the later one, and where lines differ there are two nodes.
type Restore struct {
	ID     RestoreID   `json:"id"`     // drawn for each restore: one backup restored twice is two
	Time   model.Time  `json:"time"`   // by the clock of the machine that restored it
	Backup model.Time  `json:"backup"` // when the backup was made
	After  model.Epoch `json:"after"`  // the life that the backup was made in
}

// RestoreID names one restore.
type RestoreID [16]byte

// String is 32 hexadecimal digits.
func (id RestoreID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText is String.
func (id RestoreID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *RestoreID) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(id)) {
		return model.Errorf(model.KindInvalid, "the ID of a restore has %d hexadecimal digits", hex.EncodedLen(len(id)))
	}
	if _, err := hex.Decode(id[:], text); err != nil {
		return model.Errorf(model.KindInvalid, "the ID of a restore has %d hexadecimal digits", hex.EncodedLen(len(id)))
	}
	return nil
}

// MostRestores bounds the list of a database; the oldest are forgotten beyond it.
const MostRestores = 64

func readRestores(ctx context.Context, conn *sql.Conn) ([]Restore, error) {
	var raw []byte
	err := conn.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'restores'").Scan(&raw)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Restore
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, model.Errorf(model.KindCorrupt, "how often the node was restored cannot be read: %w", err)
	}
	return list, nil
}

// MarkRestored notes in a copy of node.db, on which no node runs, that it was restored. The next start finds it and begins an epoch of its own.
func MarkRestored(ctx context.Context, file string, r Restore) error {
	s, err := openSession(ctx, file, truth, "node")
	if err != nil {
		return err
	}
	list, err := readRestores(ctx, s.conn)
	if err == nil {
		list = append(list, r)
		var raw []byte
		if raw, err = json.Marshal(list[max(0, len(list)-MostRestores):]); err == nil {
			err = s.exec("INSERT INTO meta (key, value) VALUES ('restores', ?1) ON CONFLICT (key) DO UPDATE SET value = excluded.value", raw)
		}
	}
	if err == nil {
		err = s.shorten(true)
	}
	if err := errors.Join(err, s.close()); err != nil {
		return failure("noting the restore", err)
	}
	return nil
}

// Restores are the times that this node was restored, the newest last.
func (s *Store) Restores() []Restore { return slices.Clone(s.restores) }

// JustRestored is the restore that this start is the first one after, if it is one.
func (s *Store) JustRestored() (Restore, bool) {
	chain := s.published.Load().revision
	if len(s.restores) == 0 || len(chain) < 2 {
		return Restore{}, false
	}
	last := s.restores[len(s.restores)-1]
	return last, chain[len(chain)-2].Epoch == last.After
}
