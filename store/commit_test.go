package store

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"banyan/model"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-sqlite3"
)

// everyChange is a commit with each kind of change and value in it.
func everyChange(t testing.TB) *Commit {
	schema := deviceSchema(t)
	id := model.ContextID{Node: nodeA, Epoch: model.Epoch{Ordinal: 1, Random: 1 << 63}, Number: 5}
	at := model.Revision{Epoch: id.Epoch, Number: 9}
	label, keep := "", uint32(0)
	table := model.TableValue(&model.Table{Columns: []model.Column{{Name: "n", Type: model.TypeInt64}}, Rows: [][]model.Value{{model.Int64(1)}, {{}}}})
	return &Commit{
		Class: ClassPeople, Time: -5, Conditions: []Condition{{Target: ByID(id), Revision: at}, {Target: At(model.MustPath("/x")), Absent: true}},
		Changes: []Change{
			PutSchema{schema},
			Create{ID: id, Path: model.MustPath("/a"), Label: "ä", Schema: schema.Hash, Settings: []Setting{
				{Name: "a", Value: model.Float64(0)}, {Name: "b", Value: table}, {Name: "c", Sealed: []byte{1}}, {Name: "d", Value: model.RefOutside()},
			}},
			Set{Target: ByID(id), Settings: []Setting{{Name: "a"}}, Expected: at},
			Move{Target: ByID(id), Path: model.MustPath("/b"), Label: &label, Expected: at}, Move{Target: At(model.Root)},
			Rebind{Target: ByID(id), Schema: schema.Hash, Expected: at}, Remove{Target: ByID(id), Below: true, Expected: at},
			OpenEpoch{Epoch: id.Epoch, LeastChange: 7, LostFrom: 5}, Trim{Tombstones: &keep, Horizon: 3, RequestsBefore: 8}, Trim{},
			Audit{Who: "alice", From: "link north", Operation: "set", Path: "/a", Name: "b", What: "ä", Decision: "d", Outcome: "o", Request: RequestID{7}},
			Audit{Operation: "login"}, TrimAudit{Through: 12},
			Ledger{
				ID: RequestID{8}, Role: RoleMade, Fate: model.FateSent, Who: "alice", Person: "alice", Link: "north", Account: "user 1", Digest: []byte("d"), Operation: "set",
				Path: "/a", Name: "b", Made: 1, Until: 2, Since: 3, Attempts: 4, Doubt: true, Owner: at, Via: []string{"north", "berlin"},
				Problem: []byte("p"), Body: []byte("q"), Result: []byte("r"),
			},
			Ledger{ID: RequestID{9}, Role: RoleOwner, Fate: model.FateUnknown}, ForgetLedger{IDs: []RequestID{{8}, {9}}},
		},
		Start: &RequestStart{ID: RequestID{1}, Digest: []byte("d"), Expiry: 11}, Done: &RequestDone{ID: RequestID{1}, Result: []byte("r")},
	}
}

