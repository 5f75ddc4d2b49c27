package model

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// segmentGen draws from few short segments, so that paths often lie below each other, and from bytes on both sides of '/' in ASCII order.
var segmentGen = rapid.OneOf(rapid.SampledFrom([]string{"a", "b", "a-b", "a.b", "a0", "..."}), rapid.StringMatching(`[A-Za-z0-9_][A-Za-z0-9_.-]{0,4}`))

func segmentsGen(most int) *rapid.Generator[[]string] { return rapid.SliceOfN(segmentGen, 0, most) }

func pathOf(segments []string) Path { return MustPath("/" + strings.Join(segments, "/")) }

func segmentsOf(p Path) []string { return slices.Collect(p.Segments()) }

func TestParsePath(t *testing.T) {
	deep := strings.Repeat("/a", MaxPathDepth)
	long := strings.Repeat("/"+strings.Repeat("x", 255), 4) // 1,024 bytes
	for text, valid := range map[string]bool{
		"/": true, "/a": true, "/sites/berlin/plc-7": true, "/.hidden": true, "/...": true, "/A_z.0-9": true,
		deep: true, deep + "/a": false, long: true, long + "/": false, long + "x": false,
		"/" + strings.Repeat("x", 255): true, "/" + strings.Repeat("x", 256): false,
		"": false, "a": false, "//": false, "/a/": false, "/a//b": false, "/.": false, "/a/..": false, "/a/../b": false,
		"/a b": false, "/a:b": false, "/ü": false, "/a\x00": false, "/a\n": false, "/*": false, `/a\b`: false, "/\xff": false,
	} {
		p, err := ParsePath(text)
		if valid != (err == nil) {
			t.Errorf("%.80q: got %v", text, err)
		}
		if err != nil && (KindOf(err) != KindInvalid || p != Root || strings.ContainsAny(err.Error(), "\x00\n") || !utf8.ValidString(err.Error())) {
			t.Errorf("%.80q: got path %q and error %q of kind %s", text, p, err, KindOf(err))
		}
		if err == nil && p.String() != text {
			t.Errorf("%q reads back as %q", text, p)
		}
	}
}

func TestCheckSegment(t *testing.T) {
	for text, valid := range map[string]bool{"a": true, "...": true, "A-z_0.9": true, "": false, ".": false, "..": false, "a/b": false, "*": false, "a:b": false} {
		if err := CheckSegment(text); valid != (err == nil) || err != nil && KindOf(err) != KindInvalid || (CheckName(text) == nil) != valid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestPathParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		segments := segmentsGen(6).Draw(t, "segments")
		p := pathOf(segments)
		if !slices.Equal(segmentsOf(p), segments) || p.Depth() != len(segments) || p.IsRoot() != (len(segments) == 0) {
			t.Fatalf("%s: segments %q, depth %d", p, segmentsOf(p), p.Depth())
		}
		if len(segments) == 0 {
			if p != Root || p.Parent() != Root || p.Base() != "" {
				t.Fatal("the root is not its own parent")
			}
			return
		}
		again, err := p.Parent().Child(p.Base())
		if err != nil || again != p || p.Base() != segments[len(segments)-1] {
			t.Fatalf("%s: parent %s, base %s, again %s, %v", p, p.Parent(), p.Base(), again, err)
		}
	})
}

// TestPathOrder holds Compare against the order in which a walk meets the contexts of a tree.
func TestPathOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := pathOf(segmentsGen(4).Draw(t, "a")), pathOf(segmentsGen(4).Draw(t, "b"))
		want := slices.Compare(segmentsOf(a), segmentsOf(b)) // as a walk that takes siblings in byte order
		if got := a.Compare(b); cmp.Compare(got, 0) != want || cmp.Compare(b.Compare(a), 0) != -want || (got == 0) != (a == b) {
			t.Fatalf("%s against %s: got %d, want %d", a, b, got, want)
		}
		if a.Contains(b) && a != b && a.Compare(b) >= 0 {
			t.Fatalf("%s stands before %s above it", b, a)
		}
	})
}

func TestPathContainment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		above, other := segmentsGen(3).Draw(t, "above"), segmentsGen(4).Draw(t, "other")
		if rapid.Bool().Draw(t, "below") {
			other = append(slices.Clone(above), other...)
		}
		p, q := pathOf(above), pathOf(other)
		inside := len(other) >= len(above) && slices.Equal(other[:len(above)], above)
		rest, ok := p.Below(q)
		if p.Contains(q) != inside || ok != inside {
			t.Fatalf("%s contains %s: want %v", p, q, inside)
		}
		if !ok {
			return
		}
		if joined, err := p.Join(rest); err != nil || joined != q || !slices.Equal(segmentsOf(rest), other[len(above):]) {
			t.Fatalf("%s joined with %s: %s, %v", p, rest, joined, err)
		}
	})
}

func TestPathBesides(t *testing.T) {
	for _, beside := range []string{"/a-b", "/a0", "/a.b/c", "/b", "/"} {
		if rest, ok := MustPath("/a").Below(MustPath(beside)); ok || rest != Root {
			t.Errorf("/a contains %s", beside)
		}
	}
}

