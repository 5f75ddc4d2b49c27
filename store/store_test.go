package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"banyan/model"
	wire "banyan/proto"
	"banyan/tree"

	"github.com/google/go-cmp/cmp"
)

var nodeA = model.NodeID(sha256.Sum256([]byte("a")))

func mustSchema(t testing.TB, s model.Schema) *model.Schema {
	t.Helper()
	schema, err := wire.NewSchema(s)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func deviceSchema(t testing.TB) *model.Schema {
	return mustSchema(t, model.Schema{
		Kind: "device",
		Settings: []model.Setting{
			{Name: "interval", Type: model.TypeDuration, Default: model.Duration(5), Right: model.RightConfigure},
			{Name: "points", Type: model.TypeInt64, Right: model.RightConfigure},
			{Name: "note", Type: model.TypeString, Right: model.RightConfigure},
			{Name: "password", Type: model.TypeString, Secret: true, Right: model.RightConfigure},
			{Name: "where", Type: model.TypeRef, Right: model.RightConfigure},
		},
		Variables: []model.Variable{{Name: "load", Type: model.TypeFloat64}, {Name: "state", Type: model.TypeString}},
	})
}

// xorSealer is no cipher; it only shows whether values went through it, and for which setting.
type xorSealer struct{}

func (xorSealer) Seal(plain []byte, context model.ContextID, setting string) []byte {
	sum := sha256.Sum256([]byte(context.String() + ":" + setting))
	sealed := append([]byte{}, sum[:8]...)
	for _, b := range plain {
		sealed = append(sealed, b^0x5a)
	}
	return sealed
}

func (xorSealer) Open(sealed []byte, context model.ContextID, setting string) ([]byte, error) {
	sum := sha256.Sum256([]byte(context.String() + ":" + setting))
	if len(sealed) < 8 || !bytes.Equal(sealed[:8], sum[:8]) {
		return nil, fmt.Errorf("sealed for something else")
	}
	plain := slices.Clone(sealed[8:])
	for i := range plain {
		plain[i] ^= 0x5a
	}
	return plain, nil
}

// node is a store with its tree, without a committer.
type node struct {
	*Store
	tree *tree.Tree
	t    testing.TB
}

func openNode(t testing.TB, cfg Config, mounts ...Mount) *node {
	t.Helper()
	if cfg.Node.IsZero() {
		cfg.Node = nodeA
	}
	if cfg.Sealer == nil {
		cfg.Sealer = xorSealer{}
	}
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	n := &node{s, tree.New(tree.Config{FirstChange: s.FirstChange()}), t}
	own, err := s.Own(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), own, mounts, n.tree); err != nil {
		t.Fatal(err)
	}
	return n
}

// reopen closes the node and opens its directory again.
func (n *node) reopen(mounts ...Mount) *node {
	n.t.Helper()
	if err := n.Close(); err != nil {
		n.t.Fatal(err)
	}
	return openNode(n.t, Config{Dir: n.cfg.Dir}, mounts...)
}

// submit does commits in one transaction and shows them.
func (n *node) submit(commits ...Commit) ([]*Result, []error) {
	n.t.Helper()
	tx, err := n.Begin()
	if err != nil {
		n.t.Fatal(err)
	}
	defer tx.Rollback()
	results, problems := make([]*Result, len(commits)), make([]error, len(commits))
	for i, c := range commits {
		if c.Class == 0 {
			c.Class = ClassSettings
		}
		if c, problems[i] = n.Prepare(context.Background(), c); problems[i] == nil {
			results[i], problems[i] = tx.Apply(&c)
		}
	}
	first := uint64(0)
	if tx.Changes() > 0 {
		first = n.tree.Reserve(tx.Changes())
		defer n.tree.Release()
	}
	shown, err := tx.Commit(first)
	if err != nil {
		n.t.Fatal(err)
	}
	n.tree.Apply(shown.Puts, shown.Removals)
	return results, problems
}

// do is submit of one commit that must be done.
func (n *node) do(changes ...Change) *Result {
	n.t.Helper()
	results, problems := n.submit(Commit{Changes: changes})
	if problems[0] != nil {
		n.t.Fatal(problems[0])
	}
	return results[0]
}

