package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"banyan/model"

	"github.com/mattn/go-sqlite3"
)

// Examined is what a look at a node's directory found.
type Examined struct {
	Running string // number of the process that has the directory open, empty for none
	Layout  int    // of node.db
	Newest  int    // that this version knows; one above it is of a newer version
}

// SQLiteVersion is the version of SQLite in this program; an error where it is one that loses data.
func SQLiteVersion() (string, error) {
	text, _, _ := sqlite3.Version()
	return text, checkSQLite()
}

// Layout is the layout of node.db, which is the newest that this version knows.
func (s *Store) Layout() int {
	newest, err := newestLayout("node")
	if err != nil {
		return 0 // cannot be: it was opened
	}
	return newest
}

// QuickCheck looks for damage in the structure of node.db until ctx ends, beside all other work. It takes about half a second for each GB.
func (s *Store) QuickCheck(ctx context.Context) error {
	return expectClean(ctx, s.reader, "PRAGMA quick_check(3)")
}

// Examine looks at a node's directory without beginning an epoch, whether or not the node runs. Its error is what is wrong with the database.
func Examine(ctx context.Context, dir string) (Examined, error) {
	var e Examined
	file := filepath.Join(dir, "node.db")
	if _, err := os.Stat(file); err != nil {
		return e, model.Errorf(model.KindNotFound, "there is no database: %w", err)
	}
	lock, running, err := holdIfFree(filepath.Join(dir, "node.lock"))
	if err != nil {
		return e, err
	}
	if lock != nil {
		defer lock.Close()
	}
	e.Running = running
	db := truth.open(file, 1, true)
	defer db.Close()
	if e.Newest, err = newestLayout("node"); err != nil {
		return e, err
	}
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&e.Layout); err != nil {
		return e, fmt.Errorf("node.db: %w", err)
	}
	return e, expectClean(ctx, db, "PRAGMA quick_check(3)")
}

// holdIfFree keeps a node from being started while its files are looked at, unless it runs.
func holdIfFree(name string) (lock *os.File, running string, err error) {
	lock, err = os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		return lock, "", nil
	}
	holder, err := io.ReadAll(io.LimitReader(lock, 32))
	return nil, strings.TrimSpace(string(holder)), errors.Join(err, lock.Close())
}
