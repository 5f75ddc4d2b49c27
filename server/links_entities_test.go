package server

import (
	"strings"
	"testing"
	"time"

	"banyan/model"
	"banyan/proto/linkv1"
)

// exportOf reads an export from settings that differ from the defaults.
func exportOf(different map[string]string) (shown string, err error) {
	e, root, err := readExport("up", func(name string) model.Value {
		if text, given := different[name]; given {
			return model.String(text)
		}
		return exportSchema.Settings[exportSchema.SettingIndex(name)].Default
	})
	if err != nil {
		return "", err
	}
	var parts []string
	for _, p := range e.Paths {
		parts = append(parts, p.String())
	}
	for _, sort := range e.Without {
		parts = append(parts, "no "+sort.String())
	}
	for _, h := range e.Hide {
		parts = append(parts, "hide "+h.Kind+":"+h.Name)
	}
	parts = append(parts, e.Kinds...)
	return strings.Join(append(parts, "events "+e.Events.String(), e.Right.String(), root.String()), "; "), nil
}

func TestEntitiesOfExports(t *testing.T) {
	for _, test := range []struct {
		name     string
		settings map[string]string
		want     string // or the error's text
	}{
		{"default", nil, "/**; events debug; view; /"},
		{"whole tree", map[string]string{"preset": "whole-tree", "right": "configure"}, "/**; events debug; configure; /"},
		{"alerts only", map[string]string{"preset": "alerts-only", "paths": "/sites/**"}, "/sites/**; alert; events debug; view; /"},
		{"no functions", map[string]string{"shows": "settings, variables"}, "/**; no functions; events debug; view; /"},
		{"nothing in them", map[string]string{"shows": "none", "events": "none"}, "/**; no settings; no variables; no functions; no events; events none; view; /"},
		{"warnings", map[string]string{"events": "warning", "hide": "password,host:name", "root": "/sites"},
			"/**; hide :password; hide host:name; events warning; view; /sites"},
		{"odd preset", map[string]string{"preset": "all"}, "preset is not"},
		{"odd sort", map[string]string{"shows": "settings,alarms"}, `it cannot show "alarms"`},
		{"none of some", map[string]string{"shows": "none,settings"}, `it cannot show "none"`},
		{"empty", map[string]string{"shows": ""}, "it is empty"},
		{"odd severity", map[string]string{"events": "bad"}, `"bad" is not a severity: use debug, info, notice, warning, error or critical`},
		{"odd name", map[string]string{"hide": "a/b"}, `"a/b" names nothing that a context has`},
		{"whole tree of some", map[string]string{"preset": "whole-tree", "paths": "/sites/**"}, "the preset whole-tree decides on that"},
		{"whole tree without", map[string]string{"preset": "whole-tree", "shows": "variables"}, "the preset whole-tree decides on that"},
		{"alerts of a kind", map[string]string{"preset": "alerts-only", "kinds": "host"}, "the preset alerts-only decides on that"},
		{"no root", map[string]string{"root": "sites"}, "path"},
	} {
		got, err := exportOf(test.settings)
		switch {
		case err == nil && got != test.want:
			t.Errorf("%s: %s", test.name, got)
		case err != nil && (model.KindOf(err) != model.KindInvalid || !strings.Contains(strings.Replace(err.Error(), `"all" is not a`, "preset is not", 1), test.want)):
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestWhatAnExportLeavesOut is gone at the consumer and absent to it at the provider: what is asked for over the link is answered in the same words as
// for something that nobody has.
func TestWhatAnExportLeavesOut(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/sites/berlin", "configure")
	if _, err := berlin.execute(Request{Op: OpCreate, Path: model.MustPath("/devices/sim"), Kind: "simulator", Arguments: []model.Argument{
		{Name: "poll_interval", Value: model.Duration(time.Hour)},
	}}); err != nil {
		t.Fatal(err)
	}
	const device = "/sites/berlin/devices/sim"
	hq.waits(device+":setpoint", func(got string) bool { return got != "absent" })
	set := func(name, value string) {
		t.Helper()
		if _, err := berlin.execute(Request{Op: OpSet, Path: model.MustPath("/exports/hq"), Name: name, Value: model.String(value)}); err != nil {
			t.Fatal(err)
		}
	}
	schema := func() *model.Schema {
		c, _ := hq.Tree().Lookup(model.MustPath(device))
		if c.Schema == nil {
			return &model.Schema{}
		}
		return c.Schema
	}
	asks := map[string]*linkv1.ExecuteRequest{
		"poll_interval": {Operation: &linkv1.ExecuteRequest_Set{Set: &linkv1.SetOperation{Name: "poll_interval"}}},
		"setpoint":      {Operation: &linkv1.ExecuteRequest_Set{Set: &linkv1.SetOperation{Name: "setpoint"}}},
		"echo":          {Operation: &linkv1.ExecuteRequest_Call{Call: &linkv1.CallOperation{Function: "echo"}}},
	}
	answer := func(name string, as string) string {
		t.Helper()
		request := asks[name]
		request.Id, request.Path, request.Principal = []byte("0123456789abcdef"), "/devices/sim", &linkv1.Principal{Person: "alice", Node: "hq"}
		switch operation := request.Operation.(type) {
		case *linkv1.ExecuteRequest_Set:
			operation.Set.Name = as
		case *linkv1.ExecuteRequest_Call:
			operation.Call.Function = as
		}
		_, err := berlin.peers.(*links).serve(t.Context(), "hq", request)
		if err == nil {
			return "done"
		}
		return strings.ReplaceAll(err.Error(), ":"+as, ":it")
	}
	for _, test := range []struct{ shows, hidden string }{
		{"settings,variables", "echo"}, {"settings,functions", "setpoint"}, {"variables,functions", "poll_interval"},
	} {
		set("shows", test.shows)
		deadline := time.Now().Add(20 * time.Second)
		for {
			s := schema()
			if (len(s.Settings) > 0) == strings.Contains(test.shows, "settings") && (len(s.Variables) > 0) == strings.Contains(test.shows, "variables") &&
				(len(s.Functions) > 0) == strings.Contains(test.shows, "functions") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: hq has %d settings, %d variables, %d functions", test.shows, len(s.Settings), len(s.Variables), len(s.Functions))
			}
			<-time.After(10 * time.Millisecond)
		}
		for name := range asks {
			hidden, absent := answer(name, name), answer(name, "nothing")
			if (hidden == absent) != (name == test.hidden) {
				t.Errorf("%s is shown, %s: %s\nfor what is not there: %s", test.shows, name, hidden, absent)
			}
		}
	}
	_, err := berlin.execute(Request{Op: OpSet, Path: model.MustPath("/exports/hq"), Name: "shows", Value: model.String("alarms")})
	if model.KindOf(err) != model.KindInvalid || !strings.Contains(err.Error(), "name some of settings, variables and functions") {
		t.Errorf("an export that shows alarms: %v", err)
	}
}
