package server

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/tree"

	"google.golang.org/protobuf/types/known/structpb"
)

func create(path, kind string, settings ...model.Argument) Edit {
	return Edit{Op: OpCreate, Path: model.MustPath(path), Kind: kind, Settings: settings}
}

func change(path string, settings ...model.Argument) Edit {
	return Edit{Op: OpSet, Path: model.MustPath(path), Settings: settings}
}

func relabel(path, label string) Edit {
	return Edit{Op: OpSet, Path: model.MustPath(path), Label: &label}
}

func gone(path string, below bool) Edit {
	return Edit{Op: OpRemove, Path: model.MustPath(path), Below: below}
}

func batchOf(edits ...Edit) Request { return Request{Op: OpApply, Edits: edits} }

func hourly() model.Argument {
	return model.Argument{Name: "poll_interval", Value: model.Duration(time.Hour)}
}

func step(f float64) model.Argument { return model.Argument{Name: "step", Value: model.Float64(f)} }

func rulesArgument(rules ...access.Rule) model.Argument {
	return model.Argument{Name: settingRules, Value: RulesValue(rules)}
}

// refusals are the errors of a refused batch by the number of the edit.
func refusals(err error) map[int]string {
	e, ok := err.(*model.Error) //nolint:errorlint // Execute returns it bare
	if !ok {
		return nil
	}
	told := map[int]string{e.Edit: e.Error()}
	for _, other := range e.Also {
		told[other.Edit] = other.Error()
	}
	return told
}

// TestBatchBuildsOnItself makes contexts that need each other, in one commit.
func TestBatchBuildsOnItself(t *testing.T) {
	n := startNode(t)
	before := n.commits.done.Load()
	done := n.must(batchOf(
		create("/devices/hall", KindFolder), create("/devices/hall/sim", "simulator", hourly(), step(2)),
		create("/roles/viewers", KindRole, rulesArgument(rule("/devices/**", model.RightView))),
		create("/users/alice", KindUser, textArgument(settingPassword, "correct horse"), textArgument(settingRoles, "viewers")),
		relabel("/devices", "Machines"), change("/system", textArgument(settingHosts, "berlin.example")),
	))
	if commits := n.commits.done.Load() - before; commits != 1 {
		t.Errorf("%d commits", commits)
	}
	for _, path := range []string{"/devices/hall", "/devices/hall/sim", "/roles/viewers", "/users/alice", "/devices", "/system"} {
		if c, there := n.Tree().Lookup(model.MustPath(path)); !there || c.Version != done.Revision {
			t.Errorf("%s: %v, %v instead of %v", path, there, c.Version, done.Revision)
		}
	}
	if c, _ := n.Tree().Lookup(devicesPath); c.Label != "Machines" {
		t.Errorf("the label is %q", c.Label)
	}
	alice := n.login("alice", "correct horse")
	if status, raw := n.post("/banyan.api.v1.TreeService/Get", alice, `{"address":"/devices/hall/sim:step"}`); status != 200 || !strings.Contains(string(raw), `"value":2`) {
		t.Errorf("alice reads %d %s", status, raw)
	}
	n.must(batchOf(gone("/devices/hall", true), create("/devices/hall", "simulator", hourly())))
	if c, _ := n.Tree().Lookup(model.MustPath("/devices/hall")); c.Schema.Kind != "simulator" {
		t.Errorf("what was removed and created is a %s", c.Schema.Kind)
	}
}

