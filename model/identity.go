package model

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// NodeID is the SHA-256 fingerprint of a node's first root certificate. It is a name and proves nothing by itself.
type NodeID [32]byte

// ParseNodeID reads 64 hexadecimal digits.
func ParseNodeID(text string) (NodeID, error) {
	var id NodeID
	if len(text) != 2*len(id) || strings.ToLower(text) != text {
		return NodeID{}, invalidf("%s is not a node ID: it has 64 digits of 0-9 a-f", quoted(text))
	}
	if _, err := hex.Decode(id[:], []byte(text)); err != nil {
		return NodeID{}, invalidf("%s is not a node ID: it has 64 digits of 0-9 a-f", quoted(text))
	}
	return id, nil
}

// IsZero reports whether no node is named.
func (id NodeID) IsZero() bool { return id == NodeID{} }

// String is 64 hexadecimal digits.
func (id NodeID) String() string { return hex.EncodeToString(id[:]) }

// Short is the first 12 digits, for people.
func (id NodeID) Short() string { return hex.EncodeToString(id[:6]) }

// MarshalText is String.
func (id NodeID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is ParseNodeID.
func (id *NodeID) UnmarshalText(text []byte) error {
	parsed, err := ParseNodeID(string(text))
	if err == nil {
		*id = parsed
	}
	return err
}

// ContextID names a context for life: the node that created it, that node's epoch at the time, and a number within it. It is
// never used again, and a rename, a move or a mount does not change it.
type ContextID struct {
	Node   NodeID
	Epoch  Epoch
	Number uint64
}

// IsZero reports whether no context is named.
func (id ContextID) IsZero() bool { return id == ContextID{} }

// String is "node/epoch/number".
func (id ContextID) String() string {
	return id.Node.String() + "/" + id.Epoch.String() + "/" + strconv.FormatUint(id.Number, 10)
}

// ParseContextID reads what String wrote.
func ParseContextID(text string) (ContextID, error) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		return ContextID{}, invalidf("%s is not a context ID: it is written node/epoch/number", quoted(text))
	}
	node, err := ParseNodeID(parts[0])
	if err != nil {
		return ContextID{}, err
	}
	epoch, err := ParseEpoch(parts[1])
	if err != nil {
		return ContextID{}, err
	}
	number, err := strconv.ParseUint(parts[2], 10, 64)
	if err != nil {
		return ContextID{}, invalidf("%s is not the number of a context ID", quoted(parts[2]))
	}
	return ContextID{node, epoch, number}, nil
}

// MarshalText is String.
func (id ContextID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is ParseContextID.
func (id *ContextID) UnmarshalText(text []byte) error {
	parsed, err := ParseContextID(string(text))
	if err == nil {
		*id = parsed
	}
	return err
}

// Epoch is one life of a process: an ordinal that grows by one with each, and 64 random bits that tell a clone or a restored
// directory from the life it was copied from.
type Epoch struct {
	Ordinal uint64
	Random  uint64
}

// IsZero reports whether no epoch is named.
func (e Epoch) IsZero() bool { return e == Epoch{} }

// String is "ordinal-random", the random bits as 16 hexadecimal digits.
func (e Epoch) String() string { return fmt.Sprintf("%d-%016x", e.Ordinal, e.Random) }

// ParseEpoch reads what String wrote.
func ParseEpoch(text string) (Epoch, error) {
	ordinalText, randomText, _ := strings.Cut(text, "-")
	ordinal, errOrdinal := strconv.ParseUint(ordinalText, 10, 64)
	random, errRandom := strconv.ParseUint(randomText, 16, 64)
	if errOrdinal != nil || errRandom != nil || len(randomText) != 16 {
		return Epoch{}, invalidf("%s is not an epoch: it is written 7-0123456789abcdef", quoted(text))
	}
	return Epoch{ordinal, random}, nil
}

// MarshalText is String.
func (e Epoch) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText is ParseEpoch.
func (e *Epoch) UnmarshalText(text []byte) error {
	parsed, err := ParseEpoch(string(text))
	if err == nil {
		*e = parsed
	}
	return err
}
