package server

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1/apiv1connect"
	"banyan/store"
)

// auditOf are the rows of a node after a number, as "who operation path:name what | outcome".
func auditOf(t *testing.T, n *Node, after uint64) []string {
	t.Helper()
	rows, _, err := n.store.Audit(t.Context(), store.AuditQuery{After: after, Limit: store.MaxAuditRows, Oldest: true})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, row := range rows {
		lines = append(lines, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s:%s %s | %s", row.Who, row.Operation, row.Path, row.Name, row.What, row.Outcome)), " "))
	}
	return lines
}

func (r *running) audited(after uint64) []string {
	r.t.Helper()
	return auditOf(r.t, r.Node, after)
}

// TestAuditOfRequests: each request leaves the rows that it should, whole chains included, and what only shows leaves none.
func TestAuditOfRequests(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim")
	alice := n.user("alice", rule("/devices/**", model.RightOperate))
	request := [16]byte{1}
	for _, test := range []struct {
		name string
		who  access.Principal
		q    Request
		want []string
	}{
		{"a setting", n.admin(), setRequest("/devices/sim", "step", model.Float64(2)), []string{"admin set /devices/sim:step 2 | done"}},
		{"its default", n.admin(), setRequest("/devices/sim", "step", model.Value{}), []string{"admin set /devices/sim:step default | done"}},
		{"a secret", n.admin(), setRequest("/users/alice", settingPassword, model.String("battery staple")), []string{"admin set /users/alice:password set | done"}},
		{"a variable", alice, setRequest("/devices/sim", "setpoint", model.Float64(3)),
			[]string{"alice set /devices/sim:setpoint 3 | begun", "alice set /devices/sim:setpoint 3 | done"}},
		{"a call", alice, Request{Op: OpCall, Path: model.MustPath("/devices/sim"), Name: "poll_now"},
			[]string{"alice call /devices/sim:poll_now | begun", "alice call /devices/sim:poll_now | done"}},
		{"a call that is remembered", alice, Request{ID: request, Op: OpCall, Path: model.MustPath("/devices/sim"), Name: "poll_now"},
			[]string{"alice call /devices/sim:poll_now | begun", "alice call /devices/sim:poll_now | done"}},
		{"a setting that is remembered", n.admin(), Request{ID: [16]byte{2}, Op: OpSet, Path: model.MustPath("/devices/sim"), Name: "step", Value: model.Float64(5)},
			[]string{"admin set /devices/sim:step 5 | done"}},
		{"the same again", n.admin(), Request{ID: [16]byte{2}, Op: OpSet, Path: model.MustPath("/devices/sim"), Name: "step", Value: model.Float64(5)}, nil},
		{"a creation", n.admin(), Request{Op: OpCreate, Path: model.MustPath("/users/bob"), Kind: KindUser, Arguments: []model.Argument{
			{Name: settingPassword, Value: model.String("correct horse")}, {Name: settingEnabled, Value: model.Bool(false)}}},
			[]string{"admin create /users/bob: kind user password=set enabled=false | done"}},
		{"a removal", n.admin(), Request{Op: OpRemove, Path: model.MustPath("/users/bob"), Below: true}, []string{"admin remove /users/bob: with everything below it | done"}},
		{"a batch", n.admin(), Request{Op: OpApply, Edits: []Edit{
			{Op: OpCreate, Path: model.MustPath("/x"), Kind: KindFolder}, {Op: OpSet, Path: model.MustPath("/devices/sim"), Settings: []model.Argument{{Name: "step", Value: model.Float64(1)}}}}},
			[]string{"admin create /x: kind folder | done", "admin set /devices/sim: step=1 | done"}},
		{"a batch that is tried", n.admin(), Request{Op: OpApply, DryRun: true, Edits: []Edit{{Op: OpCreate, Path: model.MustPath("/y"), Kind: KindFolder}}}, nil},
		{"what may not be", alice, setRequest("/devices/sim", "step", model.Float64(2)),
			[]string{"alice set /devices/sim:step 2 | refused: denied: set /devices/sim:step: denied by berlin, rule 1: alice has operate, configure is needed"}},
		{"what is hidden", alice, setRequest("/users/admin", settingEnabled, model.Bool(false)),
			[]string{"alice set /users/admin:enabled false | refused: not-found: set /users/admin:enabled: nothing is there that you may see"}},
		{"what is not there", alice, setRequest("/users/nobody", settingEnabled, model.Bool(false)),
			[]string{"alice set /users/nobody:enabled set | refused: not-found: set /users/nobody:enabled: nothing is there that you may see"}},
		{"what cannot be", n.admin(), setRequest("/devices/sim", "poll_interval", model.Duration(1)), nil},
		{"reading the log", n.admin(), Request{Op: OpCall, Path: systemPath, Name: functionAudit}, nil},
		{"a secret somewhere else", n.admin(), Request{Op: OpCreate, Path: model.MustPath("/roles/r"), Kind: KindRole, Arguments: []model.Argument{
			{Name: settingRules, Value: RulesValue([]access.Rule{rule("/btk_0123456789", model.RightView)})}}},
			[]string{"admin create /roles/r: kind role rules=set | done"}},
	} {
		before := n.store.AuditHead().Seq
		_, _ = n.execute(test.who, test.q)
		if got := n.audited(before); fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", test.name, got, test.want)
		}
	}
	rows, _, err := n.store.Audit(t.Context(), store.AuditQuery{Who: "alice", Operation: "set", Outcome: "refused", Path: model.MustPath("/users"), Limit: 10})
	if err != nil || len(rows) != 2 || rows[0].Decision != "denied by berlin, no rule matches: alice has none, administer is needed" || rows[1].Decision != "nothing is there" {
		t.Errorf("%v, %v", rows, err)
	}
	if report, err := n.store.VerifyAudit(t.Context(), store.AuditHead{}); err != nil || report.Broken != 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestAuditComesBeforeTheEffect: while something runs its row is on disk, and what cannot be recorded does not run.
func TestAuditComesBeforeTheEffect(t *testing.T) {
	n := startNode(t)
	seen := ""
	_, err := n.router.once(t.Context(), n.admin(), &Request{Op: OpCall, Path: model.MustPath("/system"), Name: "x", ID: [16]byte{3}}, false, false, func() ([]model.Argument, error) {
		rows := n.audited(n.store.AuditHead().Seq - 1)
		seen = rows[len(rows)-1]
		return nil, model.Errorf(model.KindUnavailable, "the device is away")
	})
	if model.KindOf(err) != model.KindUnavailable || !strings.HasSuffix(seen, "| begun") {
		t.Errorf("while it ran the log ended with %q (%v)", seen, err)
	}
	rows := n.audited(n.store.AuditHead().Seq - 1)
	if len(rows) != 1 || !strings.HasSuffix(rows[0], "| failed: unavailable: the device is away") {
		t.Errorf("after it the log ended with %q", rows)
	}
	// What cannot be recorded is not done.
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	ran := false
	for _, free := range []bool{true, false} {
		_, err = n.router.once(t.Context(), n.admin(), &Request{Op: OpCall, Path: model.MustPath("/system"), Name: "x", ID: [16]byte{4}}, free, false, func() ([]model.Argument, error) {
			ran = true
			return nil, nil
		})
		if err == nil || ran {
			t.Errorf("it was done without a row: %v", err)
		}
	}
}

// TestAuditOfLogins: who came in, who did not, and who went.
func TestAuditOfLogins(t *testing.T) {
	n := startNode(t)
	n.user("alice", rule("/**", model.RightView))
	before := n.store.AuditHead().Seq
	token := n.login("alice", "correct horse")
	for range 6 {
		n.post(apiv1connect.SessionServiceLoginProcedure, "", `{"name":"alice","password":"wrong horse"}`)
	}
	n.post(apiv1connect.SessionServiceLoginProcedure, "", `{"name":"my secret password","password":"alice"}`)
	n.post(apiv1connect.SessionServiceLogoutProcedure, token, `{}`)
	n.post(apiv1connect.SessionServiceLogoutProcedure, token, `{}`)
	id := tokenHash(sha256.Sum256([]byte(token))).id()
	want := []string{"alice login : session " + id + " | done"}
	for range 5 {
		want = append(want, "alice login : | refused: name or password is wrong")
	}
	want = append(want, "alice login : | refused: locked after too many tries", "what is no name login : | refused: name or password is wrong", "alice logout : this session | done")
	if got := n.audited(before); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	rows, _, err := n.store.Audit(t.Context(), store.AuditQuery{Operation: "logout", Limit: 1})
	if err != nil || len(rows) != 1 || !strings.HasPrefix(rows[0].From, "127.0.0.1:") || !strings.HasSuffix(rows[0].From, ", session "+id) {
		t.Errorf("%v, %v", rows, err)
	}
}

// TestAuditUnderAFlood: refusals of one source are written up to a bound, and counted above it; those of another one are written still.
func TestAuditUnderAFlood(t *testing.T) {
	n := startNode(t)
	eve, bob := n.user("eve"), n.user("bob")
	before := n.store.AuditHead().Seq
	var group sync.WaitGroup
	for range 500 {
		group.Go(func() { _, _ = n.execute(eve, setRequest("/devices", "x", model.Bool(true))) })
	}
	group.Wait()
	_, _ = n.execute(bob, setRequest("/devices", "x", model.Bool(true)))
	n.audit.tell(t.Context())
	counts := map[string]int{}
	told := 0
	for _, line := range n.audited(before) {
		counts[strings.Join(strings.Fields(line)[:2], " ")]++
		var more int
		if _, err := fmt.Sscanf(line, "eve flood : %d more were refused", &more); err == nil {
			told += more
		}
	}
	if written := counts["eve set"]; written < floodBurst || written > floodBurst+20 || written+told != 500 || counts["bob set"] != 1 {
		t.Errorf("%v, and %d told of", counts, told)
	}
}

// TestFlood: how many rows a source gets, in whatever time.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flood{now: time.Now}
		admitted := func(source string, tries int) int {
			var count atomic.Int32
			for range tries {
				if f.admit(source) {
					count.Add(1)
				}
			}
			return int(count.Load())
		}
		if got := admitted("a", 100); got != floodBurst {
			t.Errorf("%d rows at once", got)
		}
		time.Sleep(10 * floodEvery)
		if got := admitted("a", 100); got != 10 {
			t.Errorf("%d rows after a while", got)
		}
		all := 0
		for i := range 10 * mostSources {
			all += admitted(fmt.Sprint("source ", i), 1)
		}
		if all > floodAll+1 || len(f.sources) > mostSources+1 {
			t.Errorf("%d rows of %d sources", all, len(f.sources))
		}
		left := 0
		for _, l := range f.drain() {
			left += l.count
		}
		if left != 170+10*mostSources-all || len(f.drain()) != 0 {
			t.Errorf("%d were left out", left)
		}
	})
}

