package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"banyan/devices"
	"banyan/doctor"
	"banyan/model"
	"banyan/pki"
)

// checkOf are the findings of one check.
func checkOf(found []doctor.Finding, check string) (of []doctor.Finding) {
	for _, f := range found {
		if f.Check == check {
			of = append(of, f)
		}
	}
	return of
}

// worst is the worst of a check, which was made.
func worst(t *testing.T, found []doctor.Finding, check string) doctor.Finding {
	t.Helper()
	of := checkOf(found, check)
	for _, f := range of {
		if f.State == doctor.Worst(of) {
			return f
		}
	}
	t.Fatalf("%s was not looked at: %v", check, found)
	return doctor.Finding{}
}

// TestDoctor: a node that is well says so for everything that a test can answer for, and what is made wrong is told with what to do.
func TestDoctor(t *testing.T) {
	n := startNode(t)
	found := n.examine(t.Context(), n.admin())
	for _, check := range []string{"files", "versions", "database", "root", "API certificate", "API names", "port of API", "port of links", "links", "devices"} {
		if f := worst(t, found, check); f.State != doctor.OK {
			t.Errorf("%s: %s, %s", check, f.State, f.Detail)
		}
	}
	if err := os.Chmod(filepath.Join(n.dir, pki.SecretFile), 0o644); err != nil {
		t.Fatal(err)
	}
	n.must(setRequest("/system", settingHosts, model.String("elsewhere.example")))
	n.simulator("/devices/sim")
	n.must(setRequest("/devices/sim", "fail_ratio", model.Float64(1)))
	_, _ = n.execute(n.admin(), Request{Op: OpCall, Path: model.MustPath("/devices/sim"), Name: "poll_now"})
	n.must(Request{Op: OpCall, Path: linksPath, Name: functionInvite, Arguments: []model.Argument{textArgument("name", "north"), textArgument("role", roleProvider)}})
	found = n.examine(t.Context(), n.admin())
	for check, says := range map[string]string{"files": "secret.key", "API names": "not for elsewhere.example", "devices": "/devices/sim"} {
		if f := worst(t, found, check); f.State != doctor.Warning && f.State != doctor.Failed || f.Remedy == "" || !strings.Contains(f.Detail, says) {
			t.Errorf("%s: %+v", check, f)
		}
	}
	if f := worst(t, found, "links"); f.State != doctor.OK { // nobody has joined yet, which is no fault
		t.Errorf("links: %+v", f)
	}
	results := argumentsOf(n.must(Request{Op: OpCall, Path: systemPath, Name: functionDoctor}).Results)
	if results["state"].Text() != string(doctor.Failed) || len(results["checks"].Table().Rows) < 10 {
		t.Errorf("called: %v", results)
	}
}

// TestDoctorNamesNothingHidden: who may ask for the node and not see its devices learns how many do not work, and not which.
func TestDoctorNamesNothingHidden(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/canary", model.Argument{Name: devices.SettingEnabled, Value: model.Bool(true)})
	n.must(setRequest("/devices/canary", "fail_ratio", model.Float64(1)))
	_, _ = n.execute(n.admin(), Request{Op: OpCall, Path: model.MustPath("/devices/canary"), Name: "poll_now"})
	keeper := n.user("keeper", rule("/system/**", model.RightAdminister))
	for _, f := range n.examine(t.Context(), keeper) {
		if strings.Contains(f.Detail+f.Remedy, "canary") {
			t.Errorf("%+v", f)
		}
		if f.Check == "devices" && !strings.HasPrefix(f.Detail, "1 of them") {
			t.Errorf("%+v", f)
		}
	}
}

// TestExamine looks at the directory of a node that runs, of one that does not, and of one that is damaged.
func TestExamine(t *testing.T) {
	n := startNode(t)
	file := n.cfg.File
	file.Listeners.API, file.Listeners.Links = n.APIAddress(), n.LinksAddress()
	for _, check := range []string{"port of API", "database", "files", "root"} {
		if f := worst(t, Examine(t.Context(), file), check); f.State != doctor.OK {
			t.Errorf("while it runs: %+v", f)
		}
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	found := Examine(t.Context(), file)
	if f := worst(t, found, "port of API"); f.State != doctor.OK || !strings.Contains(f.Detail, "is free") {
		t.Errorf("%+v", f)
	}
	if f := worst(t, found, "versions"); f.State != doctor.OK || !strings.Contains(f.Detail, "layout") {
		t.Errorf("%+v", f)
	}
	database := filepath.Join(n.dir, "node.db")
	raw, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	for page := 1; page*4096 < len(raw); page++ {
		copy(raw[page*4096:], "this is no page of a database")
	}
	if err := os.WriteFile(database, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if f := worst(t, Examine(t.Context(), file), "database"); f.State != doctor.Failed || !strings.Contains(f.Remedy, "backup") {
		t.Errorf("%+v", f)
	}
	if err := os.Remove(filepath.Join(n.dir, pki.RootFile)); err != nil {
		t.Fatal(err)
	}
	if f := worst(t, Examine(t.Context(), file), "root"); f.State != doctor.Failed {
		t.Errorf("%+v", f)
	}
}
