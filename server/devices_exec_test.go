package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"banyan/access"
	"banyan/model"
)

// addProgram puts a shell script into the folder of a node's programs and returns its path.
func addProgram(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, programsFolder, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestWhatRunsIsSetAtTheNode: a program that was set at the node runs, and its points are read at the other end of a link; who may do everything
// there can neither create a device that runs something nor say what an existing one runs, and can set the rest.
func TestWhatRunsIsSetAtTheNode(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/sites/berlin", "administer")
	rules := RulesValue([]access.Rule{{Pattern: model.Everything, Right: model.RightAdminister}})
	if _, err := berlin.execute(Request{Op: OpCreate, Path: model.MustPath("/users/admin-at-hq"), Kind: KindForeign, Arguments: []model.Argument{
		textArgument("person", "admin@hq"), {Name: "rules", Value: rules},
	}}); err != nil {
		t.Fatal(err)
	}
	room, other := addProgram(t, berlin.dir, "room", "echo temperature=21.5"), addProgram(t, berlin.dir, "other", "echo temperature=99")
	settings := []model.Argument{textArgument("program", room), textArgument("points", "temperature:float64:K")}
	if _, err := berlin.execute(Request{Op: OpCreate, Path: model.MustPath("/devices/room"), Kind: "exec", Arguments: settings}); err != nil {
		t.Fatal(err)
	}
	hq.waits("/sites/berlin/devices/room:temperature", is("21.5 good"))
	for _, name := range []string{"program", "arguments", "environment", "secret_environment"} {
		value := model.String("X=1")
		if name == "program" {
			value = model.String(other)
		}
		_, err := hq.execute(Request{Op: OpSet, Path: model.MustPath("/sites/berlin/devices/room"), Name: name, Value: value})
		hidden := name == "secret_environment" && model.KindOf(err) == model.KindNotFound // secrets do not even show
		if !hidden && (model.KindOf(err) != model.KindDenied || !strings.Contains(err.Error(), "at berlin itself only")) {
			t.Errorf("%s over a link: %v", name, err)
		}
	}
	_, err := hq.execute(Request{Op: OpCreate, Path: model.MustPath("/sites/berlin/devices/mine"), Kind: "exec", Arguments: settings})
	if model.KindOf(err) != model.KindDenied {
		t.Errorf("created over a link: %v", err)
	}
	if _, err := hq.execute(Request{Op: OpSet, Path: model.MustPath("/sites/berlin/devices/room"), Name: "points", Value: model.String("temperature:float64:C")}); err != nil {
		t.Errorf("points over a link: %v", err)
	}
	hq.waits("/sites/berlin/devices/room:temperature", is("21.5 good"))
}
