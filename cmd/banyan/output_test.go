package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"plain ~ text", "plain ~ text"},
		{"Grüße, 世界 🌳", "Grüße, 世界 🌳"},
		{"\x1b[2J\x1b]0;owned\x07", `\x1b[2J\x1b]0;owned\a`},
		{"up\r\nbanyan: all is well", `up\r\nbanyan: all is well`},
		{"tab\tand\vmore\x00\x7f", `tab\tand\vmore\x00\x7f`},
		{"\u009b31m", `\u009b31m`},                       // the one character that begins a sequence on some terminals
		{"\x9b31m", `\x9b31m`},                           // the same, where bytes are not UTF-8
		{"pay \u202e00,1\u202c", `pay \u202e00,1\u202c`}, // reversed writing
		{"line\u2028paragraph\u2029", `line\u2028paragraph\u2029`},
		{"می\u200cخواهم", "می\u200cخواهم"}, // a joiner that this language needs
	}
	for _, test := range tests {
		if got := clean(test.in); got != test.want {
			t.Errorf("clean(%q) = %q, want %q", test.in, got, test.want)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, seed := range []string{"", "a\x1b[0m", "\u202e", "\xff\xfe", "🌳\u009b", "\U000E0001"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := clean(text)
		if !utf8.ValidString(got) {
			t.Fatalf("clean(%q) is not UTF-8", text)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
				t.Fatalf("clean(%q) keeps %U", text, r)
			}
		}
		encoded, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		quiet := quietJSON(encoded)
		if shown := clean(string(quiet)); shown != string(quiet) {
			t.Fatalf("the JSON of %q acts on a terminal: %q", text, quiet)
		}
		var before, after string
		if json.Unmarshal(encoded, &before) != nil || json.Unmarshal(quiet, &after) != nil || before != after {
			t.Fatalf("the JSON of %q means %q afterwards", before, after)
		}
	})
}

func TestTableIsAligned(t *testing.T) {
	var out bytes.Buffer
	table := &table{}
	table.add("NAME", "STATE", "LABEL")
	table.add("世界", "up", "two wide letters")
	table.add("a\u0301x", "down\nup", "") // an accent that stands on the letter before
	if err := table.write(&out); err != nil {
		t.Fatal(err)
	}
	want := "NAME  STATE     LABEL\n世界  up        two wide letters\na\u0301x    down\\nup\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestCut(t *testing.T) {
	tests := []struct {
		in   string
		to   int
		want string
	}{{"short", 5, "short"}, {"longer", 5, "long…"}, {"世界世界", 5, "世界…"}, {"世界世界", 4, "世…"}, {"", 3, ""}}
	for _, test := range tests {
		if got := cut(test.in, test.to); got != test.want || width(got) > test.to {
			t.Errorf("cut(%q, %d) = %q, want %q", test.in, test.to, got, test.want)
		}
	}
}

func TestSpan(t *testing.T) {
	tests := []struct {
		d    time.Duration
		want string
	}{
		{0, "0.0s"}, {-time.Second, "0.0s"}, {-5 * time.Second, "-5.0s"}, {1234 * time.Millisecond, "1.2s"}, {9999 * time.Millisecond, "9.9s"},
		{10 * time.Second, "10s"}, {99 * time.Second, "99s"}, {100 * time.Second, "1m"}, {99 * time.Minute, "99m"}, {100 * time.Minute, "1h"},
		{47 * time.Hour, "47h"}, {48 * time.Hour, "2d"}, {1000 * 24 * time.Hour, "1000d"},
	}
	for _, test := range tests {
		if got := span(test.d); got != test.want {
			t.Errorf("span(%s) = %q, want %q", test.d, got, test.want)
		}
	}
}

func TestAge(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for in, want := range map[string]string{"": "", "yesterday": "", "2026-01-02T03:04:00Z": "5.0s", "2026-01-02T02:04:05.5Z": "59m"} {
		if got := age(in, now); got != want {
			t.Errorf("age(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestPrintFails(t *testing.T) {
	c := &cli{out: brokenPipe{}}
	if c.printf("x") == nil || c.printJSON(1) == nil || (&table{}).write(brokenPipe{}) == nil {
		t.Error("a result that could not be written counts as one that was")
	}
	if strings.TrimSpace(orDash("")) != "-" {
		t.Error("an empty column cannot be counted")
	}
}
