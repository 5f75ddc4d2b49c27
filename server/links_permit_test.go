package server

import (
	"strings"
	"testing"
	"time"

	"banyan/model"
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
