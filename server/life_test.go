package server

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banyan/devices"
	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/tree"

	"connectrpc.com/connect"
)

func TestInit(t *testing.T) {
	dir := t.TempDir() // others may look into it
	made, err := Init(t.Context(), dir, "berlin", []string{"berlin.example.org", "192.0.2.7"})
	if err != nil || made.AdminName != AdminName || len(made.Password) != 20 {
		t.Fatal(made, err)
	}
	for _, file := range []string{".", "root.pem", "secret.key"} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	if _, err := Init(t.Context(), dir, "berlin", nil); model.KindOf(err) != model.KindExists {
		t.Errorf("init again: %v", err)
	}
	n, err := New(t.Context(), testConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	if hosts := strings.Join(apiHosts(n.Tree()), " "); hosts != "berlin.example.org 192.0.2.7" || n.ID() != made.NodeID {
		t.Errorf("%s, %s", hosts, n.ID())
	}
	if _, err := New(t.Context(), testConfig(dir)); err == nil {
		t.Error("a second node opened the directory")
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	for _, bad := range []struct {
		name  string
		hosts []string
	}{{"a b", nil}, {"", nil}, {"berlin", []string{"*"}}, {"berlin", []string{""}}} {
		if _, err := Init(t.Context(), t.TempDir(), bad.name, bad.hosts); model.KindOf(err) != model.KindInvalid {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if _, err := New(t.Context(), testConfig(t.TempDir())); err == nil {
		t.Error("a node was opened where none was made")
	}
}

// TestInitCompletes what was left half-made.
func TestInitCompletes(t *testing.T) {
	dir := t.TempDir()
	made, err := Init(t.Context(), dir, "berlin", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"node.db", "secret.key"} {
		if err := os.Remove(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	again, err := Init(t.Context(), dir, "berlin", nil)
	if err != nil || again.NodeID != made.NodeID || again.Password == made.Password {
		t.Fatal(again, err)
	}
	runNode(t, dir, again.Password)
}

// TestRestart: what was confirmed is there, values come back stale with their old time, sessions are over.
func TestRestart(t *testing.T) {
	n := startNode(t)
	created := n.simulator("/devices/sim", model.Argument{Name: "points", Value: model.Int64(3)})
	n.must(Request{Op: OpCall, Path: model.MustPath("/devices/sim"), Name: "poll_now"})
	set := n.must(setRequest("/devices/sim", "step", model.Float64(7)))
	n.must(setRequest("/devices/sim", devices.SettingEnabled, model.Bool(false)))
	before, _ := n.Tree().Read(model.Address{Path: model.MustPath("/devices/sim/group-000"), Name: "p001"})
	token := n.token
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	n = runNode(t, n.dir, n.password)
	if status, _ := n.post("/banyan.api.v1.SessionService/Who", token, "{}"); status != 401 {
		t.Errorf("the old session: %d", status)
	}
	step, _ := n.Tree().Read(model.Address{Path: model.MustPath("/devices/sim"), Name: "step"})
	c, _ := n.Tree().Lookup(model.MustPath("/devices/sim"))
	if step.Sample.Value.Float64() != 7 || c.ID != created.ID || step.Revision.Epoch != set.Revision.Epoch {
		t.Errorf("after the restart: %v", step)
	}
	after, there := n.Tree().Read(model.Address{Path: model.MustPath("/devices/sim/group-000"), Name: "p001"})
	if !there || !after.Sample.Value.Equal(before.Sample.Value) || after.Sample.Source != before.Sample.Source || after.Sample.Quality.Level == model.Good {
		t.Errorf("the last value was %v and is %v", before, after)
	}
}

// hung is a driver whose devices listen to nothing.
type hung struct{ release chan struct{} }

func (hung) Kind() string { return "hung" }

func (hung) Schema() *model.Schema {
	return &model.Schema{Kind: "hung", Functions: []model.Function{{Name: "wait", Right: model.RightOperate, Idempotent: true}}}
}

func (h hung) Open(devices.Settings) (devices.Device, error) { return h, nil }

func (h hung) Poll(context.Context, devices.Publisher) error { <-h.release; return nil }

func (h hung) Call(context.Context, int, []model.Argument, devices.Publisher) ([]model.Argument, error) {
	<-h.release
	return nil, nil
}

func (h hung) Write(context.Context, int, model.Value, devices.Publisher) error {
	<-h.release
	return nil
}
func (hung) Close() error { return nil }

// TestStopWithEverythingHung: a device that hangs, calls of it, streams nobody reads, and a connection that says nothing.
func TestStopWithEverythingHung(t *testing.T) {
	dir := t.TempDir()
	made, err := Init(t.Context(), dir, "berlin", nil)
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	defer close(release)
	n := runNodeWith(t, dir, made.Password, func(c *Config) { c.Drivers = append(Drivers(DriverEnv{}), hung{release}) })
	n.must(Request{Op: OpCreate, Path: model.MustPath("/devices/hung"), Kind: "hung"})
	n.simulator("/devices/fast", model.Argument{Name: "points", Value: model.Int64(1000)}, model.Argument{Name: "rate", Value: model.Int64(-1)})
	for range 3 {
		go func() {
			_, _ = n.api(n.token).Call(context.Background(), &apiv1.CallRequest{Path: "/devices/hung", Function: "wait"})
		}()
		if _, err := n.api(n.token, connect.WithGRPC()).Follow(context.Background(), &apiv1.FollowRequest{Path: "/"}); err != nil {
			t.Fatal(err)
		}
	}
	silent, err := net.Dial("tcp", n.APIAddress())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	began := time.Now()
	if err := n.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 9*time.Second {
		t.Errorf("it took %s", took)
	}
	if _, err := net.Dial("tcp", n.APIAddress()); err == nil {
		t.Error("something still listens")
	}
}

// TestMarkKeepsValues: a device that fails marks its values and those of what it found, and keeps them readable.
func TestMarkKeepsValues(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim", model.Argument{Name: "points", Value: model.Int64(3)})
	path := model.MustPath("/devices/sim")
	n.must(Request{Op: OpCall, Path: path, Name: "poll_now"})
	read := func(at, name string) model.Reading {
		t.Helper()
		r, there := n.Tree().Read(model.Address{Path: model.MustPath(at), Name: name})
		if !there {
			t.Fatalf("%s:%s is not there", at, name)
		}
		return r
	}
	table, point := read("/devices/sim", "all_table"), read("/devices/sim/group-000", "p002")
	c, _ := n.Tree().Lookup(path)
	sink := n.devices.sink(c.ID)
	bad := model.Quality{Level: model.Bad, Reason: model.ReasonNoReply}
	sink.Fail(bad, 1)
	for was, is := range map[*model.Reading]model.Reading{&table: read("/devices/sim", "all_table"), &point: read("/devices/sim/group-000", "p002")} {
		if is.Sample.Quality != bad || !is.Sample.Value.Equal(was.Sample.Value) || is.Sample.Source != was.Sample.Source {
			t.Errorf("%v became %v", was, is)
		}
	}
	head := n.Tree().Head()
	sink.Fail(bad, 2)
	if n.Tree().Head() != head {
		t.Error("what was marked already was marked again")
	}
	n.must(Request{Op: OpRemove, Path: path})
	head = n.Tree().Head()
	sink.Publish([]devices.Update{{Variable: 0, Value: model.Bool(true)}})
	sink.PublishScalars(0, 1, []uint64{1})
	sink.Fail(bad, 3)
	sink.Keep(nil)
	if n.Tree().Head() != head {
		t.Error("a device that was removed still publishes")
	}
}

// TestNeverReadIsMarked: also variables that never had a value say why.
func TestNeverReadIsMarked(t *testing.T) {
	n := startNode(t)
	n.must(Request{Op: OpCreate, Path: model.MustPath("/devices/off"), Kind: "simulator", Arguments: []model.Argument{{Name: devices.SettingEnabled, Value: model.Bool(false)}}})
	n.devices.reconcile(t.Context())
	w := n.watch(n.token, "/devices/off:all_bool")
	w.until("the mark", func(m *apiv1.WatchResponse) bool {
		return m.Readings[0].Reason == model.ReasonDisabled.String() && m.Readings[0].Type == "none"
	})
}

// TestChildrenFollowTheirDevice: fewer points are fewer contexts, and a child keeps its identity.
func TestChildrenFollowTheirDevice(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim", model.Argument{Name: "points", Value: model.Int64(30)}, model.Argument{Name: "group_size", Value: model.Int64(10)})
	path, poll := model.MustPath("/devices/sim"), Request{Op: OpCall, Path: model.MustPath("/devices/sim"), Name: "poll_now"}
	n.must(poll)
	first, _ := n.Tree().Lookup(model.MustPath("/devices/sim/group-000"))
	n.must(setRequest("/devices/sim", "points", model.Int64(15)))
	n.must(poll)
	children := directlyBelow(n.Tree(), path)
	again, _ := n.Tree().Lookup(first.Path)
	if len(children) != 2 || again.ID != first.ID {
		t.Errorf("%d children, %v was %v", len(children), again.ID, first.ID)
	}
	last, _ := n.Tree().Lookup(model.MustPath("/devices/sim/group-001"))
	if last.Slots.Count != 5 || last.Label != "Points 10 to 14" {
		t.Errorf("the last group: %v", last)
	}
	if r, _ := n.Tree().Read(model.Address{Path: last.Path, Name: "p004"}); r.Sample.Quality.Level != model.Good {
		t.Errorf("its last point: %v", r)
	}
}

// TestUpgradeRebinds contexts that another version made.
func TestUpgradeRebinds(t *testing.T) {
	dir := t.TempDir()
	made, err := Init(t.Context(), dir, "berlin", nil)
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	close(release)
	n := runNodeWith(t, dir, made.Password, func(c *Config) { c.Drivers = []devices.Driver{older{hung{release}}} })
	n.must(Request{Op: OpCreate, Path: model.MustPath("/devices/x"), Kind: "hung", Arguments: []model.Argument{{Name: "timeout", Value: model.Duration(time.Second)}}})
	before, _ := n.Tree().Lookup(model.MustPath("/devices/x"))
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	n = runNodeWith(t, dir, made.Password, func(c *Config) { c.Drivers = []devices.Driver{hung{release}} })
	// What a device consists of is settled when it is opened, a moment after the start.
	var after tree.Context
	n.pulse.until(t.Context(), func() bool {
		after, _ = n.Tree().Lookup(before.Path)
		return after.Schema.FunctionIndex("wait") >= 0
	})
	if after.Schema.FunctionIndex("wait") < 0 || after.ID != before.ID || after.SettingNamed("timeout").Duration() != time.Second {
		t.Errorf("%v became %v", before, after)
	}
}

// older is the driver without its function.
type older struct{ hung }

func (o older) Schema() *model.Schema { return &model.Schema{Kind: "hung"} }

// TestPulse: changes of contexts and of staleness are told, samples are not.
func TestPulse(t *testing.T) {
	trees := tree.New(tree.Config{})
	p := newPulse(trees)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	for i := range 10 {
		path := model.MustPath("/a")
		lay := func() { trees.SetOverlay(tree.Overlay{Path: path, Since: model.Time(i + 1)}) }
		beat := p.next()
		lay()
		<-beat
		if !p.until(t.Context(), func() bool { o, there := trees.Staleness(path); return there && o.Since == model.Time(i+1) }) {
			t.Error("it did not come true")
		}
	}
	gone, stop := context.WithCancel(t.Context())
	stop()
	if p.until(gone, func() bool { return false }) {
		t.Error("it came true")
	}
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
