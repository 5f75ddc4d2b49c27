package settings

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"banyan/model"
	"banyan/yamlfile"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestBadFiles compares what is said of each file in testdata/bad with what stands there as `want`: file, line, column, and what to do. With
// BANYAN_UPDATE=1 it is written there instead, and wants to be read.
func TestBadFiles(t *testing.T) {
	names, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(names) < 24 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { badFile(t, name) })
	}
}

func badFile(t *testing.T, name string) {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string][]byte{}
	for _, f := range archive.Files {
		parts[f.Name] = f.Data
	}
	got := told(t, parts)
	if strings.Contains(got, "canary") {
		t.Errorf("a secret is repeated:\n%s", got)
	}
	if os.Getenv("BANYAN_UPDATE") != "" {
		if _, there := parts["want"]; !there {
			archive.Files = append(archive.Files, txtar.File{Name: "want"})
		}
		archive.Files[len(archive.Files)-1].Data = []byte(got)
		if err := os.WriteFile(name, txtar.Format(archive), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != string(parts["want"]) {
		t.Errorf("said was\n%swanted was\n%s", got, parts["want"])
	}
}

// told is what is said of the file f.yaml.
func told(t *testing.T, parts map[string][]byte) string {
	open := func(name string) ([]byte, error) {
		if source, there := parts[name]; there {
			return source, nil
		}
		return readNothing(name)
	}
	file, err := Read("f.yaml", parts["f.yaml"], open)
	if err == nil {
		state := empty()
		state.put(&Context{Path: model.MustPath("/found"), Kind: &Kind{Name: "disk"}, Found: true})
		_, err = file.Plan(state, Options{})
	}
	var problems yamlfile.Problems
	if !errors.As(err, &problems) || model.KindOf(err) != model.KindInvalid {
		t.Fatalf("it is not refused, or not with problems: %v", err)
	}
	var all strings.Builder
	for _, p := range problems {
		if p.Line < 1 || p.Column < 1 || p.Remedy == "" || p.File == "" {
			t.Errorf("without place or remedy: %v", p)
		}
		all.WriteString(p.String() + "\n")
	}
	return all.String()
}
