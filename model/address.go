package model

import "strings"

// Address names a setting, a variable, a function or an event of a context, written PATH:NAME. With an empty Name it means the
// context itself.
type Address struct {
	Path Path
	Name string
}

// ParseAddress reads PATH or PATH:NAME.
func ParseAddress(text string) (Address, error) {
	pathText, name, named := strings.Cut(text, ":")
	path, err := ParsePath(pathText)
	if err != nil {
		return Address{}, err
	}
	if !named {
		return Address{Path: path}, nil
	}
	if err := CheckName(name); err != nil {
		return Address{}, err
	}
	return Address{Path: path, Name: name}, nil
}

// CheckName says whether text may name a setting, variable, function, event, column or parameter: 1 to 255 of [A-Za-z0-9_.-].
func CheckName(text string) error {
	if err := checkSegment(text); err != nil {
		return invalidf("name %s: use 1 to 255 of A-Z a-z 0-9 _ . -", quoted(text))
	}
	return nil
}

// String is the text that ParseAddress reads back.
func (a Address) String() string {
	if a.Name == "" {
		return a.Path.String()
	}
	return a.Path.String() + ":" + a.Name
}

// MarshalText makes an address a JSON string.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText parses an address.
func (a *Address) UnmarshalText(text []byte) error {
	parsed, err := ParseAddress(string(text))
	if err == nil {
		*a = parsed
	}
	return err
}
