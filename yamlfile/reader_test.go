package yamlfile

import (
	"strings"
	"testing"
)

func TestDidYouMean(t *testing.T) {
	there := []string{"berlin", "hamburg", "hq"}
	for name, want := range map[string]string{
		"berln": "did you mean berlin?", "Hamburg": "did you mean hamburg?", "qh": "did you mean hq?", "elsewhere": "there are berlin, hamburg, hq",
	} {
		if got := DidYouMean(name, there); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func read(source string) (*Reader, []string) {
	r := &Reader{File: "x.yaml", What: "list", Begin: "begin with `names:`", MaxBytes: 200}
	var names []string
	if root := r.Document([]byte(source)); root != nil {
		r.Fields(root, "the file", []string{"names", "base"}, func(e Entry) {
			list, _ := r.List(e.Value, e.Name)
			for _, n := range list {
				text, _ := r.Text(n, "a name")
				names = append(names, text)
			}
		})
	}
	return r, names
}

// TestProblems: what is wrong with the form of a file is told with its place, all of it, and with a remedy.
func TestProblems(t *testing.T) {
	for source, want := range map[string]string{
		"":                                     "x.yaml:1:1: the file is empty (begin with `names:`)",
		"names: [a\n":                          "x.yaml:2:1: this is not YAML",
		"nmes: [a]\nnames: {b: 1}\n":           "x.yaml:1:1: the file has no key \"nmes\" (did you mean names?)\nx.yaml:2:8: names is a list, not keys with values",
		"names: a\nnames: b\n":                 "x.yaml:2:1: \"names\" stands twice in the file; the first is on line 1 (remove one of them)",
		"names: a\n---\nnames: b\n":            "x.yaml:1:1: the file holds several documents",
		"names: \xff\n":                        "x.yaml:1:1: this line is not UTF-8 text",
		"names: [" + strings.Repeat("a,", 100): "x.yaml:1:1: the file has 208 bytes, at most 200 are read (split the list into several files)",
		"base: &a [*a]\nnames: *a\n":           "x.yaml:1:",
	} {
		r, _ := read(source)
		if err := r.Err(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", source, err, want)
		}
	}
	r, names := read("names: [a, b]\n")
	if err := r.Err(); err != nil || len(names) != 2 || names[1] != "b" {
		t.Errorf("a good file: %v, %v", names, err)
	}
}
