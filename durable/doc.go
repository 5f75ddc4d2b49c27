// Package durable writes files and names so that they outlive a power cut: what a function of it has done without an error is on the disk, and what it
// has not done is not there in part.
//
// It owns the order of writing, fsync, rename and fsync of the directory, for all files that are not databases. It does not own what stands in them.
//
// # Why not os.WriteFile and os.Rename
//
// A file that was written is in the memory of the machine, and so is its name, each by itself: after a power cut a renamed file can be empty, and a
// directory that was made can be gone together with everything that was fsynced in it. An fsync that failed must not be tried again either: the second
// one succeeds, and what it was for is lost all the same. So whoever calls this gives up on an error.
package durable
