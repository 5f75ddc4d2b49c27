package store

import (
	"os"
	"path/filepath"
	"time"
)

// Limits of node.db's write-ahead log, bytes. Beyond the first what can be moved into the file is moved beside readers, which takes some
// milliseconds; where readers have held that up until the second, the writer waits for them.
const (
	softLog = 16 << 20
	hardLog = 64 << 20
	// roomPause is how long a full disk is left alone before something that is not urgent is tried on it again.
	roomPause = time.Second
)

// KeepLogShort moves the write-ahead log into the file when it is long. It is called between transactions. SQLite would do it by itself, but
// hides the error when it fails; here it is one that ends the node, since an fsync that failed must not be tried again.
//
// A disk without room for it is no error: what was moved so far is moved again, and until then the log says the same. While it lasts the log does not
// grow either, since nothing can be written to it.
func (s *Store) KeepLogShort() error {
	info, err := os.Stat(s.logFile())
	if err != nil || info.Size() < softLog {
		return nil //nolint:nilerr // no log, nothing to move
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if time.Since(s.noRoom) < roomPause {
		return nil
	}
	if err := s.cfg.Fault("checkpoint"); err != nil {
		return failure("moving the log into the file", err)
	}
	err = failure("moving the log into the file", s.writer.shorten(info.Size() >= hardLog))
	if IsFull(err) {
		s.noRoom = time.Now()
		return nil
	}
	return err
}

func (s *Store) logFile() string { return filepath.Join(s.cfg.Dir, "node.db-wal") }
