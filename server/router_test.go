package server

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/access"
	"banyan/model"
)

// admin is the administrator as the router knows them.
func (r *running) admin() access.Principal { return principal(AdminName, "berlin") }

// execute carries out a request as somebody.
func (r *running) execute(who access.Principal, q Request) (Response, error) {
	return r.Router().Execute(r.t.Context(), who, q)
}

// must carries out a request as the administrator.
func (r *running) must(q Request) Response {
	r.t.Helper()
	done, err := r.execute(r.admin(), q)
	if err != nil {
		r.t.Fatal(err)
	}
	return done
}

// simulator creates a device that is polled once an hour.
func (r *running) simulator(path string, settings ...model.Argument) Response {
	r.t.Helper()
	settings = append(settings, model.Argument{Name: "poll_interval", Value: model.Duration(time.Hour)})
	return r.must(Request{Op: OpCreate, Path: model.MustPath(path), Kind: "simulator", Arguments: settings})
}

// user creates a user with rules.
func (r *running) user(name string, rules ...access.Rule) access.Principal {
	r.t.Helper()
	path, err := usersPath.Child(name)
	if err != nil {
		r.t.Fatal(err)
	}
	r.must(Request{Op: OpCreate, Path: path, Kind: KindUser, Arguments: []model.Argument{
		{Name: settingPassword, Value: model.String("correct horse")}, {Name: settingRules, Value: RulesValue(rules)},
	}})
	return principal(name, "berlin")
}

func rule(pattern string, right model.Right) access.Rule {
	return access.Rule{Pattern: model.MustPattern(pattern), Right: right}
}

func setRequest(path, name string, v model.Value) Request {
	return Request{Op: OpSet, Path: model.MustPath(path), Name: name, Value: v}
}

func TestSetIsConfirmedAndRead(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim")
	for i := range 50 {
		done := n.must(setRequest("/devices/sim", "step", model.Float64(float64(i))))
		r, there := n.Tree().Read(model.Address{Path: model.MustPath("/devices/sim"), Name: "step"})
		if !there || r.Sample.Value.Float64() != float64(i) || r.Revision != done.Revision || !done.Mirrored {
			t.Fatalf("after set %d: %v, %v", i, r, done)
		}
	}
}

