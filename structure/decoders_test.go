package structure

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// decodes are names of functions that make something of foreign bytes or texts; what is called otherwise and does the same is called like this in the next
// commit. In proto, what turns messages into the model is called ToSomething.
var decodes = regexp.MustCompile(`^(?i:parse|decode|unmarshal|deserialize)([A-Z0-9_]\w*)?$|^(?i:read)([A-Z]\w*)?$`)

// unfuzzed are decoders that no fuzz function reaches, each with the reason why none has to.
var unfuzzed = map[string]string{
	"backup.ReadHeader":                       "opens a file for readHeader, which is fuzzed",
	"backup.readSmall":                        "reads a file of this node as bytes, and makes nothing of them",
	"backup.readThrough":                      "opens a file for readHeader and open, which are fuzzed",
	"cmd/banyan.cli.readFile":                 "reads a file as bytes; settings.FuzzRead has what becomes of them",
	"cmd/banyan.namedFlags.read":              "puts together what parseNamed and parseJSON read, which are fuzzed",
	"cmd/banyan.readKeyFile":                  "reads a file as text for backup.ParseKey",
	"cmd/banyan.readProfile":                  "reads a file that this program wrote for this user, as JSON into a struct of texts",
	"devices/devicetest.suite.read":           "reads test cases that lie beside it",
	"failover/failovertest.ParseConfirmation": "reads the ledger of a test",
	"fault.readOffset":                        "is there only where faults can be planted",
	"profiles.Registry.read":                  "reads a file for Parse, which is fuzzed",
	"profiles.readFile":                       "reads a file for Parse, which is fuzzed",
	"topologies/bench.readProfile":            "reads what the program itself has measured",
}

// function is a function or method of the product or of its tests.
type function struct {
	key     string // "folder.Name", or "folder.Type.Name"
	at      string
	decoder bool
	fuzz    bool
	calls   []string // keys of functions, and ".Name" for methods of whatever type
}

// readFunctions reads all functions of the module, and what each mentions: a function that is handed on counts as called.
func readFunctions(t *testing.T) map[string]*function {
	t.Helper()
	all := map[string]*function{}
	walkModule(t, func(name string) {
		if path.Ext(name) != ".go" || strings.HasPrefix(name, "structure/") {
			return
		}
		source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		found, err := functionsIn(name, source)
		if err != nil {
			t.Fatal(err)
		}
		for i := range found {
			f := &found[i]
			if other := all[f.key]; other != nil { // for another system, or of a test outside of its package
				other.calls = append(other.calls, f.calls...)
				continue
			}
			all[f.key] = f
		}
	})
	return all
}

func functionsIn(name string, source []byte) ([]function, error) {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	folder, test, generated := path.Dir(name), strings.HasSuffix(name, "_test.go"), ast.IsGenerated(parsed)
	imports := map[string]string{}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		as := path.Base(imported)
		if spec.Name != nil {
			as = spec.Name.Name
		}
		imports[as] = strings.TrimPrefix(imported, module+"/")
	}
	var all []function
	for _, declaration := range parsed.Decls {
		d, is := declaration.(*ast.FuncDecl)
		if !is || d.Body == nil {
			continue
		}
		f := function{key: folder + "." + d.Name.Name, at: files.Position(d.Pos()).String(), fuzz: test && strings.HasPrefix(d.Name.Name, "Fuzz")}
		if d.Recv != nil {
			f.key = folder + "." + receiver(d.Recv.List[0].Type) + "." + d.Name.Name
		}
		f.decoder = !test && !generated && isDecoder(folder, d)
		ast.Inspect(d.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if of, is := n.X.(*ast.Ident); is && imports[of.Name] != "" {
					f.calls = append(f.calls, imports[of.Name]+"."+n.Sel.Name)
				} else {
					f.calls = append(f.calls, "."+n.Sel.Name)
				}
			case *ast.Ident:
				f.calls = append(f.calls, folder+"."+n.Name)
			}
			return true
		})
		all = append(all, f)
	}
	return all, nil
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}

// isDecoder reports whether a function is called like a decoder and takes what could come from outside: bytes, a text, a reader, a message.
func isDecoder(folder string, d *ast.FuncDecl) bool {
	if d.Recv != nil && d.Name.Name == "Read" {
		return false // io.Reader: it passes bytes on
	}
	conversion := folder == "proto" && regexp.MustCompile(`^To[A-Z]`).MatchString(d.Name.Name)
	if !conversion && !decodes.MatchString(d.Name.Name) {
		return false
	}
	return slices.ContainsFunc(d.Type.Params.List, func(field *ast.Field) bool {
		switch e := field.Type.(type) {
		case *ast.Ident:
			return e.Name == "string"
		case *ast.ArrayType:
			of, is := e.Elt.(*ast.Ident)
			return e.Len == nil && is && (of.Name == "byte" || of.Name == "string") || conversion
		case *ast.SelectorExpr:
			of, _ := e.X.(*ast.Ident)
			return of != nil && (of.Name == "io" && strings.Contains(e.Sel.Name, "Reader") || of.Name == "json")
		case *ast.StarExpr:
			of, is := e.X.(*ast.SelectorExpr)
			return conversion || is && (of.Sel.Name == "Reader" || of.Sel.Name == "Decoder" || of.Sel.Name == "Node")
		}
		return false
	})
}