// TestBatchIsRefusedAsAWhole: whatever is wrong, nothing is done, and each edit that is wrong by itself is named.
func TestBatchIsRefusedAsAWhole(t *testing.T) {
	n := startNode(t)
	made := n.simulator("/devices/sim")
	n.must(setRequest("/devices/sim", "step", model.Float64(2)))
	old := change("/devices/sim", step(3))
	old.Expected = made.Revision
	good := create("/devices/new", "simulator", hourly())
	for name, test := range map[string]struct {
		edits []Edit
		says  map[int]string
	}{
		"several": {
			[]Edit{good, create("/x", "thing"), change("/devices/sim", step(1), step(2)), change("/devices/none", step(1)), create("/sim", "simulator")},
			map[int]string{2: "no kind", 3: "twice", 4: "nothing is there", 5: "below /devices"},
		},
		"what builds on a refusal is passed over": {
			[]Edit{good, create("/roles/r", KindRole, textArgument("wrong", "x")), create("/users/u", KindUser, textArgument(settingRoles, "r")), create("/y", "thing")},
			map[int]string{2: "no setting", 4: "no kind"},
		},
		"stale":            {[]Edit{good, old}, map[int]string{2: "its revision is"}},
		"there already":    {[]Edit{good, create("/devices/sim", "simulator")}, map[int]string{2: "something of that name"}},
		"twice made":       {[]Edit{good, good}, map[int]string{2: "edit 1"}},
		"changed twice":    {[]Edit{change("/devices/sim", step(1)), relabel("/devices/sim", "x")}, map[int]string{2: "edit 1"}},
		"nothing":          {[]Edit{good, change("/devices/sim")}, map[int]string{2: "neither"}},
		"a variable":       {[]Edit{good, change("/devices/sim", model.Argument{Name: "setpoint", Value: model.Float64(1)})}, map[int]string{2: "not part of a batch"}},
		"a call":           {[]Edit{good, {Op: OpCall, Path: model.MustPath("/devices/sim")}}, map[int]string{2: "cannot call"}},
		"over another":     {[]Edit{create("/devices/f/s", "simulator", hourly()), create("/devices/f", "simulator", hourly())}, map[int]string{2: "part of it"}},
		"below a device":   {[]Edit{good, create("/devices/new/x", KindFolder)}, map[int]string{2: "made by it"}},
		"below what goes":  {[]Edit{good, gone("/devices/sim", false), change("/devices/sim", step(1))}, map[int]string{3: "edit 2"}},
		"not empty":        {[]Edit{create("/devices/f", KindFolder), create("/devices/f/s", "simulator"), create("/devices/g", KindFolder), gone("/users", false)}, map[int]string{4: "something is below it"}},
		"wrong type":       {[]Edit{good, change("/devices/sim", textArgument("step", "x"))}, map[int]string{2: "float64"}},
		"control in label": {[]Edit{good, relabel("/devices/sim", "a\x00b")}, map[int]string{2: "control characters"}},
		"empty":            {nil, map[int]string{0: "without edits"}},
		"too many":         {make([]Edit, MaxEdits+1), map[int]string{0: "too many"}},
	} {
		commits, head := n.commits.done.Load(), n.Tree().ChangeHead()
		_, err := n.execute(n.admin(), batchOf(test.edits...))
		told := refusals(err)
		for edit, says := range test.says {
			if !strings.Contains(told[edit], says) {
				t.Errorf("%s: of edit %d is said %q, not %q", name, edit, told[edit], says)
			}
		}
		if len(told) != len(test.says) {
			t.Errorf("%s: %v", name, told)
		}
		if n.commits.done.Load() != commits || n.Tree().ChangeHead() != head {
			t.Errorf("%s: something was done", name)
		}
	}
}

// TestBatchRefusalsAreBounded: ten thousand wrong edits make one short answer.
func TestBatchRefusalsAreBounded(t *testing.T) {
	n := startNode(t)
	var edits []Edit
	for i := range MaxEdits {
		edits = append(edits, create(fmt.Sprintf("/devices/d%d", i), "thing"))
	}
	_, err := n.execute(n.admin(), batchOf(edits...))
	if told := refusals(err); len(told) != mostRefusals {
		t.Errorf("%d refusals are told", len(told))
	}
}

