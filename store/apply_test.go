package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"banyan/model"

	"github.com/google/go-cmp/cmp"
)

func TestRefusals(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	schema := deviceSchema(t)
	other := mustSchema(t, model.Schema{Kind: "other"})
	a := n.create("/a", schema)
	n.create("/a/b", schema)
	n.create("/c", schema)
	old := n.do(Set{Target: ByID(a)}).Revision
	n.do(Set{Target: ByID(a)})
	path := model.MustPath
	deepest := model.MustPath(strings.Repeat("/x", model.MaxPathDepth))
	label := "with\nbreak"
	tests := []struct {
		name   string
		commit Commit
		want   model.ErrorKind
	}{
		{"create at a taken path", Commit{Changes: []Change{Create{ID: n.NewID(), Path: path("/a"), Schema: schema.Hash}}}, model.KindExists},
		{"create with a taken ID", Commit{Changes: []Change{Create{ID: a, Path: path("/d"), Schema: schema.Hash}}}, model.KindExists},
		{"create with a foreign ID", Commit{Changes: []Change{Create{ID: model.ContextID{Node: model.NodeID{9}, Epoch: n.Epoch(), Number: 1}, Path: path("/d"), Schema: schema.Hash}}}, model.KindInvalid},
		{"create with an unknown schema", Commit{Changes: []Change{Create{ID: n.NewID(), Path: path("/d"), Schema: other.Hash}}}, model.KindNotFound},
		{"set what is not there", Commit{Changes: []Change{Set{Target: At(path("/x"))}}}, model.KindNotFound},
		{"set an unknown setting", Commit{Changes: []Change{Set{Target: At(path("/a")), Settings: []Setting{{Name: "nope"}}}}}, model.KindNotFound},
		{"set with a wrong type", Commit{Changes: []Change{Set{Target: At(path("/a")), Settings: []Setting{{Name: "points", Value: model.String("1")}}}}}, model.KindInvalid},
		{"set at an old revision", Commit{Changes: []Change{Set{Target: At(path("/a")), Expected: old}}}, model.KindConflict},
		{"a sealed value of an open setting", Commit{Changes: []Change{Set{Target: At(path("/a")), Settings: []Setting{{Name: "note", Sealed: []byte("x")}}}}}, model.KindInvalid},
		{"remove with something below", Commit{Changes: []Change{Remove{Target: At(path("/a"))}}}, model.KindConflict},
		{"remove what is not there", Commit{Changes: []Change{Remove{Target: At(path("/x")), Below: true}}}, model.KindNotFound},
		{"move below itself", Commit{Changes: []Change{Move{Target: At(path("/a")), Path: path("/a/z")}}}, model.KindInvalid},
		{"move to a taken path", Commit{Changes: []Change{Move{Target: At(path("/c")), Path: path("/a/b")}}}, model.KindExists},
		{"move so that something below is too deep", Commit{Changes: []Change{Move{Target: At(path("/a")), Path: deepest}}}, model.KindInvalid},
		{"a label with a line break", Commit{Changes: []Change{Move{Target: At(path("/a")), Label: &label}}}, model.KindInvalid},
		{"rebind to an unknown schema", Commit{Changes: []Change{Rebind{Target: ByID(a), Schema: other.Hash}}}, model.KindNotFound},
		{"a condition on an old revision", Commit{Conditions: []Condition{{Target: ByID(a), Revision: old}}}, model.KindConflict},
		{"a condition that something is absent", Commit{Conditions: []Condition{{Target: ByID(a), Absent: true}}}, model.KindConflict},
		{"a condition on what is absent", Commit{Conditions: []Condition{{Target: At(path("/x"))}}}, model.KindConflict},
		{"an epoch that does not follow", Commit{Changes: []Change{OpenEpoch{Epoch: model.Epoch{Ordinal: 1, Random: 7}}}}, model.KindConflict},
		{"a result without a request", Commit{Done: &RequestDone{ID: RequestID{1}}}, model.KindNotFound},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before, shown := dumpFile(t, filepath.Join(n.cfg.Dir, "node.db")), dump(n.tree)
			// Something that would be done goes before what is refused: it must be undone with it.
			good := []Change{PutSchema{schema}, Create{ID: n.NewID(), Path: path("/undone"), Schema: schema.Hash}}
			if len(test.commit.Changes) > 0 {
				test.commit.Changes = append(good, test.commit.Changes...)
			}
			results, problems := n.submit(test.commit)
			kindIs(t, problems[0], test.want)
			if results[0] != nil {
				t.Errorf("refused with the result %v", results[0])
			}
			if diff := cmp.Diff(before, dumpFile(t, filepath.Join(n.cfg.Dir, "node.db"))); diff != "" {
				t.Errorf("the file changed:\n%s", diff)
			}
			if diff := cmp.Diff(shown, dump(n.tree)); diff != "" {
				t.Errorf("the tree changed:\n%s", diff)
			}
		})
	}
}

