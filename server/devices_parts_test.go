package server

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/access"
	"banyan/devices"
	"banyan/model"
	"banyan/tree"
)

// plc is a driver whose devices have the points that their profile lists, and relays that can be switched.
type plc struct {
	mu       sync.Mutex // guards the rest
	profiles map[string]string
	child    *model.Schema // of what is found; relays when nil
}

var plcSchema = model.Schema{
	Kind: "plc", Settings: []model.Setting{{Name: devices.SettingProfile, Type: model.TypeString, Default: model.String("small"), Right: model.RightConfigure}},
}

var relaySchema = &model.Schema{
	Kind: "plc.relay", Variables: []model.Variable{{Name: "on", Type: model.TypeBool, Writable: true, Right: model.RightOperate}, {Name: "load", Type: model.TypeFloat64}},
}

func newPLC() *plc { return &plc{profiles: map[string]string{"small": "a", "large": "b a c"}} }

func (*plc) Kind() string          { return "plc" }
func (*plc) Schema() *model.Schema { schema := plcSchema; return &schema }

func (d *plc) profile(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.profiles[name]
}

func (d *plc) Open(s devices.Settings) (devices.Device, error) {
	points := strings.Fields(d.profile(s[devices.SettingProfile].Text()))
	if len(points) == 0 {
		return nil, devices.BadSetting(devices.SettingProfile, "there is no such profile")
	}
	shape := plcSchema
	for _, name := range points {
		shape.Variables = append(shape.Variables, model.Variable{Name: name, Type: model.TypeString, Writable: true, Right: model.RightOperate})
	}
	opened := &plcDevice{shape: &shape, child: relaySchema}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.child != nil {
		opened.child = d.child
	}
	return opened, nil
}

type plcDevice struct {
	shape, child *model.Schema
	mu           sync.Mutex // guards on
	on           bool
}

func (d *plcDevice) Shape() *model.Schema { return d.shape }

func (d *plcDevice) Poll(_ context.Context, p devices.Publisher) error {
	now := model.TimeOf(time.Now())
	for i, v := range d.shape.Variables {
		p.Publish([]devices.Update{{Variable: i, Value: model.String("polled " + v.Name), Source: now}})
	}
	return d.publishRelay(p)
}

func (d *plcDevice) publishRelay(p devices.Publisher) error {
	folder, err := p.Child("relays", "Relays", &model.Schema{Kind: "folder"})
	if err != nil {
		return err
	}
	relay, err := folder.Child("r1", "Relay 1", d.child)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	relay.Publish([]devices.Update{{Variable: 0, Value: model.Bool(d.on), Source: model.TimeOf(time.Now())}})
	return nil
}

func (*plcDevice) Call(context.Context, int, []model.Argument, devices.Publisher) ([]model.Argument, error) {
	return nil, nil
}

func (d *plcDevice) Write(_ context.Context, variable int, value model.Value, p devices.Publisher) error {
	p.Publish([]devices.Update{{Variable: variable, Value: model.String("wrote " + d.shape.Variables[variable].Name + " " + value.Text()), Source: model.TimeOf(time.Now())}})
	return nil
}

func (d *plcDevice) WriteChild(_ context.Context, at []string, variable string, value model.Value, p devices.Publisher) error {
	if strings.Join(at, "/")+":"+variable != "relays/r1:on" {
		return model.Errorf(model.KindNotFound, "there is no such relay")
	}
	d.mu.Lock()
	d.on = value.Bool()
	d.mu.Unlock()
	return d.publishRelay(p)
}

func (*plcDevice) Close() error { return nil }

func createPLC(n *linkedNode, path string, settings ...model.Argument) {
	n.t.Helper()
	settings = append(settings, model.Argument{Name: devices.SettingPollInterval, Value: model.Duration(time.Hour)})
	if _, err := n.execute(Request{Op: OpCreate, Path: model.MustPath(path), Kind: "plc", Arguments: settings}); err != nil {
		n.t.Fatal(err)
	}
	_, _ = n.execute(Request{Op: OpCall, Path: model.MustPath(path), Name: devices.FunctionPollNow}) // it may be one that cannot
}

// settled waits until the context has a variable, and returns it as it is then.
func (n *linkedNode) settled(path, variable string) tree.Context {
	n.t.Helper()
	var c tree.Context
	ctx, cancel := context.WithTimeout(n.t.Context(), 20*time.Second)
	defer cancel()
	if !n.pulse.until(ctx, func() bool {
		c, _ = n.Tree().Lookup(model.MustPath(path))
		return c.Schema != nil && c.Schema.VariableIndex(variable) >= 0
	}) {
		n.t.Fatalf("%s has no variable %s: %+v", path, variable, c.Schema)
	}
	return c
}

