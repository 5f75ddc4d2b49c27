package doctor

import (
	"syscall"
)

// How much room is little: a node that cannot write refuses everything, so that it is told early.
const (
	littleRoom   = 1 << 30
	noRoom       = 64 << 20
	littleInodes = 10_000
	noInodes     = 100
)

// Disk looks how much room the file system of a directory has.
func Disk(dir string) []Finding {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return []Finding{Found("disk", Failed, "look whether the directory is there and its disk is mounted", "%s: %v", dir, err)}
	}
	return disk(dir, int64(fs.Bavail)*fs.Bsize, int64(fs.Blocks)*fs.Bsize, int64(fs.Ffree), int64(fs.Files))
}

// disk judges: free and size in bytes, inodes that are left and that there are; 0 of them are where the file system has no fixed number.
func disk(dir string, free, size, inodes, all int64) []Finding {
	const room = "make room on the disk, or give the node a larger one"
	state, remedy := OK, room
	switch {
	case free < noRoom:
		state, remedy = Failed, room+"; with none left everything is refused that is to be kept"
	case free < littleRoom && free < size/5, free < size/20:
		state = Warning
	}
	found := []Finding{Found("disk", state, remedy, "%s of %s are free for %s", Size(free), Size(size), dir)}
	if all == 0 {
		return found
	}
	state = OK
	switch {
	case inodes < noInodes:
		state = Failed
	case inodes < littleInodes && inodes < all/20:
		state = Warning
	}
	return append(found, Found("inodes", state, "remove files that nobody needs, or make the file system anew with more inodes", "%d of %d are free", inodes, all))
}
