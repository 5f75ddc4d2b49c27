package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"banyan/backup"
	"banyan/model"
	"banyan/peering"

	"github.com/hashicorp/go-hclog"
)

// counted dials and counts what crosses, both ways.
type counted struct{ bytes atomic.Int64 }

type countedConn struct {
	net.Conn
	by *counted
}

func (c countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.by.bytes.Add(int64(n))
	return n, err
}

func (c countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.by.bytes.Add(int64(n))
	return n, err
}

func (c *counted) dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return countedConn{conn, c}, nil
}

// startCounted runs the node of a directory and counts what it sends and gets over connections that it dials.
func startCounted(t *testing.T, name, dir string) (*linkedNode, *counted) {
	t.Helper()
	n, by := &linkedNode{t: t, dir: dir}, &counted{}
	file := File{Name: name, Data: dir}
	file.Listeners.API, file.Listeners.Links = "127.0.0.1:0", "127.0.0.1:0"
	made, err := New(context.Background(), Config{
		File: file, Beat: 300 * time.Millisecond, Logger: hclog.New(&hclog.LoggerOptions{Output: &n.log}), Dial: by.dial,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.Node = made
	n.run(name)
	return n, by
}

func (n *linkedNode) set(path, name string, v model.Value) {
	n.t.Helper()
	if _, err := n.execute(Request{Op: OpSet, Path: model.MustPath(path), Name: name, Value: v}); err != nil {
		n.t.Fatal(err)
	}
}

// gateway is berlin with a recovery key and many devices, linked with hq, which keeps its backups.
func gateway(t *testing.T, devices int) (hq, berlin *linkedNode, key backup.Key) {
	t.Helper()
	key, err := backup.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	hq, berlin = makeNode(t, "hq"), makeNode(t, "berlin")
	berlin.call("/system", "set_recovery", textArgument("recipient", key.Recipient()))
	berlin.set("/system", settingSendEvery, model.Duration(time.Second))
	for i := range devices {
		if _, err := berlin.execute(Request{Op: OpCreate, Path: model.MustPath(fmt.Sprintf("/devices/d%d", i)), Kind: "simulator", Arguments: []model.Argument{
			{Name: "points", Value: model.Int64(2)}, {Name: "poll_interval", Value: model.Duration(time.Hour)}, {Name: "seed", Value: model.Int64(int64(i))},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	linkUp(berlin, hq, "berlin", "/sites/berlin", "configure")
	return hq, berlin, key
}

// keeps waits until hq keeps a backup of berlin that has everything.
func keeps(hq, berlin *linkedNode) {
	hq.t.Helper()
	link := hq.peers.(*links)
	deadline := time.Now().Add(20 * time.Second)
	for {
		if kept, there := link.shelf.of(berlin.ID()); there && kept.Change == berlin.store.LastChange() {
			return
		}
		if time.Now().After(deadline) {
			hq.t.Fatalf("hq keeps no backup of berlin with everything in it: %s\n%s", hq.read("/links/berlin:kept_backup"), berlin.log.String())
		}
		<-time.After(20 * time.Millisecond)
	}
}

// A gateway that died is replaced from the backup that its consumer keeps: by one token and its recovery key, once; it has the same ID and an epoch of its
// own, its link comes back by itself, only differences cross, and the one that was replaced does not come back unnoticed.
func TestGatewayIsReplaced(t *testing.T) {
	const devices = 300
	hq, berlin, key := gateway(t, devices)
	device := fmt.Sprintf("/sites/berlin/devices/d%d", devices-1)
	hq.waits(device+":all_bool", is("true good"))
	keeps(hq, berlin)
	berlin.set("/devices/d0", "seed", model.Int64(4711))
	keeps(hq, berlin)
	hq.waits("/sites/berlin/devices/d0:seed", is("4711 good"))
	hq.waits("/links/berlin:kept_backup", func(v string) bool { return strings.HasPrefix(v, "20") })
	berlin.waits("/links/hq:sent_backup", func(v string) bool { return strings.HasPrefix(v, "20") })
	folder := filepath.Join(hq.dir, "kept", berlin.ID().String())
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) > keptOfEach {
		t.Errorf("hq keeps %v, %v", entries, err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil || bytes.Contains(content, []byte("PRIVATE KEY")) || bytes.Contains(content, []byte("SQLite format")) {
			t.Errorf("hq can read the backup, %v", err)
		}
	}
	was := berlin.store.Epoch()
	berlin.stop()
	hq.waits(device+":all_bool", is("true uncertain/stale"))

	token := hq.call("/links/berlin", "recover")["token"].Text()
	dir := t.TempDir()
	stranger, _ := backup.NewKey()
	fetch := Fetch{Token: token, Key: stranger, Dir: dir}
	if _, err := FetchBackup(t.Context(), fetch); model.KindOf(err) != model.KindDenied {
		t.Errorf("with another key: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("with another key %v is left", left)
	}
	fetch.Key = key
	file, err := FetchBackup(t.Context(), fetch)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FetchBackup(t.Context(), fetch); err == nil {
		t.Error("the token was used twice")
	}
	if strings.Contains(hq.log.String(), token) || strings.Contains(hq.log.String(), key.Reveal()) {
		t.Error("a secret is in the log of hq")
	}
	fresh := filepath.Join(dir, "berlin")
	if _, err := backup.Restore(t.Context(), file, backup.Restoring{Dir: fresh, Key: key, Now: func() model.Time { return model.TimeOf(time.Now()) }}); err != nil {
		t.Fatal(err)
	}
	hq.set("/links/berlin", settingKeepBackups, model.Int64(0)) // what is counted is the tree
	before := hq.tree.ChangeHead()
	again, crossed := startCounted(t, "berlin", fresh)
	if again.ID() != berlin.ID() || again.store.Epoch() == was || again.store.Epoch().Ordinal != was.Ordinal+1 {
		t.Errorf("ID %s, epoch %s after %s", again.ID().Short(), again.store.Epoch(), was)
	}
	hq.waits("/links/berlin:state", is("up good"))
	hq.waits(device+":all_bool", is("true good"))
	hq.waits("/sites/berlin/devices/d0:seed", is("4711 good"))
	hq.waits("/sites/berlin/system:restored", func(v string) bool { return strings.HasPrefix(v, "20") })
	back, told := crossed.bytes.Load(), hq.tree.ChangeHead()-before
	if !strings.Contains(again.log.String(), "was restored from a backup") {
		t.Error("the log does not tell of the restore")
	}

	// A full listing, for comparison: the mirror is thrown away.
	again.stop()
	mirrors, _ := filepath.Glob(filepath.Join(hq.dir, "mirrors", "*"))
	hq.stop()
	for _, m := range mirrors {
		if err := os.Remove(m); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	address := hq.LinksAddress()
	hq.startAt("hq", address)
	before = hq.tree.ChangeHead()
	again, crossed = startCounted(t, "berlin", fresh)
	hq.waits(device+":all_bool", is("true good"))
	hq.waits("/links/berlin:state", is("up good"))
	listed, all := crossed.bytes.Load(), hq.tree.ChangeHead()-before
	t.Logf("%d contexts were told and %d bytes crossed when the gateway was replaced, %d and %d for a full listing", told, back, all, listed)
	if told > 10 || all < devices || back > listed {
		t.Errorf("%d contexts were told when the gateway was replaced, %d in a full listing; %d and %d bytes", told, all, back, listed)
	}

	// The one that was replaced comes back.
	again.set("/devices/d0", "seed", model.Int64(4712))
	hq.waits("/sites/berlin/devices/d0:seed", is("4712 good"))
	berlin.start("berlin")
	began := time.Now()
	berlin.waits("/links/hq:state", is("refused good"))
	hq.waits("/links/berlin:clone", func(v string) bool { return strings.Contains(v, "clone: a node with the ID of berlin") })
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it was noticed after %s", took)
	}
	if why := berlin.read("/links/hq:detail"); !strings.Contains(why, "clone") || !strings.Contains(why, "replaced") {
		t.Errorf("it is told %q", why)
	}
	<-time.After(2 * time.Second)
	for address, want := range map[string]string{"/sites/berlin/devices/d0:seed": "4712 good", "/links/berlin:state": "up good"} {
		if got := hq.read(address); got != want {
			t.Errorf("beside the clone %s is %s", address, got)
		}
	}
	// Also when it is alone, and after a restart of hq, it is refused, until somebody says that it is the one.
	again.stop()
	hq.stop()
	hq.startAt("hq", address)
	hq.waits("/links/berlin:state", is("refused good"))
	hq.call("/links/berlin", "readmit")
	hq.waits("/sites/berlin/devices/d0:seed", is("4711 good"))
}

// Two machines run copies of one directory: the one that is linked stays, the other is refused at once, and nothing is mixed.
func TestCloneIsFenced(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/sites/berlin", "configure")
	hq.waits("/sites/berlin/system:name", is("berlin good"))
	berlin.stop()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(berlin.dir)); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files { // a copy is readable to more than its owner
		if info, err := os.Stat(f); err == nil && !info.IsDir() {
			_ = os.Chmod(f, 0o600)
		}
	}
	berlin.start("berlin")
	hq.waits("/links/berlin:state", is("up good"))
	epoch := berlin.store.Epoch().String() + " good"
	hq.waits("/sites/berlin/system:epoch", is(epoch))
	began := time.Now()
	clone, _ := startCounted(t, "berlin", dir)
	clone.waits("/links/hq:state", is("refused good"))
	hq.waits("/links/berlin:clone", func(v string) bool { return strings.Contains(v, "forks off") })
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the clone was noticed after %s", took)
	}
	hq.explains("berlin", true, "The link is up. ", "a node with the ID of berlin at ", "was refused", "stop the copy", "banyan call /links/berlin:readmit")
	for range 30 {
		<-time.After(100 * time.Millisecond)
		if got := hq.read("/sites/berlin/system:epoch"); got != epoch {
			t.Fatalf("beside the clone the epoch is %s, was %s", got, epoch)
		}
	}
}

func TestJudgeLife(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	epoch := func(ordinal, random uint64) model.Begin {
		return model.Begin{Epoch: model.Epoch{Ordinal: ordinal, Random: random}, First: ordinal}
	}
	a, b, b2, c2 := epoch(1, 1), epoch(2, 1), epoch(2, 2), epoch(3, 2)
	r, r2 := peering.RestoreID{1}, peering.RestoreID{2}
	list := func(ids ...peering.RestoreID) []peering.RestoreID { return ids }
	tests := []struct {
		name            string
		known, told     model.Chain
		restores, tells []peering.RestoreID
		left            []model.Epoch
		live            bool
		silent          time.Duration
		refused         bool
		leaves          bool
		notes           bool
	}{
		{name: "the first", told: model.Chain{a}},
		{name: "the same again", known: model.Chain{a}, told: model.Chain{a}, live: true},
		{name: "a start after it", known: model.Chain{a}, told: model.Chain{a, b}, live: true},
		{name: "restored, the old one silent", known: model.Chain{a}, told: model.Chain{a, b2}, tells: list(r), notes: true},
		{name: "restored, the old one still linked", known: model.Chain{a}, told: model.Chain{a, b2}, tells: list(r), live: true, refused: true},
		{name: "restored from before the last start", known: model.Chain{a, b}, told: model.Chain{a, b2}, tells: list(r), notes: true, leaves: true},
		{name: "the replaced one, still in its life", known: model.Chain{a, b2}, told: model.Chain{a}, restores: list(r), refused: true},
		{name: "the replaced one, started again", known: model.Chain{a, b2}, told: model.Chain{a, b}, restores: list(r), silent: time.Hour, refused: true},
		{name: "restored on a second machine", known: model.Chain{a, b}, told: model.Chain{a, b2}, restores: list(r), tells: list(r2), silent: time.Hour, refused: true},
		{name: "restored again from the restored one", known: model.Chain{a, b2}, told: model.Chain{a, b2, c2}, restores: list(r), tells: list(r, r2), notes: true},
		{name: "a copy beside it", known: model.Chain{a, b}, told: model.Chain{a, b2}, live: true, refused: true},
		{name: "a copy a moment after it", known: model.Chain{a, b}, told: model.Chain{a, b2}, silent: time.Second, refused: true},
		{name: "a snapshot that was put back", known: model.Chain{a, b}, told: model.Chain{a, b2}, silent: time.Hour, leaves: true},
		{name: "what was given up", known: model.Chain{a, b2}, told: model.Chain{a, b, epoch(3, 1)}, left: []model.Epoch{b.Epoch}, silent: time.Hour, refused: true},
		{name: "the cache is lost", told: model.Chain{a, b2}, restores: list(r), tells: list(r)},
		{name: "the cache is lost, and the replaced one comes", told: model.Chain{a, b}, restores: list(r), refused: true},
	}
	for _, test := range tests {
		heard := model.TimeOf(now.Add(-test.silent))
		m := &peering.Meeting{Told: peering.Life{Chain: test.told, Restores: test.tells}, Known: test.known, Heard: heard, Live: test.live}
		v := judgeLife(m, test.restores, test.left, now)
		if (v.refused != "") != test.refused || (len(v.left) > 0) != test.leaves || v.note != test.notes {
			t.Errorf("%s: %+v", test.name, v)
		}
	}
}

// A recovery token works once, for a quarter of an hour, a few times if the key is wrong, and is no invitation.
func TestRecoveryToken(t *testing.T) {
	hq, berlin, key := gateway(t, 1)
	keeps(hq, berlin)
	dir := t.TempDir()
	token := hq.call("/links/berlin", "recover")["token"].Text()
	_, err := berlin.execute(Request{Op: OpCall, Path: model.MustPath("/links"), Name: "join", Arguments: []model.Argument{textArgument("token", token)}})
	if err == nil || !strings.Contains(err.Error(), "recovery token") {
		t.Errorf("joined by a recovery token: %v", err)
	}
	stranger, _ := backup.NewKey()
	for i := range mostRecoverTries {
		if _, err := FetchBackup(t.Context(), Fetch{Token: token, Key: stranger, Dir: dir}); err == nil {
			t.Fatalf("try %d: it was handed out for another key", i)
		}
	}
	if _, err := FetchBackup(t.Context(), Fetch{Token: token, Key: key, Dir: dir}); err == nil {
		t.Error("it was handed out after too many tries")
	}
	token = hq.call("/links/berlin", "recover")["token"].Text()
	hq.call("/links/berlin", "recover") // a newer one takes the place of the one before
	if _, err := FetchBackup(t.Context(), Fetch{Token: token, Key: key, Dir: dir}); err == nil {
		t.Error("an older token was taken")
	}
	if _, err := berlin.execute(Request{Op: OpCall, Path: model.MustPath("/links/hq"), Name: "recover"}); model.KindOf(err) != model.KindUnsupported {
		t.Errorf("a provider keeps something: %v", err)
	}
	invitation := hq.call("/links", "invite", textArgument("name", "x"), textArgument("role", "provider"))["token"].Text()
	if _, err := FetchBackup(t.Context(), Fetch{Token: invitation, Key: key, Dir: dir}); model.KindOf(err) != model.KindInvalid {
		t.Errorf("an invitation is taken for a recovery token: %v", err)
	}
}

// What a consumer does not grant is not kept, and both say so.
func TestKeepBackupsIsGranted(t *testing.T) {
	hq, berlin, _ := gateway(t, 1)
	hq.set("/links/berlin", settingKeepBackups, model.Int64(1000))
	hq.waits("/links/berlin:state", is("up good"))
	berlin.waits("/links/hq:sent_backup_problem", func(v string) bool { return strings.Contains(v, "are kept there at most") })
	if got := hq.read("/links/berlin:kept_backup"); strings.HasPrefix(got, "20") {
		t.Errorf("kept in spite of the limit: %s", got)
	}
	_, err := hq.execute(Request{Op: OpSet, Path: model.MustPath("/links/berlin"), Name: settingKeepBackups, Value: model.Int64(-1)})
	if model.KindOf(err) != model.KindInvalid {
		t.Errorf("less than nothing: %v", err)
	}
}

// Two machines run copies of a consumer's directory: the one that is linked stays, the other is refused by the provider, at once and after a restart of
// the provider, until somebody says that it is the one.
func TestConsumersCloneIsFenced(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	invitation := berlin.call("/links", "invite", textArgument("name", "hq"), textArgument("role", "provider"))
	hq.call("/links", "join", textArgument("token", invitation["token"].Text()), textArgument("mount", "/sites/berlin"))
	hq.waits("/sites/berlin/system:name", is("berlin good"))
	hq.stop()
	dir := copyOf(t, hq.dir)
	hq.start("hq")
	hq.waits("/links/berlin:state", is("up good"))
	berlin.waits("/links/hq:state", is("up good"))
	began := time.Now()
	clone, _ := startCounted(t, "hq", dir)
	clone.waits("/links/berlin:state", is("refused good"))
	berlin.waits("/links/hq:clone", func(v string) bool { return strings.Contains(v, "forks off") })
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the clone was noticed after %s", took)
	}
	if why := clone.read("/links/berlin:detail"); !strings.Contains(why, "clone") || !strings.Contains(why, "stop this node") {
		t.Errorf("the clone is told %q", why)
	}
	for range 20 {
		<-time.After(100 * time.Millisecond)
		if got := hq.read("/links/berlin:state"); got != "up good" {
			t.Fatalf("beside the clone the link is %s", got)
		}
	}
	address := berlin.LinksAddress()
	berlin.stop()
	hq.stop()
	berlin.startAt("berlin", address)
	berlin.waits("/links/hq:clone", func(v string) bool { return strings.Contains(v, "forks off") && strings.HasSuffix(v, " good") })
	clone.waits("/links/berlin:state", is("refused good"))
	berlin.call("/links/hq", "readmit")
	clone.waits("/links/berlin:state", is("up good"))
	hq.start("hq")
	hq.waits("/links/berlin:state", is("refused good"))
	clone.waits("/links/berlin:state", is("up good"))
}

// A provider that comes back with an older directory, after it was silent for long enough, is taken as what it is, which is shown; what is mirrored becomes
// what it has.
func TestRolledBackProviderIsShown(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	hq.stop()
	var off atomic.Int64
	hq = clocked(t, hq.dir, "hq", &off)
	linkUp(berlin, hq, "berlin", "/sites/berlin", "configure")
	folder := func(name string) {
		t.Helper()
		if _, err := berlin.execute(Request{Op: OpCreate, Path: model.MustPath("/devices/" + name), Kind: KindFolder}); err != nil {
			t.Fatal(err)
		}
	}
	present := func(name string, want bool) {
		t.Helper()
		hq.until(name+" is as it should be", func() bool {
			_, there := hq.tree.Lookup(model.MustPath("/sites/berlin/devices/" + name))
			return there == want
		})
	}
	folder("before")
	present("before", true)
	berlin.stop()
	older := copyOf(t, berlin.dir)
	berlin.start("berlin")
	folder("after")
	present("after", true)
	berlin.stop()
	hq.waits("/links/berlin:state", is("connecting good"))
	off.Store(int64(2 * forkPatience))
	startCounted(t, "berlin", older)
	hq.waits("/links/berlin:state", is("up good"))
	hq.waits("/links/berlin:rolled_back", func(v string) bool { return strings.Contains(v, "came back") && strings.Contains(v, "older history") })
	present("after", false)
	present("before", true)
	berlin.start("berlin") // what was given up does not come back beside it
	berlin.waits("/links/hq:state", is("refused good"))
	present("after", false)
}
