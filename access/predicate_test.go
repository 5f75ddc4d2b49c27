package access

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3"
	"pgregory.net/rapid"

	"banyan/model"
)

var columns = Columns{Path: "c.path", Kind: "c.kind"}

// database holds every path of up to four of a few segments, with a kind; some differ in nothing but case, length or a byte next to '/'.
func database(t *testing.T) (*sql.DB, []Entity) {
	t.Helper()
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Exec(`CREATE TABLE contexts (path TEXT NOT NULL, kind TEXT NOT NULL) STRICT`); err != nil {
		t.Fatal(err)
	}
	level := []string{""}
	rows := []Entity{{Path: model.Root, Kind: "folder"}}
	kinds := []string{"", "host", "alert", "user", "link"}
	for range 4 {
		var next []string
		for _, above := range level {
			for _, segment := range []string{"a", "A", "ab", "a.", "a-b", "b", "users"} {
				next = append(next, above+"/"+segment)
				rows = append(rows, Entity{Path: model.MustPath(above + "/" + segment), Kind: kinds[len(rows)%len(kinds)]})
			}
		}
		level = next
	}
	for chunk := range slices.Chunk(rows, 500) {
		var args []any
		for _, r := range chunk {
			args = append(args, r.Path.String(), r.Kind)
		}
		if _, err := db.Exec("INSERT INTO contexts (path, kind) VALUES (?, ?)"+strings.Repeat(", (?, ?)", len(chunk)-1), args...); err != nil {
			t.Fatal(err)
		}
	}
	return db, rows
}

// found is what the database finds by the predicate.
func found(t interface{ Fatalf(string, ...any) }, db *sql.DB, p Predicate) map[string]bool {
	rows, err := db.Query("SELECT c.path FROM contexts c WHERE "+p.SQL, p.Args...)
	if err != nil {
		t.Fatalf("%s: %v", p.SQL, err)
	}
	defer rows.Close()
	paths := map[string]bool{}
	for rows.Next() {
		var path string
		if err := rows.Scan(&path); err != nil {
			t.Fatalf("%v", err)
		}
		paths[path] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%v", err)
	}
	return paths
}

// hold holds the predicate against the truth: nothing is lost, and nothing is added where it says that it is exact.
func hold(t interface{ Fatalf(string, ...any) }, db *sql.DB, rows []Entity, p Predicate, truth func(Entity) bool) {
	got := found(t, db, p)
	for _, e := range rows {
		want := truth(e)
		if found := got[e.Path.String()]; want && !found || found && !want && p.Exact {
			t.Fatalf("%s %s: found %v, may be seen %v\n%s %v exact %v", e.Path, e.Kind, found, want, p.SQL, p.Args, p.Exact)
		}
	}
}

func TestPredicates(t *testing.T) {
	db, rows := database(t)
	rapid.Check(t, func(t *rapid.T) {
		p, err := NewPolicy(genRules.Draw(t, "own"))
		if err != nil {
			t.Fatal(err)
		}
		need := model.Right(rapid.IntRange(1, 4).Draw(t, "need"))
		hold(t, db, rows, p.Predicate(columns, need), func(e Entity) bool {
			right, _ := p.Match(e.Path)
			return right >= need
		})
		areas := Areas{}
		if rapid.Bool().Draw(t, "odd people") {
			areas.People = Area{Patterns: []model.Pattern{genPattern.Draw(t, "people")}, Kinds: []string{"user"}}
		}
		var exports []*Selection
		for _, e := range rapid.SliceOfN(genExport, 1, 3).Draw(t, "exports") {
			s, err := NewSelection(e, areas)
			if err != nil {
				t.Fatal(err)
			}
			exports = append(exports, s)
		}
		both := exports[0].And(exports[len(exports)-1])
		hold(t, db, rows, both.Predicate(columns), func(e Entity) bool { return both.Selects(e.Path, e.Kind) })
		d, err := New(Config{Node: "berlin", People: map[string]*Policy{"alice": p}, Areas: areas,
			Grants: map[string]*Grant{"north": {Node: "north", Exports: exports}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, who := range []Principal{here("alice"), {Link: "north", Chain: Chain{Hops: []Hop{{}}}}, here("stranger")} {
			hold(t, db, rows, d.Predicate(who, columns), func(e Entity) bool {
				return d.Decide(Question{Principal: who, Entity: e, Need: model.RightView}).Allowed
			})
		}
	})
}

// TestExactPredicates: the patterns that people write most are said exactly, so that a search needs no second look.
func TestExactPredicates(t *testing.T) {
	db, rows := database(t)
	for _, test := range []struct {
		pattern string
		exact   bool
	}{
		{"/", true}, {"/a", true}, {"/**", true}, {"/a/**", true}, {"/*", true}, {"/a/*", true}, {"/*/a/*", true}, {"/a/*/b", true}, {"/*/*/*/*", true},
		{"/**/a", false}, {"/a/*/**", false}, {"/a/**/b", false},
	} {
		p := policy(t, test.pattern+" view").Predicate(columns, model.RightView)
		if p.Exact != test.exact {
			t.Errorf("%s: exact is %v", test.pattern, p.Exact)
		}
		pattern := model.MustPattern(test.pattern)
		hold(t, db, rows, p, func(e Entity) bool { return pattern.Matches(e.Path) })
	}
}

// TestLargestPredicates: what the limits allow, SQLite takes.
func TestLargestPredicates(t *testing.T) {
	db, rows := database(t)
	var list []Rule
	for i := range MaxRules {
		list = append(list, Rule{model.MustPattern(fmt.Sprintf("/x%d/*/y", i)), model.RightView})
	}
	p, err := NewPolicy(list)
	if err != nil {
		t.Fatal(err)
	}
	hold(t, db, rows, p.Predicate(columns, model.RightView), func(Entity) bool { return false })
	e := Export{Name: "e", Right: model.RightView}
	for _, r := range list[:MaxExportEntries] {
		e.Paths = append(e.Paths, r.Pattern)
	}
	hold(t, db, rows, selection(t, e).Predicate(columns), func(Entity) bool { return false })
}
