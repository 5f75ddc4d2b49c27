package server

import (
	"context"
	"crypto/tls"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"banyan/pki"

	"github.com/hashicorp/go-hclog"
)

// clocked runs a node whose clock is off.
func clocked(t *testing.T, dir, name string, off *atomic.Int64) *linkedNode {
	t.Helper()
	return clockedAt(t, dir, name, "127.0.0.1:0", off)
}

func clockedAt(t *testing.T, dir, name, links string, off *atomic.Int64) *linkedNode {
	t.Helper()
	n := &linkedNode{t: t, dir: dir}
	file := File{Name: name, Data: dir}
	file.Listeners.API, file.Listeners.Links = "127.0.0.1:0", links
	made, err := New(context.Background(), Config{
		File: file, Beat: 300 * time.Millisecond, Logger: hclog.New(&hclog.LoggerOptions{Output: &n.log}),
		Now: func() time.Time { return time.Now().Add(time.Duration(off.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	n.Node = made
	n.run(name)
	n.until("the API serves", func() bool { // it makes its certificate as it begins: by the clock from before somebody sets it
		conn, err := tls.Dial("tcp", n.APIAddress(), &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return n
}

// A root is succeeded when it is due: at once where nobody is linked, else only while another node vouches for the clock, or did and the clock was not set
// since. A node whose clock says that its root has expired serves people with a provisional one, and has the old one again when the clock is right.
func TestRootIsDue(t *testing.T) {
	var off atomic.Int64
	alone := makeNode(t, "alone")
	alone.stop()
	alone = clocked(t, alone.dir, "alone", &off)
	var kept identityKept
	look := func(n *linkedNode) {
		t.Helper()
		if err := n.lookAtRoot(t.Context(), &kept); err != nil {
			t.Fatal(err)
		}
	}
	first := alone.root()
	if look(alone); alone.root() != first {
		t.Fatal("a young root was succeeded")
	}
	off.Store(int64(pki.RootLifetime * 3 / 4))
	if look(alone); alone.root() == first || alone.IsProvisional() {
		t.Error("the root of a node without links was not succeeded when it was due")
	}
	alone.stop()

	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/sites/berlin", "configure")
	berlin.waits("/links/hq:state", is("up good"))
	berlin.stop()
	hq.stop()
	off.Store(0)
	berlin = clocked(t, berlin.dir, "berlin", &off)
	first, kept = berlin.root(), identityKept{}
	off.Store(int64(pki.RootLifetime * 3 / 4))
	if look(berlin); berlin.root() != first {
		t.Error("the root was succeeded though nobody vouched for the clock")
	}
	kept = identityKept{agreed: berlin.cfg.Now(), agreedRun: time.Now()} // as when hq had been there with that time
	if look(berlin); berlin.root() == first || berlin.ID() != first {
		t.Error("the root was not succeeded though another node had vouched for the clock")
	}
	second := berlin.root()
	off.Store(int64(3 * pki.RootLifetime))
	if look(berlin); !berlin.IsProvisional() || berlin.root() == second {
		t.Error("the clock was set, and the root was kept or succeeded for good")
	}
	if said := berlin.call("/system", "identity")["problem"].Text(); !strings.Contains(said, "provisional") {
		t.Errorf("identity says %q", said)
	}
	berlin.stop()
	berlin = clocked(t, berlin.dir, "berlin", &off) // by that clock it has expired from the start on
	if !berlin.IsProvisional() || berlin.ID() != first {
		t.Error("a node whose root has expired does not begin with a provisional one")
	}
	berlin.stop()
	off.Store(int64(pki.RootLifetime * 3 / 4))
	berlin = clocked(t, berlin.dir, "berlin", &off)
	if berlin.root() != second {
		t.Error("when the clock is right the root is another")
	}
}

// IsProvisional reports whether the node's root is in memory only.
func (n *linkedNode) IsProvisional() bool { return n.authority.IsProvisional() }
