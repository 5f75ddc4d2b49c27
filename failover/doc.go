// Package failover decides when a commit counts. Solo is a lone node: what its own disk has, counts. A cluster is a second implementation
// of the same interface, Committer, and nobody above knows which of the two runs.
//
// It owns the order of commits, their grouping into transactions and whose turn it is, and the moment at which a commit is confirmed. It
// does not own what a commit does or how it is stored (package store), nor who may ask for it (package access).
//
// # What users may rely on
//
// A confirmed commit is on disk, and the live tree shows it: both before Submit returns. Commits of one class that are submitted one after
// the other are done in that order. A refused commit has left nothing behind. After a failed write nothing is confirmed any more, and the
// node must end: see Committer.Failed.
package failover