func TestRebindKeepsWhatFits(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	a := n.create("/a", deviceSchema(t), Setting{Name: "points", Value: model.Int64(3)}, Setting{Name: "note", Value: model.String("x")},
		Setting{Name: "password", Value: model.String("hush")})
	next := mustSchema(t, model.Schema{Kind: "device2", Settings: []model.Setting{
		{Name: "note", Type: model.TypeInt64}, {Name: "points", Type: model.TypeInt64}, {Name: "password", Type: model.TypeString},
	}})
	r := n.do(PutSchema{next}, Rebind{Target: ByID(a), Schema: next.Hash})
	again := n.reopen()
	c, _ := again.tree.Lookup(model.MustPath("/a"))
	if c.Schema.Kind != "device2" || c.SettingNamed("points").Int64() != 3 || !c.SettingNamed("note").IsNone() || !c.SettingNamed("password").IsNone() {
		t.Errorf("after the rebinding: %s %v", c.Schema.Kind, c.Settings)
	}
	if c.Version != r.Revision {
		t.Errorf("version %s, want %s", c.Version, r.Revision)
	}
}

// TestPathsUsedAgain: contexts that take each other's places in one transaction are shown in the order in which it happened.
func TestPathsUsedAgain(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	schema := deviceSchema(t)
	path := model.MustPath
	a, b, up := n.create("/a", schema), n.create("/b", schema), n.create("/up/up", schema)
	n.create("/up/up/up", schema)
	from := n.tree.ChangeHead()
	fresh := n.NewID()
	_, problems := n.submit(
		Commit{Changes: []Change{Set{Target: At(path("/a")), Settings: []Setting{{Name: "points", Value: model.Int64(1)}}}}},
		Commit{Changes: []Change{Move{Target: ByID(a), Path: path("/t")}, Move{Target: ByID(b), Path: path("/a")}, Move{Target: ByID(a), Path: path("/b")}}},
		Commit{Changes: []Change{Remove{Target: At(path("/a"))}, Create{ID: fresh, Path: path("/a"), Schema: schema.Hash}}},
		Commit{Changes: []Change{Move{Target: ByID(up), Path: path("/up")}}},
	)
	if err := errors.Join(problems...); err != nil {
		t.Fatal(err)
	}
	for where, want := range map[string]model.ContextID{"/a": fresh, "/b": a, "/up": up} {
		if c, _ := n.tree.Lookup(path(where)); c.ID != want {
			t.Errorf("at %s is %s, want %s", where, c.ID, want)
		}
	}
	if c, there := n.tree.Lookup(path("/up/up")); !there || c.ID == up {
		t.Errorf("at /up/up is %v", c.ID)
	}
	if paths := n.tree.ByID(b); len(paths) != 0 {
		t.Errorf("what was removed is at %v", paths)
	}
	if c, _ := n.tree.Lookup(path("/b")); c.SettingNamed("points").Int64() != 1 {
		t.Error("a setting got lost on the way")
	}
	told := map[model.ContextID]bool{}
	for _, s := range n.tree.ChangesSince(from, 1000, nil).Tombstones {
		told[s.ID] = true
	}
	if !told[b] {
		t.Error("no reader learns that b was removed")
	}
	want := dump(n.tree)
	if diff := cmp.Diff(want, dump(n.reopen().tree)); diff != "" {
		t.Errorf("after a restart (-before +after):\n%s", diff)
	}
}

