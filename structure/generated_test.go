package structure

import (
	"bufio"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestGeneratedCode holds what can be seen of generated code without making it
// anew: each .proto source has its Go code, all of that has its source, and it
// was made by the versions that are pinned. That it is byte for byte what the
// sources give is checked by `make gen-check`, which builds the generators.
func TestGeneratedCode(t *testing.T) {
	pinned := pinnedGenerators(t)
	sources := map[string]bool{} // path from proto/, to whether Go code of it was seen
	var generated []string
	walkModule(t, func(name string) {
		switch {
		case strings.HasSuffix(name, ".proto"):
			sources[strings.TrimPrefix(name, "proto/")] = false
		case strings.HasSuffix(name, ".pb.go"), strings.HasSuffix(name, ".connect.go"):
			generated = append(generated, name)
		}
	})
	for _, name := range generated {
		head := readHead(t, name)
		if _, exists := sources[head.source]; !exists {
			t.Errorf("%s was made from %q, which does not exist; run 'make gen'", name, head.source)
			continue
		}
		sources[head.source] = true
		for generator, version := range head.versions {
			if pinned[generator] != "" && pinned[generator] != version {
				t.Errorf("%s was made by %s %s, but %s is pinned; run 'make gen'", name, generator, version, pinned[generator])
			}
		}
	}
	for source, seen := range sources {
		if !seen {
			t.Errorf("proto/%s has no Go code; run 'make gen'", source)
		}
	}
}

// pinnedGenerators reads the generators' versions from the module that pins
// them, by the names under which generated code speaks of them.
func pinnedGenerators(t *testing.T) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "tools", "protoc", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := func(modulePath string) string {
		match := regexp.MustCompile(`(?m)^(?:require)?\s+` + regexp.QuoteMeta(modulePath) + ` (v\S+)`).FindSubmatch(content)
		if match == nil {
			t.Fatalf("tools/protoc/go.mod does not pin %s", modulePath)
		}
		return string(match[1])
	}
	return map[string]string{
		"protoc-gen-go":      version("google.golang.org/protobuf"),
		"protoc-gen-go-grpc": version("google.golang.org/grpc/cmd/protoc-gen-go-grpc"),
	}
}

// head is what generated code says of itself above its package clause.
type head struct {
	source   string
	versions map[string]string
}

var (
	sourceLine  = regexp.MustCompile(`^// (?:S|s)ource: (\S+)$`)
	versionLine = regexp.MustCompile(`^// -?\s*(protoc-gen-\S+)\s+(v\S+)$`)
)

func readHead(t *testing.T, name string) head {
	t.Helper()
	file, err := os.Open(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	h := head{versions: map[string]string{}}
	lines := bufio.NewScanner(file)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "package ") {
		if match := sourceLine.FindStringSubmatch(lines.Text()); match != nil {
			h.source = path.Clean(match[1])
		}
		if match := versionLine.FindStringSubmatch(lines.Text()); match != nil {
			h.versions[match[1]] = match[2]
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return h
}