func (n *node) create(path string, schema *model.Schema, settings ...Setting) model.ContextID {
	n.t.Helper()
	id := n.NewID()
	n.do(PutSchema{schema}, Create{ID: id, Path: model.MustPath(path), Label: "label of " + path, Schema: schema.Hash, Settings: settings})
	return id
}

// dump is what a tree's readers can learn of its contexts, from the beginning.
func dump(t *tree.Tree) string {
	var out strings.Builder
	delta := t.ChangesSince(0, 1<<30, nil)
	for _, c := range delta.Contexts {
		fmt.Fprintf(&out, "%d put %s %s %q %s %s", c.Change, c.ID, c.Path, c.Label, c.Schema.Kind, c.Version)
		for i := range c.Schema.Settings {
			fmt.Fprintf(&out, " %s", c.Setting(i))
		}
		fmt.Fprintf(&out, " %s\n", c.Route.Names())
	}
	for _, s := range delta.Tombstones {
		fmt.Fprintf(&out, "%d gone %s %s %s\n", s.Change, s.ID, s.Path, s.Version)
	}
	return out.String()
}

// dumpFile is all rows of all tables of a database.
func dumpFile(t testing.TB, file string) string {
	t.Helper()
	db, err := sql.Open("sqlite3", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var out strings.Builder
	each := func(query string, use func(*sql.Rows)) {
		rows, err := db.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			use(rows)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	var tables []string
	each("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name", func(rows *sql.Rows) {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, name)
	})
	for _, table := range tables {
		each("SELECT * FROM "+table, func(rows *sql.Rows) {
			columns, err := rows.Columns()
			if err != nil {
				t.Fatal(err)
			}
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(any)
			}
			if err := rows.Scan(values...); err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(&out, table)
			for _, v := range values {
				fmt.Fprintf(&out, " %x", *v.(*any))
			}
			fmt.Fprintln(&out)
		})
	}
	return out.String()
}

func kindIs(t *testing.T, err error, want model.ErrorKind) {
	t.Helper()
	if err == nil || model.KindOf(err) != want {
		t.Errorf("got the error %v, want one of kind %s", err, want)
	}
}

func TestOpenChecksDurability(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1", "wal_autocheckpoint": "0"} {
		var got string
		if err := n.writer.conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s of the writer is %s (%v), want %s", pragma, got, err, want)
		}
	}
	if _, err := n.reader.Exec("DELETE FROM epochs"); err == nil {
		t.Error("a reader could write")
	}
	// A file that runs with less is refused.
	db := cache.open(filepath.Join(t.TempDir(), "x.db"), 1, false)
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := cache.check(t.Context(), conn); err != nil {
		t.Error(err)
	}
	if err := truth.check(t.Context(), conn); err == nil || !strings.Contains(err.Error(), "synchronous=NORMAL") {
		t.Errorf("a database with synchronous=NORMAL was taken for durable: %v", err)
	}
}