func TestTrim(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	schema := deviceSchema(t)
	for i := range 5 {
		n.create(fmt.Sprintf("/c%d", i), schema)
		n.do(Remove{Target: At(model.MustPath(fmt.Sprintf("/c%d", i)))})
	}
	stonesOf := func(n *node) (told []uint64) {
		for _, s := range n.tree.ChangesSince(0, 100, nil).Tombstones {
			told = append(told, s.Change)
		}
		return told
	}
	stones := stonesOf(n)
	keep := uint32(2)
	n.do(Trim{Tombstones: &keep})
	again := n.reopen()
	if got := stonesOf(again); !slices.Equal(got, stones[3:]) {
		t.Errorf("tombstones are %v, want %v", got, stones[3:])
	}
	if got := again.tree.Horizon(); got != stones[2]+1 {
		t.Errorf("the horizon is %d, want %d", got, stones[2]+1)
	}
	again.do(Trim{Horizon: again.FirstChange()})
	if got := stonesOf(again.reopen()); len(got) != 0 {
		t.Errorf("below the horizon are %v", got)
	}
}

func TestRequests(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	a := n.create("/a", deviceSchema(t))
	set := func(points int64, id byte, digest string) Commit {
		return Commit{
			Time: 100, Changes: []Change{Set{Target: ByID(a), Settings: []Setting{{Name: "points", Value: model.Int64(points)}}}},
			Start: &RequestStart{ID: RequestID{id}, Digest: []byte(digest), Expiry: 200}, Done: &RequestDone{ID: RequestID{id}, Result: []byte("ok")},
		}
	}
	results, problems := n.submit(set(1, 1, "one"), set(2, 1, "one"), set(3, 1, "other"))
	if problems[0] != nil || problems[1] != nil {
		t.Fatal(problems)
	}
	kindIs(t, problems[2], model.KindInvalid)
	if r := results[1]; !r.Replayed || !r.Done || string(r.Recorded) != "ok" || r.Revision != results[0].Revision {
		t.Errorf("the second time: %+v, the first: %+v", r, results[0])
	}
	if c, _ := n.tree.Lookup(model.MustPath("/a")); c.SettingNamed("points").Int64() != 1 {
		t.Errorf("points are %s: it was done twice", c.SettingNamed("points"))
	}
	// A call: begun, and its end recorded later.
	start := Commit{Start: &RequestStart{ID: RequestID{2}, Digest: []byte("call"), Expiry: 300}}
	n.submit(start)
	again := n.reopen()
	if r, known, err := again.Request(t.Context(), RequestID{2}); err != nil || !known || r.Done || r.Expiry != 300 {
		t.Errorf("a request that was begun: %+v %v %v", r, known, err)
	}
	results, _ = again.submit(start, Commit{Done: &RequestDone{ID: RequestID{2}, Result: []byte("42")}}, start)
	if r := results[0]; !r.Replayed || r.Done {
		t.Errorf("begun again: %+v", r)
	}
	if r := results[2]; !r.Done || string(r.Recorded) != "42" {
		t.Errorf("after its end: %+v", r)
	}
	again.do(Trim{RequestsBefore: 250})
	for id, want := range map[byte]bool{1: false, 2: true, 3: false} {
		if _, known, err := again.Request(t.Context(), RequestID{id}); known != want || err != nil {
			t.Errorf("request %d is known: %v (%v), want %v", id, known, err, want)
		}
	}
}

