package store

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/model"
)

// TestCopyUnderLoad: a copy that is made while commits come has all that were confirmed before it began, each whole, and reads as a start reads it.
func TestCopyUnderLoad(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir(), Name: "berlin"})
	schema := deviceSchema(t)
	a, b := n.create("/a", schema), n.create("/b", schema)
	set := func(value int64) { // both in one commit: they are never seen apart
		n.do(Set{Target: ByID(a), Settings: []Setting{{Name: "points", Value: model.Int64(value)}}},
			Set{Target: ByID(b), Settings: []Setting{{Name: "points", Value: model.Int64(value)}}})
	}
	confirmed := int64(0)
	for range 50 {
		confirmed++
		set(confirmed)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() {
		for value := confirmed; ctx.Err() == nil; {
			value++
			set(value)
		}
	})
	file := filepath.Join(t.TempDir(), "copy.db")
	err := n.CopyTo(t.Context(), file)
	cancel()
	work.Wait()
	if err != nil {
		t.Fatal(err)
	}
	contents, err := Inspect(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	if contents.Node != nodeA || contents.Name != "berlin" || contents.Contexts != 2 || contents.Revision.Epoch != n.Epoch() || contents.Change == 0 {
		t.Errorf("the copy has %+v", contents)
	}
	if _, err := os.Stat(file + "-wal"); err == nil {
		t.Error("looking at the copy wrote beside it")
	}
	dir := t.TempDir()
	if err := os.Rename(file, filepath.Join(dir, "node.db")); err != nil {
		t.Fatal(err)
	}
	again := openNode(t, Config{Dir: dir})
	var values []int64
	for _, path := range []string{"/a", "/b"} {
		c, there := again.tree.Lookup(model.MustPath(path))
		if !there {
			t.Fatalf("%s is not in the copy", path)
		}
		values = append(values, c.SettingNamed("points").Int64())
	}
	if values[0] < confirmed || values[0] != values[1] {
		t.Errorf("the copy has %v, %d was confirmed before it began", values, confirmed)
	}
}

// TestCopyRefusals: a copy goes nowhere where something is, ends with its context, and says when there is no room.
func TestCopyRefusals(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	id := n.create("/a", deviceSchema(t))
	note := model.String(strings.Repeat("x", 200_000))
	n.do(Set{Target: ByID(id), Settings: []Setting{{Name: "note", Value: note}}})
	dir := t.TempDir()
	file := filepath.Join(dir, "copy.db")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	kindIs(t, n.CopyTo(t.Context(), file), model.KindExists)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	kindIs(t, n.CopyTo(gone, filepath.Join(dir, "other.db")), model.KindCanceled)
	if _, err := Inspect(t.Context(), filepath.Join(dir, "absent.db")); err == nil {
		t.Error("a file that is not there was looked at")
	}
}

// TestInspectFindsDamage: each page of a copy is damaged in turn, and what is served then is an error.
func TestInspectFindsDamage(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	schema := deviceSchema(t)
	for _, path := range []string{"/a", "/b", "/c"} {
		n.create(path, schema, Setting{Name: "note", Value: model.String(strings.Repeat(path, 3000))})
	}
	file := filepath.Join(t.TempDir(), "copy.db")
	if err := n.CopyTo(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	found := 0
	for at := 0; at < len(whole); at += page {
		damaged := bytes.Clone(whole)
		copy(damaged[at:at+page], bytes.Repeat([]byte{0xff}, page))
		if err := os.WriteFile(file, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Inspect(t.Context(), file); err != nil {
			found++
		}
	}
	if pages := len(whole) / page; found < pages {
		t.Errorf("%d of %d damaged pages were found", found, pages)
	}
	if err := os.WriteFile(file, whole[:len(whole)-page], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(t.Context(), file); model.KindOf(err) != model.KindCorrupt {
		t.Errorf("a copy that was cut: %v", err)
	}
}

// TestRestoredTwice: two nodes from one backup give no revision and no change number twice, and each says that it was restored, the first time only.
func TestRestoredTwice(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	id := n.create("/a", deviceSchema(t))
	file := filepath.Join(t.TempDir(), "copy.db")
	if err := n.CopyTo(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	n.do(Set{Target: ByID(id), Settings: []Setting{{Name: "points", Value: model.Int64(7)}}}) // after the backup, in the life that goes on
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[model.Revision]bool{}
	lives := []*node{n}
	for i := range 2 {
		dir := t.TempDir()
		copied := filepath.Join(dir, "node.db")
		if err := os.WriteFile(copied, content, 0o600); err != nil {
			t.Fatal(err)
		}
		mark := Restore{ID: RestoreID{byte(i + 1)}, Time: model.TimeOf(time.Now()), Backup: 1, After: n.Epoch()}
		if err := MarkRestored(t.Context(), copied, mark); err != nil {
			t.Fatal(err)
		}
		life := openNode(t, Config{Dir: dir})
		if r, just := life.JustRestored(); !just || r.ID != mark.ID {
			t.Errorf("the first start after a restore says %v %v", r, just)
		}
		lives = append(lives, life)
	}
	for _, life := range lives {
		r := life.do(Set{Target: ByID(id), Settings: []Setting{{Name: "points", Value: model.Int64(8)}}}).Revision
		if seen[r] {
			t.Errorf("revision %s was given twice", r)
		}
		seen[r] = true
		if drawn := life.NewID(); drawn.Epoch != life.Epoch() {
			t.Errorf("ID %s is not of the epoch %s", drawn, life.Epoch())
		}
	}
	if again := lives[1].reopen(); len(again.Restores()) != 1 {
		t.Errorf("restores: %v", again.Restores())
	} else if _, just := again.JustRestored(); just {
		t.Error("the second start calls itself the first")
	}
}

// TestCopyDoesNotHoldUpTheWriter: while a copy is under way the writer does not wait for it, however long the log becomes, and shortens the log after.
func TestCopyDoesNotHoldUpTheWriter(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	id := n.create("/a", deviceSchema(t))
	schema := mustSchema(t, model.Schema{Kind: "b", Settings: []model.Setting{{Name: "note", Type: model.TypeBytes}}})
	n.do(PutSchema{schema}, Rebind{Target: ByID(id), Schema: schema.Hash})
	reader, err := n.reader.Begin() // stands where a copy stands
	if err != nil {
		t.Fatal(err)
	}
	var count int
	if err := reader.QueryRow("SELECT count(*) FROM contexts").Scan(&count); err != nil {
		t.Fatal(err)
	}
	n.copying.Add(1)
	written := byte(0)
	write := func() { // another value each time: one that is there already is not written
		written++
		note := model.Bytes(bytes.Repeat([]byte{written}, 900_000))
		n.do(Set{Target: ByID(id), Settings: []Setting{{Name: "note", Value: note}}})
		if err := n.KeepLogShort(); err != nil {
			t.Fatal(err)
		}
	}
	slowest := time.Duration(0)
	for logSize(t, n) < hardLog*n.cfg.LongLog+2_000_000 && slowest < 4*time.Second {
		began := time.Now()
		write()
		slowest = max(slowest, time.Since(began))
	}
	if slowest > 4*time.Second { // SQLite's own patience with readers is 5 s
		t.Errorf("a commit beside a copy took %s", slowest)
	}
	n.copying.Add(-1)
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	write()
	if size := logSize(t, n); size > hardLog*n.cfg.LongLog {
		t.Errorf("after the copy the log has %d bytes", size)
	}
}