func TestOpenRefusals(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	dir := n.cfg.Dir
	_, err := Open(t.Context(), Config{Dir: dir, Node: nodeA})
	kindIs(t, err, model.KindUnavailable)
	if want := fmt.Sprintf("in use by the process %d", os.Getpid()); !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("got %v, want it to say %q", err, want)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Config{Dir: dir, Node: model.NodeID{1}})
	kindIs(t, err, model.KindConflict)
	db, err := sql.Open("sqlite3", filepath.Join(dir, "node.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	_, err = Open(t.Context(), Config{Dir: dir, Node: nodeA})
	kindIs(t, err, model.KindUnsupported)
}

// A database whose bytes are wrong is told as that, with what to do, and left as it is.
func TestDamagedDatabase(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	n.create("/a", deviceSchema(t))
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(n.cfg.Dir, "node.db")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range content[100:4096] { // the header says that it is a database; its first page is none
		content[100+i] = 0xa5
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Config{Dir: n.cfg.Dir, Node: nodeA})
	kindIs(t, err, model.KindCorrupt)
	if text := fmt.Sprint(err); !strings.Contains(text, "is damaged") || !strings.Contains(text, "restore the newest backup") {
		t.Errorf("a damaged database: %v", err)
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, content) {
		t.Errorf("the damaged database was written to: %v", err)
	}
}

func TestEpochs(t *testing.T) {
	n := openNode(t, Config{Dir: filepath.Join(t.TempDir(), "with ?odd#name%20")})
	schema := deviceSchema(t)
	id := n.create("/a", schema)
	first := n.do(Set{Target: ByID(id), Settings: []Setting{{Name: "points", Value: model.Int64(1)}}})
	before := n.tree.ChangeHead()
	lost := n.NewID() // drawn, never committed
	again := n.reopen()
	if err := again.RevisionChain().Validate(); err != nil || len(again.RevisionChain()) != 2 {
		t.Errorf("the chain is %v (%v), want two epochs", again.RevisionChain(), err)
	}
	if got := again.RevisionChain().Last().First; got != first.Revision.Number+1 {
		t.Errorf("revisions begin at %d, want %d", got, first.Revision.Number+1)
	}
	if got := again.FirstChange(); got != before+1 {
		t.Errorf("change numbers begin at %d, want %d", got, before+1)
	}
	if next := again.NewID(); next == lost || next.Epoch == lost.Epoch || next.Number <= id.Number {
		t.Errorf("ID %s after %s and %s", next, id, lost)
	}
	second := again.do(Set{Target: ByID(id), Settings: []Setting{{Name: "points", Value: model.Int64(2)}}})
	if !again.RevisionChain().Holds(second.Revision) || !again.RevisionChain().Holds(first.Revision) || second.Revision.Epoch == first.Revision.Epoch {
		t.Errorf("revisions %s and %s on %v", first.Revision, second.Revision, again.RevisionChain())
	}
}

// TestCopiedDirectory: two lives that began with the same bytes give no position twice, and their chains show where they part.
func TestCopiedDirectory(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	schema := deviceSchema(t)
	id := n.create("/a", schema)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(n.cfg.Dir)); err != nil {
		t.Fatal(err)
	}
	seen := map[model.Revision]bool{}
	var ends []*node
	for _, dir := range []string{n.cfg.Dir, dir} {
		life := openNode(t, Config{Dir: dir})
		ends = append(ends, life)
		for range 3 {
			r := life.do(Set{Target: ByID(id), Settings: []Setting{{Name: "points", Value: model.Int64(2)}}})
			if seen[r.Revision] {
				t.Errorf("revision %s was given twice", r.Revision)
			}
			seen[r.Revision] = true
		}
	}
	head := ends[0].tree.ChangeHead()
	common := ends[0].ChangeChain().Common(head, ends[1].ChangeChain())
	if want := ends[0].FirstChange() - 1; common != want {
		t.Errorf("the chains agree up to %d of %d, want %d", common, head, want)
	}
}

func TestRestartShowsTheSame(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	schema := deviceSchema(t)
	a := n.create("/a", schema, Setting{Name: "interval", Value: model.Duration(7)}, Setting{Name: "password", Value: model.String("hush")})
	n.create("/a/b", schema, Setting{Name: "where", Value: model.Ref(model.Address{Path: model.MustPath("/a"), Name: "load"})})
	n.create("/c", schema)
	n.do(Remove{Target: At(model.MustPath("/c"))})
	n.create("/c", schema, Setting{Name: "note", Value: model.String("another one")})
	n.do(Move{Target: ByID(a), Path: model.MustPath("/z/a")})
	want := dump(n.tree)
	if strings.Contains(want, "hush") {
		t.Error("the tree has a secret")
	}
	again := n.reopen()
	if diff := cmp.Diff(want, dump(again.tree)); diff != "" {
		t.Errorf("after a restart (-before +after):\n%s", diff)
	}
	if got, err := again.Secret(t.Context(), a, "password"); err != nil || got.Text() != "hush" {
		t.Errorf("the secret is %s, %v", got, err)
	}
	content, err := os.ReadFile(filepath.Join(again.cfg.Dir, "node.db"))
	if err != nil || bytes.Contains(content, []byte("hush")) {
		t.Errorf("the file has the secret in the open (%v)", err)
	}
	if err := again.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
