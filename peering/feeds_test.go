package peering

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/pki"
	"banyan/tree"
)

// part is an export of what lies below a path.
func (n *linked) part(name, root string) Export {
	return Export{Name: name, View: follow.NewView(n.tree, model.MustPath(root), everything{})}
}

// mounting is a mount of an export of another node.
func (n *linked) mounting(name, export string, from *linked) Mount {
	return Mount{Name: name, Export: export, Mirror: NewMirror(MirrorConfig{
		Tree: n.tree, Mount: model.MustPath("/" + name), Self: n.hop, Peer: tree.Hop{Node: from.hop.Node, Name: from.hop.Name}, Keeper: noKeeper{},
	}, nil, Place{})}
}

func (n *linked) feed(link, mount string) FeedStatus {
	s, _ := n.hub.Status(link)
	for _, f := range s.Feeds {
		if f.Mount == mount {
			return f
		}
	}
	return FeedStatus{}
}

func (n *linked) in(link string, state State) func() bool {
	return func() bool { s, _ := n.hub.Status(link); return s.State == state }
}

// sessionOf is the session of a mount, to see whether it is another one.
func (n *linked) sessionOf(mount string) *consumerSession {
	l := n.hub.all()[0].link
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.feeds {
		if f.mount.Name == mount {
			return f.session
		}
	}
	return nil
}

// parts is a link that carries two exports, with many contexts in one of them.
func parts(t *testing.T, providerDials bool) (hq, berlin *linked, down, up LinkConfig, p *proxy) {
	t.Helper()
	known := pins{}
	// Heartbeats that a busy machine does not miss: connections are counted.
	hq, berlin = newLinkedBeating(t, "hq", known, 10*time.Second), newLinkedBeating(t, "berlin", known, 10*time.Second)
	target := berlin
	if providerDials {
		target = hq
	}
	p = newProxy(t, target.address)
	berlin.put("/a/one")
	for i := range 2000 {
		berlin.put(fmt.Sprintf("/b/d%04d", i))
	}
	berlin.publish("/a/one", 1, "one", 1)
	berlin.publish("/b/d0007", 7, "seven", 1)
	down, up = consume(hq, berlin, !providerDials, p.address()), provide(berlin, hq, providerDials, p.address())
	down.Mounts = []Mount{hq.mounting("x", "a", berlin), hq.mounting("y", "b", berlin)}
	up.Exports = []Export{berlin.part("a", "/a"), berlin.part("b", "/b")}
	hq.hub.Reconcile([]LinkConfig{down})
	berlin.hub.Reconcile([]LinkConfig{up})
	until(t, "both parts are there", func() bool { return hq.reads("/x/one:load", "1 good")() && hq.reads("/y/d0007:load", "7 good")() })
	until(t, "both ends are up", func() bool { return hq.in("down", StateUp)() && berlin.in("up", StateUp)() })
	return hq, berlin, down, up, p
}

// Several exports go over one connection, and one for listings. They come and go without each other, and a cut is a cut of all.
func TestFeedsShareAConnection(t *testing.T) {
	for _, providerDials := range []bool{true, false} {
		t.Run(fmt.Sprintf("provider dials %v", providerDials), func(t *testing.T) {
			t.Parallel()
			hq, berlin, down, up, p := parts(t, providerDials)
			p.mu.Lock()
			if p.count > 2 {
				t.Errorf("%d connections were opened for two exports", p.count)
			}
			p.mu.Unlock()
			x := hq.sessionOf("x")

			up.Exports = append(slices.Clone(up.Exports), berlin.part("c", "/a"))
			berlin.hub.Reconcile([]LinkConfig{up})
			down.Mounts = append(slices.Clone(down.Mounts), hq.mounting("z", "c", berlin))
			hq.hub.Reconcile([]LinkConfig{down})
			until(t, "the third is there", hq.reads("/z/one:load", "1 good"))
			down.Mounts = down.Mounts[1:]
			down.Mounts = append(down.Mounts, hq.mounting("x2", "a", berlin))
			hq.hub.Reconcile([]LinkConfig{down})
			until(t, "the export is mounted elsewhere", hq.reads("/x2/one:load", "1 good"))
			if y := hq.sessionOf("y"); x == nil || y == nil || time.Duration(y.feed.link.hub.now()-y.began) <= 0 || y.began > hq.sessionOf("z").began {
				t.Error("a session began anew for another one's sake")
			}

			p.reset(func(*proxied) bool { return true })
			berlin.publish("/b/d0007", 8, "eight", 2)
			berlin.publish("/a/one", 2, "two", 2)
			until(t, "all is back", func() bool {
				return hq.reads("/y/d0007:load", "8 good")() && hq.reads("/x2/one:load", "2 good")() && hq.reads("/z/one:load", "2 good")()
			})
			until(t, "the link is up", hq.in("down", StateUp))
		})
	}
}

