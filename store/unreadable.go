package store

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"banyan/model"

	"github.com/mattn/go-sqlite3"
)

// explainDamage says what is wrong with the databases of a directory, if it is that: SQLite calls a file malformed as well where the disk could not read
// it, and then nothing needs to be restored. Nobody may have the files open: closing one of them here would give up SQLite's locks on it.
func explainDamage(dir string, e *model.Error) {
	var cause sqlite3.Error
	if !errors.As(e.Err, &cause) {
		return
	}
	malformed := cause.Code == sqlite3.ErrCorrupt || cause.Code == sqlite3.ErrNotADB
	if !malformed && cause.Code != sqlite3.ErrIoErr {
		return
	}
	if err := readAll(dir); err != nil {
		e.Kind, e.Detail, e.Err = model.KindUnavailable, "the disk cannot read the database", errors.Join(err, e.Err)
		e.Remedy = "look at the disk (the kernel's log says more) and start the node again when it reads; where it never does, restore the newest backup on another"
	} else if malformed {
		e.Kind, e.Detail, e.Remedy = model.KindCorrupt, "what the database holds is damaged", "keep a copy of the directory as it is, and restore the newest backup"
	}
}

// readAll reads the databases of a directory and their logs from end to end.
func readAll(dir string) error {
	for _, pattern := range []string{"*.db", "*.db-wal"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, name := range files {
			if err := readThrough(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func readThrough(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(io.Discard, file)
	return err
}
