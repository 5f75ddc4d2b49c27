package access

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"banyan/model"
)

// Few names, so that random patterns and paths meet often; "ab" begins like "a".
var (
	genSegment = rapid.SampledFrom([]string{"a", "ab", "b", "users", "links"})
	genPath    = rapid.Custom(func(t *rapid.T) model.Path {
		return model.MustPath("/" + strings.Join(rapid.SliceOfN(genSegment, 0, 6).Draw(t, "segments"), "/"))
	})
	genPattern = rapid.Custom(func(t *rapid.T) model.Pattern {
		segment := rapid.OneOf(genSegment, rapid.SampledFrom([]string{"*", "**"}))
		return model.MustPattern("/" + strings.Join(rapid.SliceOfN(segment, 0, 5).Draw(t, "segments"), "/"))
	})
	genRule = rapid.Custom(func(t *rapid.T) Rule {
		return Rule{genPattern.Draw(t, "pattern"), model.Right(rapid.IntRange(0, 4).Draw(t, "right"))}
	})
	genRules = rapid.SliceOfN(genRule, 0, 6)
)

func TestMatcherIsThePattern(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern, path := genPattern.Draw(t, "pattern"), genPath.Draw(t, "path")
		m := compile(pattern)
		if got, want := m.matches(textOf(path)), pattern.Matches(path); got != want {
			t.Fatalf("%s on %s: matcher says %v, the pattern %v", pattern, path, got, want)
		}
	})
}

// TestMatcherIsBounded: a pattern that makes naive backtracking try every way to share out 60 segments among 30 stars.
func TestMatcherIsBounded(t *testing.T) {
	m := compile(model.MustPattern("/b" + strings.Repeat("/**/a", 30) + "/b"))
	if m.matches("/b" + strings.Repeat("/a", 60)) {
		t.Error("a path that does not end in /b was matched")
	}
	if !m.matches("/b" + strings.Repeat("/a", 60) + "/b") {
		t.Error("a path that ends in /b was not matched")
	}
}

// allPaths are all paths of up to depth of the segments.
func allPaths(depth int, segments ...string) []model.Path {
	paths := []model.Path{model.Root}
	above := paths
	for range depth {
		var next []model.Path
		for _, p := range above {
			for _, s := range segments {
				child, _ := p.Child(s)
				next = append(next, child)
			}
		}
		paths, above = append(paths, next...), next
	}
	return paths
}

func TestCoversAndOverlapsAreSound(t *testing.T) {
	paths := allPaths(4, "a", "ab", "b", "users", "links")
	rapid.Check(t, func(t *rapid.T) {
		p, q := genPattern.Draw(t, "p"), genPattern.Draw(t, "q")
		covering, overlapping := covers(p, q), overlaps(p, q)
		if covering && !overlapping {
			t.Fatalf("%s is said to cover and not to overlap %s", p, q)
		}
		mp, mq := compile(p), compile(q)
		for _, path := range paths {
			inP, inQ := mp.matches(textOf(path)), mq.matches(textOf(path))
			if covering && inQ && !inP {
				t.Fatalf("%s is said to cover %s, but %s is in the second only", p, q, path)
			}
			if inP && inQ && !overlapping {
				t.Fatalf("%s and %s are said not to overlap, but %s is in both", p, q, path)
			}
		}
	})
}

func TestCovers(t *testing.T) {
	tests := []struct {
		p, q            string
		covers, overlap bool
	}{
		{"/**", "/", true, true},
		{"/**", "/a/*/**/b", true, true},
		{"/", "/**", false, true},
		{"/a/**", "/a", true, true},
		{"/a/**", "/ab", false, false},
		{"/a/**", "/a/*/b/**", true, true},
		{"/a/*/b/**", "/a/**", false, true},
		{"/a/*", "/a/b", true, true},
		{"/a/b", "/a/*", false, true},
		{"/*/b", "/a/*", false, true},
		{"/*/b", "/a/c", false, false},
		{"/**/b", "/a/**/b", true, true},
		{"/**/b", "/a/**", false, true},
		{"/a/*/*", "/a/**", false, true},
		{"/sites/**", "/users/**", false, false},
	}
	for _, test := range tests {
		p, q := model.MustPattern(test.p), model.MustPattern(test.q)
		if got := covers(p, q); got != test.covers {
			t.Errorf("covers(%s, %s) is %v", p, q, got)
		}
		if got := overlaps(p, q); got != test.overlap || overlaps(q, p) != got {
			t.Errorf("overlaps(%s, %s) is %v one way and %v the other", p, q, got, overlaps(q, p))
		}
	}
}
