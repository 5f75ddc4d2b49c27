package store

import (
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Limits of node.db's write-ahead log, bytes. Beyond the first what can be moved into the file is moved beside readers, which takes some
// milliseconds; where readers have held that up until the second, the writer waits for them.
const (
	softLog = 16 << 20
	hardLog = 64 << 20
	// logPause is how long writing is refused without asking the disk after it had no room for the log.
	logPause = 100 * time.Millisecond
	// roomPause is how long a full disk is left alone before something that is not urgent is tried on it again.
	roomPause = time.Second
)

// KeepLogShort moves the write-ahead log into the file when it is long. It is called between transactions. SQLite would do it by itself, but
// hides the error when it fails; here it is one that ends the node, since an fsync that failed must not be tried again.
//
// A disk without room for it is no error: what was moved so far is moved again, and until then the log says the same. But nothing more is written
// before it was moved (see Begin): else the log would take the room that the file needs to take the log.
func (s *Store) KeepLogShort() error {
	info, err := os.Stat(s.logFile())
	if err != nil || info.Size() < softLog {
		return nil //nolint:nilerr // no log, nothing to move
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	// A copy is a reader that takes as long as the disk does. Nobody waits for it: what is written beside it moves when it has ended.
	if err := s.moveLog(info.Size() >= hardLog && s.copying.Load() == 0); !IsFull(err) {
		return err
	}
	return nil
}

// moveLog moves the log into the file, and remembers where there was no room. writing is held.
func (s *Store) moveLog(all bool) error {
	if err := s.cfg.Fault("checkpoint"); err != nil {
		return failure("moving the log into the file", err)
	}
	err := failure("moving the log into the file", s.writer.shorten(all))
	s.noRoom = time.Time{}
	if IsFull(err) {
		s.noRoom = time.Now()
	}
	return err
}

// logFits moves the log into the file where there was no room for that before. Tried at each transaction, it would keep those who are refused waiting.
// writing is held.
func (s *Store) logFits() error {
	switch {
	case s.noRoom.IsZero():
		return nil
	case time.Since(s.noRoom) < logPause:
		return &Failure{Doing: "moving the log into the file", Full: true, Err: syscall.ENOSPC}
	}
	return s.moveLog(false)
}

func (s *Store) logFile() string { return filepath.Join(s.cfg.Dir, "node.db-wal") }
