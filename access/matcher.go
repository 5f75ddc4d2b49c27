package access

import (
	"strings"

	"banyan/model"
)

// matcher is a pattern compiled for many decisions. It selects exactly what model.Pattern.Matches selects, without allocating; most
// patterns are a literal prefix, or one with ** behind it, and are decided by comparing that prefix.
type matcher struct {
	pattern model.Pattern
	prefix  string   // the leading literal segments as "/a/b", empty where the pattern begins with a star
	tail    []string // the segments behind the prefix
}

func compile(p model.Pattern) matcher {
	m := matcher{pattern: p}
	if prefix := p.Prefix(); !prefix.IsRoot() {
		m.prefix = prefix.String()
	}
	m.tail = segmentsOf(p)[p.Prefix().Depth():]
	return m
}

func segmentsOf(p model.Pattern) []string {
	text := p.String()
	if text == "/" {
		return nil
	}
	return strings.Split(text[1:], "/")
}

// textOf is the form of a path that matchers take: empty for the root.
func textOf(p model.Path) string {
	if p.IsRoot() {
		return ""
	}
	return p.String()
}

// isSubtree reports whether the pattern is a literal prefix followed by **.
func (m *matcher) isSubtree() bool { return len(m.tail) == 1 && m.tail[0] == "**" }

// matches takes the text of a path as textOf gives it.
func (m *matcher) matches(text string) bool {
	if !strings.HasPrefix(text, m.prefix) {
		return false
	}
	rest := text[len(m.prefix):]
	switch {
	case rest != "" && rest[0] != '/':
		return false // /a is no prefix of /ab
	case len(m.tail) == 0:
		return rest == ""
	case m.isSubtree():
		return true
	}
	return matchTail(m.tail, rest)
}

// matchTail goes back to the last ** only, since an earlier one could take no more than what the last one can take as well. So its time
// is bounded by segments of the pattern times segments of the path, whatever a pattern from outside looks like.
func matchTail(tail []string, rest string) bool {
	at, star, starRest := 0, -1, ""
	for {
		if at < len(tail) && tail[at] == "**" {
			if at == len(tail)-1 {
				return true
			}
			star, starRest = at, rest
			at++
			continue
		}
		if rest == "" && at == len(tail) {
			return true
		}
		if rest != "" && at < len(tail) {
			segment, after := cutSegment(rest)
			if tail[at] == "*" || tail[at] == segment {
				at, rest = at+1, after
				continue
			}
		}
		if star < 0 || starRest == "" {
			return false
		}
		_, starRest = cutSegment(starRest)
		at, rest = star+1, starRest
	}
}

// cutSegment splits "/a/b/c" into "a" and "/b/c".
func cutSegment(text string) (segment, rest string) {
	if i := strings.IndexByte(text[1:], '/'); i >= 0 {
		return text[1 : i+1], text[i+1:]
	}
	return text[1:], ""
}

// covers reports whether p certainly selects every path that q selects. It may say no where the truth is yes (a union of literals, a
// ** that stands between literals in different ways), never yes where it is no.
func covers(p, q model.Pattern) bool {
	return compare(segmentsOf(p), segmentsOf(q), false)
}

// overlaps reports whether some sequence of segments is selected by both. It says no only where no path can be.
func overlaps(p, q model.Pattern) bool {
	return compare(segmentsOf(p), segmentsOf(q), true)
}

// compare fills a table from the ends of both patterns: each cell says it for p from i and q from j on.
func compare(p, q []string, overlap bool) bool {
	width := len(q) + 1
	table := make([]bool, (len(p)+1)*width)
	at := func(i, j int) bool { return table[i*width+j] }
	for i := len(p); i >= 0; i-- {
		for j := len(q); j >= 0; j-- {
			var yes bool
			switch {
			case i == len(p) && j == len(q):
				yes = true
			case i < len(p) && p[i] == "**":
				yes = at(i+1, j) || j < len(q) && at(i, j+1)
			case j < len(q) && q[j] == "**":
				yes = overlap && (at(i, j+1) || i < len(p) && at(i+1, j))
			case i < len(p) && j < len(q):
				same := p[i] == "*" || p[i] == q[j] || overlap && q[j] == "*"
				yes = same && at(i+1, j+1)
			}
			table[i*width+j] = yes
		}
	}
	return table[0]
}