// TestBatchGivesNobodyMore: inside a batch the rights of the asker are those that the edits before left them.
func TestBatchGivesNobodyMore(t *testing.T) {
	n := startNode(t)
	bob := n.user("bob", rule("/users/**", model.RightAdminister), rule("/roles/**", model.RightAdminister), rule("/devices/a/**", model.RightConfigure))
	for name, edits := range map[string][]Edit{
		"a wide role":            {create("/roles/all", KindRole, rulesArgument(rule("/**", model.RightAdminister)))},
		"a role widened":         {create("/roles/r", KindRole), create("/users/eve", KindUser, textArgument(settingRoles, "r")), change("/roles/r", rulesArgument(rule("/**", model.RightView)))},
		"oneself":                {change("/users/bob", rulesArgument(rule("/**", model.RightAdminister))), create("/devices/b", "simulator")},
		"another's place":        {create("/devices/a/x", "simulator", hourly()), create("/devices/b/x", "simulator", hourly())},
		"after giving it up":     {change("/users/bob", rulesArgument(rule("/users/**", model.RightAdminister))), create("/devices/a/x", "simulator", hourly())},
		"hidden to be relabeled": {relabel("/devices", "x")},
	} {
		if _, err := n.execute(bob, batchOf(edits...)); err == nil {
			t.Errorf("%s: done", name)
		}
	}
	if _, err := n.execute(bob, batchOf(create("/devices/a/x", "simulator", hourly()))); err != nil {
		t.Error(err)
	}
}

// TestBatchIsDoneOnce sends a batch again.
func TestBatchIsDoneOnce(t *testing.T) {
	n := startNode(t)
	q := batchOf(create("/devices/a", "simulator", hourly()), create("/users/carol", KindUser, textArgument(settingPassword, "correct horse")))
	q.ID = [16]byte{7}
	first := n.must(q)
	if again := n.must(q); again.Revision != first.Revision {
		t.Errorf("again: %v, at first %v", again, first)
	}
	other := batchOf(create("/devices/b", "simulator", hourly()))
	other.ID = q.ID
	if _, err := n.execute(n.admin(), other); err == nil {
		t.Error("another batch of the same ID was done")
	}
}

// TestDryRunDoesNothing judges as the batch would be, and leaves the tree.
func TestDryRunDoesNothing(t *testing.T) {
	n := startNode(t)
	commits := n.commits.done.Load()
	q := batchOf(create("/devices/a", "simulator", hourly()), create("/users/carol", KindUser, textArgument(settingPassword, "correct horse")))
	q.DryRun, q.ID = true, [16]byte{8}
	n.must(q)
	q.Edits[1].Settings[0].Value = model.String("short")
	if _, err := n.execute(n.admin(), q); model.KindOf(err) != model.KindInvalid {
		t.Errorf("a short password: %v", err)
	}
	if n.commits.done.Load() != commits || n.router.has(model.MustPath("/devices/a")) {
		t.Error("a trial did something")
	}
}

