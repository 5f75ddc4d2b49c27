package store

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
)

// session is the one writing connection to a file, with its prepared statements. It is for one goroutine at a time. It takes no
// contexts: a write that was begun is ended.
type session struct {
	db         *sql.DB
	conn       *sql.Conn
	statements map[string]*sql.Stmt
	bulks      map[string]*bulk
}

// openSession opens a file for writing and brings it to the newest layout of its kind.
func openSession(ctx context.Context, file string, d durability, kind string) (*session, error) {
	// SQLite would make it readable for everybody. One that is there is not opened here: closing it would give SQLite's locks on it up.
	made, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = made.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	s := &session{db: d.open(file, 1, false), statements: map[string]*sql.Stmt{}, bulks: map[string]*bulk{}}
	if s.conn, err = s.db.Conn(ctx); err == nil {
		if err = d.check(ctx, s.conn); err == nil {
			err = migrate(ctx, s.conn, kind)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *session) prepare(query string) (*sql.Stmt, error) {
	statement := s.statements[query]
	if statement == nil {
		var err error
		if statement, err = s.conn.PrepareContext(context.Background(), query); err != nil {
			return nil, err
		}
		s.statements[query] = statement
	}
	return statement, nil
}

func (s *session) exec(query string, arguments ...any) error {
	statement, err := s.prepare(query) //nolint:sqlclosecheck // it is kept, and closed with the session
	if err == nil {
		_, err = statement.Exec(arguments...)
	}
	return err
}

// query calls scan for each row.
func (s *session) query(scan func(*sql.Rows) error, query string, arguments ...any) error {
	statement, err := s.prepare(query) //nolint:sqlclosecheck // it is kept, and closed with the session
	if err != nil {
		return err
	}
	rows, err := statement.Query(arguments...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// transaction runs do between BEGIN and COMMIT, or undoes it.
func (s *session) transaction(do func() error) error {
	if err := s.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := do()
	if err == nil {
		err = s.exec("COMMIT")
	}
	if err != nil {
		// Where SQLite has rolled back by itself this is an error, and means the same.
		_ = s.exec("ROLLBACK")
	}
	return err
}

// shorten moves what stands in the write-ahead log into the file. With all set it waits for readers, for the busy timeout at most, and
// makes the log empty; else it does what can be done beside them.
func (s *session) shorten(all bool) error {
	pragma := "PRAGMA wal_checkpoint(PASSIVE)"
	if all {
		pragma = "PRAGMA wal_checkpoint(TRUNCATE)"
	}
	var busy, frames, moved int
	return s.conn.QueryRowContext(context.Background(), pragma).Scan(&busy, &frames, &moved)
}

// logLength is how many bytes the write-ahead log has, and how many of them are not in the file yet.
func (s *session) logLength() (length, left int64, err error) {
	var busy, frames, moved int64
	err = s.query(func(rows *sql.Rows) error { return rows.Scan(&busy, &frames, &moved) }, "PRAGMA wal_checkpoint(NOOP)")
	return frames * frameBytes, (frames - moved) * frameBytes, err
}

// frameBytes is what a page takes in the log.
const frameBytes = 24 + 4096

func (s *session) close() error {
	var problems []error
	for _, statement := range s.statements {
		problems = append(problems, statement.Close())
	}
	for _, b := range s.bulks {
		problems = append(problems, b.close())
	}
	if s.conn != nil {
		problems = append(problems, s.conn.Close())
	}
	return errors.Join(append(problems, s.db.Close())...)
}
