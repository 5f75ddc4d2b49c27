package store

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"banyan/model"
)

// audited is a node with so many rows in its audit log, two in each commit.
func audited(t testing.TB, rows int) *node {
	n := openNode(t, Config{Dir: t.TempDir()})
	id := n.create("/a", deviceSchema(t))
	for i := 0; i < rows; i += 2 {
		n.submit(Commit{Time: model.Time(1000 + i), Changes: []Change{
			Audit{Who: "alice", From: "127.0.0.1:1", Operation: "set", Path: "/a", Name: "points", What: fmt.Sprint(i), Decision: "allowed", Outcome: "done", Request: RequestID{byte(i)}},
			Set{Target: ByID(id), Settings: []Setting{{Name: "points", Value: model.Int64(int64(i))}}},
			Audit{Who: "bob@hq, as told by north", From: "link north", Operation: "call", Path: "/a/b", Name: "poll", Outcome: "begun"},
		}})
	}
	return n
}

func (n *node) verify(remembered AuditHead) AuditReport {
	n.t.Helper()
	report, err := n.VerifyAudit(n.t.Context(), remembered)
	if err != nil {
		n.t.Fatal(err)
	}
	return report
}

// TestAuditChain: rows are numbered in the order of commits, through restarts; a commit that is refused leaves none.
func TestAuditChain(t *testing.T) {
	n := audited(t, 10)
	head := n.AuditHead()
	_, problems := n.submit(Commit{Changes: []Change{Audit{Operation: "set"}, Set{Target: At(model.MustPath("/nothing"))}}}, Commit{Changes: []Change{Audit{Operation: "login"}}})
	if problems[0] == nil || n.AuditHead().Seq != head.Seq+1 {
		t.Errorf("%v, head %s after %s", problems, n.AuditHead(), head)
	}
	n = n.reopen()
	n.submit(Commit{Changes: []Change{Audit{Operation: "logout"}}})
	report := n.verify(head)
	if report.Broken != 0 || report.First != 1 || report.Last != 12 || report.Head != n.AuditHead() {
		t.Errorf("%+v, head %s", report, n.AuditHead())
	}
	if parsed, err := ParseAuditHead(report.Head.String()); err != nil || parsed != report.Head {
		t.Errorf("%v, %v", parsed, err)
	}
	rows, more, err := n.Audit(t.Context(), AuditQuery{Limit: 3})
	if err != nil || !more || len(rows) != 3 || rows[2].Operation != "logout" || rows[2].Hash != report.Head.Hash {
		t.Errorf("%v, %v, %v", rows, more, err)
	}
	for _, bad := range []string{"", "1", "1:", "x:" + strings.Repeat("0", 64), "1:" + strings.Repeat("g", 64)} {
		if _, err := ParseAuditHead(bad); err == nil {
			t.Errorf("%q is a head", bad)
		}
	}
}

// TestAuditQueries: each restriction, and the cursors in both directions.
func TestAuditQueries(t *testing.T) {
	n := audited(t, 20)
	for name, test := range map[string]struct {
		q     AuditQuery
		first uint64
		count int
		more  bool
	}{
		"all":             {AuditQuery{Limit: 100}, 1, 20, false},
		"the newest":      {AuditQuery{Limit: 5}, 16, 5, true},
		"the oldest":      {AuditQuery{Limit: 5, Oldest: true}, 1, 5, true},
		"after":           {AuditQuery{Limit: 5, After: 10, Oldest: true}, 11, 5, true},
		"before":          {AuditQuery{Limit: 5, Before: 10}, 5, 5, true},
		"who":             {AuditQuery{Limit: 100, Who: "alice"}, 1, 10, false},
		"who, by name":    {AuditQuery{Limit: 100, Who: "bob"}, 2, 10, false},
		"a part of who":   {AuditQuery{Limit: 100, Who: "bo"}, 0, 0, false},
		"operation":       {AuditQuery{Limit: 100, Operation: "call"}, 2, 10, false},
		"path":            {AuditQuery{Limit: 100, Path: model.MustPath("/a")}, 1, 20, false},
		"path below":      {AuditQuery{Limit: 100, Path: model.MustPath("/a/b")}, 2, 10, false},
		"another path":    {AuditQuery{Limit: 100, Path: model.MustPath("/a/bc")}, 0, 0, false},
		"since":           {AuditQuery{Limit: 100, Since: 1010}, 11, 10, false},
		"until":           {AuditQuery{Limit: 100, Until: 1010}, 1, 10, false},
		"how it came out": {AuditQuery{Limit: 100, Outcome: "beg"}, 2, 10, false},
	} {
		rows, more, err := n.Audit(t.Context(), test.q)
		if err != nil || len(rows) != test.count || more != test.more || test.count > 0 && rows[0].Seq != test.first {
			t.Errorf("%s: %d rows, %v, %v", name, len(rows), more, err)
		}
	}
	for _, limit := range []int{0, -1, MaxAuditRows + 1} {
		if _, _, err := n.Audit(t.Context(), AuditQuery{Limit: limit}); err == nil {
			t.Errorf("%d rows at once", limit)
		}
	}
}

