package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/tree"
)

// mountedAs is everything below a mount point as a preview lists it, and what it has by kind.
func (n *linkedNode) mountedAs(point string) (contexts []string, kinds map[string]string) {
	kinds = make(map[string]string)
	at := model.MustPath(point)
	n.Tree().Walk(at, nil, func(c *tree.Context) bool {
		below, _ := at.Below(c.Path)
		contexts = append(contexts, fmt.Sprint(below, " ", c.Schema.Kind, " ", c.Label))
		var names []string
		for _, sort := range entrySorts {
			names = append(names, strings.Join(namesOf(c.Schema, sort), ","))
		}
		kinds[c.Schema.Kind] = strings.Join(names, " | ")
		return true
	})
	slices.Sort(contexts)
	return contexts, kinds
}

func (n *linkedNode) previewed(arguments ...model.Argument) (contexts []string, kinds map[string]string, results map[string]model.Value) {
	n.t.Helper()
	results = n.call("/exports/hq", "preview", arguments...)
	kinds = make(map[string]string)
	for _, row := range results["contexts"].Table().Rows {
		contexts = append(contexts, row[0].Text()+" "+row[1].Text()+" "+row[2].Text())
	}
	for _, row := range results["kinds"].Table().Rows {
		kinds[row[0].Text()] = strings.Join([]string{row[2].Text(), row[3].Text(), row[4].Text(), row[5].Text()}, " | ")
	}
	slices.Sort(contexts)
	return contexts, kinds, results
}

