package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"

	"github.com/mattn/go-sqlite3"
)

// bulk writes rows of one table, many of them by one statement: what a statement costs by itself is more than what a row does, and what database/sql
// adds to each value is a third of that. It is for one goroutine at a time, and ends with its session.
type bulk struct {
	begin, end string // of the statement, around its VALUES
	columns    int
	session    *session
	statements [len(bulkRows)]*sqlite3.SQLiteStmt
	arguments  []driver.NamedValue
}

// bulkRows is how many rows a statement writes, in turn. A statement of a thousand rows is no faster, and takes memory in each file that is open.
var bulkRows = [...]int{64, 1}

// bulk is what writes rows of so many columns by a statement that begins and ends so. Nothing is prepared yet.
func (s *session) bulk(begin string, columns int, end string) *bulk {
	b := s.bulks[begin]
	if b == nil {
		b = &bulk{begin: begin, end: end, columns: columns, session: s, arguments: make([]driver.NamedValue, 0, bulkRows[0]*columns)}
		s.bulks[begin] = b
	}
	return b
}

// write writes so many rows. row adds the values of one of them, and asks nothing of the session.
func (b *bulk) write(rows int, row func(i int) error) error {
	return b.session.conn.Raw(func(conn any) error {
		at := 0
		for size, each := range bulkRows {
			if rows-at < each {
				continue
			}
			statement, err := b.prepared(conn, size)
			if err != nil {
				return err
			}
			for ; rows-at >= each; at += each {
				b.arguments = b.arguments[:0]
				for i := range each {
					if err := row(at + i); err != nil {
						return err
					}
				}
				if _, err := statement.ExecContext(context.Background(), b.arguments); err != nil {
					return err
				}
			}
		}
		clear(b.arguments[:cap(b.arguments)]) // what was written may be withdrawn
		return nil
	})
}

// add adds values of columns. They are of the types that the driver takes as they are.
func (b *bulk) add(values ...driver.Value) {
	for _, v := range values {
		b.arguments = append(b.arguments, driver.NamedValue{Ordinal: len(b.arguments) + 1, Value: v})
	}
}

func (b *bulk) prepared(conn any, size int) (*sqlite3.SQLiteStmt, error) {
	if b.statements[size] != nil {
		return b.statements[size], nil
	}
	one := "(?" + strings.Repeat(", ?", b.columns-1) + ")"
	statement, err := conn.(*sqlite3.SQLiteConn).Prepare(b.begin + " VALUES " + one + strings.Repeat(", "+one, bulkRows[size]-1) + " " + b.end)
	if err != nil {
		return nil, err
	}
	b.statements[size] = statement.(*sqlite3.SQLiteStmt)
	return b.statements[size], nil
}

func (b *bulk) close() error {
	var problems []error
	for i, statement := range b.statements {
		if statement != nil {
			problems = append(problems, statement.Close())
		}
		b.statements[i] = nil
	}
	return errors.Join(problems...)
}