// What is taken from a link is told and purged at once, and the rest of the link stands as it was; what comes back is mounted again.
func TestWithdrawnIsPurged(t *testing.T) {
	t.Parallel()
	hq, berlin, _, up, _ := parts(t, true)
	y := hq.sessionOf("y")
	all := up.Exports
	up.Exports = all[1:]
	berlin.hub.Reconcile([]LinkConfig{up})
	gone := func() bool { _, there := hq.tree.Lookup(model.MustPath("/x/one")); return !there }
	until(t, "what was withdrawn is gone", gone)
	until(t, "the mount says so", func() bool {
		f := hq.feed("down", "x")
		return f.State == StateWithdrawn && strings.Contains(f.Detail, "no export of this name")
	})
	until(t, "the link says so", func() bool {
		s, _ := hq.hub.Status("down")
		return s.State == StatePartial && strings.HasPrefix(s.Detail, "x is withdrawn: ")
	})
	berlin.publish("/b/d0007", 9, "nine", 3)
	until(t, "the rest goes on", hq.reads("/y/d0007:load", "9 good"))
	if hq.sessionOf("y") != y {
		t.Error("the rest began anew")
	}
	up.Exports = all
	berlin.hub.Reconcile([]LinkConfig{up})
	until(t, "it is mounted again", hq.reads("/x/one:load", "1 good"))
	until(t, "the link is up", hq.in("down", StateUp))
}

// Who was cut while a link was revoked or an export withdrawn learns so at the next contact, whichever end dials. One that is switched off is only stale.
func TestWithdrawnWhileCut(t *testing.T) {
	for _, providerDials := range []bool{true, false} {
		for _, what := range []string{"withdrawn", "revoked", "disabled"} {
			t.Run(fmt.Sprintf("%s, provider dials %v", what, providerDials), func(t *testing.T) {
				t.Parallel()
				hq, berlin, _, up, p := parts(t, providerDials)
				p.set(drop, drop)
				p.reset(func(*proxied) bool { return true })
				until(t, "hq is cut", func() bool { return hq.feed("down", "x").State != StateUp })
				switch what {
				case "withdrawn":
					up.Exports = up.Exports[1:]
				case "revoked":
					up.Refused, up.Refusal = true, pki.Revoked
				case "disabled":
					up.Refused, up.Refusal = true, pki.Disabled
				}
				berlin.hub.Reconcile([]LinkConfig{up})
				if got := readingOf(hq.node, "/x/one:load"); got != "1 uncertain/stale" {
					t.Errorf("of a link that is cut the value is %s", got)
				}
				p.set(pass, pass)
				has := func(path string) func() bool {
					return func() bool { _, there := hq.tree.Lookup(model.MustPath(path)); return there }
				}
				switch what {
				case "withdrawn":
					until(t, "it is gone", func() bool { return !has("/x/one")() })
					until(t, "the rest is good", hq.reads("/y/d0007:load", "7 good"))
				case "revoked":
					until(t, "all is gone", func() bool { return !has("/x/one")() && !has("/y/d0007")() })
					until(t, "the mounts say so", func() bool { return hq.feed("down", "y").State == StateWithdrawn })
				case "disabled":
					if !providerDials {
						until(t, "hq is refused", hq.in("down", StateRefused))
					}
					if !has("/x/one")() || !has("/y/d0007")() {
						t.Error("what a link carries that is switched off was purged")
					}
				}
			})
		}
	}
}