func TestJoinKeepsLimits(t *testing.T) {
	half := pathOf(slices.Repeat([]string{"a"}, MaxPathDepth/2))
	long := MustPath("/" + strings.Repeat("x", 255) + "/" + strings.Repeat("y", 255))
	for _, test := range []struct {
		p, below Path
		ok       bool
	}{
		{half, half, true}, {half, MustPath(half.String() + "/a"), false}, {long, long, true},
		{MustPath(long.String() + "/z"), long, false}, {Root, half, true}, {half, Root, true},
	} {
		if joined, err := test.p.Join(test.below); (err == nil) != test.ok || err != nil && (joined != Root || KindOf(err) != KindInvalid) {
			t.Errorf("%.40s with %.40s: %v", test.p, test.below, err)
		}
	}
	full := pathOf(slices.Repeat([]string{"a"}, MaxPathDepth))
	for _, segment := range []string{"a", "", "..", "a/b"} {
		if p, err := full.Child(segment); err == nil || p != Root {
			t.Errorf("child %q of the deepest path: %s", segment, p)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/", "", "/a", "/a/../b", "//", "/sites/berlin/plc-7", "/\xff", "/" + strings.Repeat("x", 256), strings.Repeat("/a", 65)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePath(text)
		if err != nil {
			return
		}
		if p.String() != text || len(text) > MaxPathBytes || p.Depth() > MaxPathDepth || strings.Contains(text, "//") {
			t.Fatalf("%q became %q", text, p)
		}
		again := Root
		for segment := range p.Segments() {
			if again, err = again.Child(segment); err != nil {
				t.Fatal(err)
			}
		}
		if again != p || !Root.Contains(p) || p.Compare(again) != 0 {
			t.Fatalf("%q put together again is %q", text, again)
		}
	})
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]Address{
		"/": {}, "/:name": {Name: "name"}, "/a/b": {Path: MustPath("/a/b")}, "/a:b.c-d_0": {MustPath("/a"), "b.c-d_0"},
	} {
		got, err := ParseAddress(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", ":", "a:b", "/a:", "/a:b:c", "/a:..", "/a: b", "/a:b/c", "/a:" + strings.Repeat("x", 256), "/a:\xff"} {
		if got, err := ParseAddress(text); KindOf(err) != KindInvalid || err == nil || got != (Address{}) {
			t.Errorf("%.40q: got %+v, %v", text, got, err)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, seed := range []string{"/", "/a:b", "/:b", ":", "/a:", "/a:b:c", "outside"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			return
		}
		var again Address
		if err := again.UnmarshalText([]byte(a.String())); err != nil || again != a || a.String() != text {
			t.Fatalf("%q became %q, then %+v, %v", text, a, again, err)
		}
		if to, inside := Ref(a).Ref(); !inside || to != a {
			t.Fatalf("a reference to %s leads to %s", a, to)
		}
	})
}

// TestTextForms holds that what is a string in JSON comes back, and that a wrong one leaves what was there.
func TestTextForms(t *testing.T) {
	type all struct {
		Path     Path
		Pattern  Pattern
		Address  Address
		Node     NodeID
		Context  ContextID
		Epoch    Epoch
		Position Position
		Right    Right
		Type     Type
		Time     Time
	}
	node := NodeID{1, 2, 31: 0xff}
	epoch := Epoch{1<<64 - 1, 0xab}
	full := all{MustPath("/a/b"), MustPattern("/a/*/**"), Address{MustPath("/a"), "b"}, node, ContextID{node, epoch, 1<<64 - 1}, epoch,
		Position{epoch, 42}, RightOperate, TypeTable, 1}
	for _, before := range []all{{}, full} {
		raw, err := json.Marshal(before)
		if err != nil {
			t.Fatal(err)
		}
		var after all
		if err := json.Unmarshal(raw, &after); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if again, _ := json.Marshal(after); string(again) != string(raw) {
			t.Errorf("%s came back as %s", raw, again)
		}
		for _, field := range []string{"Path", "Pattern", "Address", "Node", "Context", "Epoch", "Position", "Right", "Type", "Time"} {
			for _, wrong := range []string{"?", "7", "7-", "-1-0123456789abcdef", "7-0123456789abcdeg", "7-0123456789abcdef@", "a/b/c", "ü"} {
				err := json.Unmarshal([]byte(`{"`+field+`":"`+wrong+`"}`), &after)
				if kind := KindOf(err); kind != KindInvalid {
					t.Errorf("%s %q: got %v", field, wrong, err)
				}
			}
		}
		if again, _ := json.Marshal(after); string(again) != string(raw) {
			t.Errorf("wrong text left %s of %s", again, raw)
		}
	}
	if full.Node.Short() != "010200000000" || full.Epoch.String() != "18446744073709551615-00000000000000ab" {
		t.Errorf("got %s, %s", full.Node.Short(), full.Epoch)
	}
	for _, text := range []string{strings.Repeat("0", 63), strings.Repeat("0", 65), strings.Repeat("A", 64), strings.Repeat("g", 64)} {
		if _, err := ParseNodeID(text); !errors.Is(err, &Error{Kind: KindInvalid}) {
			t.Errorf("node ID %q: %v", text, err)
		}
	}
}
