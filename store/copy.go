package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"banyan/fault"
	"banyan/model"

	"github.com/mattn/go-sqlite3"
)

// CopyTo writes node.db as it is now to a file that is not there yet: everything that was confirmed before the call is in it, and of every
// commit all or nothing. It reads beside the writer, which goes on; only the write-ahead log grows meanwhile. What it wrote is whole when it
// returns without an error, and not yet fsynced: a copy is read again before anybody relies on it. An error of kind exhausted says that there
// is no room for the copy.
func (s *Store) CopyTo(ctx context.Context, file string) error {
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, model.Errorf(model.KindExists, "%s is there already", file))
	}
	if fault.Planted(fault.BackupWithoutLog) {
		content, err := os.ReadFile(s.nodeFile())
		if err != nil {
			return err
		}
		return os.WriteFile(file, content, 0o600)
	}
	s.copying.Add(1)
	defer s.copying.Add(-1)
	db := truth.open(s.nodeFile(), 1, false) // a reader refuses to write, also into another file
	defer db.Close()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?1", file); err != nil {
		return copyFailed(err)
	}
	return os.Chmod(file, 0o600)
}

// copyFailed is the error of a copy, which is never one of node.db: nothing of it was written.
func copyFailed(err error) error {
	var e sqlite3.Error
	switch {
	case errors.As(err, &e) && e.Code == sqlite3.ErrFull:
		return &model.Error{Kind: model.KindExhausted, Op: "copy the database", Detail: "there is no room on the disk", Err: err, Remedy: "make room and try again"}
	case errors.As(err, &e) && e.Code == sqlite3.ErrInterrupt:
		return &model.Error{Kind: model.KindCanceled, Op: "copy the database", Err: err}
	case isDamaged(err):
		return &model.Error{Kind: model.KindCorrupt, Op: "copy the database", Err: err, Remedy: "restore the newest backup"}
	}
	return &model.Error{Kind: model.KindOf(err), Op: "copy the database", Err: err}
}

// Contents is what a copy of node.db holds.
type Contents struct {
	Node     model.NodeID
	Name     string
	Layout   int
	Chain    model.Chain    // epochs with their first revisions, the one that was open last
	Revision model.Revision // the last one given
	Change   uint64         // the last change number given to a context of the node's own
	Contexts int
	Restores []Restore
	// AuditProblem says where the audit log is not whole, empty where it is. It does not spoil a copy: the log of the node itself is not.
	AuditProblem string
}

// Inspect reads a copy of node.db from end to end without writing to it and says what it holds. It is an error of kind corrupt when SQLite
// finds anything wrong with it, when a reference leads nowhere, or when a context, a setting or a schema cannot be read as a start would
// read it; and of kind unsupported when its layout is not the one of this version: Upgrade brings an older one up to date.
func Inspect(ctx context.Context, file string) (Contents, error) {
	db := openCopy(file)
	defer db.Close()
	c, err := inspect(ctx, db)
	if err != nil && model.KindOf(err) == model.KindInternal {
		err = &model.Error{Kind: model.KindCorrupt, Op: "check the copy of the database", Err: err}
	}
	return c, err
}

func inspect(ctx context.Context, db *sql.DB) (Contents, error) {
	var c Contents
	for _, query := range []string{"PRAGMA integrity_check", "PRAGMA foreign_key_check"} {
		if err := expectClean(ctx, db, query); err != nil {
			return c, err
		}
	}
	newest, err := newestLayout("node")
	if err != nil {
		return c, err
	}
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&c.Layout); err != nil {
		return c, err
	}
	if c.Layout != newest {
		return c, &model.Error{
			Kind: model.KindUnsupported, Detail: fmt.Sprintf("the database has layout %d, this version reads layout %d", c.Layout, newest),
			Remedy: "use the version of the program that made it, or a newer one",
		}
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return c, err
	}
	s := &Store{reader: db, writer: &session{db: db, conn: conn}, schemas: map[model.SchemaHash]*model.Schema{}}
	if err := s.describe(ctx, &c); err != nil {
		return c, errors.Join(err, conn.Close())
	}
	if err := conn.Close(); err != nil {
		return c, err
	}
	own, err := s.Own(ctx)
	if err != nil {
		return c, err
	}
	c.Contexts = len(own)
	if _, err := s.ownTombstones(ctx); err != nil {
		return c, err
	}
	audit, err := s.VerifyAudit(ctx, AuditHead{})
	if audit.Broken != 0 {
		c.AuditProblem = fmt.Sprintf("row %d: %s", audit.Broken, audit.Problem)
	}
	return c, err
}

// Upgrade brings a copy of node.db, on which no node runs, to the layout of this version.
func Upgrade(ctx context.Context, file string) error {
	s, err := openSession(ctx, file, truth, "node")
	if err != nil {
		return err
	}
	return errors.Join(s.shorten(true), s.close())
}

// describe reads whose the database is and how far it has come.
func (s *Store) describe(ctx context.Context, c *Contents) error {
	var node, name []byte
	err := errors.Join(
		s.writer.conn.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'node'").Scan(&node),
		s.writer.conn.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'name'").Scan(&name))
	if err != nil {
		return err
	}
	if copy(c.Node[:], node) != len(c.Node) || c.Node.IsZero() {
		return model.Errorf(model.KindCorrupt, "the database does not say whose it is")
	}
	c.Name, s.cfg.Node = string(name), c.Node
	if err := s.loadState(ctx); err != nil {
		return err
	}
	s.published.Store(&s.state.chains)
	c.Chain, c.Change = s.state.chains.revision, s.state.change
	if err := c.Chain.Validate(); err != nil {
		return err
	}
	c.Revision = model.Revision{Epoch: c.Chain.Last().Epoch, Number: s.state.revision}
	c.Restores, err = readRestores(ctx, s.writer.conn)
	return err
}

// expectClean runs a check that answers with what is wrong, one a row: with "ok" or nothing when all is well.
func expectClean(ctx context.Context, db *sql.DB, query string) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		row := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if row[0].String != "ok" {
			return model.Errorf(model.KindCorrupt, "%s: %s", query, row[0].String)
		}
	}
	return rows.Err()
}

// LastChange is the last change number that was given to a context of the node's own: while it is the same, a copy would hold the same contexts.
func (s *Store) LastChange() uint64 {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.state.change
}
