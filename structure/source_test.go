package structure

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// module is the name in go.mod; imports of our own packages begin with it.
const module = "banyan"

// root is the folder of go.mod, seen from this package's folder, in which its
// tests run.
const root = ".."

// goFile is what the tests here want to know of one Go source file.
type goFile struct {
	path      string // slash-separated, from the module's root: "model/path.go"
	dir       string // "model"; "." for the root
	name      string // of the package, as its clause says
	doc       string // the package comment; "" where the file has none
	imports   []string
	functions []string // the names of its functions, methods left out
	test      bool     // its name ends in _test.go
	generated bool     // it carries the line "Code generated ... DO NOT EDIT."
}

// readModule reads all Go files of the module. The files are parsed, rather
// than the Go tool asked, so that files behind a build tag count as well:
// planted faults and other systems' code are held to the same rules.
func readModule(t *testing.T) []goFile {
	t.Helper()
	var files []goFile
	walkModule(t, func(name string) {
		if path.Ext(name) != ".go" {
			return
		}
		source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		file, err := parseFile(name, source)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	})
	if len(files) == 0 {
		t.Fatal("no Go file was found: the test looks in the wrong place")
	}
	return files
}

// walkModule calls visit with the path of every file of the module, from its
// root, in lexical order. Left out are the folders that the Go tool leaves out
// (testdata, nested modules, names that begin with "." or "_"), what make
// builds, and installed npm packages.
func walkModule(t *testing.T, visit func(name string)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !entry.IsDir() {
			visit(name)
			return nil
		}
		if name == "." {
			return nil
		}
		base := path.Base(name)
		if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") ||
			base == "testdata" || base == "node_modules" || name == "bin" {
			return fs.SkipDir
		}
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(name), "go.mod")); err == nil {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func parseFile(name string, source []byte) (goFile, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return goFile{}, err
	}
	file := goFile{
		path:      name,
		dir:       path.Dir(name),
		name:      parsed.Name.Name,
		doc:       strings.TrimSpace(parsed.Doc.Text()),
		test:      strings.HasSuffix(name, "_test.go"),
		generated: ast.IsGenerated(parsed),
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return goFile{}, err
		}
		file.imports = append(file.imports, imported)
	}
	for _, declaration := range parsed.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok && function.Recv == nil {
			file.functions = append(file.functions, function.Name.Name)
		}
	}
	return file, nil
}
