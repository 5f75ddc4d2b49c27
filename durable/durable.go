package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"banyan/fault"
)

// Sync makes what was written to a file durable, but not its name.
func Sync(f *os.File) error {
	if fault.Planted(fault.RenameWithoutFsync) {
		return nil
	}
	err := f.Sync()
	if err != nil && fault.Planted(fault.FsyncTriedAgain) {
		err = f.Sync()
	}
	return err
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	if fault.Planted(fault.NamesNotKept) {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// MakeDirs makes a directory and those above it that are missing, with the names of all of them durable. One that is there is left as it is, but its
// name is made durable, too: who made it may have been stopped before that. An error from directories that were there before, further up, is passed
// over: not everybody may read those.
func MakeDirs(dir string, mode fs.FileMode) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	there := dir
	for there != filepath.Dir(there) {
		if _, err := os.Stat(there); err == nil {
			break
		}
		there = filepath.Dir(there)
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return err
	}
	for at := dir; at != filepath.Dir(at); at = filepath.Dir(at) {
		if err := SyncDir(filepath.Dir(at)); err != nil {
			if len(at) > len(there) {
				return err
			}
			return nil //nolint:nilerr // as said above
		}
	}
	return nil
}

// Replace puts data at a path: after a crash there is the old content or the new one.
func Replace(path string, data []byte, mode fs.FileMode) error {
	return put(path, data, mode, os.Rename)
}

// Create is Replace for a file that must not be there yet, also when two processes try at once: the error is fs.ErrExist then.
func Create(path string, data []byte, mode fs.FileMode) error {
	return put(path, data, mode, func(temporary, path string) error {
		if err := os.Link(temporary, path); err != nil {
			return err
		}
		return os.Remove(temporary)
	})
}

func put(path string, data []byte, mode fs.FileMode, place func(temporary, path string) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // made with 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), Sync(f), f.Close())
	if err == nil {
		err = place(f.Name(), path)
	}
	if err == nil {
		err = SyncDir(filepath.Dir(path))
	}
	return err
}
