package server

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"banyan/access"
	"banyan/model"
)

// TestEveryRouteIsDeclared: a route that says nothing about whom it answers fails here, and answers nobody.
func TestEveryRouteIsDeclared(t *testing.T) {
	n := startNode(t)
	if err := Routes.Check(n.Node.routes().served); err != nil {
		t.Error(err)
	}
}

// TestRoutesDenyByDefault: what is not declared, or not completely, does not run for anybody; what is, runs for whom it says.
func TestRoutesDenyByDefault(t *testing.T) {
	n := startNode(t)
	n.user("bob", rule("/devices/**", model.RightAdminister))
	bob := n.login("bob", "correct horse")
	table := access.Methods{
		"GET /public": {Who: access.Public}, "GET /known": {Who: access.Authenticated}, "GET /system": {Who: access.Entitled, Right: model.RightView, Field: "/system"},
		"GET /empty": {}, "GET /half": {Who: access.Entitled}, "GET /neighbour": {Who: access.Neighbour},
	}
	r := newRoutes(n.Node, table)
	const none, not, yes = http.StatusUnauthorized, http.StatusForbidden, http.StatusOK
	for pattern, want := range map[string][3]int{ // a stranger, bob, the administrator
		"GET /public": {yes, yes, yes}, "GET /known": {none, yes, yes}, "GET /system": {none, not, yes},
		"GET /empty": {not, not, not}, "GET /half": {not, not, not}, "GET /neighbour": {not, not, not}, "GET /undeclared": {not, not, not},
	} {
		r.HandleFunc(pattern, func(w http.ResponseWriter, q *http.Request) { w.WriteHeader(http.StatusOK) })
		for i, token := range []string{"", bob, n.token} {
			request := httptest.NewRequest(http.MethodGet, strings.TrimPrefix(pattern, "GET "), nil)
			request.Header.Set("Authorization", "Bearer "+token)
			answer := httptest.NewRecorder()
			if r.ServeHTTP(answer, request); answer.Code != want[i] {
				t.Errorf("%s for caller %d: %d, want %d", pattern, i, answer.Code, want[i])
			}
		}
	}
	if r.table.Check(r.served) == nil {
		t.Error("the check of the table finds nothing wrong")
	}
}

// TestNobodyGoesAroundTheRoutes: in this package a mux is made where its routes are looked up in a table, and nowhere else.
func TestNobodyGoesAroundTheRoutes(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || name == "routes.go" || name == "api.go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if s, is := node.(*ast.SelectorExpr); is && (s.Sel.Name == "NewServeMux" || s.Sel.Name == "DefaultServeMux") {
				t.Errorf("%s makes a mux of its own: serve through Node.routes, with a line in Routes", name)
			}
			return true
		})
	}
}
