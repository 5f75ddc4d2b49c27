package model

import "strconv"

// Right is what a rule grants and what a function or a setting asks for. Each right includes the ones below it.
type Right uint8

// The rights in ascending order. Their numbers are part of the wire form.
const (
	RightNone       Right = 0 // nothing, not even to know that it exists
	RightView       Right = 1 // see contexts, settings, samples
	RightOperate    Right = 2 // acknowledge, poll, command
	RightConfigure  Right = 3 // change settings, create and remove contexts
	RightAdminister Right = 4 // people, roles, links
)

var rightNames = [...]string{"none", "view", "operate", "configure", "administer"}

// String is the right's name in rules and messages.
func (r Right) String() string {
	if int(r) < len(rightNames) {
		return rightNames[r]
	}
	return "right-" + strconv.Itoa(int(r))
}

// ParseRight reads a right's name.
func ParseRight(text string) (Right, error) {
	for i, name := range rightNames {
		if name == text {
			return Right(i), nil
		}
	}
	return RightNone, invalidf("%s is not a right: use none, view, operate, configure or administer", quoted(text))
}

// MarshalText is the right's name.
func (r Right) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a right's name.
func (r *Right) UnmarshalText(text []byte) error {
	parsed, err := ParseRight(string(text))
	if err == nil {
		*r = parsed
	}
	return err
}
