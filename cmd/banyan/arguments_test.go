package main

import (
	"strings"
	"testing"
)

func TestParseNamed(t *testing.T) {
	tests := []struct{ in, texts, values, problem string }{
		{"a=1", "a=1", "", ""},
		{"a=", "a=", "", ""},
		{"a=b=c", "a=b=c", "", ""},
		{"a:=[1,\"x\"]", "", "a=[1,\"x\"]", ""},
		{"a:=null", "", "a=null", ""},
		{"a:=9007199254740993", "", `a="9007199254740993"`, ""}, // would lose its last digit as a number
		{"a:=9007199254740992", "", "a=9007199254740992", ""},
		{"a:={\"n\":[123456789012345678901]}", "", `a={"n":[123456789012345680000]}`, ""}, // a float64: it is no int64 anyway
		{"a", "", "", "not NAME=VALUE"},
		{"=1", "", "", "name"},
		{"a b=1", "", "", "name"},
		{"a:={", "", "", "not JSON"},
		{"a:=1 2", "", "", "more than one"},
		{"a:=NaN", "", "", "not JSON"},
	}
	for _, test := range tests {
		n, err := parseNamed([]string{test.in})
		if (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%q: error %v, want %q", test.in, err, test.problem)
			continue
		}
		if err != nil {
			continue
		}
		var texts, values []string
		for name, text := range n.texts {
			texts = append(texts, name+"="+text)
		}
		for name, value := range n.values {
			values = append(values, name+"="+string(valueJSON("", value)))
		}
		if got := strings.Join(texts, " "); got != test.texts {
			t.Errorf("%q: texts %q, want %q", test.in, got, test.texts)
		}
		if got := strings.Join(values, " "); got != test.values {
			t.Errorf("%q: values %q, want %q", test.in, got, test.values)
		}
	}
	if _, err := parseNamed([]string{"a=1", "a:=2"}); err == nil {
		t.Error("one name given twice is taken")
	}
}

func TestParseRules(t *testing.T) {
	rules, err := parseRules([]string{"/sites/**=operate", "/a=b=view"})
	if err == nil {
		t.Errorf("a pattern with = in it is taken: %v", rules)
	}
	rules, err = parseRules([]string{"/sites/**=operate", "/**=none"})
	if err != nil || len(rules) != 2 || rules[0].Pattern.String() != "/sites/**" || rules[0].Right.String() != "operate" {
		t.Errorf("got %v, %v", rules, err)
	}
	rules, err = parseRules([]string{"/sites/** operate", " /a  view "})
	if err != nil || len(rules) != 2 || rules[0].Pattern.String() != "/sites/**" || rules[1].Pattern.String() != "/a" || rules[1].Right.String() != "view" {
		t.Errorf("with blanks: got %v, %v", rules, err)
	}
	for _, wrong := range []string{"", "/a", "/a=", "/a=everything", "a=view"} {
		if _, err := parseRules([]string{wrong}); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}

func TestAPIURL(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1:8443": "https://127.0.0.1:8443", "https://hq.example": "https://hq.example", "https://hq/base/": "https://hq/base",
		"http://hq": "", "https://": "", "https://user:password@hq": "", "https://hq?x": "", "ftp://hq": "", "": "", "a b": "",
	} {
		got, err := apiURL(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("apiURL(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}
