package server

import (
	"context"
	"strings"
	"testing"
	"time"

	"banyan/access"
	"banyan/model"
)

func (n *linkedNode) lines() *rehearsals { return n.peers.(*links).rehearsals }

// auditEnds counts rows about how rehearsals ended.
func (n *linkedNode) auditHas(text string) int {
	n.t.Helper()
	found := 0
	for _, row := range n.call("/system", functionAudit, textArgument("path", "/links"))["rows"].Table().Rows {
		line := ""
		for _, cell := range row {
			line += cell.String() + " "
		}
		if strings.Contains(line, text) {
			found++
		}
	}
	return found
}

// TestRehearsal: an outage that is rehearsed shows at both ends as one would, is told where it is rehearsed, and ends: when somebody ends it, when its
// time is over, when nobody controls it any more, and with the node.
func TestRehearsal(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/sites/berlin", "administer")
	hq.waits("/sites/berlin/system:name", is("berlin good"))
	berlin.waits("/links/hq:rehearsal", is(" good"))
	rehearse := func(what string, lasts time.Duration) map[string]model.Value {
		t.Helper()
		return berlin.call("/links/hq", functionRehearse, textArgument("what", what), model.Argument{Name: "for", Value: model.Duration(lasts)})
	}
	healed := func(how string) {
		t.Helper()
		berlin.waits("/links/hq:rehearsal", is(" good"))
		berlin.waits("/links/hq:state", is("up good"))
		hq.waits("/links/berlin:state", is("up good"))
		hq.waits("/sites/berlin/system:name", is("berlin good"))
		deadline := time.Now().Add(5 * time.Second)
		for berlin.auditHas("ended: "+how) != 1 {
			if time.Now().After(deadline) {
				t.Fatalf("the audit log says %d times that %s", berlin.auditHas("ended: "+how), how)
			}
			<-time.After(20 * time.Millisecond)
		}
	}

	began := rehearse("block=in", time.Minute)
	if got := berlin.read("/links/hq:rehearsal"); !strings.HasPrefix(got, "block=in, by admin until ") {
		t.Errorf("the link shows %q", got)
	}
	if n := berlin.peers.Rehearsals(); n != 1 {
		t.Errorf("%d are counted", n)
	}
	hq.waits("/sites/berlin/system:name", is("berlin uncertain/stale"))
	berlin.waits("/links/hq:state", func(got string) bool { return got != "up good" })
	_, err := berlin.execute(Request{Op: OpCall, Path: model.MustPath("/links/hq"), Name: functionRehearse, Arguments: []model.Argument{
		textArgument("what", "cut"), {Name: "for", Value: model.Duration(time.Second)},
	}})
	if model.KindOf(err) != model.KindExists || !strings.Contains(err.Error(), "by admin until") {
		t.Errorf("a second one: %v", err)
	}
	if now := berlin.call("/links/hq", functionKeepRehearsing, textArgument("id", began["id"].Text()))["now"].Text(); now != "block=in" {
		t.Errorf("now it does %q", now)
	}
	berlin.call("/links/hq", functionEndRehearsal)
	healed("somebody ended it")
	if _, err := berlin.execute(Request{Op: OpCall, Path: model.MustPath("/links/hq"), Name: functionKeepRehearsing, Arguments: []model.Argument{
		textArgument("id", began["id"].Text()),
	}}); model.KindOf(err) != model.KindNotFound {
		t.Errorf("one that is over is extended: %v", err)
	}

	rehearse("cut", time.Second)
	healed("its time was over")

	berlin.lines().lease = 500 * time.Millisecond // who controls it is dead
	rehearse("block=both", time.Hour)
	healed("who controlled it was not heard of any more")
	berlin.lines().lease = rehearsalLease

	// X7: over a link nobody makes that link worse.
	for _, function := range []string{functionRehearse, functionKeepRehearsing, functionEndRehearsal} {
		arguments := []model.Argument{textArgument("id", "x")}
		if function == functionRehearse {
			arguments = []model.Argument{textArgument("what", "cut"), {Name: "for", Value: model.Duration(time.Second)}}
		}
		if function == functionEndRehearsal {
			arguments = nil
		}
		who := access.Principal{Chain: access.Chain{Person: access.Person{Name: AdminName}}}
		_, err := hq.Router().Execute(context.Background(), who, Request{Op: OpCall, Path: model.MustPath("/sites/berlin/links/hq"), Name: function, Arguments: arguments})
		if kind := model.KindOf(err); kind != model.KindDenied && kind != model.KindNotFound {
			t.Errorf("%s over the link: %v", function, err)
		}
	}

	rehearse("block=both", time.Hour)
	berlin.stop()
	berlin.start("berlin")
	healed("the node stops")
}

// TestRehearsalEndsWithItsLink: a link that is switched off takes what is rehearsed on it along.
func TestRehearsalEndsWithItsLink(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/sites/berlin", "view")
	hq.waits("/links/berlin:state", is("up good"))
	hq.call("/links/berlin", functionRehearse, textArgument("schedule", "for=1s delay=10ms; after=1s for=1h refuse"), model.Argument{Name: "for", Value: model.Duration(time.Hour)})
	if got := hq.read("/links/berlin:rehearsal"); !strings.Contains(got, "now delay=10ms") && !strings.Contains(got, "now  good") {
		t.Errorf("the link shows %q", got)
	}
	if _, err := hq.execute(Request{Op: OpSet, Path: model.MustPath("/links/berlin"), Name: settingEnabled, Value: model.Bool(false)}); err != nil {
		t.Fatal(err)
	}
	hq.waits("/links/berlin:rehearsal", is(" good"))
	_, err := hq.execute(Request{Op: OpCall, Path: model.MustPath("/links/berlin"), Name: functionRehearse, Arguments: []model.Argument{
		textArgument("what", "cut"), {Name: "for", Value: model.Duration(time.Second)},
	}})
	if model.KindOf(err) != model.KindUnsupported {
		t.Errorf("on a link that is not in use: %v", err)
	}
}