// tamper changes node.db behind the node's back, by plain SQL.
func tamper(t *testing.T, n *node, statements ...string) *node {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite3", filepath.Join(n.cfg.Dir, "node.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	return openNode(t, Config{Dir: n.cfg.Dir})
}

// TestAuditTampering: whatever is changed, taken out, put in or exchanged in the file is found, and the row is named.
func TestAuditTampering(t *testing.T) {
	forged := `INSERT INTO audit SELECT %s, time, epoch, revision, who, origin, operation, path, name, what, decision, outcome, request, hash FROM audit WHERE seq = 7`
	type tampering struct {
		broken     uint64
		statements []string
	}
	tests := map[string]tampering{
		"nothing":             {0, nil},
		"a row is taken out":  {7, []string{"DELETE FROM audit WHERE seq = 7"}},
		"and the rest moves":  {7, []string{"DELETE FROM audit WHERE seq = 7", "UPDATE audit SET seq = seq - 1 WHERE seq > 7"}},
		"the first is gone":   {1, []string{"DELETE FROM audit WHERE seq = 1"}},
		"the last is gone":    {20, []string{"DELETE FROM audit WHERE seq = 20"}},
		"the end is gone":     {15, []string{"DELETE FROM audit WHERE seq >= 15"}},
		"all is gone":         {1, []string{"DELETE FROM audit"}},
		"a row is put in":     {8, []string{"UPDATE audit SET seq = -seq WHERE seq > 7", "UPDATE audit SET seq = -seq + 1 WHERE seq < 0", fmt.Sprintf(forged, "8")}},
		"a row is put behind": {21, []string{fmt.Sprintf(forged, "21")}},
		"two are exchanged":   {7, []string{"UPDATE audit SET seq = -7 WHERE seq = 7", "UPDATE audit SET seq = 7 WHERE seq = 9", "UPDATE audit SET seq = 9 WHERE seq = -7"}},
		"a hash is changed":   {7, []string{"UPDATE audit SET hash = zeroblob(32) WHERE seq = 7"}},
		"a hash is shortened": {7, []string{"UPDATE audit SET hash = x'00' WHERE seq = 7"}},
		"the last hash":       {20, []string{"UPDATE audit SET hash = zeroblob(32) WHERE seq = 20"}},
		"the counter":         {20, []string{"UPDATE counters SET audit_hash = zeroblob(32)"}},
		"a trim that was none": {6, []string{
			"UPDATE counters SET audit_trimmed = 5, audit_trimmed_hash = (SELECT hash FROM audit WHERE seq = 5)", "DELETE FROM audit WHERE seq < 6",
		}},
		"another life":    {1, []string{"UPDATE epochs SET random = random + 1 WHERE ordinal = 1"}},
		"the request":     {7, []string{"UPDATE audit SET request = randomblob(16) WHERE seq = 7"}},
		"text moves over": {7, []string{"UPDATE audit SET path = path || name, name = '' WHERE seq = 7"}},
	}
	for _, column := range []string{"time", "revision"} {
		tests["the number "+column] = tampering{7, []string{"UPDATE audit SET " + column + " = " + column + " + 1 WHERE seq = 7"}}
	}
	for _, column := range []string{"who", "origin", "operation", "path", "name", "what", "decision", "outcome"} {
		tests["the text "+column] = tampering{7, []string{"UPDATE audit SET " + column + " = 'x' WHERE seq = 7"}}
	}
	for name, test := range tests {
		n := tamper(t, audited(t, 20), test.statements...)
		if report := n.verify(AuditHead{}); report.Broken != test.broken || (report.Problem != "") != (test.broken != 0) {
			t.Errorf("%s: %+v, want row %d", name, report, test.broken)
		}
		// The node goes on, and what was done stays visible.
		n.submit(Commit{Changes: []Change{Audit{Operation: "set"}}})
		if report := n.verify(AuditHead{}); (report.Broken != 0) != (test.broken != 0) {
			t.Errorf("%s, after the next row: %+v", name, report)
		}
	}
}