func TestSetRefusals(t *testing.T) {
	n := startNode(t)
	created := n.simulator("/devices/sim")
	n.must(setRequest("/devices/sim", "step", model.Float64(2)))
	n.simulator("/devices/hall/sim")
	stale := setRequest("/devices/sim", "step", model.Float64(3))
	stale.Expected = created.Revision
	table := RulesValue([]access.Rule{rule("/**", model.RightView)}).Table()
	table.Rows[0][1] = model.String("everything")
	badRules := model.TableValue(table)
	expectedVariable := setRequest("/devices/sim", "setpoint", model.Float64(3))
	expectedVariable.Expected = created.Revision
	for name, test := range map[string]struct {
		request Request
		kind    model.ErrorKind
		says    string
	}{
		"stale revision":         {stale, model.KindConflict, "revision"},
		"wrong type":             {setRequest("/devices/sim", "step", model.Bool(true)), model.KindInvalid, "float64"},
		"out of bounds":          {setRequest("/devices/sim", "poll_interval", model.Duration(time.Millisecond)), model.KindInvalid, "10ms"},
		"what the kind refuses":  {setRequest("/devices/sim", "mode", model.String("odd")), model.KindInvalid, "mode"},
		"read-only variable":     {setRequest("/devices/sim", "all_bool", model.Bool(true)), model.KindUnsupported, "read only"},
		"variable without value": {setRequest("/devices/sim", "setpoint", model.Value{}), model.KindInvalid, "float64"},
		"variable at a revision": {expectedVariable, model.KindInvalid, "revision"},
		"no such entry":          {setRequest("/devices/sim", "nothing", model.Bool(true)), model.KindNotFound, ""},
		"no such context":        {setRequest("/devices/other", "step", model.Float64(1)), model.KindNotFound, ""},
		"function":               {setRequest("/devices/sim", "poll_now", model.Bool(true)), model.KindNotFound, ""},
		"no operation":           {Request{Op: 9}, model.KindUnsupported, ""},
		"missing parameter":      {Request{Op: OpCall, Path: model.MustPath("/devices/sim"), Name: "sleep"}, model.KindInvalid, "duration"},
		"device elsewhere":       {Request{Op: OpCreate, Path: model.MustPath("/sim"), Kind: "simulator"}, model.KindInvalid, "/devices"},
		"below a device":         {Request{Op: OpCreate, Path: model.MustPath("/devices/sim/x"), Kind: KindFolder}, model.KindUnsupported, "made by it"},
		"over another":           {Request{Op: OpCreate, Path: model.MustPath("/devices/hall"), Kind: "simulator"}, model.KindConflict, "part of it"},
		"there already":          {Request{Op: OpCreate, Path: model.MustPath("/devices/sim"), Kind: "simulator"}, model.KindExists, ""},
		"folder among users":     {Request{Op: OpCreate, Path: model.MustPath("/users/x"), Kind: KindFolder}, model.KindUnsupported, "/users"},
		"unknown kind":           {Request{Op: OpCreate, Path: model.MustPath("/x"), Kind: "thing"}, model.KindInvalid, "thing"},
		"node's own kind":        {Request{Op: OpCreate, Path: model.MustPath("/x"), Kind: KindNode}, model.KindUnsupported, "itself"},
		"token of one's own":     {Request{Op: OpCreate, Path: model.MustPath("/users/admin/tokens/x"), Kind: KindToken}, model.KindUnsupported, ""},
		"the node":               {Request{Op: OpRemove, Path: systemPath}, model.KindUnsupported, "every node"},
		"a place of the node":    {Request{Op: OpRemove, Path: devicesPath, Below: true}, model.KindUnsupported, "every node"},
		"oneself":                {Request{Op: OpRemove, Path: model.MustPath("/users/admin")}, model.KindUnsupported, "themselves"},
		"short password":         {setRequest("/users/admin", settingPassword, model.String("short")), model.KindInvalid, "10 to 256"},
		"bad rule":               {setRequest("/users/admin", settingRules, badRules), model.KindInvalid, "everything"},
	} {
		before, _ := n.Tree().Lookup(test.request.Path)
		_, err := n.execute(n.admin(), test.request)
		if model.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := n.Tree().Lookup(test.request.Path); after.Version != before.Version {
			t.Errorf("%s: something was committed", name)
		}
	}
}

// TestSameRequestIsDoneOnce sends each sort of request twice with one ID.
func TestSameRequestIsDoneOnce(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim")
	id := func(b byte) (id [16]byte) { id[0] = b; return id }
	path := model.MustPath("/devices/sim")

	set := setRequest("/devices/sim", "step", model.Float64(5))
	set.ID = id(1)
	first := n.must(set)
	n.must(setRequest("/devices/sim", "step", model.Float64(6)))
	if again := n.must(set); again.Revision != first.Revision {
		t.Errorf("set again: %v, at first %v", again, first)
	}
	if r, _ := n.Tree().Read(model.Address{Path: path, Name: "step"}); r.Sample.Value.Float64() != 6 {
		t.Errorf("the second set was done again: %v", r.Sample.Value)
	}
	other := set
	other.Value = model.Float64(7)
	if _, err := n.execute(n.admin(), other); model.KindOf(err) != model.KindInvalid {
		t.Errorf("an ID used for something else: %v", err)
	}
	if _, err := n.execute(n.user("eve", rule("/**", model.RightConfigure)), set); model.KindOf(err) != model.KindInvalid {
		t.Errorf("an ID of somebody else: %v", err)
	}

	create := Request{ID: id(2), Op: OpCreate, Path: model.MustPath("/sites"), Kind: KindFolder}
	made := n.must(create)
	if again := n.must(create); again.ID != made.ID || again.ID.IsZero() {
		t.Errorf("create again: %v, at first %v", again, made)
	}
	remove := Request{ID: id(3), Op: OpRemove, Path: model.MustPath("/sites")}
	n.must(remove)
	n.must(remove)

	call := Request{ID: id(4), Op: OpCall, Path: path, Name: "poll_now"}
	called := n.must(call)
	again := n.must(call)
	if fmt.Sprint(again.Results) != fmt.Sprint(called.Results) {
		t.Errorf("call again: %v, at first %v", again.Results, called.Results)
	}
	write := setRequest("/devices/sim", "setpoint", model.Float64(8))
	write.ID = id(5)
	n.must(write)
	n.must(setRequest("/devices/sim", "setpoint", model.Float64(9)))
	n.must(write)
	if r, _ := n.Tree().Read(model.Address{Path: path, Name: "setpoint"}); r.Sample.Value.Float64() != 9 {
		t.Errorf("the write was done again: %v", r.Sample.Value)
	}
}

