package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banyan/backup"
	"banyan/model"
	"banyan/pki"
)

// pins is the fingerprint of the root that a node has pinned at a link.
func (n *linkedNode) pins(link string) model.NodeID {
	n.t.Helper()
	c, there := n.tree.Lookup(model.MustPath("/links/" + link))
	if !there {
		n.t.Fatalf("there is no link %s", link)
	}
	root, err := x509.ParseCertificate(c.SettingNamed(settingRoots).Bytes())
	if err != nil {
		n.t.Fatal(err)
	}
	return pki.Fingerprint(root)
}

func (n *linkedNode) root() model.NodeID { return pki.Fingerprint(n.authority.Root()) }

// until waits for something that is not in the tree.
func (n *linkedNode) until(what string, holds func() bool) {
	n.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			n.t.Fatalf("waited in vain until %s", what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// copyOf is a copy of a node's directory.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(to, "*"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && !info.IsDir() {
			_ = os.Chmod(f, 0o600)
		}
	}
	return to
}

// trusts reports whether whoever has a ca.pem reaches a node's API.
func (n *linkedNode) trusts(ca []byte) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	conn, err := tls.Dial("tcp", n.APIAddress(), &tls.Config{RootCAs: pool, ServerName: "localhost"})
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// The root of a node is succeeded while its links stand: the other end pins the new one at all links with it at once, both come back by themselves, people
// reach the node by the ca.pem of before and by the new one, and who shows the older root is not taken any more.
func TestRootIsSucceeded(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/sites/berlin", "configure")
	invitation := hq.call("/links", "invite", textArgument("name", "down"), textArgument("role", "provider"), textArgument("paths", "/devices/**"))
	berlin.call("/links", "join", textArgument("token", invitation["token"].Text()), textArgument("mount", "/up"), textArgument("name", "up"))
	up := func() {
		t.Helper()
		for _, link := range []string{"/links/berlin:state", "/links/down:state"} {
			hq.waits(link, is("up good"))
		}
	}
	up()
	hq.waits("/sites/berlin/system:name", is("berlin good"))
	older := copyOf(t, berlin.dir)
	before, _ := os.ReadFile(filepath.Join(berlin.dir, pki.CAFile))
	first := berlin.root()
	if first != berlin.ID() || hq.pins("berlin") != first {
		t.Fatal("the first root is another")
	}
	told := berlin.call("/system", "rotate_root")["root"].Text()
	if berlin.ID() != first || berlin.root() == first || berlin.root().String() != told {
		t.Fatalf("the root is %s, told %s", berlin.root(), told)
	}
	hq.until("both links pin the new root", func() bool { return hq.pins("berlin") == berlin.root() && hq.pins("down") == berlin.root() })
	up()
	hq.waits("/sites/berlin/system:name", is("berlin good"))
	after, _ := os.ReadFile(filepath.Join(berlin.dir, pki.CAFile))
	for _, ca := range [][]byte{before, after} {
		if err := berlin.trusts(ca); err != nil {
			t.Errorf("people do not reach the API: %v", err)
		}
	}
	rows := hq.call("/system", "audit", textArgument("operation", "succeed"))["rows"]
	if n := len(rows.Table().Rows); n != 1 {
		t.Errorf("%d rows tell of the succession", n)
	}
	berlin.stop()
	berlin.start("berlin")
	if berlin.ID() != first || berlin.root().String() != told {
		t.Errorf("after a restart the node is %s with the root %s", berlin.ID(), berlin.root())
	}
	up()
	if err := berlin.trusts(before); err != nil {
		t.Errorf("people do not reach the API after a restart: %v", err)
	}

	// The directory of before comes back.
	berlin.stop()
	replayed, _ := startCounted(t, "berlin", older)
	hq.waits("/links/berlin:state", is("refused good"))
	replayed.waits("/links/hq:state", is("refused good"))
	for _, words := range []string{hq.read("/links/berlin:detail"), replayed.read("/links/hq:detail")} {
		if !strings.Contains(words, "banyan invite --again") {
			t.Errorf("the refusal does not say what to do: %s", words)
		}
	}
	if hq.pins("berlin").String() != told {
		t.Error("the older root was pinned again")
	}
}

// A peer that is away for three lives of a leaf, while the other end's root is succeeded several times, links by itself when it is back: either end.
func TestPeerIsAwayWhileRootsAreSucceeded(t *testing.T) {
	short := Certificates{Link: 2 * time.Second}
	hq, berlin := &linkedNode{t: t, dir: t.TempDir(), certificates: short}, &linkedNode{t: t, dir: t.TempDir(), certificates: short}
	for name, n := range map[string]*linkedNode{"hq": hq, "berlin": berlin} {
		if _, err := Init(context.Background(), n.dir, name, nil); err != nil {
			t.Fatal(err)
		}
		n.start(name)
	}
	linkUp(berlin, hq, "berlin", "/sites/berlin", "configure")
	hq.waits("/sites/berlin/system:name", is("berlin good"))
	address := hq.LinksAddress()
	hq.stop()
	for range 3 {
		berlin.call("/system", "rotate_root")
		<-time.After(short.Link)
	}
	hq.startAt("hq", address)
	hq.waits("/links/berlin:state", is("up good"))
	if hq.pins("berlin") != berlin.root() {
		t.Error("hq pins another root than berlin's")
	}
	berlin.stop()
	for range 3 {
		hq.call("/system", "rotate_root")
		<-time.After(short.Link)
	}
	berlin.start("berlin")
	berlin.waits("/links/hq:state", is("up good"))
	if berlin.pins("hq") != hq.root() {
		t.Error("berlin pins another root than that of hq")
	}
	hq.waits("/sites/berlin/system:name", is("berlin good"))
}

// The backup that a consumer keeps is made anew when the root was succeeded, so that the node that is restored from it is taken.
func TestBackupAfterSuccession(t *testing.T) {
	hq, berlin, key := gateway(t, 1)
	keeps(hq, berlin)
	of := func() model.Time {
		kept, _ := hq.peers.(*links).shelf.of(berlin.ID())
		return kept.Made
	}
	before := of()
	berlin.call("/system", "rotate_root")
	hq.until("a newer backup is kept", func() bool { return of() > before })
	keeps(hq, berlin)
	root := berlin.root()
	berlin.stop()
	file, err := FetchBackup(t.Context(), Fetch{Token: hq.call("/links/berlin", "recover")["token"].Text(), Key: key, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(t.TempDir(), "berlin")
	if _, err := backup.Restore(t.Context(), file, backup.Restoring{Dir: fresh, Key: key, Now: func() model.Time { return model.TimeOf(time.Now()) }}); err != nil {
		t.Fatal(err)
	}
	again, _ := startCounted(t, "berlin", fresh)
	if again.root() != root || again.ID() != berlin.ID() {
		t.Errorf("the restored node has the root %s, want %s", again.root(), root)
	}
	hq.waits("/links/berlin:state", is("up good"))
}