// A link that carries nothing stands, is seen to break, and says how it is.
func TestLinkWithoutFeeds(t *testing.T) {
	t.Parallel()
	known := pins{}
	hq, berlin := newLinked(t, "hq", known), newLinked(t, "berlin", known)
	p := newProxy(t, hq.address)
	down, up := consume(hq, berlin, false), provide(berlin, hq, true, p.address())
	mounts, exports := down.Mounts, up.Exports
	down.Mounts, up.Exports = nil, nil
	hq.hub.Reconcile([]LinkConfig{down})
	berlin.hub.Reconcile([]LinkConfig{up})
	until(t, "both ends say that it carries nothing", func() bool { return hq.in("down", StateIdle)() && berlin.in("up", StateIdle)() })
	p.set(freeze, freeze)
	began := time.Now()
	until(t, "hq sees the cut", func() bool { return !hq.in("down", StateIdle)() })
	if took := time.Since(began); took > 2*standbyTime+2*time.Second {
		t.Errorf("that took %v", took)
	}
	p.set(pass, pass)
	p.reset(func(*proxied) bool { return true })
	until(t, "it stands again", func() bool { return hq.in("down", StateIdle)() && berlin.in("up", StateIdle)() })
	berlin.put("/a")
	down.Mounts, up.Exports = mounts, exports
	hq.hub.Reconcile([]LinkConfig{down})
	berlin.hub.Reconcile([]LinkConfig{up})
	until(t, "what is mounted is there", hq.reads("/m/a:interval", "1s good"))
	until(t, "both ends are up", func() bool { return hq.in("down", StateUp)() && berlin.in("up", StateUp)() })
}

// A provider of version 1 shows one thing, and does not know what it is called.
func TestProviderOfVersion1ShowsOneThing(t *testing.T) {
	t.Parallel()
	known := pins{}
	hq, berlin := newLinked(t, "hq", known), newLinked(t, "berlin", known)
	berlin.hub.speak = 1
	berlin.put("/a/one")
	down := consume(hq, berlin, true, berlin.address)
	down.Mounts = []Mount{hq.mounting("x", "", berlin), hq.mounting("y", "", berlin), hq.mounting("z", "up", berlin)}
	hq.hub.Reconcile([]LinkConfig{down})
	berlin.hub.Reconcile([]LinkConfig{provide(berlin, hq, false)})
	until(t, "the first is there", hq.reads("/x/a/one:interval", "1s good"))
	until(t, "the others say why not", func() bool {
		y, z := hq.feed("down", "y"), hq.feed("down", "z")
		return y.State == StateRefused && z.State == StateRefused && strings.Contains(y.Detail, "one thing")
	})
	if _, there := hq.tree.Lookup(model.MustPath("/z/a/one")); there {
		t.Error("what a provider shows that knows no names was taken for something that has one")
	}
}

// The empty name means the export that the link was made with, or the first.
func TestExportFor(t *testing.T) {
	for _, test := range []struct {
		name    string
		exports []string
		want    string
	}{
		{"", nil, ""}, {"", []string{"b", "a"}, ""}, {"", []string{"b"}, "b"}, {"", []string{"a", "link"}, "link"}, {"", []string{"link", "a"}, "link"},
		{"a", []string{"b", "a"}, "a"}, {"c", []string{"b", "a"}, ""},
	} {
		at, found := ExportFor("link", test.name, test.exports)
		if got := slices.Concat(test.exports, []string{""}); found != (test.want != "") || found && got[at] != test.want {
			t.Errorf("%q of %v is %d, %v", test.name, test.exports, at, found)
		}
	}
}