// TestAuditIsTrimmed: by count and by age, never below the least, and the chain holds.
func TestAuditIsTrimmed(t *testing.T) {
	n := startNode(t)
	now := time.Now()
	n.audit.now = func() time.Time { return now }
	fill := func(rows int) {
		t.Helper()
		for made := 0; made < rows; made += 500 {
			many := make([]store.Audit, 500)
			for i := range many {
				many[i] = store.Audit{Operation: "set", Who: "x"}
			}
			if err := n.audit.write(t.Context(), many...); err != nil {
				t.Fatal(err)
			}
		}
	}
	kept := func() uint64 { return n.store.AuditHead().Seq - n.store.AuditTrimmed().Seq }
	fill(30_000)
	n.must(setRequest("/system", settingAuditRows, model.Int64(5_000)))
	n.audit.trim(t.Context())
	if kept() < 5_000 || kept() > 5_100 {
		t.Errorf("%d rows are kept", kept())
	}
	n.audit.trim(t.Context())
	n.must(setRequest("/system", settingAuditAge, model.Duration(48*time.Hour)))
	now = now.Add(47 * time.Hour)
	n.audit.trim(t.Context())
	if kept() < 5_000 {
		t.Errorf("%d rows are kept", kept())
	}
	now = now.Add(2 * time.Hour)
	n.audit.trim(t.Context())
	if kept() < leastAuditRows || kept() > leastAuditRows+trimStep+10 {
		t.Errorf("%d rows are kept of old ones", kept())
	}
	if report, err := n.store.VerifyAudit(t.Context(), store.AuditHead{}); err != nil || report.Broken != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	for name, v := range map[string]model.Value{settingAuditRows: model.Int64(10), settingAuditAge: model.Duration(time.Hour)} {
		if _, err := n.execute(n.admin(), setRequest("/system", name, v)); model.KindOf(err) != model.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAuditIsRead by the functions, and stands in a variable.
func TestAuditIsRead(t *testing.T) {
	n := startNode(t)
	n.user("bob", rule("/system", model.RightConfigure))
	answer := n.must(Request{Op: OpCall, Path: systemPath, Name: functionAudit, Arguments: []model.Argument{{Name: "limit", Value: model.Int64(1)}, {Name: "path", Value: model.String("/users")}}})
	table := answer.Results[0].Value.Table()
	if len(table.Rows) != 1 || table.Rows[0][2].Text() != "admin" || table.Rows[0][5].Text() != "/users/bob" || answer.Results[2].Value.Text() != n.store.AuditHead().String() {
		t.Errorf("%v", answer)
	}
	head := answer.Results[2].Value
	c, _ := n.Tree().Lookup(systemPath)
	n.publishSelf(&c)
	if shown, _ := n.Tree().Read(model.Address{Path: systemPath, Name: "audit_head"}); !shown.Sample.Value.Equal(head) {
		t.Errorf("the variable is %s, the head %s", shown.Sample.Value, head)
	}
	whole := n.must(Request{Op: OpCall, Path: systemPath, Name: functionVerifyAudit, Arguments: []model.Argument{{Name: "head", Value: head}}})
	if !whole.Results[0].Value.Bool() || len(whole.Results) != 3 {
		t.Errorf("%v", whole)
	}
	remembered := model.String("1" + strings.Repeat("0", 5) + ":" + strings.Repeat("00", 32))
	broken := n.must(Request{Op: OpCall, Path: systemPath, Name: functionVerifyAudit, Arguments: []model.Argument{{Name: "head", Value: remembered}}})
	if broken.Results[0].Value.Bool() || broken.Results[3].Value.Int64() == 0 {
		t.Errorf("%v", broken)
	}
	if _, err := n.execute(principal("bob", "berlin"), Request{Op: OpCall, Path: systemPath, Name: functionAudit}); model.KindOf(err) != model.KindDenied {
		t.Error(err)
	}
}

// TestAuditOfLinks: the owner has the whole chain; the node where somebody asked has that it was handed on, and how it came out; who joined is told, and
// who tried to.
func TestAuditOfLinks(t *testing.T) {
	hq, north, berlin := makeNode(t, "hq"), makeNode(t, "north"), makeNode(t, "berlin")
	linkUp(north, hq, "north", "/regions/north", "configure")
	linkUp(berlin, north, "berlin", "/sites/berlin", "configure")
	if _, err := berlin.execute(Request{Op: OpCreate, Path: model.MustPath("/devices/sim"), Kind: "simulator"}); err != nil {
		t.Fatal(err)
	}
	const device = "/regions/north/sites/berlin/devices/sim"
	hq.waits(device+":poll_interval", is("10s good"))
	atHQ, atNorth, atBerlin := hq.store.AuditHead().Seq, north.store.AuditHead().Seq, berlin.store.AuditHead().Seq
	if _, err := hq.execute(setRequest(device, "step", model.Float64(7))); err != nil {
		t.Fatal(err)
	}
	if _, err := hq.execute(Request{Op: OpCall, Path: model.MustPath(device).Parent().Parent(), Name: "x"}); err == nil {
		t.Fatal("what is not there was called")
	}
	if _, err := hq.execute(Request{Op: OpCall, Path: model.MustPath("/regions/north/links"), Name: "invite", Arguments: []model.Argument{textArgument("name", "x"), textArgument("role", "provider")}}); err == nil {
		t.Fatal("links were changed over a link")
	}
	for _, test := range []struct {
		node   *linkedNode
		before uint64
		want   []string
	}{
		{hq, atHQ, []string{
			"admin set " + device + ":step 7 | forwarded", "admin set " + device + ":step 7 | done", "admin call /regions/north/sites/berlin:x | refused",
			"admin call /regions/north/links:invite name=x role=provider | forwarded", "admin call /regions/north/links:invite name=x role=provider | refused",
		}},
		{north, atNorth, []string{"admin@hq, as told by hq call /links:invite name=x role=provider | refused"}},
		{berlin, atBerlin, []string{"admin@hq, as told by north set /devices/sim:step 7 | done"}},
	} {
		got := auditOf(t, test.node.Node, test.before)
		if len(got) != len(test.want) {
			t.Errorf("%q, want %q", got, test.want)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], test.want[i]) {
				t.Errorf("row %d is %q, want %q", i, got[i], test.want[i])
			}
		}
	}
	joined, _, err := hq.store.Audit(t.Context(), store.AuditQuery{Operation: "join", Limit: 10})
	if err != nil || len(joined) != 1 || joined[0].Who != "node "+north.ID().Short() || joined[0].Path != "/links/north" || joined[0].What != "calls itself north" {
		t.Errorf("%v, %v", joined, err)
	}
}