func TestSecrets(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	a := n.create("/a", deviceSchema(t))
	n.do(Set{Target: At(model.MustPath("/a")), Settings: []Setting{{Name: "password", Value: model.String("hush")}, {Name: "points", Value: model.Int64(1)}}})
	if got, err := n.Secret(t.Context(), a, "password"); err != nil || got.Text() != "hush" {
		t.Errorf("the secret is %s, %v", got, err)
	}
	// A sealed value that was put somewhere else does not open.
	b := n.create("/b", deviceSchema(t))
	if err := n.writer.exec("INSERT INTO settings SELECT c.key, s.name, s.sealed, s.value FROM settings s, contexts c WHERE s.sealed = 1 AND c.path = '/b'"); err != nil {
		t.Fatal(err)
	}
	_, err := n.Secret(t.Context(), b, "password")
	kindIs(t, err, model.KindCorrupt)
	n.do(Set{Target: ByID(a), Settings: []Setting{{Name: "password"}}})
	if got, err := n.Secret(t.Context(), a, "password"); err != nil || !got.IsNone() {
		t.Errorf("after it was unset the secret is %s, %v", got, err)
	}
}

// randomChange is one of many things that may or may not be refused.
func randomChange(n *node, r *rand.Rand, schemas []*model.Schema) Change {
	path := func() model.Path {
		p := model.Root
		for range 1 + r.IntN(3) {
			p, _ = p.Child(string(rune('a' + r.IntN(3))))
		}
		return p
	}
	schema := schemas[r.IntN(len(schemas))]
	switch r.IntN(10) {
	case 0, 1, 2, 3:
		return Create{ID: n.NewID(), Path: path(), Schema: schema.Hash, Settings: []Setting{{Name: "points", Value: model.Int64(r.Int64())}}}
	case 4, 5:
		return Set{Target: At(path()), Settings: []Setting{{Name: "points", Value: model.Int64(r.Int64())}}}
	case 6:
		return Remove{Target: At(path()), Below: r.IntN(2) == 0}
	case 7:
		return Rebind{Target: At(path()), Schema: schema.Hash}
	default:
		return Move{Target: At(path()), Path: path()}
	}
}

// TestRandomCommits: whatever is done, a restart shows the tree that was shown before, and an equal database that gets the same
// commits through their encoded form has the same rows.
func TestRandomCommits(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	random := func() uint64 { return 4 }
	n := openNode(t, Config{Dir: t.TempDir(), Random: random})
	twin := openNode(t, Config{Dir: t.TempDir(), Random: random})
	schemas := []*model.Schema{deviceSchema(t), mustSchema(t, model.Schema{Kind: "b", Settings: []model.Setting{{Name: "points", Type: model.TypeInt64}}})}
	n.do(PutSchema{schemas[0]}, PutSchema{schemas[1]})
	twin.do(PutSchema{schemas[0]}, PutSchema{schemas[1]})
	done := 0
	for range 150 {
		var commits, decoded []Commit
		for range 1 + r.IntN(6) {
			c := Commit{Class: ClassSettings}
			for range 1 + r.IntN(3) {
				c.Changes = append(c.Changes, randomChange(n, r, schemas))
			}
			encoded, err := c.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			d, err := UnmarshalCommit(encoded)
			if err != nil {
				t.Fatal(err)
			}
			commits, decoded = append(commits, c), append(decoded, *d)
		}
		results, problems := n.submit(commits...)
		_, twinProblems := twin.submit(decoded...)
		for i := range problems {
			if fmt.Sprint(problems[i]) != fmt.Sprint(twinProblems[i]) {
				t.Fatalf("one said %v, its twin %v", problems[i], twinProblems[i])
			}
			if problems[i] == nil {
				done++
				if results[i].Change > n.tree.ChangeHead() {
					t.Fatalf("confirmed with change %d, the tree shows %d", results[i].Change, n.tree.ChangeHead())
				}
			}
		}
	}
	if done < 50 {
		t.Errorf("only %d commits were done", done)
	}
	if diff := cmp.Diff(dumpFile(t, filepath.Join(n.cfg.Dir, "node.db")), dumpFile(t, filepath.Join(twin.cfg.Dir, "node.db"))); diff != "" {
		t.Errorf("the twins differ:\n%s", diff)
	}
	before := dump(n.tree)
	if diff := cmp.Diff(before, dump(n.reopen().tree)); diff != "" {
		t.Errorf("after a restart (-before +after):\n%s", diff)
	}
}
