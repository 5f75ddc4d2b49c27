package structure

import (
	"fmt"
	"path"
	"strings"
	"testing"
)

// folder is a top-level folder: all packages in it stand on one layer.
type folder struct {
	name  string
	layer int
	// above tells why nothing on a lower layer may import this folder.
	above string
	// beside tells why nothing on the same layer may.
	beside string
}

// folders is the layer order: a package may import packages of lower layers,
// and within its own folder those of the folders around it. Whatever packages
// of one layer need of each other they declare as a small interface of their
// own, and server hands it in.
var folders = []folder{
	{name: "fault", layer: 0,
		above:  "nothing is below fault",
		beside: "fault is alone on its layer"},

	{name: "model", layer: 1,
		above:  "faults are switched on by name, before there is any state to describe",
		beside: "files are written whole whatever stands in them"},
	{name: "durable", layer: 1,
		above:  "a fault is planted where a file is written; nothing is written to plant one",
		beside: "words do nothing, least of all write files"},

	{name: "logging", layer: 2,
		above:  "words are not logged by themselves",
		beside: "whoever logs is handed a logger, and does not ask where its lines go"},
	{name: "yamlfile", layer: 2,
		above:  "the words are there before anybody writes them into a file",
		beside: "a file is read into words; the wire form, the live tree, identity and decisions come from elsewhere"},
	{name: "proto", layer: 2,
		above:  "the vocabulary must not know how it is written on the wire: old and new wire forms live side by side, values do not",
		beside: "protobuf stays at the wire: the live tree, identity and access decide on parsed model types, never on messages from outside"},
	{name: "tree", layer: 2,
		above:  "words do not depend on the state that is described with them",
		beside: "the live tree is fed and read by those above; coding, identity and decisions must be testable without one"},
	{name: "pki", layer: 2,
		above:  "names of nodes are vocabulary, proof of them is not",
		beside: "who somebody is gets decided before, and apart from, what he may do and what the tree holds"},
	{name: "doorstep", layer: 2,
		above:  "words are not sent by anybody",
		beside: "it counts connections and what they send; who somebody is, and what that allows, is found out by others, who say so"},
	{name: "access", layer: 2,
		above:  "words carry no opinion about who may use them",
		beside: "the one decider is asked by those who serve; if the tree or the wire form asked as well, there would be a second place that decides"},

	{name: "store", layer: 3,
		above:  "the live tree, identity and decisions are pure and quick; with a database under them they would be neither, and their tests would need a disk",
		beside: "what is followed is the live tree; what was kept comes into it first"},
	{name: "follow", layer: 3,
		above:  "the tree, the wire form and decisions must not depend on who follows them",
		beside: "followers keep their positions in memory or at the other end; none needs a database"},

	{name: "profiles", layer: 3,
		above:  "the wire form and the tree carry what a device is, however it was described",
		beside: "a file that says what a device has is neither stored nor followed"},

	{name: "settings", layer: 3,
		above:  "what a context is does not depend on which file somebody keeps it in",
		beside: "a file is compared with what a node tells of itself; it is neither stored, nor followed, nor a description of devices"},

	{name: "peering", layer: 4,
		above:  "what is stored and what is decided must not depend on which links there are",
		beside: "links carry what the others make; whoever needs a link of them says which by an interface, so that both run in simulation apart"},
	{name: "failover", layer: 4,
		above:  "the store applies commits and must not know whether one node or a cluster agreed on them",
		beside: "a lone node and a cluster are two implementations of one interface, which its users declare; importing failover would bind them to the first one"},
	{name: "devices", layer: 4,
		above:  "the tree and the store take samples from anybody; a driver under them would start hardware in their tests",
		beside: "links, logs and alerts see contexts and samples, never drivers"},
	{name: "events", layer: 4,
		above:  "the store keeps events as rows of a log and does not interpret them",
		beside: "parsing and correlating is one user of the log among several; the others read the log by position, too"},
	{name: "alerts", layer: 4,
		above:  "the store keeps alert states as rows and does not interpret them",
		beside: "who must know is decided from the tree and the logs; nobody may wait for it"},
	{name: "history", layer: 4,
		above:  "the live tree publishes whether or not anything is recorded",
		beside: "recording is one reader of the ring among several"},

	{name: "rest", layer: 4,
		above:  "what is stored, followed and decided must not depend on how it is shown to somebody",
		beside: "resources are a form of what the node's handlers answer; whoever wants something to be there as REST gives contexts settings and functions"},
	{name: "backup", layer: 4,
		above:  "the store says what a copy of its files is; sealing it for a person's key is one use of that among several",
		beside: "a backup is made of a node's files, whatever runs on them; links carry it as bytes that they cannot open"},
	{name: "clients", layer: 4,
		above:  "clients are for those outside; the node does nothing to itself over its own interface",
		beside: "a client shares the document with the node and nothing else, so that it can be copied out of here"},

	{name: "doctor", layer: 4,
		above:  "what a machine must have is judged from outside; the parts below work or fail",
		beside: "a check is told how a part is, by whoever runs that part"},

	{name: "server", layer: 5,
		above:  "server composes one node from all parts; a part that imports it drags a whole node into its tests, and lifetimes become a circle",
		beside: "what people see is handed to server as a handler; the node runs without a console"},
	{name: "console", layer: 5,
		above:  "the console is a view of the public interface; what it alone could do would be missing there",
		beside: "the console uses the public interface, like any program; it has no way into the node around it"},

	{name: "topologies", layer: 6,
		above:  "a node knows its links, never the whole network",
		beside: "topologies is alone on its layer"},

	{name: "cmd", layer: 7,
		above:  "programs are entrances; what two of them need belongs into a package below",
		beside: "each program stands alone"},
}