func TestCommitRoundTrip(t *testing.T) {
	commit := everyChange(t)
	encoded, err := commit.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := UnmarshalCommit(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(commit, decoded, cmp.Comparer(model.Value.Equal), cmp.Comparer(func(a, b model.Path) bool { return a == b })); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func TestCommitLimits(t *testing.T) {
	big := model.Bytes(make([]byte, model.MaxValueBytes))
	settings := []Setting{{Name: "a", Value: big}}
	var many, heavy []Change
	for range MaxChanges + 1 {
		many = append(many, Set{})
	}
	for range 20 {
		heavy = append(heavy, Set{Settings: settings})
	}
	for name, c := range map[string]Commit{
		"no class": {}, "too many changes": {Class: ClassEvents, Changes: many}, "too heavy": {Class: ClassEvents, Changes: heavy},
		"an unknown change": {Class: ClassEvents, Changes: []Change{nil}}, "a request without a digest": {Class: ClassEvents, Start: &RequestStart{}},
		"a long result": {Class: ClassEvents, Done: &RequestDone{Result: make([]byte, MaxResultBytes+1)}},
		"no schema":     {Class: ClassEvents, Changes: []Change{PutSchema{}}}, "no ID": {Class: ClassEvents, Changes: []Change{Create{}}},
	} {
		if _, err := c.Validate(); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

func FuzzUnmarshalCommit(f *testing.F) {
	encoded, err := everyChange(f).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, encoded []byte) {
		c, err := UnmarshalCommit(encoded)
		if err != nil {
			return
		}
		once, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := UnmarshalCommit(once)
		if err != nil {
			t.Fatalf("what was read once cannot be read again: %v", err)
		}
		if twice, err := again.Marshal(); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("the same commit has two forms: %x, %x (%v)", once, twice, err)
		}
	})
}

// TestFailedStep: an error at each step that writes is a Failure, shows nothing, and leaves the file as it was.
func TestFailedStep(t *testing.T) {
	for _, step := range []string{"begin", "write", "commit"} {
		broken := errors.New("input/output error")
		fail := false
		n := openNode(t, Config{Dir: t.TempDir(), Fault: func(at string) error {
			if fail && at == step {
				return broken
			}
			return nil
		}})
		id := n.create("/a", deviceSchema(t))
		fail = true
		var failure *Failure
		tx, err := n.Begin()
		if err == nil {
			c := &Commit{Class: ClassSettings, Changes: []Change{Remove{Target: ByID(id)}}}
			if _, err = tx.Apply(c); err == nil {
				_, err = tx.Commit(n.tree.Reserve(tx.Changes()))
			}
			tx.Rollback()
		}
		if !errors.As(err, &failure) || failure.Full || !errors.Is(err, broken) {
			t.Errorf("%s: got %v, want a Failure", step, err)
		}
		fail = false
		if _, there := n.reopen().tree.Lookup(model.MustPath("/a")); !there {
			t.Errorf("%s: what was not committed was done", step)
		}
	}
}

func TestFullDisk(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	id := n.create("/a", deviceSchema(t))
	if err := n.writer.exec("PRAGMA max_page_count = 1"); err != nil {
		t.Fatal(err)
	}
	tx, err := n.Begin()
	if err != nil {
		t.Fatal(err)
	}
	note := model.String(string(bytes.Repeat([]byte("x"), 100_000)))
	_, err = tx.Apply(&Commit{Class: ClassSettings, Changes: []Change{Set{Target: ByID(id), Settings: []Setting{{Name: "note", Value: note}}}}})
	tx.Rollback()
	var failure *Failure
	var cause sqlite3.Error
	if !errors.As(err, &failure) || !failure.Full || !errors.As(err, &cause) {
		t.Fatalf("got %v, want a Failure that says full", err)
	}
	if err := n.writer.exec("PRAGMA max_page_count = 100000"); err != nil {
		t.Fatal(err)
	}
	n.do(Set{Target: ByID(id), Settings: []Setting{{Name: "note", Value: note}}})
}

// TestLogStaysShort: the write-ahead log is bounded, also after a reader has held it up.
func TestLogStaysShort(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	id := n.create("/a", deviceSchema(t))
	note := model.Bytes(bytes.Repeat([]byte("x"), 500_000))
	schema := mustSchema(t, model.Schema{Kind: "b", Settings: []model.Setting{{Name: "note", Type: model.TypeBytes}}})
	n.do(PutSchema{schema}, Rebind{Target: ByID(id), Schema: schema.Hash})
	write := func(times int) {
		for range times {
			n.do(Set{Target: ByID(id), Settings: []Setting{{Name: "note", Value: note}}})
			if err := n.KeepLogShort(); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(200) // 100 MB
	if size := logSize(t, n); size > n.cfg.LongLog+2_000_000 {
		t.Errorf("after 100 MB the log has %d bytes", size)
	}
	tx, err := n.reader.Begin()
	if err != nil {
		t.Fatal(err)
	}
	var count int
	if err := tx.QueryRow("SELECT count(*) FROM contexts").Scan(&count); err != nil {
		t.Fatal(err)
	}
	write(80) // 40 MB beside a reader that stands still
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	write(80)
	if size := logSize(t, n); size > hardLog*n.cfg.LongLog {
		t.Errorf("after the reader had left the log has %d bytes", size)
	}
}

// TestLogIsMovedForItsLengthOnly: a log that was long once keeps its file, and is not moved again with every commit for that.
func TestLogIsMovedForItsLengthOnly(t *testing.T) {
	moves := 0
	n := openNode(t, Config{Dir: t.TempDir(), LongLog: 1 << 20, Fault: func(step string) error {
		if step == "checkpoint" {
			moves++
		}
		return nil
	}})
	id := n.create("/a", deviceSchema(t))
	for i := range int64(1500) { // some 6 pages each
		n.do(Set{Target: ByID(id), Settings: points(i)})
		if err := n.KeepLogShort(); err != nil {
			t.Fatal(err)
		}
	}
	if size := logSize(t, n); moves < 2 || moves > 60 || size < 1<<20 || size > 2<<20 {
		t.Errorf("the log of %d bytes was moved %d times in 1,500 commits", size, moves)
	}
}

func logSize(t *testing.T, n *node) int64 {
	t.Helper()
	info, err := os.Stat(n.logFile())
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
