package server

import (
	"strings"
	"testing"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/proto/apiv1/apiv1connect"
	"banyan/proto/linkv1"

	"connectrpc.com/connect"
)

// TestExplainRight: the rule that decides, where it stands, and what is told to people who ask about themselves.
func TestExplainRight(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim")
	n.must(Request{Op: OpCreate, Path: model.MustPath("/roles/operators"), Kind: KindRole, Arguments: []model.Argument{
		{Name: settingRules, Value: RulesValue([]access.Rule{rule("/devices/**", model.RightOperate)})},
	}})
	n.user("alice", rule("/devices/gate/**", model.RightNone), rule("/system", model.RightView))
	n.must(setRequest("/users/alice", settingRoles, model.String("operators")))
	explain := func(user, address, right string) (bool, string) {
		t.Helper()
		done := n.must(Request{Op: OpCall, Path: systemPath, Name: functionExplainRight, Arguments: []model.Argument{
			textArgument("user", user), textArgument("address", address), textArgument("right", right),
		}})
		return done.Results[0].Value.Bool(), done.Results[1].Value.Text()
	}
	who := apiv1connect.NewSessionServiceClient(n.client, n.url(), connect.WithInterceptors(bearer(n.login("alice", "correct horse"))))
	for _, test := range []struct {
		address, right string
		allowed        bool
		says           string
	}{
		{"/devices/sim", "operate", true, "allowed by berlin, rule 3: alice has operate (rule 1 of role operators)"},
		{"/devices/sim", "", true, "rule 3: alice has operate"},
		{"/devices/sim:setpoint", "", true, "rule 3: alice has operate"},
		{"/devices/sim:step", "", false, "denied by berlin, rule 3: alice has operate, configure is needed (rule 1 of role operators)"},
		{"/devices/sim:poll_now", "", true, "rule 3"},
		{"/devices/sim:nothing", "", false, "nothing of that name is there"},
		{"/devices/gate/1", "view", false, "denied by berlin, rule 1: alice has none, view is needed (rule 1 of user alice)"},
		{"/devices/not/there", "view", true, "nothing is there now"},
		{"/users/admin:enabled", "", false, "no rule matches: alice has none"},
		{"/users/nobody:enabled", "", false, "no rule matches: alice has none"},
		{"/system:audit", "", false, "rule 2: alice has view, administer is needed (rule 2 of user alice)"},
	} {
		allowed, text := explain("alice", test.address, test.right)
		if allowed != test.allowed || !strings.Contains(text, test.says) {
			t.Errorf("%s %s: %v, %s", test.address, test.right, allowed, text)
		}
		self, err := who.Who(t.Context(), &apiv1.WhoRequest{Address: test.address, Right: test.right})
		if err != nil || self.Explanation.Allowed != allowed || self.Explanation.Text != text {
			t.Errorf("%s %s, asked by alice: %v, %v", test.address, test.right, self, err)
		}
	}
	for _, bad := range [][3]string{{"nobody", "/", ""}, {"alice@hq", "/", ""}, {"alice", "x", ""}, {"alice", "/", "everything"}, {"alice", "/", "none"}} {
		_, err := n.execute(n.admin(), Request{Op: OpCall, Path: systemPath, Name: functionExplainRight, Arguments: []model.Argument{
			textArgument("user", bad[0]), textArgument("address", bad[1]), textArgument("right", bad[2]),
		}})
		if model.KindOf(err) != model.KindInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestExplainSaysWhatIsDone: over two links, whoever is told that they may not is refused, in the same words and by the same node.
func TestExplainSaysWhatIsDone(t *testing.T) {
	hq, north, berlin := makeNode(t, "hq"), makeNode(t, "north"), makeNode(t, "berlin")
	linkUp(north, hq, "north", "/regions/north", "operate")
	linkUp(berlin, north, "berlin", "/sites/berlin", "configure")
	if _, err := berlin.execute(Request{Op: OpCreate, Path: model.MustPath("/devices/sim"), Kind: "simulator"}); err != nil {
		t.Fatal(err)
	}
	const device = "/regions/north/sites/berlin/devices/sim"
	hq.waits(device+":poll_interval", is("10s good"))
	hq.waits("/regions/north/sites/berlin/exports/north:right", is("configure good"))
	hq.waits("/regions/north/exports/hq:right", is("operate good"))
	explain := func(name string) (string, *model.Table) {
		t.Helper()
		results := hq.call("/system", functionExplainRight, textArgument("user", AdminName), textArgument("address", device+":"+name))
		return results["text"].Text(), results["hops"].Table()
	}
	text, hops := explain("step")
	if len(hops.Rows) != 3 || hops.Rows[2][2].Bool() != true || !strings.HasPrefix(text, "denied by north, export hq: hq has operate, configure is needed") {
		t.Errorf("%s: %v", text, hops)
	}
	_, err := hq.execute(setRequest(device, "step", model.Float64(2)))
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("refused with %v, explained as %s", err, text)
	}
	if text, hops = explain("setpoint"); len(hops.Rows) != 3 || !strings.HasPrefix(text, "allowed by hq, rule 1") {
		t.Errorf("%s: %v", text, hops)
	}
	if _, err := hq.execute(setRequest(device, "setpoint", model.Float64(2))); err != nil {
		t.Error(err)
	}
	results := berlin.call("/system", functionExplainRight, textArgument("user", "admin@north"), textArgument("address", "/devices/sim:step"))
	if !results["allowed"].Bool() || !strings.Contains(results["text"].Text(), "export north: north has configure") {
		t.Errorf("%v", results)
	}
	// A rule of the owner for a name of two links away, of which nobody above is shown anything.
	if _, err := berlin.execute(Request{Op: OpCreate, Path: model.MustPath("/users/hqadmin"), Kind: KindForeign, Arguments: []model.Argument{
		{Name: settingPerson, Value: model.String(AdminName + "@hq")}, {Name: settingRules, Value: RulesValue([]access.Rule{rule("/devices/**", model.RightView)})},
	}}); err != nil {
		t.Fatal(err)
	}
	text, hops = explain("setpoint")
	if len(hops.Rows) != 3 || !strings.HasPrefix(text, "denied by berlin, rule 1: admin@hq has view, operate is needed") {
		t.Errorf("%s: %v", text, hops)
	}
	if _, err := hq.execute(setRequest(device, "setpoint", model.Float64(2))); err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("refused with %v, explained as %s", err, text)
	}
	// What is hidden from a consumer is explained to it in the words in which what is absent is.
	if _, err := berlin.execute(setRequest("/exports/north", "except_kinds", model.String("user"))); err != nil {
		t.Fatal(err)
	}
	hidden := func(path string) string {
		t.Helper()
		answer, err := berlin.peers.(*links).explainTo(t.Context(), "north", &linkv1.ExplainRequest{Principal: &linkv1.Principal{Person: "x", Node: "hq"}, Path: path})
		if err != nil || len(answer.GetHops()) != 1 {
			t.Fatal(answer, err)
		}
		return answer.GetHops()[0].String()
	}
	if there, absent := hidden("/users/admin"), hidden("/users/nobody"); there != absent {
		t.Errorf("what is hidden is explained by %s, what is absent by %s", there, absent)
	}
	berlin.stop()
	hq.waits(device+":poll_interval", is("10s uncertain/stale"))
	if text, hops = explain("setpoint"); len(hops.Rows) != 3 || hops.Rows[2][1].Bool() || !strings.Contains(hops.Rows[2][7].Text(), "berlin cannot be asked: ") {
		t.Errorf("%s: %v", text, hops)
	}
}

