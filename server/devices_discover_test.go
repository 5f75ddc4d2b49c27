package server

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/access"
	"banyan/devices"
	"banyan/model"
	"banyan/proto"
	"banyan/store"
)

// radio is a driver whose devices answer at odd addresses, to those who know the community.
type radio struct{}

const canary = "canary-4711"

func (*radio) Kind() string { return "radio" }

func (*radio) Schema() *model.Schema {
	return &model.Schema{Kind: "radio", Settings: []model.Setting{
		{Name: "address", Type: model.TypeString, Right: model.RightConfigure},
		{Name: "community", Type: model.TypeString, Secret: true, Right: model.RightConfigure},
		{Name: "program", Type: model.TypeString, Local: true, Right: model.RightConfigure},
		{Name: "port", Type: model.TypeInt64, Right: model.RightConfigure},
	}}
}

func (d *radio) Open(devices.Settings) (devices.Device, error) {
	return &plcDevice{shape: d.Schema(), child: relaySchema}, nil
}

func (*radio) Discover(ctx context.Context, at netip.Addr, hints devices.Settings) (devices.Found, bool, error) {
	raw := at.As4()
	if raw[2] == 9 { // nobody there
		<-ctx.Done()
		return devices.Found{}, false, nil
	}
	if raw[3]%2 == 0 || hints["community"].Text() != canary {
		return devices.Found{}, false, nil
	}
	name := "radio " + string('a'+rune(raw[3]%3))
	return devices.Found{Name: name, Description: "A radio.", Profile: "fm", Settings: devices.Settings{
		"address": model.String(at.String()), "community": model.String("leaks"),
	}}, true, nil
}

func discoverArguments(subnet string, more ...model.Argument) []model.Argument {
	return append(more, textArgument("subnet", subnet), textArgument("community", canary))
}

func cells(table *model.Table, column string) []string {
	at := slices.IndexFunc(table.Columns, func(c model.Column) bool { return c.Name == column })
	var texts []string
	for _, row := range table.Rows {
		texts = append(texts, row[at].String())
	}
	return texts
}

// TestDiscovery finds, creates what is not there yet, and keeps the community to itself.
func TestDiscovery(t *testing.T) {
	n := makeNodeWith(t, "berlin", []devices.Driver{&radio{}, newPLC()})
	n.waits("/devices:discovery_state", is("idle good"))
	n.waits("/devices:devices", is("0 good"))
	n.waits("/devices:poll_late_max", is("0s good"))
	results := n.call("/devices", functionDiscover, discoverArguments("10.0.0.0/29")...)
	table := results["found"].Table()
	if results["ended"].Text() != "complete" || results["done"].Int64() != 6 || results["total"].Int64() != 6 || results["problems"].Text() != "" {
		t.Errorf("%v", results)
	}
	if got := strings.Join(cells(table, "address"), " "); got != "10.0.0.1 10.0.0.3 10.0.0.5" {
		t.Errorf("found at %s", got)
	}
	if got := strings.Join(cells(table, "settings"), " "); got != "address=10.0.0.1 address=10.0.0.3 address=10.0.0.5" {
		t.Errorf("settings %s", got)
	}
	for address, want := range map[string]string{"state": "complete", "done": "6", "total": "6", "found": "3"} {
		if got := n.read("/devices:discovery_" + address); got != want+" good" {
			t.Errorf("discovery_%s is %s, expected %s", address, got, want)
		}
	}

	created := n.call("/devices", functionDiscover, discoverArguments("10.0.0.0/29",
		model.Argument{Name: "create", Value: model.Bool(true)}, textArgument("under", "/devices/hall"))...)["found"].Table()
	if got := strings.Join(cells(created, "device"), " "); got != "/devices/hall/radio-b /devices/hall/radio-a /devices/hall/radio-c" {
		t.Errorf("created %s; problems %q", got, cells(created, "problem"))
	}
	for range 2 {
		again := n.call("/devices", functionDiscover, discoverArguments("10.0.0.1-10.0.0.7", model.Argument{Name: "create", Value: model.Bool(true)})...)["found"].Table()
		if got := strings.Join(cells(again, "device"), " "); got != "/devices/hall/radio-b /devices/hall/radio-a /devices/hall/radio-c /devices/radio-b" {
			t.Errorf("again: %s; problems %q", got, cells(again, "problem"))
		}
	}
	c, _ := n.Tree().Lookup(model.MustPath("/devices/hall/radio-a"))
	if c.Label != "radio a" || c.SettingNamed("address").Text() != "10.0.0.3" {
		t.Errorf("%+v", c)
	}
	if secret, err := n.store.Secret(t.Context(), c.ID, "community"); err != nil || secret.Text() != "leaks" {
		t.Errorf("the device got the community %v, %v", secret, err)
	}
	n.stop()
	if strings.Contains(n.log.String(), canary) {
		t.Error("the community is in the log")
	}
	files, _ := filepath.Glob(filepath.Join(n.dir, "*.db*"))
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil || bytes.Contains(raw, []byte(canary)) {
			t.Errorf("%s holds the community (%v)", file, err)
		}
	}
}

