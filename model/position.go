package model

import (
	"strconv"
	"strings"
)

// Position is a place in a numbered sequence: the number, and the epoch in which it was given. Two positions mean the same only
// when both parts are equal. Numbers go on growing from one epoch to the next.
type Position struct {
	Epoch  Epoch
	Number uint64
}

// Revision is the position of a commit to settings at their owner.
type Revision = Position

// Version is the position of the last change of a context at its owner.
type Version = Position

// IsZero reports whether nothing was numbered yet.
func (p Position) IsZero() bool { return p == Position{} }

// String is "epoch@number", empty for the zero position.
func (p Position) String() string {
	if p.IsZero() {
		return ""
	}
	return p.Epoch.String() + "@" + strconv.FormatUint(p.Number, 10)
}

// ParsePosition reads what String wrote.
func ParsePosition(text string) (Position, error) {
	if text == "" {
		return Position{}, nil
	}
	epochText, numberText, _ := strings.Cut(text, "@")
	epoch, err := ParseEpoch(epochText)
	if err != nil {
		return Position{}, invalidf("%s is not a position: it is written 7-0123456789abcdef@42", quoted(text))
	}
	number, err := strconv.ParseUint(numberText, 10, 64)
	if err != nil {
		return Position{}, invalidf("%s is not a position: it is written 7-0123456789abcdef@42", quoted(text))
	}
	return Position{epoch, number}, nil
}

// MarshalText is String.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is ParsePosition.
func (p *Position) UnmarshalText(text []byte) error {
	parsed, err := ParsePosition(string(text))
	if err == nil {
		*p = parsed
	}
	return err
}

// Begin records where an epoch begins: the first number that it may give.
type Begin struct {
	Epoch Epoch  `json:"epoch"`
	First uint64 `json:"first"`
}

// Chain is the history of a sequence: its epochs in order, each with its first number. Firsts never fall. Two ends that
// numbered, or copied, the same sequence compare their chains to learn how far they tell the same story.
type Chain []Begin

// Validate checks that ordinals rise and firsts do not fall.
func (c Chain) Validate() error {
	for i, b := range c {
		if b.Epoch.IsZero() || b.First == 0 {
			return invalidf("epoch %d of the chain is empty", i)
		}
		if i > 0 && (b.Epoch.Ordinal <= c[i-1].Epoch.Ordinal || b.First < c[i-1].First) {
			return invalidf("epoch %s at %d does not follow epoch %s at %d", b.Epoch, b.First, c[i-1].Epoch, c[i-1].First)
		}
	}
	return nil
}

// Last is the epoch that numbers now, zero for an empty chain.
func (c Chain) Last() Begin {
	if len(c) == 0 {
		return Begin{}
	}
	return c[len(c)-1]
}

// Index is where epoch stands in the chain, or -1.
func (c Chain) Index(epoch Epoch) int {
	for i := len(c) - 1; i >= 0; i-- {
		if c[i].Epoch == epoch {
			return i
		}
	}
	return -1
}

// EpochOf is the epoch in which number was given, and whether the chain reaches back that far.
func (c Chain) EpochOf(number uint64) (Epoch, bool) {
	for i := len(c) - 1; i >= 0; i-- {
		if c[i].First <= number {
			return c[i].Epoch, true
		}
	}
	return Epoch{}, false
}

// Holds reports whether the position lies on the chain: its epoch is there and had not ended before the number.
func (c Chain) Holds(p Position) bool {
	i := c.Index(p.Epoch)
	return i >= 0 && p.Number >= c[i].First && (i+1 == len(c) || p.Number < c[i+1].First)
}

// Common compares the chain of a receiver that has everything up to number at with the chain of the sender. It returns up to
// which number both tell the same story. Where that is less than at, the receiver is beyond a fork: the sender was
// rolled back, restored or cloned, and what the receiver has above the returned number the sender does not know.
func (c Chain) Common(at uint64, sender Chain) uint64 {
	shared := 0
	for shared < len(c) && shared < len(sender) && c[shared] == sender[shared] {
		shared++
	}
	if shared == 0 {
		return 0
	}
	if shared < len(c) {
		at = min(at, c[shared].First-1)
	}
	if shared < len(sender) {
		at = min(at, sender[shared].First-1)
	}
	return at
}