// TestBatchEqualsSingleRequests does random edits in batches at one node and one by one at another: what is refused and what becomes of the tree is
// the same. A batch that judged by the tree of before, or left out a check, ends here.
func TestBatchEqualsSingleRequests(t *testing.T) {
	batched, single := startNode(t), startNode(t)
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(uint64(seed), 1))
	for range 150 {
		one := randomEdit(random)
		if random.IntN(2) == 0 { // half of the batches have something true before the edit that is tried
			path := fmt.Sprintf("/devices/n%d", random.Int())
			before := create(path, KindFolder)
			_, err := batched.execute(batched.admin(), batchOf(before, one))
			_, wrong := single.execute(single.admin(), singleOf(&one))
			if (err == nil) != (wrong == nil) || model.KindOf(err) != model.KindOf(wrong) {
				t.Fatalf("%+v: in a batch %v, by itself %v", one, err, wrong)
			}
			if err == nil {
				single.must(singleOf(&before))
			}
			continue
		}
		_, err := batched.execute(batched.admin(), batchOf(one))
		_, wrong := single.execute(single.admin(), singleOf(&one))
		if model.KindOf(err) != model.KindOf(wrong) || (err == nil) != (wrong == nil) {
			t.Fatalf("%+v: in a batch %v, by itself %v", one, err, wrong)
		}
	}
	if a, b := shown(batched.Tree()), shown(single.Tree()); !slices.Equal(a, b) {
		t.Errorf("in batches\n%s\none by one\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
}

func randomEdit(random *rand.Rand) Edit {
	name := func() string { return string('a' + rune(random.IntN(4))) }
	switch random.IntN(9) {
	case 0:
		return create("/devices/"+name(), "simulator", hourly())
	case 1:
		return create("/devices/"+name(), KindFolder)
	case 2:
		return create("/devices/"+name()+"/"+name(), "simulator", hourly())
	case 3:
		return change("/devices/"+name(), step(float64(random.IntN(3))))
	case 4:
		return gone("/devices/"+name(), random.IntN(2) == 0)
	case 5:
		return create("/roles/"+name(), KindRole, rulesArgument(rule("/devices/**", model.RightView)))
	case 6:
		return create("/users/"+name(), KindUser, textArgument(settingRoles, name()))
	case 7:
		return change("/users/"+name(), textArgument(settingRoles, name()))
	default:
		return gone([]string{"/users/", "/roles/"}[random.IntN(2)]+name(), false)
	}
}

func singleOf(e *Edit) Request {
	q := Request{Op: e.Op, Path: e.Path, Kind: e.Kind, Arguments: e.Settings, Below: e.Below}
	if e.Op == OpSet {
		q.Name, q.Value, q.Arguments = e.Settings[0].Name, e.Settings[0].Value, nil
	}
	return q
}

// shown is what a tree's own contexts are, without what differs between nodes.
func shown(t *tree.Tree) []string {
	var all []string
	contexts, _ := t.Snapshot(model.Root)
	for i := range contexts {
		if c := &contexts[i]; own(c) && c.Path != systemPath && !strings.HasPrefix(c.Path.String(), "/devices/n") {
			all = append(all, fmt.Sprint(c.Path, " ", c.Schema.Kind, " ", c.Settings))
		}
	}
	slices.Sort(all)
	return all
}

// TestBatchOverLinks sends a batch through two nodes to the owner, which judges it anew.
func TestBatchOverLinks(t *testing.T) {
	hq, north, berlin := makeNode(t, "hq"), makeNode(t, "north"), makeNode(t, "berlin")
	linkUp(north, hq, "north", "/regions/north", "configure")
	linkUp(berlin, north, "berlin", "/sites/berlin", "configure")
	const below = "/regions/north/sites/berlin"
	hq.waits(below+"/system:name", func(got string) bool { return got != "absent" })
	done, err := hq.execute(batchOf(create(below+"/devices/f", KindFolder), create(below+"/devices/f/sim", "simulator", hourly()), relabel(below+"/devices", "D")))
	if err != nil || strings.Join(done.Via, " ") != "north berlin" || !done.Mirrored {
		t.Fatalf("%+v, %v", done, err)
	}
	if got := berlin.read("/devices/f/sim:poll_interval"); got != "1h0m0s good" {
		t.Errorf("at the owner it is %s", got)
	}
	if c, _ := hq.Tree().Lookup(model.MustPath(below + "/devices")); c.Label != "D" {
		t.Errorf("the label is %q", c.Label)
	}
	_, err = hq.execute(batchOf(create(below+"/devices/g", "simulator"), create(below+"/devices/f", KindFolder), create(below+"/devices/h", "thing")))
	if told := refusals(err); len(told) != 2 || !strings.Contains(told[2], below+"/devices/f: there is something") || !strings.Contains(told[3], "thing") {
		t.Errorf("the owner's refusal: %v", told)
	}
	if berlin.read("/devices/g:step") != "absent" {
		t.Error("something of a refused batch was done")
	}
	trial := batchOf(create(below+"/devices/g", "simulator"))
	trial.DryRun = true
	if _, err := hq.execute(trial); err != nil || berlin.read("/devices/g:step") != "absent" {
		t.Errorf("a trial: %v", err)
	}
	for name, edits := range map[string][]Edit{
		"own and mounted":    {create("/devices/g", "simulator"), create(below+"/devices/g", "simulator")},
		"two further owners": {create("/regions/north/devices/g", "simulator"), create(below+"/devices/g", "simulator")},
	} {
		_, err := hq.execute(batchOf(edits...))
		if told := refusals(err); model.KindOf(err) != model.KindInvalid || !strings.Contains(told[2], "one node") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestExport reads a node's settings as the API tells them.
func TestExport(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim", step(3))
	n.user("bob", rule("/devices/**", model.RightView))
	for who, want := range map[string]string{
		n.token:                         "/devices /devices/sim /exports /links /mounts /roles /system /users /users/admin /users/bob",
		n.login("bob", "correct horse"): "/devices /devices/sim",
	} {
		kinds, contexts := exported(t, n, who)
		var paths []string
		for _, c := range contexts {
			paths = append(paths, c.Path)
		}
		slices.Sort(paths)
		if strings.Join(paths, " ") != want {
			t.Errorf("exported are %s, not %s", paths, want)
		}
		i := slices.IndexFunc(contexts, func(c *apiv1.ExportContext) bool { return c.Path == "/devices/sim" })
		if sim := contexts[i]; kinds[sim.Kind].Name != "simulator" || len(sim.Settings) != 2 || sim.Settings["step"].GetNumberValue() != 3 {
			t.Errorf("the device: %v", sim)
		}
		for _, c := range contexts {
			if c.Path == "/users/bob" && !slices.Equal(c.Secrets, []string{settingPassword}) {
				t.Errorf("bob's secrets: %v", c.Secrets)
			}
		}
	}
}

func exported(t *testing.T, n *running, token string) (map[uint32]*apiv1.ExportKind, []*apiv1.ExportContext) {
	t.Helper()
	stream, err := n.api(token).Export(t.Context(), &apiv1.ExportRequest{Path: "/"})
	if err != nil {
		t.Fatal(err)
	}
	kinds, complete := map[uint32]*apiv1.ExportKind{}, false
	var contexts []*apiv1.ExportContext
	for stream.Receive() {
		part := stream.Msg()
		for _, k := range part.Kinds {
			kinds[k.Key] = k
		}
		contexts = append(contexts, part.Contexts...)
		complete = part.Complete
	}
	if err := stream.Err(); err != nil || !complete {
		t.Fatal(err, complete)
	}
	return kinds, contexts
}

// TestApplyOverTheAPI sends a batch as JSON and reads the refusal.
func TestApplyOverTheAPI(t *testing.T) {
	n := startNode(t)
	answer := n.json("/banyan.api.v1.TreeService/Apply", `{"edits":[
		{"path":"/devices/a","create":{"kind":"simulator","label":"A","settings":{"step":2},"texts":{"poll_interval":"1h"}}},
		{"path":"/system","change":{"label":"here"}}]}`)
	revision, _ := answer["revision"].(string)
	status, raw := n.post("/banyan.api.v1.TreeService/Apply", n.token, `{"edits":[
		{"path":"/devices/a","expected":"`+revision+`","change":{"settings":{"step":null}}}]}`)
	if status != 200 {
		t.Errorf("%d %s", status, raw)
	}
	if r, _ := n.Tree().Read(model.Address{Path: model.MustPath("/devices/a"), Name: "step"}); r.Sample.Value.Float64() != 1 {
		t.Errorf("the default is not back: %v", r.Sample.Value)
	}
	_, err := n.api(n.token).Apply(t.Context(), &apiv1.ApplyRequest{Edits: []*apiv1.Edit{
		{Path: "/devices/a", Expected: revision, Operation: &apiv1.Edit_Change{Change: &apiv1.ChangeEdit{Settings: map[string]*structpb.Value{"step": structpb.NewNumberValue(1)}}}},
		{Path: "/devices/b", Operation: &apiv1.Edit_Create{Create: &apiv1.CreateEdit{Kind: "thing"}}},
		{Path: "nowhere"},
	}})
	if err == nil || !strings.Contains(err.Error(), "edit 2") {
		t.Errorf("%v", err)
	}
}
