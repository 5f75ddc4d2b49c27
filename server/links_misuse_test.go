package server

import (
	"context"
	"strings"
	"testing"
	"time"

	"banyan/model"
	"banyan/store"
)

// What a link calls the other node goes into every decision: a name that cannot be one is refused, and where one is kept all the same, only that
// link is without rights.
func TestPeerNameThatIsNone(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/sites/berlin", "configure")
	for _, name := range []model.Value{model.String("a b"), model.String(""), {}, model.String("a/b")} {
		_, err := berlin.execute(Request{Op: OpSet, Path: model.MustPath("/links/hq"), Name: "peer_name", Value: name})
		if model.KindOf(err) != model.KindInvalid {
			t.Errorf("peer_name was set to %v: %v", name, err)
		}
		if _, err := berlin.execute(Request{Op: OpSet, Path: model.MustPath("/links/hq"), Name: "enabled", Value: model.Bool(true)}); err != nil {
			t.Fatalf("after %v: %v", name, err)
		}
	}
	c, _ := berlin.Tree().Lookup(model.MustPath("/links/hq"))
	_, err := berlin.commits.Do(context.Background(), store.Commit{Changes: []store.Change{store.Set{
		Target: store.ByID(c.ID), Settings: []store.Setting{{Name: settingPeerName, Value: model.String("a b")}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := berlin.execute(Request{Op: OpSet, Path: c.Path, Name: "peer_name", Value: model.String("hq")}); err != nil {
		t.Errorf("it cannot be put right: %v", err)
	}
}

// A mount point is kept free from when it is agreed, not only from when something hangs there.
func TestMountPointIsKeptFree(t *testing.T) {
	hq := makeNode(t, "hq")
	hq.call("/links", "invite", textArgument("name", "berlin"), textArgument("role", "consumer"), textArgument("mount", "/sites/berlin"))
	for path, want := range map[string]model.ErrorKind{"/sites/berlin": model.KindUnavailable, "/sites/berlin/devices": model.KindUnavailable, "/sites/berlin-2": 0} {
		_, err := hq.execute(Request{Op: OpCreate, Path: model.MustPath(path), Kind: KindFolder})
		if (want != 0 || err != nil) && model.KindOf(err) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// What one link was granted is not what the next of its name gets: what the first left behind stands in the way and is told.
func TestNothingIsInherited(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	call := func(function string, arguments ...model.Argument) (Response, error) {
		return berlin.execute(Request{Op: OpCall, Path: model.MustPath("/links"), Name: function, Arguments: arguments})
	}
	invite := func(name string) error {
		_, err := call("invite", textArgument("name", name), textArgument("role", "provider"))
		return err
	}
	steps := []Request{
		{Op: OpRemove, Path: model.MustPath("/exports/up")},
		{Op: OpCreate, Path: model.MustPath("/exports/all"), Kind: KindExport, Arguments: []model.Argument{
			textArgument("links", "up"), textArgument("right", "administer"), {Name: "people", Value: model.Bool(true)},
		}},
		{Op: OpRemove, Path: model.MustPath("/links/up")},
	}
	if err := invite("up"); err != nil {
		t.Fatal(err)
	}
	for _, q := range steps {
		if _, err := berlin.execute(q); err != nil {
			t.Fatal(err)
		}
	}
	if err := invite("up"); model.KindOf(err) != model.KindExists || !strings.Contains(err.Error(), "/exports/all") {
		t.Errorf("a link was made that gets the export of another: %v", err)
	}
	token := hq.call("/links", "invite", textArgument("name", "berlin"), textArgument("role", "consumer"), textArgument("mount", "/berlin"))["token"]
	if _, err := call("join", model.Argument{Name: "token", Value: token}, textArgument("name", "up")); model.KindOf(err) != model.KindExists {
		t.Errorf("joined with the export of another link: %v", err)
	}
	if got := berlin.call("/links", "join", model.Argument{Name: "token", Value: token})["link"].Text(); got != "hq" {
		t.Errorf("joined as %s", got)
	}
}

// A connection is of a node and a role, so between two nodes there is one link of each.
func TestNoSecondLink(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/sites/berlin", "configure")
	token := hq.call("/links", "invite", textArgument("name", "again"), textArgument("role", "consumer"), textArgument("mount", "/sites/again"))["token"]
	join := Request{Op: OpCall, Path: model.MustPath("/links"), Name: "join", Arguments: []model.Argument{{Name: "token", Value: token}}}
	if _, err := berlin.execute(join); model.KindOf(err) != model.KindExists {
		t.Errorf("a second link: %v", err)
	}
	berlin.waits("/links/hq:state", is("up good"))              // a provider's link goes only while the consumer is there to hear of it
	for _, path := range []string{"/exports/hq", "/links/hq"} { // the joiner forgets, the inviter does not
		if _, err := berlin.execute(Request{Op: OpRemove, Path: model.MustPath(path)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := berlin.execute(join); model.KindOf(err) != model.KindExists || !strings.Contains(err.Error(), "hq is linked") {
		t.Errorf("a second link at the inviter: %v", err)
	}
	for _, path := range []string{"/mounts/berlin", "/links/berlin"} {
		if _, err := hq.execute(Request{Op: OpRemove, Path: model.MustPath(path)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := berlin.execute(join); err != nil {
		t.Errorf("the same invitation when nothing is in its way: %v", err)
	}
	hq.waits("/sites/again/system:name", is("berlin good"))
	linkUp(hq, berlin, "down", "/up", "view") // the other way round is another link
}

// An invitation that is over when it is made is refused: it would be handed on, and taken for one that can be redeemed.
func TestInvitationThatNeverHolds(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/sites/berlin", "view")
	for _, lasts := range []time.Duration{0, -time.Minute} {
		expires := model.Argument{Name: "expires", Value: model.Duration(lasts)}
		for _, q := range []Request{
			{Path: linksPath, Name: functionInvite, Arguments: []model.Argument{
				textArgument("name", "next"), textArgument("role", "consumer"), textArgument("mount", "/next"), expires,
			}},
			{Path: model.MustPath("/links/berlin"), Name: functionInviteAgain, Arguments: []model.Argument{expires}},
		} {
			q.Op = OpCall
			if _, err := hq.execute(q); model.KindOf(err) != model.KindInvalid || !strings.Contains(err.Error(), "above zero") {
				t.Errorf("%s for %s: %v", q.Name, lasts, err)
			}
		}
	}
}
