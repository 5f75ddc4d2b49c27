package store

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"banyan/model"
)

// Class says whose turn a commit is when there is more to do than one group commit takes.
type Class uint8

// The classes, the most urgent first. Their numbers are part of the encoded form.
const (
	ClassPeople   Class = 1 // what people do, and alerts
	ClassSettings Class = 2 // what programs set
	ClassEvents   Class = 3 // what happens, and housekeeping
)

// Commit is a command: done as a whole or refused as a whole. Everything that could come out differently the next time (the time, IDs,
// expected revisions, how much to trim) was decided before and stands in it, so that applying it to equal databases makes equal databases.
type Commit struct {
	Class      Class
	Time       model.Time    // when it was decided
	Conditions []Condition   // what must hold, or it is refused as a conflict
	Changes    []Change      // done in order
	Start      *RequestStart // records that a request was begun
	Done       *RequestDone  // records how a request ended
}

// Target names a context: by ID where that is given, else by path.
type Target struct {
	ID   model.ContextID
	Path model.Path
}

// At is the context at a path.
func At(path model.Path) Target { return Target{Path: path} }

// ByID is the context with that ID, wherever it is.
func ByID(id model.ContextID) Target { return Target{ID: id} }

// Condition must hold for a commit to be done: the context has the revision, or any where none is named, or is absent.
type Condition struct {
	Target   Target
	Absent   bool
	Revision model.Revision
}

// Change is one thing that a commit does: PutSchema, Create, Set, Move, Rebind, Remove, OpenEpoch, Trim, Audit, TrimAudit, Ledger or ForgetLedger.
type Change interface{ change() }

// PutSchema keeps a schema. One that is there already is left as it is.
type PutSchema struct{ Schema *model.Schema }

// Setting is the value of a setting by name. With no value the schema's default holds again. Sealed stands in place of the value of a
// secret setting; Store.Prepare puts it there.
type Setting struct {
	Name   string
	Value  model.Value
	Sealed []byte
}

// Create makes a context. Its schema is there already, or comes earlier in the same commit. The ID is from Store.NewID.
type Create struct {
	ID       model.ContextID
	Path     model.Path
	Label    string
	Schema   model.SchemaHash
	Settings []Setting
}

// Set changes settings. With Expected it does so only at that revision of the context.
type Set struct {
	Target   Target
	Settings []Setting
	Expected model.Revision
}

// Move gives a context another path, and everything below it with it; or another label; or both. A zero Path leaves it where it is, and a
// nil Label its name.
type Move struct {
	Target   Target
	Path     model.Path
	Label    *string
	Expected model.Revision
}

// Rebind gives a context another schema. Settings that the new one does not have, or has with another type, are dropped.
type Rebind struct {
	Target   Target
	Schema   model.SchemaHash
	Expected model.Revision
}

// Remove takes a context away, with Below also everything below it. Without Below it is refused where something is below it.
type Remove struct {
	Target   Target
	Below    bool
	Expected model.Revision
}

// OpenEpoch begins a life: numbers count within it from here on. Change numbers begin at LeastChange or later. Where LostFrom is not 0,
// change numbers from there on were told in the epoch before and may be forgotten here.
type OpenEpoch struct {
	Epoch       model.Epoch
	LeastChange uint64
	LostFrom    uint64
}

// Trim bounds what is remembered. Tombstones, where it is not nil, says how many are kept. Horizon says that below this change number
// removals are no longer all known, as after the mirror of a mount was dropped. RequestsBefore forgets requests that expired before it.
type Trim struct {
	Tombstones     *uint32
	Horizon        uint64
	RequestsBefore model.Time
}

func (PutSchema) change() {}
func (Create) change()    {}
func (Set) change()       {}
func (Move) change()      {}
func (Rebind) change()    {}
func (Remove) change()    {}
func (OpenEpoch) change() {}
func (Trim) change()      {}

// RequestID names a request for as long as its owner remembers it.
type RequestID [16]byte

// RequestStart makes a commit happen once: when the ID is known already and the digest is the same, nothing is done and the recorded
// outcome is the answer; with another digest it is refused.
type RequestStart struct {
	ID     RequestID
	Digest []byte // of what is asked for, at most 64 bytes
	Expiry model.Time
}

// RequestDone records how a started request ended. It may stand in the commit that starts it, or in a later one.
type RequestDone struct {
	ID     RequestID
	Result []byte
}

// Result is what became of a commit.
type Result struct {
	// Revision is the commit's place among all commits; a context that it changed has it as its revision. Of a request that was done
	// before it is the revision of then.
	Revision model.Revision
	// Change is this node's greatest change number of what the commit changed: whoever has passed it has seen all of it. 0 for none.
	Change uint64
	// Replayed says that the request was known already and nothing was done now; Done that its end is known, and Recorded how it ended.
	Replayed bool
	Done     bool
	Recorded []byte
}

