package server

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"banyan/model"
	"banyan/pki"
)

// shape is everything that is set at links, exports and mounts, but for what an invitation leaves there and what is pinned.
func (n *linkedNode) shape() map[string]string {
	found := map[string]string{}
	for _, folder := range []model.Path{linksPath, exportsPath, mountsPath} {
		for _, c := range directlyBelow(n.tree, folder) {
			for i := range c.Schema.Settings {
				s := &c.Schema.Settings[i]
				if !s.Secret && s.Name != settingRoots && !strings.HasPrefix(s.Name, "invitation") && !strings.HasPrefix(s.Name, "peer_") {
					found[c.Path.String()+":"+s.Name] = c.SettingNamed(s.Name).String()
				}
			}
		}
	}
	return found
}

func (n *linkedNode) kept(before map[string]string) {
	n.t.Helper()
	after := n.shape()
	for name, was := range before {
		if after[name] != was {
			n.t.Errorf("%s was %s and is %s", name, was, after[name])
		}
	}
	if len(after) != len(before) {
		n.t.Errorf("%d settings, %d before", len(after), len(before))
	}
}

// A node that its peer does not take any more, since it came back with an older root, comes back by one invitation to the link that is there; everything that
// is set stays. The token works once, for that node only, and not at a link that is not there.
func TestJoinAgain(t *testing.T) {
	hq, berlin, other := makeNode(t, "hq"), makeNode(t, "berlin"), makeNode(t, "other")
	linkUp(berlin, hq, "berlin", "/sites/berlin", "configure")
	linkUp(other, hq, "other", "/sites/other", "view")
	hq.waits("/sites/berlin/system:name", is("berlin good"))
	older := copyOf(t, berlin.dir)
	berlin.call("/system", "rotate_root")
	hq.until("the new root is pinned", func() bool { return hq.pins("berlin") == berlin.root() })
	hq.waits("/links/berlin:state", is("up good"))
	berlin.stop()
	berlin.dir = older
	berlin.start("berlin")
	hq.waits("/links/berlin:state", is("refused good"))
	berlin.waits("/links/hq:state", is("refused good"))
	atHQ, atBerlin := hq.shape(), berlin.shape()

	token := textArgument("token", hq.call("/links/berlin", "invite_again")["token"].Text())
	refused := func(n *linkedNode, want string, arguments ...model.Argument) {
		t.Helper()
		_, err := n.execute(Request{Op: OpCall, Path: linksPath, Name: "join", Arguments: arguments})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("joined with %v", err)
		}
	}
	refused(makeNode(t, "stranger"), "has none with the node", token)
	refused(other, "which is another one", token)
	refused(berlin, "keeps its right", token, textArgument("right", "administer"))
	if joined := berlin.call("/links", "join", token); joined["link"].Text() != "hq" {
		t.Errorf("joined %v", joined)
	}
	if joined := berlin.call("/links", "join", token); joined["link"].Text() != "hq" {
		t.Errorf("pasted twice it joined %v", joined)
	}
	hq.waits("/links/berlin:state", is("up good"))
	berlin.waits("/links/hq:state", is("up good"))
	if hq.pins("berlin") != berlin.root() || berlin.pins("hq") != hq.root() {
		t.Error("another root is pinned than the one in use")
	}
	hq.kept(atHQ)
	berlin.kept(atBerlin)
	hq.call("/links/berlin", "revoke")
	if _, err := hq.execute(Request{Op: OpCall, Path: model.MustPath("/links/berlin"), Name: "invite_again"}); err == nil {
		t.Error("a link that was revoked was renewed")
	}
}

// A node that was away until its root had expired comes back the same way: it makes the next root when it joins, and the other end pins that.
func TestExpiredNodeJoinsAgain(t *testing.T) {
	var off atomic.Int64
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/sites/berlin", "configure")
	hq.waits("/sites/berlin/system:name", is("berlin good"))
	address := hq.LinksAddress()
	berlin.stop()
	hq.stop()
	off.Store(int64(pki.RootLifetime * 3 / 4))
	hq = clockedAt(t, hq.dir, "hq", address, &off)
	hq.call("/system", "rotate_root")
	off.Store(int64(pki.RootLifetime + 24*time.Hour))
	if err := hq.peers.Renewed(); err != nil { // its leaf slept through the years
		t.Fatal(err)
	}
	berlin = clocked(t, berlin.dir, "berlin", &off)
	first := berlin.ID()
	berlin.waits("/links/hq:state", is("refused good"))
	// Who dials does not show itself to a node that it does not take for the right one: hq sees nobody.
	if words := berlin.read("/links/hq:detail"); !strings.Contains(words, "banyan invite --again LINK") {
		t.Errorf("the refusal does not say what to do: %s", words)
	}
	before := berlin.shape()
	berlin.call("/links", "join", textArgument("token", hq.call("/links/berlin", "invite_again")["token"].Text()))
	hq.waits("/links/berlin:state", is("up good"))
	hq.waits("/sites/berlin/system:name", is("berlin good"))
	berlin.kept(before)
	if berlin.IsProvisional() || berlin.ID() != first || hq.pins("berlin") != berlin.root() || berlin.pins("hq") != hq.root() {
		t.Errorf("berlin is %s with the root %s", berlin.ID(), berlin.root())
	}
	root := berlin.root()
	berlin.stop()
	berlin = clocked(t, berlin.dir, "berlin", &off)
	if berlin.root() != root {
		t.Error("the root was not kept")
	}
	hq.waits("/links/berlin:state", is("up good"))
}