// TestDiscoveryIsBounded: one at a time, cancelled by whoever may, and over before the caller gives up.
func TestDiscoveryIsBounded(t *testing.T) {
	n := makeNodeWith(t, "berlin", []devices.Driver{&radio{}})
	call := func(ctx context.Context, who access.Principal, function string, arguments ...model.Argument) (map[string]model.Value, error) {
		response, err := n.Router().Execute(ctx, who, Request{Op: OpCall, Path: devicesPath, Name: function, Arguments: arguments})
		results := map[string]model.Value{}
		for _, r := range response.Results {
			results[r.Name] = r.Value
		}
		return results, err
	}
	silent := discoverArguments("10.0.9.0/24,10.0.0.1", model.Argument{Name: "timeout", Value: model.Duration(30 * time.Second)})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	results, err := call(ctx, administrator, functionDiscover, silent...)
	if err != nil || ctx.Err() != nil || results["ended"].Text() != "deadline" || results["total"].Int64() != 255 {
		t.Errorf("at the deadline: %v, %v (%v)", results, err, ctx.Err())
	}

	ended := make(chan map[string]model.Value, 1)
	go func() {
		results, _ := call(context.Background(), administrator, functionDiscover, silent...)
		ended <- results
	}()
	n.waits("/devices:discovery_state", is("running good"))
	if _, err := call(t.Context(), administrator, functionDiscover, silent...); model.KindOf(err) != model.KindUnavailable || !strings.Contains(err.Error(), "cancel_discovery") {
		t.Errorf("a second one: %v", err)
	}
	if _, err := call(t.Context(), administrator, functionCancelDiscovery); err != nil {
		t.Error(err)
	}
	if results := <-ended; results["ended"].Text() != "cancelled" {
		t.Errorf("cancelled: %v", results)
	}
	n.waits("/devices:discovery_state", is("cancelled good"))

	for what, arguments := range map[string][]model.Argument{
		"4096":                  discoverArguments("10.0.0.0/8"),
		"no subnet":             discoverArguments("here"),
		"cannot be found":       discoverArguments("10.0.0.1", textArgument("kinds", "radio,host")),
		"outside of":            discoverArguments("10.0.0.1", model.Argument{Name: "timeout", Value: model.Duration(time.Hour)}),
		"below /devices":        discoverArguments("10.0.0.1", textArgument("under", "/users")),
		"at the node itself":    discoverArguments("10.0.0.1", hintArgument("program", "/bin/sh")),
		`a setting "colour"`:    discoverArguments("10.0.0.1", hintArgument("colour", canary)),
		"the hint port is no i": discoverArguments("10.0.0.1", hintArgument("port", canary)),
	} {
		if _, err := call(t.Context(), administrator, functionDiscover, arguments...); err == nil || !strings.Contains(err.Error(), what) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := call(t.Context(), access.Principal{Chain: access.Chain{Person: access.Person{Name: "nobody"}}}, functionDiscover, silent...); model.KindOf(err) != model.KindNotFound {
		t.Errorf("somebody without rights: %v", err)
	}
	if results, err := call(t.Context(), administrator, functionProfiles); err != nil || len(results["profiles"].Table().Columns) != 5 {
		t.Errorf("profiles: %v, %v", results, err)
	}
}

func hintArgument(name, value string) model.Argument {
	return model.Argument{Name: "hints", Value: model.TableValue(&model.Table{
		Columns: []model.Column{{Name: "name", Type: model.TypeString}, {Name: "value", Type: model.TypeString}},
		Rows:    [][]model.Value{{model.String(name), model.String(value)}},
	})}
}

// TestDevicesWasAFolder: a node that an earlier version made gets what the place of devices can do now, and keeps what is in it.
func TestDevicesWasAFolder(t *testing.T) {
	n := makeNodeWith(t, "berlin", []devices.Driver{newPLC()})
	createPLC(n, "/devices/plc")
	before, _ := n.Tree().Lookup(devicesPath)
	folder, err := proto.NewSchema(folderSchema)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.commits.Do(t.Context(), store.Commit{Changes: []store.Change{store.Rebind{Target: target(&before), Schema: folder.Hash}}}); err != nil {
		t.Fatal(err)
	}
	n.stop()
	n.start("berlin")
	n.waits("/devices:discovery_state", is("idle good"))
	after, _ := n.Tree().Lookup(devicesPath)
	if after.ID != before.ID || after.Schema.Kind != KindDevices || n.read("/devices/plc:profile") != "small good" {
		t.Errorf("%+v", after)
	}
}