// TestExplainRightProblems plants what keeps people from what they want, and wants it named with its remedy.
func TestExplainRightProblems(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/sites/berlin", "operate")
	create := func(n *linkedNode, path, kind string, arguments ...model.Argument) {
		t.Helper()
		if _, err := n.execute(Request{Op: OpCreate, Path: model.MustPath(path), Kind: kind, Arguments: arguments}); err != nil {
			t.Fatal(err)
		}
	}
	create(berlin, "/devices/sim", "simulator")
	create(berlin, "/devices/secret", KindFolder)
	password := textArgument("password", "correct horse")
	create(hq, "/users/alice", KindUser, password, model.Argument{Name: settingRules, Value: RulesValue([]access.Rule{rule("/sites/**", model.RightAdminister)})})
	create(hq, "/users/bob", KindUser, password, model.Argument{Name: settingRules, Value: RulesValue([]access.Rule{rule("/sites/**", model.RightView)})})
	create(hq, "/users/carol", KindUser, password)
	create(berlin, "/users/alice-at-hq", KindForeign, textArgument(settingPerson, "alice@hq"),
		model.Argument{Name: settingRules, Value: RulesValue([]access.Rule{rule("/devices/**", model.RightView), rule("/**", model.RightAdminister)})})
	const device = "/sites/berlin/devices/sim"
	hq.waits(device+":poll_interval", is("10s good"))
	for _, c := range []struct {
		name, user, address, right, says, remedy string
	}{
		{"no rule", "carol", device, "", "no rule matches: carol has none", "give carol a rule for it at hq"},
		{"a rule denies", "bob", device + ":setpoint", "", "denied by hq, rule 1: bob has view, operate is needed", "change rule 1 of user bob at hq"},
		{"the link's highest right is too low", "alice", device + ":step", "", "denied by berlin, export hq: hq has operate, configure is needed", "at berlin: banyan set /exports/hq:right configure"},
		{"a foreign rule at the owner", "alice", device + ":setpoint", "", "denied by berlin, rule 1: alice@hq has view, operate is needed", "change the rule at berlin that is for alice"},
		{"no such entry", "alice", device + ":setpiont", "", "nothing of that name is there", "banyan get " + device},
		{"a function that is local", "alice", "/sites/berlin/links:invite", "", "denied by berlin: ", "log in at berlin and do it there"},
	} {
		results := hq.call("/system", functionExplainRight, textArgument("user", c.user), textArgument("address", c.address), textArgument("right", c.right))
		if results["allowed"].Bool() || !strings.Contains(results["text"].Text(), c.says) || !strings.Contains(results["remedy"].Text(), c.remedy) {
			t.Errorf("%s: %s: %s", c.name, results["text"].Text(), results["remedy"].Text())
		}
	}
	// What the export hides is told by the node that hides it: its administrator asks as the one from elsewhere.
	berlin.set("/exports/hq", settingPaths, model.String("/devices/sim"))
	results := berlin.call("/system", functionExplainRight, textArgument("user", "alice@hq"), textArgument("address", "/devices/secret"))
	if results["allowed"].Bool() || !strings.Contains(results["text"].Text(), "no export selects it") || !strings.Contains(results["remedy"].Text(), "have it shown at berlin") {
		t.Errorf("hidden: %s: %s", results["text"].Text(), results["remedy"].Text())
	}
	if results := hq.call("/system", functionExplainRight, textArgument("user", AdminName), textArgument("address", device)); !results["allowed"].Bool() || results["remedy"].Text() != "" {
		t.Errorf("allowed: %v", results)
	}
}
