// Package store keeps in SQLite what must outlive the process: which contexts there are and how they are set, with their revisions; epochs;
// what was removed; requests and their results; and, as caches, what is mounted and the last values.
//
// It owns the files of a node's directory and their layout, the form of a Commit and what applying it does, the opening of an epoch, and the
// order in which a start reads everything back. It does not decide when a commit counts, nor in which order commits come (package
// failover), who may do something (package access), or how long a mirror is worth keeping (package peering).
//
// # What its users may rely on
//
// node.db is the truth. A Transaction applies commits in order; each of them is done as a whole or refused as a whole, and a refused one
// leaves nothing behind. Once Transaction.Commit has returned without an error, everything in it is on disk. After an error of type
// *Failure from it nobody knows: the process must end and read the file again.
//
// A commit gets the next revision of its epoch. No pair of epoch and number is given twice: each start draws a new epoch, which is on disk
// before its first number is given, also when the directory was copied or put back from a backup.
//
// mirrors/*.db and values.db are caches: they are written behind, may lag by what was in memory, and losing one costs a comparison with the
// peer. Each is consistent in itself: it has all that the position says that it names.
package store
