package model

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// naive is what a pattern means, as directly as it can be said; it takes exponential time.
func naive(pattern, path []string) bool {
	switch {
	case len(pattern) == 0:
		return len(path) == 0
	case pattern[0] == "**":
		return naive(pattern[1:], path) || len(path) > 0 && naive(pattern, path[1:])
	case len(path) == 0:
		return false
	}
	return (pattern[0] == "*" || pattern[0] == path[0]) && naive(pattern[1:], path[1:])
}

func checkPattern(t interface{ Fatalf(string, ...any) }, pattern Pattern, written []string, path Path, below []string) {
	segments := segmentsOf(path)
	want := naive(written, segments)
	if pattern.Matches(path) != want {
		t.Fatalf("%s selects %s: want %v", pattern, path, want)
	}
	if naive(written, append(segments, below...)) && !pattern.MayMatchBelow(path) {
		t.Fatalf("%s selects %s/%s, but nothing below %s", pattern, path, strings.Join(below, "/"), path)
	}
	if want && !pattern.Prefix().Contains(path) {
		t.Fatalf("%s selects %s outside of its prefix %s", pattern, path, pattern.Prefix())
	}
	again, err := ParsePattern(pattern.String())
	if err != nil || !again.Equal(pattern) || again.Matches(path) != want {
		t.Fatalf("%s reads back as %s, %v", pattern, again, err)
	}
}

func TestPatternAgainstNaive(t *testing.T) {
	few := rapid.SampledFrom([]string{"a", "b", "c"})
	wild := rapid.SampledFrom([]string{"a", "b", "*", "**", "**"})
	rapid.Check(t, func(t *rapid.T) {
		written := rapid.SliceOfN(wild, 0, 6).Draw(t, "pattern")
		path := pathOf(rapid.SliceOfN(few, 0, 6).Draw(t, "path"))
		below := rapid.SliceOfN(few, 0, 3).Draw(t, "below")
		checkPattern(t, MustPattern("/"+strings.Join(written, "/")), written, path, below)
	})
}

// TestMayMatchBelowPrunes holds that the answer is also tight: where it is true, some path below is selected.
func TestMayMatchBelowPrunes(t *testing.T) {
	for _, test := range []struct {
		pattern, path string
		below         bool
	}{
		{"/", "/", true}, {"/", "/a", false}, {"/a/b", "/", true}, {"/a/b", "/a", true}, {"/a/b", "/a/b", true}, {"/a/b", "/a/b/c", false},
		{"/a/b", "/b", false}, {"/*/b", "/x", true}, {"/*/b", "/x/y", false}, {"/**", "/x/y", true}, {"/**/b", "/x/y", true}, {"/a/**", "/b", false},
	} {
		if got := MustPattern(test.pattern).MayMatchBelow(MustPath(test.path)); got != test.below {
			t.Errorf("%s below %s: got %v", test.pattern, test.path, got)
		}
	}
}

func TestParsePattern(t *testing.T) {
	for text, want := range map[string]string{
		"/": "/", "/**/**/**": "/**", "/a/**/**/b/*/*": "/a/**/b/*/*", "/**/*/**": "/**/*/**", strings.Repeat("/**", 64): "/**",
	} {
		if p, err := ParsePattern(text); err != nil || p.String() != want {
			t.Errorf("%q: got %s, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "**", "a", "/a*", "/***", "/a/", "//", "/..", "/ü", strings.Repeat("/*", 65), "/" + strings.Repeat("x", 1024)} {
		if p, err := ParsePattern(text); KindOf(err) != KindInvalid || err == nil || p.String() != "/" {
			t.Errorf("%.40q: got %s, %v", text, p, err)
		}
	}
	var zero Pattern
	if !zero.Matches(Root) || zero.Matches(MustPath("/a")) || !Everything.Matches(Root) || !Everything.Matches(MustPath("/a/b")) {
		t.Error("the zero pattern is not the root, or everything not everything")
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("/**", "/", "a")
	f.Add("/a/**/b/*", "/a/x/b/c", "b/c")
	f.Add("/*/**/*", "/a", "b")
	f.Add("/**/a/**/a/**/b", "/a/a/a/a", "b")
	f.Fuzz(func(t *testing.T, patternText, pathText, belowText string) {
		pattern, err := ParsePattern(patternText)
		path, errPath := ParsePath(pathText)
		var below []string
		if belowText != "" {
			below = strings.Split(belowText, "/")
		}
		joined := path
		for _, s := range below {
			if joined, errPath = joined.Child(s); errPath != nil {
				return
			}
		}
		if err != nil || errPath != nil || len(pattern.segments) > 8 || joined.Depth() > 10 {
			return // what is naive takes too long
		}
		var written []string
		if patternText != "/" {
			written = strings.Split(patternText[1:], "/")
		}
		if !slices.Contains(written, "**") && pattern.String() != patternText {
			t.Fatalf("%q became %q", patternText, pattern)
		}
		checkPattern(t, pattern, written, path, below)
	})
}
