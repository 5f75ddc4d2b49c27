// Package disk is a disk for tests: one that loses at a power cut what was not fsynced, and that fails when it is told to. Programs see it as a
// directory (Mount), so that the real program runs on it with all that it writes, SQLite and its shared memory included.
//
// # What it keeps
//
// Of each file it knows what was fsynced and each write since; of each directory, which of its names were. At a cut (Cut) the fsynced part stays and
// of the rest a part chosen at random: each sector of each write by itself, in any order, also torn within; names made, renamed and removed, the
// oldest of them or any of them, but a rename as a whole. What lies between may be zeros or rubbish. An fsync of a file does not keep its name: that
// needs an fsync of the directory. An fsync that fails forgets what was to be written, as Linux does: the next one succeeds, and what it is said
// to have kept is gone with the cut. That of a directory forgets nothing: a file system that cannot write its journal stops altogether.
//
// That is more than most file systems lose, and no more than POSIX allows, with two exceptions in favour of programs: bytes beside a write are not
// harmed by it (SQLite relies on that, as on "powersafe overwrite"), and owner and mode of a file are kept with it at once.
//
// Why a file system by FUSE: a VFS of SQLite's own would see nothing of the keys, settings and backups that are written by hand, and a preloaded
// library nothing at all, since Go makes its system calls by itself. The kernel's cache lies before it as before any disk, and maps SQLite's shared memory.
//
// It owns what a disk does to bytes. It starts and ends no programs. Only tests may import it, and the process that mounts a disk must neither map a
// file on it nor start a program in a directory on it: both stop the process until it has answered itself.
package disk
