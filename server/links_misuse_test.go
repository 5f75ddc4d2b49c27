package server

import (
	"context"
	"testing"

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
