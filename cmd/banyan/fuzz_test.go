package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// FuzzArguments: no words of a command line make a command panic, and what they are read as says the same when it is written.
func FuzzArguments(f *testing.F) {
	for _, seed := range []string{"a=b", "a:=1", "a:={\"b\":[1e999,null]}", "/devices/**=view", "/** administer", "65535d", "-1h", "/a/b:c", "9007199254740993", "=", ":=", "[[[["} {
		f.Add(seed)
	}
	cmd := &cobra.Command{Use: "x"}
	f.Fuzz(func(t *testing.T, text string) {
		words := strings.Split(text, "\n")
		if n, err := parseNamed(words); err == nil {
			for name := range n.texts {
				if _, twice := n.values[name]; twice {
					t.Errorf("%s is there as text and as JSON", name)
				}
			}
		}
		if rules, err := parseRules(words); err == nil {
			for _, r := range rules {
				again, err := parseRules([]string{r.Pattern.String() + "=" + r.Right.String()})
				if err != nil || len(again) != 1 || !again[0].Pattern.Equal(r.Pattern) || again[0].Right != r.Right {
					t.Errorf("%v came back as %v, %v", r, again, err)
				}
			}
		}
		if v, err := parseJSON(text); err == nil {
			if raw, err := v.MarshalJSON(); err != nil {
				t.Errorf("%q was read and cannot be written: %v", text, err)
			} else if _, err := parseJSON(string(raw)); err != nil {
				t.Errorf("%q was written as %s, which cannot be read: %v", text, raw, err)
			}
		}
		if d, err := parseDays(text); err == nil && strings.HasSuffix(text, "d") && d < 0 {
			t.Errorf("%q is %s", text, d)
		}
		if a, err := parseAddress(cmd, text); err == nil && a.Name == "" {
			t.Errorf("%q names nothing of a context", text)
		}
		if p, err := parsePath(cmd, []string{text}); err == nil && p.String() != text {
			t.Errorf("%q was read as %s", text, p)
		}
		if url, err := apiURL(text); err == nil && !strings.HasPrefix(url, "https://") {
			t.Errorf("%q leads to %s", text, url)
		}
	})
}