// TestShapeOfADevice: the context has what the profile says, keeps it over restarts without a commit, and follows the profile.
func TestShapeOfADevice(t *testing.T) {
	driver := newPLC()
	n := makeNodeWith(t, "berlin", []devices.Driver{driver})
	createPLC(n, "/devices/plc")
	first := n.settled("/devices/plc", "a")
	n.waits("/devices/plc:a", is("polled a good"))
	if _, err := n.execute(setRequest("/devices/plc", "a", model.String("x"))); err != nil {
		t.Fatal(err)
	}
	if got := n.read("/devices/plc:a"); got != "wrote a x good" {
		t.Errorf("after a set: %s", got)
	}

	n.stop()
	commits := n.store.Epoch()
	n.start("berlin")
	if got := n.read("/devices/plc:a"); !strings.HasSuffix(got, "uncertain/stale") && !strings.HasSuffix(got, "good") {
		t.Errorf("after a restart: %s (in %s)", got, commits)
	}
	n.waits("/devices/plc:a", is("polled a good"))
	again := n.settled("/devices/plc", "a")
	relay, _ := n.Tree().Lookup(model.MustPath("/devices/plc/relays"))
	if again.Version != first.Version || again.ID != first.ID || n.commits.done.Load() != 0 {
		t.Errorf("the restart changed %v to %v, with %d commits; what it found: %v", first.Version, again.Version, n.commits.done.Load(), relay.Version)
	}

	// Another profile, by the settings.
	if _, err := n.execute(setRequest("/devices/plc", devices.SettingProfile, model.String("large"))); err != nil {
		t.Fatal(err)
	}
	c := n.settled("/devices/plc", "c")
	if c.ID != first.ID || c.SettingNamed(devices.SettingPollInterval).Duration() != time.Hour || c.Schema.VariableIndex("a") != 1 {
		t.Errorf("with the large profile: %+v", c)
	}
	n.waits("/devices/plc:c", is("polled c good"))
	_, err := n.execute(setRequest("/devices/plc", devices.SettingProfile, model.String("none")))
	if model.KindOf(err) != model.KindInvalid || !strings.Contains(err.Error(), "there is no such profile") {
		t.Errorf("a profile that is not there: %v", err)
	}

	// Another text of the same profile, in the folder of the node.
	driver.mu.Lock()
	driver.profiles["large"] = "d"
	driver.mu.Unlock()
	folder := filepath.Join(n.dir, profilesFolder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	n.devices.profilesChanged([]string{"other"})
	n.devices.profilesChanged([]string{"large"})
	n.settled("/devices/plc", "d")
	n.waits("/devices/plc:d", is("polled d good"))
}

// TestLastValuesSurviveAnotherShape: what both shapes have keeps its last value, also where the device does not run.
func TestLastValuesSurviveAnotherShape(t *testing.T) {
	n := makeNodeWith(t, "berlin", []devices.Driver{newPLC()})
	createPLC(n, "/devices/plc")
	n.waits("/devices/plc:a", is("polled a good"))
	c := n.settled("/devices/plc", "a")
	shape := plcSchema
	shape.Variables = []model.Variable{{Name: "z", Type: model.TypeInt64}, {Name: "a", Type: model.TypeString}, {Name: "state_", Type: model.TypeBool}}
	before, _ := n.Tree().Read(model.Address{Path: c.Path, Name: "a"})
	if err := n.devices.sink(c.ID).Rebind(t.Context(), devices.Complete(&shape)); err != nil {
		t.Fatal(err)
	}
	after, _ := n.Tree().Read(model.Address{Path: c.Path, Name: "a"})
	if !after.Sample.Value.Equal(before.Sample.Value) || after.Sample.Source != before.Sample.Source || after.Sample.Quality != before.Sample.Quality {
		t.Errorf("%v became %v", before, after)
	}
	if got := n.read("/devices/plc:z"); got != " uncertain/not-yet-read" && !strings.Contains(got, "not-yet-read") {
		t.Errorf("what is new is %s", got)
	}
	if _, err := n.execute(setRequest("/devices/plc", devices.SettingEnabled, model.Bool(false))); err != nil {
		t.Fatal(err)
	}
	n.waits("/devices/plc:state", is("disabled good"))
	n.stop()
	n.start("berlin")
	n.waits("/devices/plc:state", is("disabled good"))
	if got := n.read("/devices/plc:a"); got != "polled a uncertain/disabled" {
		t.Errorf("after a restart the device that is switched off shows %s", got)
	}
}

// TestChildrenTakeValues of a device that wants them, from who may, here and over a link; nothing else can be done to them.
func TestChildrenTakeValues(t *testing.T) {
	site, hq := makeNodeWith(t, "site", []devices.Driver{newPLC()}), makeNode(t, "hq")
	linkUp(site, hq, "site", "/sites/site", "operate")
	createPLC(site, "/devices/plc")
	const relay = "/devices/plc/relays/r1"
	site.waits(relay+":on", is("false good"))
	if _, err := site.execute(setRequest(relay, "on", model.Bool(true))); err != nil {
		t.Fatal(err)
	}
	if got := site.read(relay + ":on"); got != "true good" {
		t.Errorf("after a set: %s", got)
	}
	hq.waits("/sites/site"+relay+":on", is("true good"))
	if _, err := hq.execute(setRequest("/sites/site"+relay, "on", model.Bool(false))); err != nil {
		t.Fatal(err)
	}
	site.waits(relay+":on", is("false good"))
	hq.waits("/sites/site"+relay+":on", is("false good"))

	viewer := access.Principal{Chain: access.Chain{Person: access.Person{Name: "viewer"}}}
	if _, err := site.execute(Request{Op: OpCreate, Path: model.MustPath("/users/viewer"), Kind: KindUser, Arguments: []model.Argument{
		{Name: settingPassword, Value: model.String("correct horse")}, {Name: settingRules, Value: RulesValue([]access.Rule{rule("/**", model.RightView)})},
	}}); err != nil {
		t.Fatal(err)
	}
	if _, err := site.Router().Execute(t.Context(), viewer, setRequest(relay, "on", model.Bool(true))); model.KindOf(err) != model.KindDenied {
		t.Errorf("a viewer switches a relay: %v", err)
	}
	for what, q := range map[string]Request{
		"a variable to be read":   setRequest(relay, "load", model.Float64(1)),
		"removal":                 {Op: OpRemove, Path: model.MustPath(relay)},
		"removal of a folder":     {Op: OpRemove, Path: model.MustPath("/devices/plc/relays"), Below: true},
		"creation below it":       {Op: OpCreate, Path: model.MustPath("/devices/plc/relays/r2"), Kind: KindFolder},
		"another type of value":   setRequest(relay, "on", model.Int64(1)),
		"no value":                setRequest(relay, "on", model.Value{}),
		"creation of its kind":    {Op: OpCreate, Path: model.MustPath("/devices/r"), Kind: "plc.relay"},
		"device below the device": {Op: OpCreate, Path: model.MustPath(relay + "/x"), Kind: "plc"},
	} {
		if _, err := site.execute(q); model.KindOf(err) != model.KindUnsupported && model.KindOf(err) != model.KindInvalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := site.read(relay + ":on"); got != "false good" {
		t.Errorf("after all that: %s", got)
	}
}

// TestWhatDevicesMayNotFind: users, nodes, other devices, and anything that has settings.
func TestWhatDevicesMayNotFind(t *testing.T) {
	driver := newPLC()
	n := makeNodeWith(t, "berlin", []devices.Driver{driver})
	for _, schema := range []*model.Schema{
		{Kind: KindUser}, {Kind: KindNode}, {Kind: KindToken}, {Kind: "plc"},
		{Kind: "relay", Settings: []model.Setting{{Name: "x", Type: model.TypeBool, Right: model.RightOperate}}},
	} {
		driver.mu.Lock()
		driver.child = schema
		driver.mu.Unlock()
		createPLC(n, "/devices/"+schema.Kind)
		n.waits("/devices/"+schema.Kind+":state", is("failed good"))
		if got := n.read("/devices/" + schema.Kind + "/relays/r1:on"); got != "absent" {
			t.Errorf("%s: %s", schema.Kind, got)
		}
	}
}

// TestParentsAreOwnDevices: what is known to be wrong is refused, and what may still come is not.
func TestParentsAreOwnDevices(t *testing.T) {
	n := makeNodeWith(t, "berlin", []devices.Driver{newPLC()})
	createPLC(n, "/devices/gw")
	parent := func(path string) model.Value { return model.Ref(model.Address{Path: model.MustPath(path)}) }
	createPLC(n, "/devices/a", model.Argument{Name: devices.SettingParent, Value: parent("/devices/gw")})
	n.waits("/devices/a:state", is("ok good"))
	for path, text := range map[string]string{
		"/devices/a": "the device would depend on itself", "/devices/gw": "the device would depend on itself", "/users/admin": "/users/admin is no device of this node",
		"/devices": "/devices is no device of this node",
	} {
		_, err := n.execute(setRequest("/devices/gw", devices.SettingParent, parent(path)))
		if model.KindOf(err) != model.KindInvalid || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, expected %q", path, err, text)
		}
	}
	createPLC(n, "/devices/b", model.Argument{Name: devices.SettingParent, Value: parent("/devices/later")})
	n.waits("/devices/b:last_error", is("parent: the device that it names is not there good"))
	createPLC(n, "/devices/later")
	n.waits("/devices/b:state", is("ok good"))
}