// TestCallEndsWithItsCaller: a call of a device that hangs ends at its deadline, says where, and the device is not called any more.
func TestCallEndsWithItsCaller(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/slow", model.Argument{Name: "hang", Value: model.Bool(true)})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := n.Router().Execute(ctx, n.admin(), Request{
		Op: OpCall, Path: model.MustPath("/devices/slow"), Name: "sleep", Arguments: []model.Argument{{Name: "duration", Value: model.Duration(time.Hour)}},
	})
	if kind := model.KindOf(err); kind != model.KindTimeout && kind != model.KindUnknownFate {
		t.Errorf("%v", err)
	}
	if !strings.Contains(err.Error(), "/devices/slow") || time.Since(began) > 2*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
	if hanging := n.devices.manager.Stats().Hanging; hanging != 0 {
		t.Errorf("%d calls go on", hanging)
	}
}

// TestWritersAtOnce: many writers over the router, each of whom reads what it wrote.
func TestWritersAtOnce(t *testing.T) {
	n := startNode(t)
	var writers sync.WaitGroup
	for w := range 8 {
		path := model.MustPath(fmt.Sprintf("/devices/sim-%d", w))
		writers.Go(func() {
			if _, err := n.execute(n.admin(), Request{Op: OpCreate, Path: path, Kind: "simulator"}); err != nil {
				t.Error(err)
				return
			}
			for i := range 20 {
				_, err := n.execute(n.admin(), Request{Op: OpSet, Path: path, Name: "seed", Value: model.Int64(int64(i))})
				if r, _ := n.Tree().Read(model.Address{Path: path, Name: "seed"}); err != nil || r.Sample.Value.Int64() != int64(i) {
					t.Errorf("%s: %v, %v", path, r.Sample.Value, err)
				}
			}
			if _, err := n.execute(n.admin(), Request{Op: OpCall, Path: path, Name: "poll_now"}); err != nil {
				t.Error(err)
			}
			if _, err := n.execute(n.admin(), Request{Op: OpRemove, Path: path}); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	n.devices.reconcile(t.Context()) // the last removal may still be on its way
	if running := n.devices.manager.Stats().Devices; running != 0 {
		t.Errorf("%d devices are left", running)
	}
}

// TestWhatIsBelowGoesAlong: a device takes what it found with it, a folder goes only when it is empty or all of it is asked for.
func TestWhatIsBelowGoesAlong(t *testing.T) {
	n := startNode(t)
	n.must(Request{Op: OpCreate, Path: model.MustPath("/devices/hall"), Kind: KindFolder})
	n.simulator("/devices/hall/sim", model.Argument{Name: "points", Value: model.Int64(5)})
	n.must(Request{Op: OpCall, Path: model.MustPath("/devices/hall/sim"), Name: "poll_now"})
	if _, there := n.Tree().Lookup(model.MustPath("/devices/hall/sim/group-000")); !there {
		t.Fatal("the device has no points")
	}
	if _, err := n.execute(n.admin(), Request{Op: OpRemove, Path: model.MustPath("/devices/hall")}); model.KindOf(err) != model.KindConflict {
		t.Errorf("a full folder: %v", err)
	}
	guarded := n.user("guard", rule("/devices/hall/sim/group-000", model.RightView), rule("/devices/**", model.RightConfigure))
	if _, err := n.execute(guarded, Request{Op: OpRemove, Path: model.MustPath("/devices/hall/sim")}); model.KindOf(err) != model.KindDenied {
		t.Errorf("with something below that may not be removed: %v", err)
	}
	n.must(Request{Op: OpRemove, Path: model.MustPath("/devices/hall/sim")})
	n.must(Request{Op: OpRemove, Path: model.MustPath("/devices/hall")})
	if children, _ := n.Tree().Children(devicesPath, "", 10); len(children) != 0 {
		t.Errorf("left: %v", children)
	}
}
