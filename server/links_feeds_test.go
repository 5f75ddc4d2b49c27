package server

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"banyan/model"
	"banyan/proto"
	"banyan/store"
)

// holds names the files of a node's mirrors that have some bytes, whatever in them: rows, free pages, logs.
func (n *linkedNode) holds(what string) (files []string) {
	n.t.Helper()
	err := filepath.WalkDir(filepath.Join(n.dir, "mirrors"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(what)) {
			files = append(files, d.Name())
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		n.t.Fatal(err)
	}
	return files
}

func (n *linkedNode) must(q Request) {
	n.t.Helper()
	if _, err := n.execute(q); err != nil {
		n.t.Fatal(err)
	}
}

func (n *linkedNode) has(path string) bool {
	_, there := n.Tree().Lookup(model.MustPath(path))
	return there
}

// TestWithdrawnMirrorIsDeleted: of what is withdrawn, or of a link that is revoked, no byte stays in the files of whoever had it, and a restart does not
// bring it back. Of a link that is switched off all stays.
func TestWithdrawnMirrorIsDeleted(t *testing.T) {
	const canary = "canary7391"
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/berlin", "view")
	berlin.must(Request{Op: OpSet, Path: model.MustPath("/exports/hq"), Name: settingPaths, Value: model.String("/system/**")})
	berlin.must(Request{Op: OpCreate, Path: model.MustPath("/devices/" + canary), Kind: KindFolder, Label: canary})
	berlin.must(Request{Op: OpCreate, Path: model.MustPath("/exports/second"), Kind: KindExport, Arguments: []model.Argument{
		textArgument("links", "hq"), textArgument("paths", "/devices/**"),
	}})
	hq.must(Request{Op: OpCreate, Path: model.MustPath("/mounts/second"), Kind: KindMount, Arguments: []model.Argument{
		textArgument("link", "berlin"), textArgument("export", "second"), textArgument("path", "/second"),
	}})
	hq.until("it is mounted", func() bool { return hq.has("/second/devices/" + canary) })
	hq.until("it is on the disk", func() bool { return len(hq.holds(canary)) > 0 })

	berlin.must(Request{Op: OpSet, Path: model.MustPath("/links/hq"), Name: settingEnabled, Value: model.Bool(false)})
	hq.waits("/links/berlin:state", func(v string) bool { return v != "up good" })
	if !hq.has("/second/devices/"+canary) || len(hq.holds(canary)) == 0 {
		t.Error("what a link has that is switched off was purged")
	}
	berlin.must(Request{Op: OpSet, Path: model.MustPath("/links/hq"), Name: settingEnabled, Value: model.Bool(true)})
	hq.waits("/links/berlin:state", is("up good"))

	berlin.must(Request{Op: OpRemove, Path: model.MustPath("/exports/second")})
	hq.waits("/mounts/second:state", is("withdrawn good"))
	hq.until("it is gone from the tree", func() bool { return !hq.has("/second/devices/" + canary) })
	hq.until("it is gone from the disk", func() bool { return len(hq.holds(canary)) == 0 })
	hq.waits("/berlin/system:name", is("berlin good"))
	hq.until("the metrics count it", func() bool {
		links, feeds := hq.peers.LinkStates()
		return links["partial"] == 1 && feeds["withdrawn"] == 1 && feeds["up"] == 1
	})

	// All of it goes with the link, also where the other node learns of that by a later connection.
	hq.stop()
	berlin.call("/links/hq", functionRevoke)
	hq.start("hq")
	berlin.must(Request{Op: OpSet, Path: model.MustPath("/links/hq"), Name: settingAddresses, Value: model.String(hq.LinksAddress())})
	hq.until("all is gone from the tree", func() bool { return !hq.has("/berlin/system") })
	hq.waits("/mounts/berlin:state", is("withdrawn good"))
	hq.until("all is gone from the disk", func() bool { return len(hq.holds("/system")) == 0 && len(hq.holds(canary)) == 0 })
}

// TestLinkIsNotForgottenUntold: the link of a consumer that is away is not removed before it was revoked, since nobody else may tell the consumer to purge.
func TestLinkIsNotForgottenUntold(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/berlin", "view")
	hq.waits("/berlin/system:name", is("berlin good"))
	hq.stop()
	berlin.waits("/links/hq:state", func(v string) bool { return v != "up good" })
	remove := Request{Op: OpRemove, Path: model.MustPath("/links/hq")}
	_, err := berlin.execute(remove)
	var refused *model.Error
	if !errors.As(err, &refused) || refused.Kind != model.KindConflict || !strings.Contains(refused.Remedy, "banyan call /links/hq:revoke") {
		t.Fatalf("the link of a consumer that is away is removed: %v", err)
	}
	berlin.call("/links/hq", functionRevoke)
	hq.start("hq")
	berlin.must(Request{Op: OpSet, Path: model.MustPath("/links/hq"), Name: settingAddresses, Value: model.String(hq.LinksAddress())})
	hq.until("all is gone from the tree", func() bool { return !hq.has("/berlin/system") })
	berlin.must(remove)

	// Who is there is told by the removal itself.
	hq.must(Request{Op: OpRemove, Path: model.MustPath("/mounts/berlin")})
	hq.must(Request{Op: OpRemove, Path: model.MustPath("/links/berlin")})
	berlin.must(Request{Op: OpRemove, Path: model.MustPath("/exports/hq")})
	linkUp(berlin, hq, "berlin", "/again", "view")
	hq.waits("/again/system:name", is("berlin good"))
	berlin.waits("/links/hq:state", is("up good"))
	berlin.must(remove)
	hq.until("all is gone from the tree", func() bool { return !hq.has("/again/system") })
}

// TestExportsOfAnEarlierVersion name one link in another setting: they go on to be shown there.
func TestExportsOfAnEarlierVersion(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/berlin", "view")
	hq.waits("/berlin/system:name", is("berlin good"))
	earlier := exportSchema
	earlier.Settings = slices.Clone(exportSchema.Settings)
	earlier.Settings[slices.IndexFunc(earlier.Settings, func(s model.Setting) bool { return s.Name == settingLinks })].Name = settingLink
	schema, err := proto.NewSchema(earlier)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := berlin.Tree().Lookup(model.MustPath("/exports/hq"))
	if _, err := berlin.commits.Do(t.Context(), store.Commit{Changes: []store.Change{
		store.PutSchema{Schema: schema}, store.Rebind{Target: target(&c), Schema: schema.Hash},
		store.Set{Target: target(&c), Settings: []store.Setting{{Name: settingLink, Value: model.String("hq")}}},
	}}); err != nil {
		t.Fatal(err)
	}
	hq.waits("/berlin/system:name", is("berlin good"))
	berlin.stop()
	berlin.start("berlin")
	berlin.until("it has the setting of this version", func() bool {
		c, _ := berlin.Tree().Lookup(model.MustPath("/exports/hq"))
		return c.SettingNamed(settingLinks).Text() == "hq" && c.SettingNamed(settingLink).IsNone()
	})
	hq.waits("/links/berlin:state", is("up good"))
	hq.waits("/berlin/system:name", is("berlin good"))
}
