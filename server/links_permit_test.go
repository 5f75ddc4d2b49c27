package server

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/model"
	"banyan/peering"
	"banyan/proto/linkv1"

	pb "google.golang.org/protobuf/proto"
)

// What a node takes from behind its provider is bounded at the mount: what is not permitted goes within 10 s and is named, what is permitted again comes
// back, and the provider refuses early to enrol what would be of no use, naming who narrowed it.
func TestEnrolmentIsPermitted(t *testing.T) {
	hq, north, berlin := makeNode(t, "hq"), makeNode(t, "north"), makeNode(t, "berlin")
	linkUp(north, hq, "north", "/regions/north", "configure")
	linkUp(berlin, north, "berlin", "/sites/berlin", "configure")
	const deep = "/regions/north/sites/berlin/system:name"
	hq.waits(deep, is("berlin good"))
	gone := func() {
		t.Helper()
		began := time.Now()
		hq.waits(deep, is("absent"))
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it went after %s", took)
		}
		hq.waits("/mounts/north:refused", func(v string) bool { return strings.Contains(v, "berlin (") })
		hq.waits("/regions/north/system:name", is("north good"))
	}
	invite := func(mount string) error {
		_, err := north.execute(Request{Op: OpCall, Path: linksPath, Name: "invite", Arguments: []model.Argument{
			textArgument("name", "next"), textArgument("role", "consumer"), textArgument("mount", mount),
		}})
		return err
	}
	refuses := func(mount string) {
		t.Helper()
		north.until("an invitation is refused early", func() bool {
			err := invite(mount)
			if err == nil {
				north.call("/links", "withdraw", textArgument("name", "next"))
			}
			return err != nil && strings.Contains(err.Error(), "hq takes")
		})
	}
	hq.set("/mounts/north", settingEnrol, model.Bool(false))
	gone()
	refuses("/sites/next")
	hq.set("/mounts/north", settingEnrol, model.Bool(true))
	hq.waits(deep, is("berlin good"))
	hq.set("/mounts/north", settingEnrolPaths, model.String("/sites/berlin"))
	refuses("/sites/next")
	hq.waits(deep, is("berlin good"))
	hq.set("/mounts/north", settingEnrolPaths, model.String(""))
	north.until("an invitation is made again", func() bool { return invite("/sites/next") == nil })

	hq.call("/links", "revoke_node", textArgument("node", "berlin"))
	gone()
	north.waits("/sites/berlin/system:name", is("berlin good")) // north is its own master
	north.until("north is told", func() bool { return north.peers.(*links).checkRevoked(berlin.ID()) != nil })
	hq.call("/links", "admit_node", textArgument("node", "berlin")) // by the name that it had
	hq.waits(deep, is("berlin good"))
}

// Invitations are listed with what became of them, end when they are withdrawn, and do not stay for ever.
func TestInvitationsAreListedAndWithdrawn(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "used", "/sites/used", "view")
	token := hq.call("/links", "invite", textArgument("name", "open"), textArgument("role", "consumer"), textArgument("mount", "/sites/open"))["token"].Text()
	states := func() string {
		var all []string
		for _, row := range hq.call("/links", "invitations")["invitations"].Table().Rows {
			all = append(all, row[0].Text()+" "+row[4].Text()+" by "+row[2].Text())
		}
		return strings.Join(all, ", ")
	}
	if got := states(); got != "open open by admin@hq, used used by admin@hq" && got != "open open by admin, used used by admin" {
		t.Errorf("invitations are %s", got)
	}
	hq.call("/links", "withdraw", textArgument("name", "open"))
	for _, left := range []string{"/links/open", "/mounts/open"} {
		if _, there := hq.tree.Lookup(model.MustPath(left)); there {
			t.Errorf("%s is left of what was withdrawn", left)
		}
	}
	if _, err := makeNode(t, "late").execute(Request{Op: OpCall, Path: linksPath, Name: "join", Arguments: []model.Argument{textArgument("token", token)}}); err == nil {
		t.Error("joined by an invitation that was withdrawn")
	}
	if _, err := hq.execute(Request{Op: OpCall, Path: linksPath, Name: "withdraw", Arguments: []model.Argument{textArgument("name", "used")}}); err == nil {
		t.Error("an invitation that was used was withdrawn")
	}
}

