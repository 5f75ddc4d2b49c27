package server

import (
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"banyan/model"
)

// storage is how much room the node's files take, and how much is left.
type storage struct {
	database, log   int64 // node.db and its write-ahead log, bytes
	values, mirrors int64 // the caches with their logs, bytes
	free, size      int64 // of the file system, bytes; free is what the process may take
	inodes          int64 // that are left; -1 where the file system has no fixed number
	fullSince       model.Time
}

func (s *storage) total() int64 { return s.database + s.log + s.values + s.mirrors }

// full is since when nothing can be kept, no value while there is room.
func (s *storage) full() model.Value {
	if s.fullSince == 0 {
		return model.Value{}
	}
	return model.Instant(s.fullSince)
}

// storage measures the node's files. What cannot be measured counts as nothing.
func (n *Node) storage() storage {
	s := measureFiles(n.cfg.Data)
	s.fullSince = n.solo.FullSince()
	return s
}

// measureFiles is the storage of a node's directory.
func measureFiles(dir string) storage {
	var s storage
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil //nolint:nilerr // what has just gone needs no room
		}
		info, err := entry.Info()
		if err != nil {
			return nil //nolint:nilerr // the same
		}
		name, _ := filepath.Rel(dir, path)
		switch {
		case name == "node.db":
			s.database += info.Size()
		case strings.HasPrefix(name, "node.db-"):
			s.log += info.Size()
		case strings.HasPrefix(name, "values.db"):
			s.values += info.Size()
		case strings.HasPrefix(name, "mirrors"+string(filepath.Separator)):
			s.mirrors += info.Size()
		}
		return nil
	})
	var system syscall.Statfs_t
	if syscall.Statfs(dir, &system) == nil {
		s.free, s.size = int64(system.Bavail)*system.Bsize, int64(system.Blocks)*system.Bsize
		s.inodes = int64(system.Ffree)
		if system.Files == 0 {
			s.inodes = -1
		}
	}
	return s
}

// ownerOf is the user whom a file belongs to, -1 where the system does not say.
func ownerOf(info fs.FileInfo) int {
	if system, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(system.Uid)
	}
	return -1
}
