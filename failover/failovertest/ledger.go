package failovertest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"banyan/model"
)

// OpKind is what one operation of the script does.
type OpKind uint8

// What a writer does.
const (
	OpCreate OpKind = iota + 1 // with Points
	OpSet                      // Points
	OpRemove
)

// Op is one operation of a writer.
type Op struct {
	Kind   OpKind
	Path   model.Path
	Points int64
}

// Base is the context of a writer; nobody else writes there.
func Base(writer int) model.Path { return model.MustPath(fmt.Sprintf("/kill/w%d", writer)) }

func child(writer int, number uint64) model.Path {
	return model.MustPath(fmt.Sprintf("/kill/w%d/c%d", writer, number))
}

// Script is operation number (from 1) of a writer. Every writer does them in order and goes on only when one is confirmed, so that what is
// there tells how far it has come.
func Script(writer int, number uint64) Op {
	switch {
	case number == 1:
		return Op{OpCreate, Base(writer), 1}
	case number%4 == 0:
		return Op{OpCreate, child(writer, number), int64(number)}
	case number%4 == 2 && number >= 10:
		return Op{OpRemove, child(writer, number-6), 0}
	default:
		return Op{OpSet, Base(writer), int64(number)}
	}
}

// State is what is there of one writer: the points of each path.
type State map[model.Path]int64

// After is the state after the first operations of a writer.
func After(writer int, operations uint64) State {
	state := State{}
	// Children live for six operations.
	for n := uint64(1); n <= operations; n++ {
		if n > 1 && n+16 < operations {
			n = operations - 16
		}
		switch op := Script(writer, n); op.Kind {
		case OpRemove:
			delete(state, op.Path)
		default:
			state[op.Path] = op.Points
		}
	}
	return state
}

// Confirmation is a writer's word that one of its operations was confirmed with a revision.
type Confirmation struct {
	Writer   int
	Number   uint64
	Revision model.Revision
}

// String is one line without its end. Written in one piece it is whole or not there, also when the writer is killed.
func (c Confirmation) String() string { return fmt.Sprintf("%d %d %s", c.Writer, c.Number, c.Revision) }

// ParseConfirmation reads a line.
func ParseConfirmation(line string) (Confirmation, error) {
	parts := strings.Fields(line)
	if len(parts) != 3 {
		return Confirmation{}, fmt.Errorf("%q is not a confirmation", line)
	}
	writer, err := strconv.Atoi(parts[0])
	if err != nil {
		return Confirmation{}, err
	}
	number, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return Confirmation{}, err
	}
	revision, err := model.ParsePosition(parts[2])
	return Confirmation{writer, number, revision}, err
}

// Ledger holds what was confirmed. It is kept outside of the process that is killed.
type Ledger struct {
	writers   []uint64 // confirmed operations of each
	revisions map[model.Revision]Confirmation
}

// NewLedger makes a ledger for so many writers.
func NewLedger(writers int) *Ledger {
	return &Ledger{make([]uint64, writers), map[model.Revision]Confirmation{}}
}

// Next is each writer's next operation: the first that was not confirmed. It may have been done all the same.
func (l *Ledger) Next() []uint64 {
	next := slices.Clone(l.writers)
	for i := range next {
		next[i]++
	}
	return next
}

// Count is how many operations were confirmed.
func (l *Ledger) Count() int { return len(l.revisions) }

// Confirm records a confirmation. A revision that was given for another operation is an error.
func (l *Ledger) Confirm(c Confirmation) error {
	if c.Writer < 0 || c.Writer >= len(l.writers) || c.Number != l.writers[c.Writer]+1 {
		return fmt.Errorf("%s is out of order: operation %v is next", c, l.Next())
	}
	if earlier, given := l.revisions[c.Revision]; given {
		return fmt.Errorf("revision %s was given twice: %s, %s", c.Revision, earlier, c)
	}
	if c.Revision.IsZero() {
		return fmt.Errorf("%s has no revision", c)
	}
	l.revisions[c.Revision] = c
	l.writers[c.Writer]++
	return nil
}

// Check compares what is there of a writer with what was confirmed: nothing of it is missing, and of what was not confirmed at most the one
// operation that was under way is there, as a whole.
func (l *Ledger) Check(writer int, found State) error {
	confirmed := l.writers[writer]
	if maps.Equal(found, After(writer, confirmed)) || maps.Equal(found, After(writer, confirmed+1)) {
		return nil
	}
	return fmt.Errorf("writer %d has %d operations confirmed: found %v, want %v, or %v when the next one was done",
		writer, confirmed, found, After(writer, confirmed), After(writer, confirmed+1))
}