// Of several consumers the one that takes least narrows nothing of what the others are shown, whatever it says: neither who may join, nor where, nor what
// the nodes below are told. What it says stays within what one frame holds, with this node's own in it.
func TestOneConsumerNarrowsNothingForOthers(t *testing.T) {
	hq, other, north, berlin := makeNode(t, "hq"), makeNode(t, "other"), makeNode(t, "north"), makeNode(t, "berlin")
	linkUp(north, hq, "north", "/regions/north", "view")
	linkUp(north, other, "north", "/regions/north", "view")
	linkUp(berlin, north, "berlin", "/sites/berlin", "view")
	links := north.peers.(*links)
	c, _ := north.tree.Lookup(model.MustPath("/mounts/berlin"))
	told := func() *linkv1.Permit {
		return links.permission(&c, model.MustPath("/sites/berlin"), links.permitsTold()).Told
	}
	next := model.MustPath("/sites/next")
	narrow := func(link string) {
		links.permitted(peering.Permitted{Link: link, Export: link, By: link, Until: 1, Revoked: []model.NodeID{berlin.ID()}})
	}
	narrow("other")
	if err := links.checkEnrol(next); err != nil {
		t.Errorf("one of two takes no nodes: %v", err)
	}
	if err := links.checkRevoked(berlin.ID()); err != nil {
		t.Errorf("one of two has revoked it: %v", err)
	}
	if !pb.Equal(told(), freePermit) {
		t.Errorf("berlin is told %v", told())
	}
	narrow("hq")
	if err := links.checkEnrol(next); err == nil || !strings.Contains(err.Error(), "takes no nodes") {
		t.Errorf("none takes nodes: %v", err)
	}
	if links.checkRevoked(berlin.ID()) == nil || told().GetNodes() != 0 || told().GetUntil() != 1 || len(told().GetRevoked()) != 1 {
		t.Errorf("both have revoked it: berlin is told %v", told())
	}
	many := peering.Permitted{Link: "hq", Export: "hq", Nodes: peering.Unlimited, Hops: peering.Unlimited, Revoked: make([]model.NodeID, peering.MostRevoked)}
	for i := range many.Revoked {
		binary.BigEndian.PutUint64(many.Revoked[i][:], uint64(i))
	}
	links.permitted(many)
	many.Link, many.Export = "other", "other"
	links.permitted(many)
	north.call("/links", "revoke_node", textArgument("node", hq.ID().String()))
	if got := told().GetRevoked(); len(got) != peering.MostRevoked || !slices.ContainsFunc(got, func(id []byte) bool { return model.NodeID(id) == hq.ID() }) {
		t.Errorf("berlin is told of %d nodes, or not of the one that north has revoked itself", len(got))
	}
	north.set("/links/other", settingRevoked, model.Bool(true))
	narrow("hq")
	narrow("other")
	links.permitted(peering.Permitted{Link: "hq", Export: "hq", Nodes: peering.Unlimited, Hops: peering.Unlimited})
	if err := links.checkRevoked(berlin.ID()); err != nil {
		t.Errorf("a consumer that was revoked itself says who may join: %v", err)
	}
}

// Nodes that are revoked at the same time are all revoked.
func TestRevokedAtOnce(t *testing.T) {
	hq := makeNode(t, "hq")
	var work sync.WaitGroup
	const many = 16
	for i := range many {
		work.Go(func() {
			id := model.NodeID{0: byte(i + 1)}
			hq.call("/links", "revoke_node", textArgument("node", id.String()))
		})
	}
	work.Wait()
	if got := len(hq.peers.(*links).revokedIDs()); got != many {
		t.Errorf("%d nodes are revoked of %d", got, many)
	}
	list := strings.Repeat(hq.ID().String()+",", mostRevokedNodes+1)
	if _, err := hq.execute(setRequest("/links", settingRevokedIDs, model.String(list))); err == nil {
		t.Error("more nodes are revoked than are told")
	}
}

// Where a link is cut, the mount names it and says why, and the list of nodes says of each behind it how the line is and since when.
func TestCutLinkIsNamed(t *testing.T) {
	n := makeTiers(t)
	lines := func() map[string]string {
		lines := map[string]string{}
		for _, row := range n.hq.call("/links", functionNodes)["nodes"].Table().Rows {
			lines[row[0].Text()] = row[7].Text()
			if row[7].Text() != "unknown" && row[8].Type() != model.TypeTime { // before it is told there is no since either
				t.Errorf("since when the line to %s is %s is not told", row[0].Text(), row[7].Text())
			}
		}
		return lines
	}
	n.hq.until("both lines are up", func() bool { l := lines(); return l["north"] == "up" && l["berlin"] == "up" })
	n.berlin.stop()
	n.north.waits("/mounts/berlin:detail", func(v string) bool { return strings.Contains(v, "link berlin is connecting: berlin") })
	n.hq.until("the line to berlin is not up", func() bool { l := lines(); return l["north"] == "up" && l["berlin"] == "connecting" })
	n.north.stop()
	n.hq.waits("/mounts/north:detail", func(v string) bool { return strings.Contains(v, "link north is connecting: north") })
	n.hq.until("neither line is up", func() bool { l := lines(); return l["north"] == "connecting" && l["berlin"] == "connecting" })
}
