package model

import (
	"iter"
	"strings"
)

// Limits of a path. A path that exceeds one of them cannot be constructed.
const (
	MaxSegmentBytes = 255
	MaxPathBytes    = 1024
	MaxPathDepth    = 64
)

// Path names a context in one node's tree: "/sites/berlin/plc-7". It is always absolute and always valid: the only ways to
// make one are ParsePath, Child and the methods of a Path. The zero Path is the root, "/". Paths are comparable and
// may be map keys.
type Path struct {
	text string // empty for the root, otherwise "/a/b" without a trailing slash
}

// Root is the path of the tree's root context.
var Root = Path{}

// ParsePath is the one parser of paths. Segments are of [A-Za-z0-9_.-], 1 to 255 bytes, and neither "." nor ".."; there are at
// most 64 of them and 1,024 bytes in all.
func ParsePath(text string) (Path, error) {
	if text == "/" {
		return Root, nil
	}
	if text == "" {
		return Path{}, invalidf("path is empty: a path begins with /, like /sites/berlin")
	}
	if text[0] != '/' {
		return Path{}, invalidf("path %s does not begin with /", quoted(text))
	}
	if len(text) > MaxPathBytes {
		return Path{}, invalidf("path %s has %d bytes, at most %d are allowed", quoted(text), len(text), MaxPathBytes)
	}
	depth := 0
	for segment := range strings.SplitSeq(text[1:], "/") {
		if err := checkSegment(segment); err != nil {
			return Path{}, invalidf("path %s: %s", quoted(text), err.Error())
		}
		depth++
	}
	if depth > MaxPathDepth {
		return Path{}, invalidf("path %s has %d segments, at most %d are allowed", quoted(text), depth, MaxPathDepth)
	}
	return Path{text: text}, nil
}

// MustPath is ParsePath for constants of the program; it panics on an invalid path.
func MustPath(text string) Path {
	p, err := ParsePath(text)
	if err != nil {
		panic(err)
	}
	return p
}

// CheckSegment says whether text may be one segment of a path.
func CheckSegment(text string) error {
	if err := checkSegment(text); err != nil {
		return invalidf("%s", err.Error())
	}
	return nil
}

type segmentError string

func (e segmentError) Error() string { return string(e) }

func checkSegment(s string) error {
	switch {
	case s == "":
		return segmentError("a segment is empty")
	case s == "." || s == "..":
		return segmentError("a segment may not be . or ..")
	case len(s) > MaxSegmentBytes:
		return segmentError("a segment is longer than 255 bytes")
	}
	for i := range len(s) {
		if !segmentByte[s[i]] {
			return segmentError("segment " + quoted(s) + " has a character outside A-Z a-z 0-9 _ . -")
		}
	}
	return nil
}

var segmentByte = func() (set [256]bool) {
	for c := range 256 {
		b := byte(c)
		set[c] = b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_' || b == '.' || b == '-'
	}
	return set
}()

// String is the text that ParsePath reads back.
func (p Path) String() string {
	if p.text == "" {
		return "/"
	}
	return p.text
}

// IsRoot reports whether p is "/".
func (p Path) IsRoot() bool { return p.text == "" }

// Depth is the number of segments; the root has none.
func (p Path) Depth() int { return strings.Count(p.text, "/") }

// Base is the last segment, empty for the root.
func (p Path) Base() string { return p.text[strings.LastIndexByte(p.text, '/')+1:] }

// Parent is the path above; the root is its own parent.
func (p Path) Parent() Path {
	i := strings.LastIndexByte(p.text, '/')
	if i < 0 {
		return Root
	}
	return Path{text: p.text[:i]}
}

// Child is the path of the context called segment below p.
func (p Path) Child(segment string) (Path, error) {
	if err := checkSegment(segment); err != nil {
		return Path{}, invalidf("below %s: %s", p, err.Error())
	}
	return p.Join(Path{text: "/" + segment})
}

// Join hangs the path below under p: "/regions/north" joined with "/sites/berlin" is "/regions/north/sites/berlin".
func (p Path) Join(below Path) (Path, error) {
	joined := Path{text: p.text + below.text}
	if len(joined.text) > MaxPathBytes {
		return Path{}, invalidf("path %s%s would have %d bytes, at most %d are allowed", p.text, below.text, len(joined.text), MaxPathBytes)
	}
	if d := joined.Depth(); d > MaxPathDepth {
		return Path{}, invalidf("path %s%s would have %d segments, at most %d are allowed", p.text, below.text, d, MaxPathDepth)
	}
	return joined, nil
}

// Contains reports whether other is p or lies below it.
func (p Path) Contains(other Path) bool {
	return strings.HasPrefix(other.text, p.text) && (len(other.text) == len(p.text) || other.text[len(p.text)] == '/')
}

// Below is what remains of other when p is taken off its front, and whether p contains it at all.
func (p Path) Below(other Path) (Path, bool) {
	if !p.Contains(other) {
		return Path{}, false
	}
	return Path{text: other.text[len(p.text):]}, true
}

// Segments yields the segments from the root downwards.
func (p Path) Segments() iter.Seq[string] {
	return func(yield func(string) bool) {
		if p.text == "" {
			return
		}
		for segment := range strings.SplitSeq(p.text[1:], "/") {
			if !yield(segment) {
				return
			}
		}
	}
}

// Compare orders paths so that a context comes before everything below it and siblings stand in byte order.
func (p Path) Compare(other Path) int {
	a, b := p.text, other.text
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			continue
		}
		switch {
		case a[i] == '/':
			return -1
		case b[i] == '/':
			return 1
		case a[i] < b[i]:
			return -1
		default:
			return 1
		}
	}
	return len(a) - len(b)
}

// MarshalText makes a path a JSON string and a YAML scalar.
func (p Path) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText parses a path.
func (p *Path) UnmarshalText(text []byte) error {
	parsed, err := ParsePath(string(text))
	if err == nil {
		*p = parsed
	}
	return err
}