// TestAuditRemembered: what is consistent in itself is found by whoever remembers a head.
func TestAuditRemembered(t *testing.T) {
	n := audited(t, 20)
	remembered := n.AuditHead()
	n = tamper(t, n, "DELETE FROM audit WHERE seq > 15", "UPDATE counters SET audit = 15, audit_hash = (SELECT hash FROM audit WHERE seq = 15)")
	if report := n.verify(AuditHead{}); report.Broken != 0 {
		t.Fatalf("the file is not consistent in itself: %+v", report)
	}
	if report := n.verify(remembered); report.Broken != 16 || !strings.Contains(report.Problem, "remembered") {
		t.Errorf("%+v", report)
	}
	for range 10 {
		n.submit(Commit{Changes: []Change{Audit{Operation: "set"}}})
	}
	if report := n.verify(remembered); report.Broken != 20 || !strings.Contains(report.Problem, "remembered") {
		t.Errorf("after others were written in their place: %+v", report)
	}
}

// TestAuditTrim: the rest of the chain holds, and says up to where was trimmed, also after a restart.
func TestAuditTrim(t *testing.T) {
	n := audited(t, 40)
	remembered := n.AuditHead()
	for _, through := range []uint64{10, 10, 25} {
		n.do(TrimAudit{Through: through})
	}
	if trimmed := n.AuditTrimmed(); trimmed.Seq != 25 {
		t.Errorf("trimmed through %s", trimmed)
	}
	if _, problems := n.submit(Commit{Changes: []Change{TrimAudit{Through: 1000}}}); model.KindOf(problems[0]) != model.KindInvalid {
		t.Errorf("all of it: %v", problems)
	}
	n = n.reopen()
	rows, _, err := n.Audit(t.Context(), AuditQuery{Limit: 100})
	if err != nil || rows[0].Seq != 26 || rows[len(rows)-1].What != "through "+n.AuditTrimmed().String() {
		t.Errorf("%v, %v", rows, err)
	}
	if report := n.verify(remembered); report.Broken != 0 || report.First != 26 || report.Last != 42 {
		t.Errorf("%+v", report)
	}
	if report := tamper(t, n, "DELETE FROM audit WHERE seq = 26").verify(AuditHead{}); report.Broken != 26 {
		t.Errorf("%+v", report)
	}
}

// TestAuditTextIsOneLine: nothing of a row can forge another one where it is shown.
func TestAuditTextIsOneLine(t *testing.T) {
	for _, text := range []string{"a\nb", "a\x1b[2J", "a\xff", strings.Repeat("x", MaxAuditText+1)} {
		c := Commit{Class: ClassPeople, Changes: []Change{Audit{Operation: "set", What: text}}}
		if _, err := c.Validate(); err == nil {
			t.Errorf("%.20q is taken", text)
		}
	}
	c := Commit{Class: ClassPeople, Changes: []Change{Audit{}}}
	if _, err := c.Validate(); err == nil {
		t.Error("a row without an operation is taken")
	}
}

func FuzzAuditHead(f *testing.F) {
	f.Add("12:" + strings.Repeat("0a", 32))
	f.Add("x")
	f.Fuzz(func(t *testing.T, text string) {
		head, err := ParseAuditHead(text)
		if err != nil {
			return
		}
		if again, err := ParseAuditHead(head.String()); err != nil || again != head {
			t.Fatalf("%q is %s, and that is %s (%v)", text, head, again, err)
		}
	})
}
