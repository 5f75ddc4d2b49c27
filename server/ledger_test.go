package server

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/store"
	"banyan/tree"
)

// tiers are three nodes in a row with a simulator at the last one.
type tiers struct{ hq, north, berlin *linkedNode }

const farDevice = "/regions/north/sites/berlin/devices/sim"

func makeTiers(t *testing.T) tiers {
	t.Helper()
	n := tiers{makeNode(t, "hq"), makeNode(t, "north"), makeNode(t, "berlin")}
	linkUp(n.north, n.hq, "north", "/regions/north", "administer")
	linkUp(n.berlin, n.north, "berlin", "/sites/berlin", "administer")
	if _, err := n.berlin.execute(Request{Op: OpCreate, Path: model.MustPath("/devices/sim"), Kind: "simulator", Arguments: []model.Argument{
		{Name: "poll_interval", Value: model.Duration(time.Hour)},
	}}); err != nil {
		t.Fatal(err)
	}
	n.hq.waits(farDevice+":all_bool", is("true good"))
	return n
}

func farSet(name string, v model.Value, lasts time.Duration) Request {
	return Request{Op: OpSet, Path: model.MustPath(farDevice), Name: name, Value: v, Until: model.TimeOf(time.Now().Add(lasts)), Async: true}
}

// fate waits until a request has this fate at a node.
func (n *linkedNode) fate(id [16]byte, want model.Fate) kept {
	n.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		k, there := n.ledger.row(id)
		if there && k.Fate == want {
			return k
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%s: the request is %s (%v), want %s", n.cfg.Name, k.Fate, problemOfRow(&k.Ledger), want)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// outcomes are the audited outcomes of a request at a node, the first words of them.
func (n *linkedNode) outcomes(id [16]byte) string {
	n.t.Helper()
	rows, _, err := n.store.Audit(context.Background(), store.AuditQuery{Limit: 1000})
	if err != nil {
		n.t.Fatal(err)
	}
	var words []string
	for i := range rows {
		if rows[i].Request == id {
			word, _, _ := strings.Cut(rows[i].Outcome, ":")
			words = append(words, word)
		}
	}
	return strings.Join(words, " ")
}

// TestKeptRequestIsDoneWhenTheOwnerIsBack makes requests while their owner is away, restarts the node where they were made, and lets the owner come back.
func TestKeptRequestIsDoneWhenTheOwnerIsBack(t *testing.T) {
	n := makeTiers(t)
	n.berlin.stop()
	n.hq.waits(farDevice+":all_bool", is("true uncertain/stale"))
	set, err := n.hq.execute(farSet("step", model.Float64(7), time.Minute))
	if err != nil || set.Fate != model.FatePending {
		t.Fatalf("%+v, %v", set, err)
	}
	call := Request{Op: OpCall, Path: model.MustPath(farDevice), Name: "poll_now", Until: model.TimeOf(time.Now().Add(time.Minute)), Async: true}
	called, err := n.hq.execute(call)
	if err != nil {
		t.Fatal(err)
	}
	apply := Request{Op: OpApply, Until: call.Until, Async: true, Edits: []Edit{
		{Op: OpCreate, Path: model.MustPath("/regions/north/sites/berlin/devices/new"), Kind: "simulator"},
		{Op: OpSet, Path: model.MustPath(farDevice), Settings: []model.Argument{{Name: "seed", Value: model.Int64(3)}}},
	}}
	applied, err := n.hq.execute(apply)
	if err != nil {
		t.Fatal(err)
	}
	n.hq.stop()
	n.hq.start("hq")
	if k, there := n.hq.ledger.row(set.Kept); !there || k.Fate.Ended() {
		t.Fatalf("after a restart: %v", k)
	}
	// HQ has another port now: north is told, as somebody who administers it would.
	if _, err := n.north.execute(setRequest("/links/hq", "addresses", model.String(n.hq.LinksAddress()))); err != nil {
		t.Fatal(err)
	}
	n.berlin.start("berlin")
	for _, id := range [][16]byte{set.Kept, called.Kept, applied.Kept} {
		k := n.hq.fate(id, model.FateDone)
		if strings.Join(k.Via, " ") != "north berlin" || k.Attempts != 1 {
			t.Errorf("%+v", k)
		}
		n.north.fate(id, model.FateDone)
		n.berlin.fate(id, model.FateDone)
		if got := n.hq.outcomes(id); got != "queued done" && got != "done queued" {
			t.Errorf("HQ's audit log says %q", got)
		}
	}
	if got := n.berlin.read("/devices/sim:step"); got != "7 good" {
		t.Errorf("berlin has %s", got)
	}
	n.hq.waits("/regions/north/sites/berlin/devices/new:enabled", func(got string) bool { return got != "absent" })
	done, err := n.hq.ledger.outcome(t.Context(), &kept{Ledger: store.Ledger{ID: set.Kept, Fate: model.FateDone}})
	if err != nil || done.Revision.IsZero() {
		t.Errorf("the set gave %+v, %v", done, err)
	}
}

// TestResultOfALostAnswerIsLookedFor cuts the link over which the owner's answer would have come: whoever made the request hears of its end by asking
// what became of it, and with that what it gave.
func TestResultOfALostAnswerIsLookedFor(t *testing.T) {
	n := makeTiers(t)
	enable := func(on bool) {
		if _, err := n.north.execute(setRequest("/links/hq", settingEnabled, model.Bool(on))); err != nil {
			t.Error(err)
		}
	}
	cut := make(chan struct{})
	n.berlin.ledger.reached = func(step string) {
		if step == "recorded" { // it is done, and not answered
			enable(false)
			for up := "up good"; n.hq.read("/links/north:state") == up; {
				<-time.After(5 * time.Millisecond)
			}
			close(cut)
		}
	}
	set, err := n.hq.execute(farSet("step", model.Float64(7), time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	<-cut
	enable(true)
	k := n.hq.fate(set.Kept, model.FateDone)
	done, err := n.hq.ledger.outcome(t.Context(), &k)
	if err != nil || done.Revision.IsZero() {
		t.Errorf("the set gave %+v, %v", done, err)
	}
}

// A request is for what was there when it was made. Where another node has been mounted at the path since, it is not done there.
func TestKeptRequestIsNotForAnother(t *testing.T) {
	n := makeTiers(t)
	n.berlin.stop()
	n.hq.waits(farDevice+":all_bool", is("true uncertain/stale"))
	set, err := n.hq.execute(farSet("step", model.Float64(7), time.Minute))
	if err != nil || set.Fate != model.FatePending {
		t.Fatalf("%+v, %v", set, err)
	}
	// The mirror as it is when the other node's tree has come to hang where berlin's did.
	c, _ := n.hq.Tree().Lookup(model.MustPath(farDevice))
	id := c.ID
	id.Node[0]++
	n.hq.Tree().Apply([]tree.Put{{ID: id, Path: c.Path, Schema: c.Schema, Version: c.Version, Route: c.Route}}, nil)
	k := n.hq.fate(set.Kept, model.FateFailed)
	if problem := problemOfRow(&k.Ledger); problem == nil || problem.Kind != model.KindConflict {
		t.Errorf("it failed with %v", problem)
	}
}

// TestKeptRequestEnds tries every other end: over before it could be sent, cancelled, refused by its owner, refused since who made it is gone.
func TestKeptRequestEnds(t *testing.T) {
	n := makeTiers(t)
	refused, err := n.hq.execute(farSet("poll_interval", model.Duration(time.Millisecond), time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []*linkedNode{n.hq, n.north, n.berlin} {
		if k := at.fate(refused.Kept, model.FateFailed); model.KindOf(problemOfRow(&k.Ledger)) != model.KindInvalid {
			t.Errorf("%s says %v", at.cfg.Name, problemOfRow(&k.Ledger))
		}
	}
	n.berlin.stop()
	n.hq.waits(farDevice+":all_bool", is("true uncertain/stale"))
	short, err := n.hq.execute(farSet("step", model.Float64(1), 300*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	n.hq.fate(short.Kept, model.FateExpired)
	long, err := n.hq.execute(farSet("step", model.Float64(2), time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.hq.ledger.cancel(t.Context(), administrator, long.Kept); err != nil {
		t.Fatal(err)
	}
	n.hq.fate(long.Kept, model.FateFailed)
	if err := n.hq.ledger.cancel(t.Context(), administrator, long.Kept); model.KindOf(err) != model.KindConflict {
		t.Errorf("cancelled twice: %v", err)
	}
	alice := Request{Op: OpCreate, Path: model.MustPath("/users/alice"), Kind: KindUser, Arguments: []model.Argument{
		{Name: settingPassword, Value: model.String("correct horse")}, {Name: settingRules, Value: RulesValue([]access.Rule{rule("/**", model.RightConfigure)})},
	}}
	if _, err := n.hq.execute(alice); err != nil {
		t.Fatal(err)
	}
	hers, err := n.hq.Router().Execute(t.Context(), principal("alice", "hq"), farSet("step", model.Float64(3), time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.hq.execute(Request{Op: OpRemove, Path: alice.Path, Below: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.hq.execute(alice); err != nil { // another one of the same name
		t.Fatal(err)
	}
	n.berlin.start("berlin")
	if k := n.hq.fate(hers.Kept, model.FateFailed); model.KindOf(problemOfRow(&k.Ledger)) != model.KindDenied {
		t.Errorf("%v", problemOfRow(&k.Ledger))
	}
	n.hq.waits(farDevice+":all_bool", is("true good"))
	if got := n.berlin.read("/devices/sim:step"); got != "1 good" {
		t.Errorf("berlin has %s: something was done that has failed or expired", got)
	}
}

// TestKeptRequestIsSealed looks for what was asked for in all files of the nodes on the way.
func TestKeptRequestIsSealed(t *testing.T) {
	n := makeTiers(t)
	for _, at := range []*linkedNode{n.north, n.berlin} {
		for _, c := range directlyBelow(at.Tree(), exportsPath) {
			if _, err := at.execute(setRequest(c.Path.String(), settingSecrets, model.Bool(true))); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.berlin.stop()
	n.hq.waits(farDevice+":all_bool", is("true uncertain/stale"))
	const canary = "canary-4711-password"
	made, err := n.hq.execute(Request{
		Op: OpCreate, Path: model.MustPath("/regions/north/sites/berlin/devices/broker"), Kind: "mqtt", Until: model.TimeOf(time.Now().Add(time.Minute)), Async: true,
		Arguments: []model.Argument{
			{Name: "url", Value: model.String("mqtt://192.0.2.10:1883")}, textArgument("topics", "#"), {Name: "password", Value: model.String(canary)},
			{Name: "enabled", Value: model.Bool(false)},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	search := func() {
		t.Helper()
		for _, at := range []*linkedNode{n.hq, n.north, n.berlin} {
			if strings.Contains(at.log.String(), canary) {
				t.Errorf("the log of %s has it", at.cfg.Name)
			}
			err := filepath.WalkDir(at.dir, func(path string, d os.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					if raw, err := os.ReadFile(path); err == nil && bytes.Contains(raw, []byte(canary)) {
						t.Errorf("%s has it", path)
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
	search()
	n.berlin.start("berlin")
	n.hq.fate(made.Kept, model.FateDone)
	search()
	if _, there := n.berlin.Tree().Lookup(model.MustPath("/devices/broker")); !there {
		t.Error("the device is not there")
	}
}