// TestPreviewIsWhatThePeerSees compares what is previewed with what is mounted at the other end, for exports of all sorts.
func TestPreviewIsWhatThePeerSees(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/sites/berlin", "configure")
	linkUp(hq, berlin, "down", "/up", "view") // what comes from the other end does not go back there
	for path, label := range map[string]string{"/devices/hall": "The hall", "/devices/yard": "", "/plans": "Plans"} {
		if _, err := berlin.execute(Request{Op: OpCreate, Path: model.MustPath(path), Kind: KindFolder, Label: label}); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/devices/hall/sim", "/devices/yard/sim"} {
		if _, err := berlin.execute(Request{Op: OpCreate, Path: model.MustPath(path), Kind: "simulator", Arguments: []model.Argument{
			{Name: "poll_interval", Value: model.Duration(time.Hour)},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	berlin.waits("/up/system:name", is("hq good"))
	for _, settings := range []map[string]string{
		{},
		{"paths": "/devices/**"},
		{"paths": "/devices/hall,/devices/hall/**,/system"},
		{"root": "/devices"},
		{"kinds": "simulator,folder"},
		{"except_kinds": "link,export,mount,links"},
		{"shows": "variables", "hide": "setpoint"},
		{"shows": "none", "events": "none"},
		{"hide": "simulator:echo,poll_interval"},
		{"preset": "whole-tree"},
		{"preset": "alerts-only"},
	} {
		set := map[string]string{"paths": "/**", "root": "/", "kinds": "", "except_kinds": "", "shows": everySort, "events": "debug", "hide": "", "preset": "custom"}
		maps.Copy(set, settings)
		edit := Edit{Op: OpSet, Path: model.MustPath("/exports/hq")}
		for name, value := range set {
			edit.Settings = append(edit.Settings, textArgument(name, value))
		}
		if _, err := berlin.execute(Request{Op: OpApply, Edits: []Edit{edit}}); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(20 * time.Second)
		for {
			mounted, kinds := hq.mountedAs("/sites/berlin")
			previewed, previewedKinds, results := berlin.previewed()
			if slices.Equal(mounted, previewed) && maps.Equal(kinds, previewedKinds) {
				if shown := results["shown"].Int64(); shown != int64(len(mounted)) {
					t.Errorf("%v: %d contexts are counted, %d mounted", settings, shown, len(mounted))
				}
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%v\npreviewed %v %v\nmounted   %v %v", settings, previewed, previewedKinds, mounted, kinds)
			}
			<-time.After(20 * time.Millisecond)
		}
	}
}

func TestPreviewSaysWhatIsLeftOut(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/sites/berlin", "operate")
	linkUp(hq, berlin, "down", "/up", "view")
	for _, path := range []string{"/devices/a", "/devices/b", "/devices/c"} {
		if _, err := berlin.execute(Request{Op: OpCreate, Path: model.MustPath(path), Kind: "simulator"}); err != nil {
			t.Fatal(err)
		}
	}
	berlin.waits("/up/system:name", is("hq good"))
	for name, value := range map[string]string{"except_kinds": "folder", "hide": "simulator:echo", "root": "/"} {
		if _, err := berlin.execute(Request{Op: OpSet, Path: model.MustPath("/exports/hq"), Name: name, Value: model.String(value)}); err != nil {
			t.Fatal(err)
		}
	}
	contexts, _, results := berlin.previewed(model.Argument{Name: "below", Value: model.String("/devices")}, model.Argument{Name: "limit", Value: model.Int64(2)})
	if !slices.Equal(contexts, []string{"/devices devices Devices", "/devices/a simulator "}) || !results["more"].Bool() || results["right"].Text() != "operate" || results["peer"].Text() != "hq" {
		t.Errorf("listed %v, more %v, %v, %v", contexts, results["more"], results["right"], results["peer"])
	}
	why := make(map[string]string)
	for _, row := range results["left_out"].Table().Rows {
		why[row[0].Text()] = fmt.Sprint(row[1].Int64() > 0, " ", row[2].Text())
	}
	for reason, want := range map[string]string{omittedLoop: "true /up/", string(access.OmittedPeople): "true /users/admin", string(access.OmittedExcept): "true /exports"} {
		if !strings.HasPrefix(why[reason], want) {
			t.Errorf("left out: %v, want %s: %s", why, reason, want)
		}
	}
	hidden := ""
	for _, row := range results["kinds"].Table().Rows {
		if row[0].Text() == "simulator" {
			hidden = row[6].Text()
		}
	}
	if hidden != "echo: "+string(access.OmittedName) {
		t.Errorf("of simulators is hidden: %q", hidden)
	}
	for argument, want := range map[model.Argument]string{
		textArgument("link", "nobody"): "it is for hq", textArgument("below", "devices"): "path", {Name: "limit", Value: model.Int64(-1)}: "limit is 0 to",
	} {
		_, err := berlin.execute(Request{Op: OpCall, Path: model.MustPath("/exports/hq"), Name: "preview", Arguments: []model.Argument{argument}})
		if model.KindOf(err) != model.KindInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", argument, err)
		}
	}
}

// TestViewsHaveNamesOfTheirOwn: the same export of two nodes is known by two names, and by the same one after a restart.
func TestViewsHaveNamesOfTheirOwn(t *testing.T) {
	nameOf := func(n *linkedNode) uint64 {
		t.Helper()
		c, there := n.Tree().Lookup(model.MustPath("/exports/up"))
		if !there {
			t.Fatal("the export is gone")
		}
		view, _, err := n.peers.(*links).exported(&c)
		if err != nil {
			t.Fatal(err)
		}
		return view.ID
	}
	berlin, bonn := makeNode(t, "berlin"), makeNode(t, "bonn")
	for _, n := range []*linkedNode{berlin, bonn} {
		n.call("/links", "invite", textArgument("name", "up"), textArgument("role", "provider"))
	}
	first := nameOf(berlin)
	if first == nameOf(bonn) {
		t.Error("what is exported can be told by the name of the view")
	}
	berlin.stop()
	berlin.start("berlin")
	if nameOf(berlin) != first {
		t.Error("after a restart the view has another name: whoever mirrors it compares everything")
	}
	if _, err := berlin.execute(Request{Op: OpSet, Path: model.MustPath("/exports/up"), Name: "root", Value: model.String("/devices")}); err != nil {
		t.Fatal(err)
	}
	if nameOf(berlin) == first {
		t.Error("another root has the same name")
	}
}
