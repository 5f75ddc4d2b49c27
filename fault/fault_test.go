package fault

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"
)

// TestNamesAreComplete reads the declarations, so that a new constant cannot be left out of Names.
func TestNamesAreComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "names.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[Name]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if spec.Doc.Text() == "" {
			t.Errorf("%s does not say what goes wrong", text)
		}
		declared[Name(text)] = true
		return true
	})
	listed := map[Name]bool{}
	for _, name := range Names() {
		if listed[name] {
			t.Errorf("%s is listed twice", name)
		}
		listed[name] = true
		if !declared[name] {
			t.Errorf("%s is listed and not declared", name)
		}
	}
	for name := range declared {
		if !listed[name] {
			t.Errorf("%s is declared and not listed", name)
		}
	}
	if len(declared) < 9 {
		t.Errorf("found %d declarations, expected 9 at least", len(declared))
	}
}
