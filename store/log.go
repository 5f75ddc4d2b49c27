package store

import (
	"banyan/durable"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// hardLog is how many times as long as Config.LongLog the write-ahead log gets: where readers have held up until then that it is moved beside
	// them, which takes some milliseconds, the writer waits for them.
	hardLog = 4
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
	if err != nil || info.Size() < s.cfg.LongLog {
		return nil //nolint:nilerr // no log, nothing to move
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	// The file keeps its length when what was in it has been moved and it is written from its beginning again: its length says no more than that it is
	// worth asking.
	length, left, err := s.writer.logLength()
	tooLong := left > 0 && length >= hardLog*s.cfg.LongLog
	if err != nil || left < s.cfg.LongLog && !tooLong {
		return failure("asking for the length of the log", err)
	}
	// A copy is a reader that takes as long as the disk does. Nobody waits for it: what is written beside it moves when it has ended.
	if err := s.moveLog(tooLong && s.copying.Load() == 0); !IsFull(err) {
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

// rewriteLog writes a log that an earlier process left in its place again, byte by byte, before anybody believes it. Where an fsync had failed, that process
// ended; but what it was for stands in the memory of the machine and not on the disk, and no fsync would write it any more. SQLite would take it for
// kept and write behind it, and after a power cut nothing behind the hole is found.
func rewriteLog(name string) error {
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	block := make([]byte, 1<<20)
	for at := int64(0); ; {
		n, err := file.ReadAt(block, at)
		if _, problem := file.WriteAt(block[:n], at); problem != nil {
			return problem
		}
		at += int64(n)
		if errors.Is(err, io.EOF) {
			return durable.Sync(file)
		}
		if err != nil {
			return err
		}
	}
}

func (s *Store) logFile() string { return filepath.Join(s.cfg.Dir, "node.db-wal") }
