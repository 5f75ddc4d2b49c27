package store

import (
	"errors"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

// IsFull reports whether something failed for want of room: no block, no inode or no quota was left. Nothing of it was done then, and it may be tried
// again. An fsync that failed is never that, whatever its reason: pages that were not written count as written after it.
func IsFull(err error) bool {
	var failed *Failure
	if errors.As(err, &failed) {
		return failed.Full
	}
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	}
	noRoom := e.SystemErrno == syscall.ENOSPC || e.SystemErrno == syscall.EDQUOT
	switch {
	case e.Code == sqlite3.ErrFull, isIndexFull(err):
		return true
	case e.Code == sqlite3.ErrCantOpen, e.ExtendedCode == sqlite3.ErrIoErrWrite, e.ExtendedCode == sqlite3.ErrIoErrSHMOpen:
		return noRoom
	}
	return false
}

// isFullAt is IsFull for opening files in a directory: of a file that could not be made SQLite tells another reason than that there was no room.
func isFullAt(dir string, err error) bool {
	var e sqlite3.Error
	if IsFull(err) || !errors.As(err, &e) || e.Code != sqlite3.ErrCantOpen {
		return IsFull(err)
	}
	var fs syscall.Statfs_t
	return syscall.Statfs(dir, &fs) == nil && (fs.Bavail == 0 || fs.Files > 0 && fs.Ffree == 0)
}

// isIndexFull reports whether the index of the write-ahead log could not grow. Alone of all errors for want of room it comes after the
// transaction was written to the log.
func isIndexFull(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && e.ExtendedCode == sqlite3.ErrIoErrSHMSize && (e.SystemErrno == syscall.ENOSPC || e.SystemErrno == syscall.EDQUOT)
}

// void makes sure that a transaction whose COMMIT failed for want of room in the log's index is not found in the log by the next start: nobody
// reads it now, but its frames are there, whole and valid. Another transaction is written over them, in place, which needs no room; whether the
// index has room for that one is of no matter, since it does nothing.
func (s *session) void() error {
	err := s.transaction(func() error {
		return s.exec("INSERT INTO meta (key, value) VALUES ('void', randomblob(8)) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
	})
	if isIndexFull(err) {
		return nil
	}
	return err
}
