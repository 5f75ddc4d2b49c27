package structure

import (
	"fmt"
	"path"
	"strings"
	"testing"
)

// TestPackageComments: the first thing that somebody reads of a package is
// what it owns and what it does not.
func TestPackageComments(t *testing.T) {
	docs := map[string][]goFile{} // by folder: the files that carry a package comment
	var dirs []string
	for _, file := range readModule(t) {
		if file.test || file.generated {
			continue
		}
		if _, seen := docs[file.dir]; !seen {
			docs[file.dir] = nil
			dirs = append(dirs, file.dir)
		}
		if file.doc != "" {
			docs[file.dir] = append(docs[file.dir], file)
		}
	}
	for _, dir := range dirs {
		switch files := docs[dir]; len(files) {
		case 0:
			t.Errorf("%s: no file has a package comment; write one in %s/doc.go that says what the package owns and what it does not", dir, dir)
		case 1:
			if problem := commentProblem(files[0]); problem != "" {
				t.Errorf("%s: %s", files[0].path, problem)
			}
		default:
			t.Errorf("%s: %s and %s both carry a package comment; readers see one of them", dir, files[0].path, files[1].path)
		}
	}
}

// commentProblem tells what is wrong with a file's package comment, or "".
func commentProblem(file goFile) string {
	begin := "Package " + file.name + " "
	if file.name == "main" {
		begin = "Command " + path.Base(file.dir) + " "
	}
	switch {
	case !strings.HasPrefix(file.doc, begin):
		return fmt.Sprintf("the package comment does not begin with %q", begin)
	// Whether it says the right thing only a reader can tell; that it names
	// no limit at all is seen without one.
	case !containsWord(file.doc, "not", "no", "nothing", "never", "none", "nor"):
		return "the package comment does not say what the package does not own"
	}
	return ""
}

func containsWord(text string, words ...string) bool {
	for _, field := range strings.Fields(text) {
		field = strings.ToLower(strings.Trim(field, ".,:;()"))
		for _, word := range words {
			if field == word {
				return true
			}
		}
	}
	return false
}

func TestCommentProblem(t *testing.T) {
	tests := []struct {
		source string
		ok     bool
	}{
		{"// Package tree keeps values. It does not store them.\npackage tree", true},
		{"// Command tree grows. It owns nothing.\npackage main", true},
		{"// Package tree keeps values, notably those of contexts.\npackage tree", false},
		{"// Package trees keeps values. It does not store them.\npackage tree", false},
		{"// Keeps values. It does not store them.\npackage tree", false},
		{"// Package main grows. It owns nothing.\npackage main", false},
		{"//go:build linux\n\n// Package tree keeps values. It does not store them.\n\npackage tree", false},
	}
	for _, test := range tests {
		file, err := parseFile("tree/doc.go", []byte(test.source+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if problem := commentProblem(file); (problem == "") != test.ok {
			t.Errorf("%q: got problem %q, want ok %v", test.source, problem, test.ok)
		}
	}
}