// Limits of a commit. What is larger is refused before it is written anywhere.
const (
	MaxChanges      = 31_000 // a batch of 10,000 edits, each of them of settings and of the label and told by the audit log, and the schemas that it needs
	MaxConditions   = 1_000
	MaxCommitBytes  = 16 << 20
	MaxLabelBytes   = 1_024
	MaxDigestBytes  = 64
	MaxResultBytes  = 1 << 20
	MaxSealedExcess = 1 << 10 // how much longer than its value a sealed one may be
)

// Validate checks what can be checked without a database. size is about how many bytes the commit takes.
func (c *Commit) Validate() (size int, err error) {
	if c.Class < ClassPeople || c.Class > ClassEvents {
		return 0, model.Errorf(model.KindInvalid, "a commit has no class %d", c.Class)
	}
	if len(c.Changes) > MaxChanges || len(c.Conditions) > MaxConditions {
		return 0, model.Errorf(model.KindExhausted, "a commit of %d changes and %d conditions: at most %d and %d are allowed",
			len(c.Changes), len(c.Conditions), MaxChanges, MaxConditions)
	}
	size = 64 + 128*len(c.Conditions)
	for _, change := range c.Changes {
		n, err := checkChange(change)
		if err != nil {
			return 0, err
		}
		size += n
	}
	if c.Start != nil && (len(c.Start.Digest) == 0 || len(c.Start.Digest) > MaxDigestBytes) {
		return 0, model.Errorf(model.KindInvalid, "a request's digest has 1 to %d bytes, not %d", MaxDigestBytes, len(c.Start.Digest))
	}
	if c.Done != nil {
		size += len(c.Done.Result)
		if len(c.Done.Result) > MaxResultBytes {
			return 0, model.Errorf(model.KindExhausted, "a request's result has %d bytes, at most %d are allowed", len(c.Done.Result), MaxResultBytes)
		}
	}
	if size > MaxCommitBytes {
		return 0, model.Errorf(model.KindExhausted, "a commit of about %d bytes, at most %d are allowed", size, MaxCommitBytes)
	}
	return size, nil
}

func checkChange(change Change) (size int, err error) {
	switch c := change.(type) {
	case PutSchema:
		if c.Schema == nil || len(c.Schema.Raw) > model.MaxSchemaBytes {
			return 0, model.Errorf(model.KindInvalid, "a schema without bytes, or with more than %d", model.MaxSchemaBytes)
		}
		return 64 + len(c.Schema.Raw), nil
	case Create:
		if c.ID.IsZero() {
			return 0, &model.Error{Kind: model.KindInvalid, Op: "create", Path: c.Path, Detail: "the context has no ID"}
		}
		size, err = checkSettings(c.Settings)
		if err == nil {
			err = checkLabel(c.Label)
		}
		return size + 256 + len(c.Label), at(err, "create", c.Path)
	case Set:
		size, err = checkSettings(c.Settings)
		return size + 128, at(err, "set", c.Target.Path)
	case Move:
		if c.Label != nil {
			err = checkLabel(*c.Label)
		}
		return 256, at(err, "move", c.Target.Path)
	case OpenEpoch:
		if c.Epoch.IsZero() {
			return 0, model.Errorf(model.KindInvalid, "an epoch without a name")
		}
	case Audit:
		return c.check()
	case Ledger:
		return c.check()
	case ForgetLedger:
		return c.check()
	case Rebind, Remove, Trim, TrimAudit:
	default:
		return 0, model.Errorf(model.KindInvalid, "a commit cannot do %T", change)
	}
	return 128, nil
}

func checkSettings(settings []Setting) (size int, err error) {
	if len(settings) > model.MaxSchemaEntries {
		return 0, model.Errorf(model.KindExhausted, "%d settings at once, at most %d are allowed", len(settings), model.MaxSchemaEntries)
	}
	for _, s := range settings {
		if err := model.CheckName(s.Name); err != nil {
			return 0, err
		}
		if n := max(s.Value.Size(), len(s.Sealed)-MaxSealedExcess); n > model.MaxValueBytes {
			return 0, model.Errorf(model.KindExhausted, "setting %s has %d bytes, at most %d are allowed", s.Name, n, model.MaxValueBytes)
		}
		size += 64 + len(s.Name) + s.Value.Size() + len(s.Sealed)
	}
	return size, nil
}

func checkLabel(label string) error {
	if len(label) > MaxLabelBytes || !utf8.ValidString(label) {
		return model.Errorf(model.KindInvalid, "a label is text of at most %d bytes", MaxLabelBytes)
	}
	for _, r := range label {
		if unicode.IsControl(r) {
			return model.Errorf(model.KindInvalid, "a label has no control characters, not even %U", r)
		}
	}
	return nil
}

// at says of an error what was being done, and where.
func at(err error, op string, path model.Path) error {
	if err == nil {
		return nil
	}
	return &model.Error{Kind: model.KindOf(err), Op: op, Path: path, Err: err}
}

// text names a target in messages.
func (t Target) text() string {
	if t.ID.IsZero() {
		return t.Path.String()
	}
	return fmt.Sprintf("context %d of epoch %s", t.ID.Number, t.ID.Epoch)
}