// reached are the keys of all functions that fuzz functions of their own package call, by however many steps: whoever owns a decoder tries it where it
// lies, with what it promises. A method is taken for called where one of its name is in its package.
func reached(all map[string]*function) map[string]bool {
	methods := map[string][]string{}
	for key := range all {
		if parts := strings.Split(key[strings.LastIndex(key, "/")+1:], "."); len(parts) == 3 {
			methods[parts[2]] = append(methods[parts[2]], key)
		}
	}
	seen := map[string]bool{}
	var frontier []string
	add := func(key string) {
		if all[key] != nil && !seen[key] {
			seen[key] = true
			frontier = append(frontier, key)
		}
	}
	for key, f := range all {
		if f.fuzz {
			add(key)
		}
	}
	for len(frontier) > 0 {
		key := frontier[0]
		frontier = frontier[1:]
		for _, call := range all[key].calls {
			if name, is := strings.CutPrefix(call, "."); is {
				for _, method := range methods[name] {
					if near(key, method) {
						add(method)
					}
				}
				continue
			}
			if folderOfKey(call) == folderOfKey(key) {
				add(call)
			}
		}
	}
	return seen
}

// near reports whether a method lies in the package that names it.
func near(from, method string) bool { return folderOfKey(from) == folderOfKey(method) }

func folderOfKey(key string) string {
	slash := strings.LastIndex(key, "/") + 1
	name, _, _ := strings.Cut(key[slash:], ".")
	return key[:slash] + name
}

// TestEveryDecoderIsFuzzed: whatever makes something of foreign bytes is tried with bytes that nobody thought of. The list is made from the code.
func TestEveryDecoderIsFuzzed(t *testing.T) {
	all := readFunctions(t)
	tried := reached(all)
	decoders, fuzzers := 0, 0
	for _, key := range slices.Sorted(maps.Keys(all)) {
		f := all[key]
		if f.fuzz {
			fuzzers++
		}
		if !f.decoder {
			continue
		}
		decoders++
		reason := unfuzzed[key]
		switch {
		case !tried[key] && reason == "":
			t.Errorf("%s: no fuzz function reaches %s: write one (make fuzz finds it by its name), or say in structure/decoders_test.go why none has to", f.at, key)
		case tried[key] && reason != "":
			t.Errorf("%s is reached by a fuzz function now: take it out of the list of those that are not", key)
		}
	}
	for key := range unfuzzed {
		if all[key] == nil || !all[key].decoder {
			t.Errorf("%s stands among the decoders that are not fuzzed, and there is no such decoder", key)
		}
	}
	if decoders < 100 || fuzzers < 40 {
		t.Errorf("%d decoders and %d fuzz functions were found: the test looks in the wrong place", decoders, fuzzers)
	}
	t.Logf("%d decoders, %d fuzz functions", decoders, fuzzers)
}

// TestIsDecoder tries the rule itself, so that it cannot go blind unnoticed.
func TestIsDecoder(t *testing.T) {
	const source = `package x
import "io"
func ParseThing(text string) error { return nil }
func decodeRow(raw []byte) int { return 0 }
func (t *thing) UnmarshalJSON(raw []byte) error { return nil }
func readAll(from io.Reader) {}
func (t *thing) Read(p []byte) (int, error) { return 0, nil }
func ready(text string) {}
func parseAt(n int) {}
func format(text string) {}
`
	found, err := functionsIn("devices/x/x.go", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	var decoders []string
	for _, f := range found {
		if f.decoder {
			decoders = append(decoders, f.key)
		}
	}
	wanted := []string{"devices/x.ParseThing", "devices/x.decodeRow", "devices/x.thing.UnmarshalJSON", "devices/x.readAll"}
	if !slices.Equal(decoders, wanted) {
		t.Errorf("decoders are %v, wanted %v", decoders, wanted)
	}
	all := map[string]*function{"a.FuzzX": {key: "a.FuzzX", fuzz: true, calls: []string{"a.f", "b.parse"}}, "a.f": {key: "a.f", calls: []string{".Decode"}},
		"a.t.Decode": {key: "a.t.Decode"}, "b.parse": {key: "b.parse"}, "a.g": {key: "a.g"}}
	if got := slices.Sorted(maps.Keys(reached(all))); !slices.Equal(got, []string{"a.FuzzX", "a.f", "a.t.Decode"}) {
		t.Errorf("reached are %v", got)
	}
}
