package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"banyan/model"
	"banyan/tree"

	"github.com/mattn/go-sqlite3"
)

// smallDisk is a file system of its own with so much room.
type smallDisk struct {
	t   *testing.T
	dir string
}

func newSmallDisk(t *testing.T, options string) *smallDisk {
	t.Helper()
	d := &smallDisk{t, t.TempDir()}
	if err := syscall.Mount("tmpfs", d.dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("a file system in memory cannot be mounted, which needs root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(d.dir, syscall.MNT_DETACH) })
	return d
}

// fill takes all room but so many pages.
func (d *smallDisk) fill(leave int64) {
	d.t.Helper()
	file, err := os.OpenFile(filepath.Join(d.dir, "filler"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer file.Close()
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &s); err != nil {
		d.t.Fatal(err)
	}
	if take := int64(s.Bavail) - leave; take > 0 {
		if _, err := file.Write(make([]byte, take*s.Bsize)); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *smallDisk) free() {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.dir, "filler")); err != nil {
		d.t.Fatal(err)
	}
}

// attempt is a commit that may fail.
func (n *node) attempt(changes ...Change) error {
	n.t.Helper()
	tx, err := n.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.Apply(&Commit{Class: ClassSettings, Changes: changes}); err != nil {
		return err
	}
	first := n.tree.Reserve(tx.Changes())
	defer n.tree.Release()
	shown, err := tx.Commit(first)
	if err == nil {
		n.tree.Apply(shown.Puts, shown.Removals)
	}
	return err
}

func points(n int64) []Setting { return []Setting{{Name: "points", Value: model.Int64(n)}} }

// TestFullIndexLeavesNoTrace: the log's index grows after a transaction was written to the log. Where there is no room for it the commit is refused, and
// it is not in the log either, for a start after a crash in that moment to find.
func TestFullIndexLeavesNoTrace(t *testing.T) {
	hit := false
	for _, leave := range []int64{4, 12, 14, 17, 19} {
		d := newSmallDisk(t, "size=64m")
		dir := filepath.Join(d.dir, "node")
		n := openNode(t, Config{Dir: dir})
		id := n.create("/a", deviceSchema(t))
		last := int64(0)
		index := func() int64 {
			info, err := os.Stat(filepath.Join(dir, "node.db-shm"))
			if err != nil {
				t.Fatal(err)
			}
			return info.Size()
		}
		frames := func() int64 { return (logSize(t, n) - 32) / (4096 + 24) }
		for frames() < 4050 { // the first page of the index takes 4062
			last++
			n.do(Set{Target: ByID(id), Settings: points(last)})
		}
		before := index()
		d.fill(leave)
		var err error
		for err == nil && index() == before {
			last++
			err = n.attempt(Set{Target: ByID(id), Settings: points(last)})
		}
		if err == nil {
			continue // there was room enough
		}
		if !IsFull(err) {
			t.Fatalf("%d pages left: %v", leave, err)
		}
		hit = hit || isIndexFull(err)
		copied := filepath.Join(t.TempDir(), "node")
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if got := settingOf(t, openNode(t, Config{Dir: copied}), id, "points"); got != last-1 {
			t.Errorf("%d pages left, %v: a start after a crash finds %d, confirmed was %d", leave, err, got, last-1)
		}
		d.free()
		if err := n.attempt(Set{Target: ByID(id), Settings: points(last)}); err != nil {
			t.Errorf("%d pages left, then room: %v", leave, err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	if !hit {
		t.Error("the index always had room: this proves nothing")
	}
}

// TestBrokenIndexIsNoFullDisk: an index of the log that cannot grow since the disk is broken ends the node, as every other write that fails.
func TestBrokenIndexIsNoFullDisk(t *testing.T) {
	for reason, full := range map[syscall.Errno]bool{syscall.ENOSPC: true, syscall.EDQUOT: true, syscall.EIO: false, 0: false} {
		err := sqlite3.Error{Code: sqlite3.ErrIoErr, ExtendedCode: sqlite3.ErrIoErrSHMSize, SystemErrno: reason}
		if IsFull(err) != full || isIndexFull(err) != full {
			t.Errorf("%v counts as full: %v", reason, IsFull(err))
		}
	}
}

func settingOf(t *testing.T, n *node, id model.ContextID, name string) int64 {
	t.Helper()
	found := int64(-1)
	n.tree.Walk(model.Root, nil, func(c *tree.Context) bool {
		if c.ID == id {
			found = c.SettingNamed(name).Int64()
		}
		return true
	})
	return found
}

// TestLogOnAFullDisk: where the log cannot be moved into the file since that would grow, nothing fails, and it is moved later.
func TestLogOnAFullDisk(t *testing.T) {
	d := newSmallDisk(t, "size=48m")
	n := openNode(t, Config{Dir: filepath.Join(d.dir, "node")})
	schema := mustSchema(t, model.Schema{Kind: "b", Settings: []model.Setting{{Name: "note", Type: model.TypeBytes}}})
	n.do(PutSchema{schema})
	for i := range 40 { // 20 MB, that are in the log alone
		n.do(Create{ID: n.NewID(), Path: model.MustPath(fmt.Sprintf("/c%d", i)), Schema: schema.Hash, Settings: []Setting{{Name: "note", Value: model.Bytes(bytes.Repeat([]byte("x"), 500_000))}}})
	}
	d.fill(0)
	if err := n.KeepLogShort(); err != nil || n.noRoom.IsZero() {
		t.Fatalf("moving the log: %v, tried %v", err, n.noRoom)
	}
	if err := n.attempt(Remove{Target: At(model.MustPath("/c0"))}); !IsFull(err) {
		t.Errorf("a commit: %v", err)
	}
	d.free()
	before := logSize(t, n)
	n.noRoom = n.noRoom.Add(-logPause)
	if err := n.attempt(Remove{Target: At(model.MustPath("/c0"))}); err != nil || !n.noRoom.IsZero() {
		t.Errorf("with room: %v, %v", err, n.noRoom)
	}
	if size := logSize(t, n); size > before {
		t.Errorf("the log grew from %d to %d before it was moved", before, size)
	}
	if info, err := os.Stat(filepath.Join(d.dir, "node", "node.db")); err != nil || info.Size() < 20_000_000 {
		t.Errorf("the log was not moved into the file: %v, %v", info, err)
	}
	n = n.reopen()
	if contexts, _ := n.tree.Count(); contexts != 39 {
		t.Errorf("%d contexts came back", contexts)
	}
}

// TestStartWithoutRoom is refused and harms nothing: no cache is taken for damaged, and with room everything is there. The same without inodes.
func TestStartWithoutRoom(t *testing.T) {
	for _, what := range []string{"blocks", "inodes"} {
		t.Run(what, func(t *testing.T) {
			d := newSmallDisk(t, "size=8m,nr_inodes=200")
			m := newMirroredIn(t, filepath.Join(d.dir, "node"))
			m.receive("/a", 1, 1, remoteState(1))
			m.mirror.flush()
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			free := d.free
			if what == "blocks" {
				d.fill(0)
			} else {
				free = d.takeInodes()
			}
			_, err := Open(t.Context(), Config{Dir: filepath.Join(d.dir, "node"), Node: nodeA})
			var told *model.Error
			if !errors.As(err, &told) || told.Kind != model.KindExhausted || told.Remedy == "" {
				t.Errorf("starting: %v", err)
			}
			free()
			again := openMirrored(t, filepath.Join(d.dir, "node"), m.mount)
			if got := again.mirror.State().Position; got != 1 {
				t.Errorf("the mirror is at %d", got)
			}
			if found, _ := filepath.Glob(filepath.Join(d.dir, "node", "*", "*.damaged")); len(found) > 0 {
				t.Errorf("set aside: %v", found)
			}
		})
	}
}

// takeInodes makes files until there can be no more.
func (d *smallDisk) takeInodes() (free func()) {
	dir := filepath.Join(d.dir, "inodes")
	if err := os.Mkdir(dir, 0o700); err != nil {
		d.t.Fatal(err)
	}
	for i := 0; ; i++ {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			if !IsFull(err) {
				d.t.Fatal(err)
			}
			break
		}
	}
	return func() {
		if err := os.RemoveAll(dir); err != nil {
			d.t.Fatal(err)
		}
	}
}

// TestMirrorWaitsForRoom: what a provider told while the disk was full is written when there is room, the latest of each.
func TestMirrorWaitsForRoom(t *testing.T) {
	d := newSmallDisk(t, "size=8m")
	m := newMirroredIn(t, filepath.Join(d.dir, "node"))
	m.receive("/a", 1, 1, remoteState(1))
	m.receive("/gone", 2, 1, remoteState(2))
	m.mirror.flush()
	d.fill(0)
	for round := range uint64(3) {
		for i := range uint64(50) {
			m.receive(fmt.Sprintf("/devices/d%d", i), 10+i, int64(round), remoteState(10+round))
		}
		if round == 1 {
			m.lose("/gone", 2, remoteState(10+round))
			m.lose("/devices/d7", 17, remoteState(10+round))
		}
		m.mirror.flush()
		if !m.mirror.waitsForRoom() {
			t.Fatal("there was room")
		}
	}
	if got := m.mirror.State().Position; got != 2 {
		t.Errorf("the file says that it is at %d", got)
	}
	d.free()
	m.mirror.flush()
	if m.mirror.waitsForRoom() {
		t.Error("it still waits")
	}
	again := m.restart()
	if got := again.mirror.State().Position; got != 12 {
		t.Errorf("the state is at %d, want 12", got)
	}
	for path, want := range map[string]int64{"/a": 1, "/gone": -1, "/devices/d3": 2, "/devices/d7": 2} {
		got := int64(-1)
		if c, there := again.tree.Lookup(model.MustPath("/sites/berlin" + path)); there {
			got = c.Settings[1].Int64()
		}
		if got != want {
			t.Errorf("%s has %d, want %d", path, got, want)
		}
	}
}

// TestValuesWaitForRoom: last values that could not be saved are saved when there is room.
func TestValuesWaitForRoom(t *testing.T) {
	d := newSmallDisk(t, "size=8m")
	dir := filepath.Join(d.dir, "node")
	n := openNode(t, Config{Dir: dir})
	n.create("/a", deviceSchema(t))
	c := NewCheckpoint(CheckpointConfig{Store: n.Store, Tree: n.tree})
	c.Restore()
	at, _ := n.tree.Lookup(model.MustPath("/a"))
	var batch tree.Batch
	batch.Add(at.Slots.First, model.Sample{Value: model.Float64(7), Source: 1})
	n.tree.Publish(&batch)
	d.fill(0)
	c.save()
	if c.since == n.tree.Head() {
		t.Fatal("there was room")
	}
	d.free()
	c.save()
	if c.since != n.tree.Head() {
		t.Error("there was no room")
	}
	n = n.reopen()
	if NewCheckpoint(CheckpointConfig{Store: n.Store, Tree: n.tree}).Restore() != 1 {
		t.Error("the value did not come back")
	}
}

// TestCloseOnAFullDisk succeeds: what is not in the file is in its log.
func TestCloseOnAFullDisk(t *testing.T) {
	d := newSmallDisk(t, "size=8m")
	m := newMirroredIn(t, filepath.Join(d.dir, "node"))
	n := m.node
	id := n.create("/a", deviceSchema(t))
	n.do(Set{Target: ByID(id), Settings: points(5)})
	m.receive("/b", 1, 1, remoteState(1))
	d.fill(0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.mirror.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	d.free()
	if got := settingOf(t, openNode(t, Config{Dir: n.cfg.Dir}), id, "points"); got != 5 {
		t.Errorf("%d came back", got)
	}
}

// TestIsFull: an fsync that fails is never that, also for want of room.
func TestIsFull(t *testing.T) {
	for text, err := range map[string]error{
		"":     errors.New("input/output error"),
		"full": &os.PathError{Op: "write", Err: syscall.ENOSPC},
	} {
		if IsFull(err) != strings.Contains(text, "full") || IsFull(fmt.Errorf("writing: %w", failure("writing", err))) != strings.Contains(text, "full") {
			t.Errorf("%v: %v", err, IsFull(err))
		}
	}
}
