package model

import (
	"slices"
	"strings"
)

// Pattern selects paths: "*" stands for exactly one segment, "**" for any number of them, none included. "/sites/**" selects
// /sites and everything below it. Patterns are valid by construction; the zero Pattern selects the root only.
type Pattern struct {
	text     string
	segments []string
}

// Everything is the pattern "/**".
var Everything = MustPattern("/**")

// ParsePattern reads a pattern. It follows the rules of a path, with * and ** allowed as whole segments.
func ParsePattern(text string) (Pattern, error) {
	if text == "/" {
		return Pattern{}, nil
	}
	if text == "" || text[0] != '/' {
		return Pattern{}, invalidf("pattern %s does not begin with /: examples are /devices/* and /sites/**", quoted(text))
	}
	if len(text) > MaxPathBytes {
		return Pattern{}, invalidf("pattern %s has %d bytes, at most %d are allowed", quoted(text), len(text), MaxPathBytes)
	}
	segments := strings.Split(text[1:], "/")
	if len(segments) > MaxPathDepth {
		return Pattern{}, invalidf("pattern %s has %d segments, at most %d are allowed", quoted(text), len(segments), MaxPathDepth)
	}
	for _, s := range segments {
		if s == "*" || s == "**" {
			continue
		}
		if err := checkSegment(s); err != nil {
			return Pattern{}, invalidf("pattern %s: %s (* and ** stand for whole segments only)", quoted(text), err.Error())
		}
	}
	segments = slices.CompactFunc(segments, func(a, b string) bool { return a == "**" && b == "**" })
	return Pattern{text: "/" + strings.Join(segments, "/"), segments: segments}, nil
}

// MustPattern is ParsePattern for constants of the program; it panics on an invalid pattern.
func MustPattern(text string) Pattern {
	p, err := ParsePattern(text)
	if err != nil {
		panic(err)
	}
	return p
}

// String is the text that ParsePattern reads back, with repeated ** folded into one.
func (p Pattern) String() string {
	if p.text == "" {
		return "/"
	}
	return p.text
}

// Matches reports whether the pattern selects path. It takes time proportional to segments of the pattern times segments of the path.
func (p Pattern) Matches(path Path) bool {
	reached := p.advance(path)
	return reached[len(p.segments)]
}

// MayMatchBelow reports whether some path at or below path is selected: where it is false, a walk need not descend.
func (p Pattern) MayMatchBelow(path Path) bool {
	return slices.Contains(p.advance(path), true)
}

// advance returns which positions in the pattern can be reached after all of path was read.
func (p Pattern) advance(path Path) []bool {
	reached := make([]bool, len(p.segments)+1)
	reached[0] = true
	p.skipDoubleStars(reached)
	next := make([]bool, len(reached))
	for segment := range path.Segments() {
		clear(next)
		for i, want := range p.segments {
			if !reached[i] {
				continue
			}
			switch {
			case want == "**":
				next[i] = true
			case want == "*" || want == segment:
				next[i+1] = true
			}
		}
		p.skipDoubleStars(next)
		reached, next = next, reached
	}
	return reached
}

// skipDoubleStars lets every ** that was reached stand for no segment at all.
func (p Pattern) skipDoubleStars(reached []bool) {
	for i, want := range p.segments {
		if reached[i] && want == "**" {
			reached[i+1] = true
		}
	}
}

// Prefix is the longest path that every selected path lies at or below.
func (p Pattern) Prefix() Path {
	var prefix strings.Builder
	for _, s := range p.segments {
		if s == "*" || s == "**" {
			break
		}
		prefix.WriteString("/" + s)
	}
	return Path{text: prefix.String()}
}

// Equal reports whether two patterns have the same text.
func (p Pattern) Equal(other Pattern) bool { return p.text == other.text }

// MarshalText makes a pattern a JSON string and a YAML scalar.
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText parses a pattern.
func (p *Pattern) UnmarshalText(text []byte) error {
	parsed, err := ParsePattern(string(text))
	if err == nil {
		*p = parsed
	}
	return err
}
