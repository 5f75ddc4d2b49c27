package structure

import (
	"slices"
	"strings"
	"testing"
)

// confined lists libraries that may be used in some folders only. Tests are
// free: they may look into a database or serve a page to try the product.
var confined = []struct {
	library string // an import path, and all below it
	folders []string
	reason  string
}{
	{"github.com/mattn/go-sqlite3", []string{"store", "failover"},
		"whoever opens a database sets its pragmas, and one that forgets synchronous=FULL loses what was confirmed"},
	{"database/sql", []string{"store", "failover", "events", "alerts", "history"},
		"what is confirmed is written by a commit and by nothing else"},
	{"google.golang.org/grpc", []string{"proto", "pki", "peering", "failover", "server", "console", "topologies", "cmd"},
		"state, storage and decisions lie below the transports, so that no transport can go around them"},
	{"connectrpc.com", []string{"proto", "server", "console", "topologies", "cmd"},
		"the API for people is served by the node; between nodes there is gRPC"},
	{"google.golang.org/protobuf", []string{"proto", "store", "peering", "failover", "rest", "server", "console", "topologies", "cmd", "devices/mqtt"},
		"protobuf stays at the wire, also that of devices, and in stored commits"},
	{"github.com/danielgtaylor/huma", []string{"rest"},
		"it is set up by variables of its own that hold for the whole program, so that one package alone may use it"},
	{"filippo.io/age", []string{"backup"},
		"what is sealed to a recovery key has one form, and whatever opens it is checked in one place"},
	{"github.com/hanwen/go-fuse", []string{"fault/disk"},
		"a file system of our own is for tests"},
	{module + "/fault/disk", nil,
		"a disk that loses what is written is for tests"},
	{"github.com/spf13/cobra", []string{"cmd"},
		"commands are one way into the product among several; what they do belongs below"},
}

func TestLibraries(t *testing.T) {
	for _, file := range readModule(t) {
		if file.test {
			continue
		}
		for _, imported := range file.imports {
			if reason := misplaced(file.dir, imported); reason != "" {
				t.Errorf("%s imports %s: %s", file.path, imported, reason)
			}
		}
	}
}

// misplaced gives the reason why a package must not import a library, or "".
func misplaced(dir, imported string) string {
	top, _, _ := strings.Cut(dir, "/")
	first, _, _ := strings.Cut(imported, "/")
	if top == "model" && (strings.Contains(first, ".") || first == module) {
		return "the vocabulary uses the standard library only: everybody imports it, and would import that as well"
	}
	for _, rule := range confined {
		if imported != rule.library && !strings.HasPrefix(imported, rule.library+"/") {
			continue
		}
		if !slices.Contains(rule.folders, top) && !slices.Contains(rule.folders, dir) {
			return rule.reason
		}
	}
	return ""
}

func TestMisplaced(t *testing.T) {
	tests := []struct {
		dir, imported string
		allowed       bool
	}{
		{"model", "encoding/json", true},
		{"model", "golang.org/x/text/unicode/norm", false},
		{"store", "github.com/mattn/go-sqlite3", true},
		{"tree", "github.com/mattn/go-sqlite3", false},
		{"access", "google.golang.org/grpc/metadata", false},
		{"model", "banyan/fault", false},
		{"store", "banyan/fault", true},
		{"store", "banyan/fault/disk", false},
		{"peering", "google.golang.org/grpc", true},
		{"cmd/banyan", "github.com/spf13/cobra", true},
		{"topologies", "github.com/spf13/cobra", false},
		{"tree", "google.golang.org/grpcfoo", true}, // another module, though its name begins the same
	}
	for _, test := range tests {
		if reason := misplaced(test.dir, test.imported); (reason == "") != test.allowed {
			t.Errorf("%s imports %s: got reason %q, want allowed %v", test.dir, test.imported, reason, test.allowed)
		}
	}
}
