package fault

// Name is one planted fault. Planted takes no other string, so that a misspelt name does not compile.
type Name string

// The faults, each with what goes wrong under it.
const (
	// RuleOrderReversed: the last rule that matches decides, not the first, so that an exception before a general rule has no effect.
	RuleOrderReversed Name = "rule-order-reversed"
	// ResumeFromZero: a reader that comes back asks for everything again and not from its own position, so that a short cut costs a
	// whole listing.
	ResumeFromZero Name = "resume-from-zero"
	// ResumeSkipsOne: a reader that comes back begins one position too late, so that one change is never seen.
	ResumeSkipsOne Name = "resume-skips-one"
	// RemovalLost: a tombstone is not sent, so that a removed context lives on at every consumer.
	RemovalLost Name = "removal-lost"
	// ResumeAcrossViews: what a consumer has of another view is taken for right, so that it keeps what was withdrawn while it was cut off.
	ResumeAcrossViews Name = "resume-across-views"
	// HiddenRemovalTold: the removal of a context that an export hides is told with its path.
	HiddenRemovalTold Name = "hidden-removal-told"
	// ReboundShowsAll: a context that gets another schema is told with all of it, also with what the export hides.
	ReboundShowsAll Name = "rebound-shows-all"
	// SecretTold: the value of a secret setting leaves its owner where the export shows that there is one.
	SecretTold Name = "secret-told"
	// ReferenceTellsPath: a reference is told with its path whether or not the export shows what is there.
	ReferenceTellsPath Name = "reference-tells-path"
	// HiddenStalenessTold: what is stale is told with its path and its nodes where nothing of it is shown, too.
	HiddenStalenessTold Name = "hidden-staleness-told"
	// HiddenHopNamed: what is stale is told with the nodes between which it arises, though nothing is shown that came over them.
	HiddenHopNamed Name = "hidden-hop-named"
	// LoopComesBack: what comes back by a loop is mounted as if it were somebody else's.
	LoopComesBack Name = "loop-comes-back"
	// AnswerBeforeCommit: a write is confirmed before it is durable, so that kill -9 right after the answer loses it.
	AnswerBeforeCommit Name = "answer-before-commit"
	// StaleNeverSet: a dead link puts no overlay on its mount, so that old values go on being called good.
	StaleNeverSet Name = "stale-never-set"
	// GoodBeforeCatchUp: the overlay ends with the reconnect and not when the told heads are applied, so that values from before the
	// cut are called good for a while.
	GoodBeforeCatchUp Name = "good-before-catch-up"
	// InvitationTwice: redeeming an invitation does not use it up, so that a second node can join by the same token.
	InvitationTwice Name = "invitation-twice"
	// RevokedStaysOpen: a revocation refuses new connections only, so that the streams of a revoked node run on.
	RevokedStaysOpen Name = "revoked-stays-open"
	// LeafNotRenewed: the node's certificate is never renewed, so that peers refuse it once it has expired.
	LeafNotRenewed Name = "leaf-not-renewed"
	// BackupWithoutLog: a backup takes the file of the database as it lies there and not what stands in its write-ahead log, so that the newest
	// confirmed commits are missing in it.
	BackupWithoutLog Name = "backup-without-log"
	// SynchronousNormal: the database is written with synchronous=NORMAL, so that a commit is confirmed before it is fsynced.
	SynchronousNormal Name = "synchronous-normal"
	// NamesNotKept: directories are not fsynced, so that a power cut takes files that were fsynced, by their names.
	NamesNotKept Name = "names-not-kept"
	// RenameWithoutFsync: a file gets its name before its content is on the disk, so that a power cut leaves it empty or torn.
	RenameWithoutFsync Name = "rename-without-fsync"
	// FsyncTriedAgain: an fsync that failed is tried again, which succeeds and keeps nothing of what the first one was for.
	FsyncTriedAgain Name = "fsync-tried-again"
	// FailedWriteGoesOn: a write that failed is an error of its commit only, and the node goes on writing.
	FailedWriteGoesOn Name = "failed-write-goes-on"
	// StrangersStay: a connection that proves nothing is never closed, so that whoever opens enough of them holds the door.
	StrangersStay Name = "strangers-stay"
	// StrangersInFront: who comes when there is no room is sent away, and not one of those who stand there, so that whoever came first stays alone.
	StrangersInFront Name = "strangers-in-front"
	// FramesUnpaced: frames of HTTP/2 are read as fast as they come, so that a flood of them takes all processors.
	FramesUnpaced Name = "frames-unpaced"
	// FieldsNotCounted: how often a field comes in one message is not counted before it is decoded, so that two bytes of a peer take a hundred here.
	FieldsNotCounted Name = "fields-not-counted"
	// MountsNotCounted: what a provider tells may take as much memory as there is.
	MountsNotCounted Name = "mounts-not-counted"
	// GoneCountsForever: what has gone from a mount is counted until nothing goes any more, so that a mount where something comes and goes is full one day.
	GoneCountsForever Name = "gone-counts-forever"
	// RingOfAnyBytes: the ring of samples is bounded by their number only, so that long texts fill the memory.
	RingOfAnyBytes Name = "ring-of-any-bytes"
	// RingOfOneNeighbour: what one neighbour publishes fills the ring of samples, however little memory its mount may take.
	RingOfOneNeighbour Name = "ring-of-one-neighbour"
	// RequestsAllAtOnce: requests of a neighbour are read as they come, as many at once as it likes.
	RequestsAllAtOnce Name = "requests-all-at-once"
	// RequestsUnpaced: the largest requests of a neighbour are unpacked one after the other without a pause.
	RequestsUnpaced Name = "requests-unpaced"
)

// Names are all faults, for whoever tries each of them.
func Names() []Name {
	return []Name{
		RuleOrderReversed, ResumeFromZero, ResumeSkipsOne, RemovalLost, ResumeAcrossViews, HiddenRemovalTold, ReboundShowsAll, SecretTold,
		ReferenceTellsPath, HiddenStalenessTold, HiddenHopNamed, LoopComesBack, AnswerBeforeCommit, StaleNeverSet, GoodBeforeCatchUp,
		InvitationTwice, RevokedStaysOpen, LeafNotRenewed, BackupWithoutLog, SynchronousNormal, NamesNotKept, RenameWithoutFsync,
		FsyncTriedAgain, FailedWriteGoesOn, StrangersStay, StrangersInFront, FramesUnpaced, FieldsNotCounted,
		MountsNotCounted, GoneCountsForever, RingOfAnyBytes, RingOfOneNeighbour, RequestsAllAtOnce, RequestsUnpaced,
	}
}