// outside lists top-level folders that are no part of the product.
var outside = map[string]string{
	"structure": "looks at the source of the others",
}

// folderOf finds the folder that a package's folder lies in.
func folderOf(dir string) (folder, bool) {
	top, _, _ := strings.Cut(dir, "/")
	for _, f := range folders {
		if f.name == top {
			return f, true
		}
	}
	return folder{}, false
}

// edge is one import of one of our packages by another, both named by folder.
type edge struct {
	from, to  string
	test      bool // the importing file is a test
	generated bool // the imported package is generated
}

// forbidden gives the reason why an edge must not be, or "" where it may.
func forbidden(e edge) string {
	from, known := folderOf(e.from)
	if !known {
		return fmt.Sprintf("%s has no place in the layers", e.from)
	}
	to, known := folderOf(e.to)
	if !known {
		return fmt.Sprintf("%s has no place in the layers", e.to)
	}
	switch {
	case from.name == to.name:
		return forbiddenInside(e)
	case from.layer == to.layer:
		return to.beside
	case from.layer < to.layer:
		return to.above
	}
	return ""
}

// forbiddenInside judges an edge within one top-level folder.
func forbiddenInside(e edge) string {
	switch {
	case e.from == e.to, strings.HasPrefix(e.from, e.to+"/"):
		return "" // a package's own outside test; child to parent
	case strings.HasPrefix(e.to, e.from+"/internal/"):
		return "" // its own inside, which the Go tool closes to all others
	case e.generated:
		return "" // generated messages contain each other, and what converts them stands above them
	case e.test && strings.HasPrefix(e.to, e.from+"/"):
		return "" // a test tries the whole with its parts
	case e.test && strings.HasSuffix(e.to, "test") && strings.HasPrefix(e.from, path.Dir(e.to)+"/"):
		return "" // the conformance suite that lies beside the implementations
	}
	return "parts of one folder know the folder around them and not each other; what they share belongs into the parent"
}

func TestLayers(t *testing.T) {
	files := readModule(t)
	generated := map[string]bool{}
	for _, file := range files {
		if file.generated {
			generated[file.dir] = true
		}
	}
	for _, file := range files {
		if !file.generated {
			generated[file.dir] = false
		}
		if _, known := folderOf(file.dir); !known && outside[file.dir] == "" {
			t.Errorf("%s: the folder has no place in the layers; give it one in structure/layers_test.go and a paragraph in ARCHITECTURE.md", file.path)
		}
	}
	for _, file := range files {
		for _, imported := range file.imports {
			to, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			if outside[file.dir] != "" {
				t.Errorf("%s imports %s: %s reads the source and uses none of it", file.path, imported, file.dir)
				continue
			}
			if reason := forbidden(edge{file.dir, to, file.test, generated[to]}); reason != "" {
				t.Errorf("%s imports %s: %s", file.path, imported, reason)
			}
		}
	}
}

// TestForbidden tries the rule itself, so that it cannot go blind unnoticed.
func TestForbidden(t *testing.T) {
	tests := []struct {
		edge
		allowed bool
	}{
		{edge{from: "server", to: "model"}, true},
		{edge{from: "server/api", to: "peering"}, true},
		{edge{from: "cmd/banyan", to: "topologies"}, true},
		{edge{from: "model", to: "tree"}, false},
		{edge{from: "model", to: "tree", test: true}, false},
		{edge{from: "tree", to: "server"}, false},
		{edge{from: "tree", to: "proto"}, false},
		{edge{from: "tree", to: "proto/linkv1", generated: true}, false},
		{edge{from: "peering", to: "failover"}, false},
		{edge{from: "peering", to: "failover", test: true}, false},
		{edge{from: "server", to: "console"}, false},
		{edge{from: "store", to: "elsewhere"}, false},
		{edge{from: "elsewhere", to: "model"}, false},
		{edge{from: "modelling", to: "model"}, false},

		{edge{from: "store", to: "store", test: true}, true},
		{edge{from: "devices/host", to: "devices"}, true},
		{edge{from: "devices", to: "devices/host"}, false},
		{edge{from: "devices", to: "devices/host", test: true}, true},
		{edge{from: "devices/host", to: "devices/simulator"}, false},
		{edge{from: "devices/host", to: "devices/simulator", test: true}, false},
		{edge{from: "devices/host", to: "devices/devicetest", test: true}, true},
		{edge{from: "devices/host", to: "devices/devicetest"}, false},
		{edge{from: "store", to: "store/internal/ledger"}, true},
		{edge{from: "proto", to: "proto/linkv1", generated: true}, true},
		{edge{from: "proto/linkv1", to: "proto/valuev1", generated: true}, true},
		{edge{from: "proto", to: "proto/other"}, false},
	}
	for _, test := range tests {
		if reason := forbidden(test.edge); (reason == "") != test.allowed {
			t.Errorf("%+v: got reason %q, want allowed %v", test.edge, reason, test.allowed)
		}
	}
}

// TestEveryForbiddenEdgeHasAReason: a rule without a reason is kept until it
// is in the way, and then dropped by somebody who could not know.
func TestEveryForbiddenEdgeHasAReason(t *testing.T) {
	seen := map[string]bool{}
	for _, from := range folders {
		if seen[from.name] {
			t.Errorf("%s stands twice in the layers", from.name)
		}
		seen[from.name] = true
		for _, to := range folders {
			if from.layer > to.layer || from.name == to.name {
				continue
			}
			if forbidden(edge{from: from.name, to: to.name}) == "" {
				t.Errorf("no reason is given why %s must not import %s", from.name, to.name)
			}
		}
	}
}
