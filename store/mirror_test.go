package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"banyan/model"
	"banyan/tree"

	"github.com/google/go-cmp/cmp"
)

var (
	remoteEpoch = model.Epoch{Ordinal: 3, Random: 99}
	remoteNode  = model.NodeID{7}
	mountPath   = model.MustPath("/sites/berlin")
)

// mirrored is a node with one mount.
type mirrored struct {
	*node
	mount  Mount
	mirror *Mirror
	schema *model.Schema
}

func openMirrored(t *testing.T, dir string, mount Mount) *mirrored {
	t.Helper()
	n := openNode(t, Config{Dir: dir}, mount)
	m, err := n.Mirror(t.Context(), mount.ID, mount.Path)
	if err != nil {
		t.Fatal(err)
	}
	return &mirrored{n, mount, m, deviceSchema(t)}
}

func newMirrored(t *testing.T) *mirrored { return newMirroredIn(t, t.TempDir()) }

func newMirroredIn(t *testing.T, dir string) *mirrored {
	t.Helper()
	n := openNode(t, Config{Dir: dir})
	id := n.create("/mounts/berlin", deviceSchema(t))
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	return openMirrored(t, n.cfg.Dir, Mount{ID: id, Path: mountPath})
}

func (m *mirrored) restart() *mirrored {
	m.t.Helper()
	if err := m.Close(); err != nil {
		m.t.Fatal(err)
	}
	return openMirrored(m.t.(*testing.T), m.cfg.Dir, m.mount)
}

func remoteState(position uint64) MirrorState {
	return MirrorState{Chain: model.Chain{{Epoch: remoteEpoch, First: 1}}, Position: position, View: 1 << 63, Epoch: remoteEpoch, Heard: 1234}
}

// receive applies a remote context to the tree and hands it to the mirror, as a link does.
func (m *mirrored) receive(path string, number uint64, points int64, state MirrorState) {
	m.t.Helper()
	row := MirrorRow{
		ID:   model.ContextID{Node: remoteNode, Epoch: remoteEpoch, Number: number},
		Path: model.MustPath(path), Label: "label of " + path, Schema: m.schema,
		Settings: []model.Value{{}, model.Int64(points)}, Version: model.Version{Epoch: remoteEpoch, Number: 70 + number}, ProviderChange: number,
		Route: tree.Route{{Node: model.NodeID{8}, Name: "north"}, {Node: remoteNode, Name: "berlin"}},
	}
	whole, err := m.mount.Path.Join(row.Path)
	if err != nil {
		m.t.Fatal(err)
	}
	row.Change = m.tree.Apply([]tree.Put{{
		ID: row.ID, Path: whole, Label: row.Label, Schema: row.Schema, Settings: row.Settings, Version: row.Version, Route: row.Route,
	}}, nil)
	m.mirror.Keep(nil, []MirrorRow{row}, state)
}

func (m *mirrored) lose(path string, number uint64, state MirrorState) {
	m.t.Helper()
	gone := MirrorRemoval{
		ID: model.ContextID{Node: remoteNode, Epoch: remoteEpoch, Number: number}, Path: model.MustPath(path),
		Version: model.Version{Epoch: remoteEpoch, Number: 90 + number},
	}
	whole, _ := m.mount.Path.Join(gone.Path)
	gone.Change = m.tree.Apply(nil, []tree.Removal{{Path: whole, Version: gone.Version}})
	m.mirror.Keep([]MirrorRemoval{gone}, nil, state)
}

func TestMirrorComesBack(t *testing.T) {
	m := newMirrored(t)
	for i := range uint64(20) {
		m.receive(fmt.Sprintf("/devices/d%d", i), i+1, int64(i), remoteState(0))
		if i%5 == 0 {
			m.create(fmt.Sprintf("/own%d", i), m.schema) // change numbers interleave with own ones
		}
	}
	m.receive("/devices/d3", 4, -1, remoteState(0))
	m.lose("/devices/d5", 6, remoteState(0))
	m.receive("/devices/d5", 66, 5, remoteState(0))
	m.lose("/devices/d6", 7, remoteState(22))
	want := dump(m.tree)
	m.mirror.flush()
	again := m.restart()
	if diff := cmp.Diff(want, dump(again.tree)); diff != "" {
		t.Errorf("after a restart (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(remoteState(22), again.mirror.State()); diff != "" {
		t.Errorf("the state (-want +got):\n%s", diff)
	}
	if again.FirstChange() <= m.tree.ChangeHead() {
		t.Errorf("change numbers begin at %d, the mirror has some up to %d", again.FirstChange(), m.tree.ChangeHead())
	}
	if got := again.tree.Horizon(); got >= again.FirstChange() {
		t.Errorf("the horizon is %d although nothing was lost", got)
	}
}

// TestMirrorStateCoversItsRows: what was not written when the process died is not in the state either.
func TestMirrorStateCoversItsRows(t *testing.T) {
	m := newMirrored(t)
	m.receive("/a", 1, 1, remoteState(1))
	m.mirror.flush()
	m.receive("/b", 2, 1, remoteState(2))
	again := m.restart() // without flush
	if got := again.mirror.State().Position; got != 1 {
		t.Errorf("the state is at %d, want 1", got)
	}
	if _, there := again.tree.Lookup(model.MustPath("/sites/berlin/b")); there {
		t.Error("what was not written is there")
	}
}

// TestLostMirroredChanges: what was told further and not written shows in the chain, so that whoever heard of it compares, and nobody else.
func TestLostMirroredChanges(t *testing.T) {
	m := newMirrored(t)
	m.receive("/a", 1, 1, remoteState(1))
	m.mirror.flush()
	kept := m.tree.ChangeHead()
	m.receive("/b", 2, 1, remoteState(2))
	told := m.tree.ChangeHead()
	m.create("/own", m.schema) // is written, and has a greater number than what is not
	head, before := m.tree.ChangeHead(), m.ChangeChain()
	again := m.restart() // without flush
	if first := again.FirstChange(); first <= head {
		t.Errorf("change numbers begin at %d, %d was given", first, head)
	}
	for at, want := range map[uint64]uint64{kept: kept, told: kept, head: kept} {
		if got := before.Common(at, again.ChangeChain()); got != want {
			t.Errorf("one who is at %d has a common history up to %d, want %d", at, got, want)
		}
	}
	// After a clean stop nobody needs to compare.
	before = again.ChangeChain()
	again.receive("/c", 3, 1, remoteState(3))
	again.mirror.flush()
	head = again.tree.ChangeHead()
	last := again.restart()
	if got := before.Common(head, last.ChangeChain()); got != head {
		t.Errorf("after a clean stop the common history ends at %d of %d", got, head)
	}
}

func TestDamagedMirror(t *testing.T) {
	damages := map[string]func(t *testing.T, file string){
		"no database": func(t *testing.T, file string) {
			if err := os.WriteFile(file, []byte(strings.Repeat("nonsense", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"cut": func(t *testing.T, file string) {
			if err := os.Truncate(file, 5000); err != nil {
				t.Fatal(err)
			}
		},
		"overwritten in the middle": func(t *testing.T, file string) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for i := 4096; i < len(content); i++ {
				content[i] = 0xa5
			}
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"missing": func(t *testing.T, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			m := newMirrored(t)
			for i := range uint64(200) {
				m.receive(fmt.Sprintf("/devices/d%d", i), i+1, int64(i), remoteState(i+1))
			}
			m.mirror.flush()
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			damage(t, m.mirror.file)
			again := openMirrored(t, m.cfg.Dir, m.mount)
			if got := again.mirror.State(); got.Position != 0 {
				t.Errorf("the state of a damaged mirror is %v", got)
			}
			if _, there := again.tree.Lookup(model.MustPath("/mounts/berlin")); !there {
				t.Error("own contexts are gone as well")
			}
			if got, want := again.tree.Horizon(), again.FirstChange()+1; got != want {
				t.Errorf("the horizon is %d, want %d: nobody knows what was removed", got, want)
			}
			if _, err := os.Stat(m.mirror.file + ".damaged"); name != "missing" && err != nil {
				t.Errorf("the damaged file was not kept: %v", err)
			}
			again.receive("/devices/new", 300, 1, remoteState(300))
			again.mirror.flush()
			if _, there := again.restart().tree.Lookup(model.MustPath("/sites/berlin/devices/new")); !there {
				t.Error("the new mirror does not keep what it got")
			}
		})
	}
}

func TestMirrorOfNoMountIsDropped(t *testing.T) {
	m := newMirrored(t)
	m.receive("/a", 1, 1, remoteState(1))
	m.mirror.flush()
	again := m.reopen() // without the mount
	if _, err := os.Stat(m.mirror.file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there (%v)", err)
	}
	if got, want := again.tree.Horizon(), again.FirstChange()+1; got != want {
		t.Errorf("the horizon is %d, want %d", got, want)
	}
}

func TestMirrorGivesUp(t *testing.T) {
	m := newMirrored(t)
	m.receive("/a", 1, 1, remoteState(1))
	m.mirror.flush()
	if err := m.mirror.session.exec("PRAGMA query_only = 1"); err != nil { // a disk that is full is another matter: TestMirrorWaitsForRoom
		t.Fatal(err)
	}
	for i := range uint64(500) {
		m.receive(fmt.Sprintf("/devices/d%d", i), i+10, int64(i), remoteState(i+10))
	}
	m.mirror.flush()
	m.receive("/late", 1000, 1, remoteState(1000)) // goes nowhere, and blocks nobody
	m.mirror.flush()
	again := m.restart()
	if got := again.mirror.State().Position; got != 1 {
		t.Errorf("the state is at %d, want 1: what came later is not in the file", got)
	}
	if _, there := again.tree.Lookup(model.MustPath("/sites/berlin/a")); !there {
		t.Error("what was written before is gone")
	}
}

// TestMirrorIsWrittenBehind: a burst is written once, after a while, and what is left when the process stops as well.
func TestMirrorIsWrittenBehind(t *testing.T) {
	m := newMirrored(t)
	m.receive("/a", 1, 0, remoteState(1))
	row := m.mirror.pending.rows[model.MustPath("/a")]
	synctest.Test(t, func(t *testing.T) {
		m.mirror.wake = make(chan struct{}, 1) // the one that was made outside of this bubble cannot be waited for in it
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.mirror.Run(ctx) }()
		write := func(points int64, position uint64) {
			next := row
			next.Settings = []model.Value{{}, model.Int64(points)}
			m.mirror.Keep(nil, []MirrorRow{next}, remoteState(position))
		}
		for i := range uint64(100) {
			write(int64(i), i+2)
		}
		synctest.Wait()
		if got := m.mirror.State().Position; got != 0 {
			t.Errorf("written at once, up to %d", got)
		}
		time.Sleep(mirrorDelay)
		synctest.Wait()
		if got := m.mirror.State().Position; got != 101 {
			t.Errorf("after a while it is written up to %d, want 101", got)
		}
		write(7, 200)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if got := m.mirror.State().Position; got != 200 {
		t.Errorf("at the end it is written up to %d, want 200", got)
	}
}

// TestMirrorRests: the file of a mirror to which nothing happens is closed, and is used as before when something does; what closes the store says that all is in it.
func TestMirrorRests(t *testing.T) {
	m := newMirrored(t)
	m.receive("/a", 1, 0, remoteState(1))
	row := m.mirror.pending.rows[model.MustPath("/a")]
	synctest.Test(t, func(t *testing.T) {
		m.mirror.wake = make(chan struct{}, 1) // as above
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.mirror.Run(ctx) }()
		for position := uint64(2); position < 5; position++ {
			row.Label = fmt.Sprint(position)
			m.mirror.Keep(nil, []MirrorRow{row}, remoteState(position))
			time.Sleep(mirrorDelay)
			synctest.Wait()
			if got := m.mirror.State().Position; got != position || m.mirror.rests {
				t.Errorf("written up to %d, want %d; it rests: %v", got, position, m.mirror.rests)
			}
			time.Sleep(scrubTime + restTime + mirrorDelay)
			synctest.Wait()
			if !m.mirror.rests || m.mirror.session != nil {
				t.Error("the file is open though nothing happens")
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	want := m.mirror.id
	again := m.restart()
	if got := again.mirror.State().Position; got != 4 || again.mirror.id != want || again.mirror.closed == 0 {
		t.Errorf("after a restart the state is at %d, want 4; closed in epoch %d", got, again.mirror.closed)
	}
}

// TestFloodOfRemovals: beside a disk that hangs, what comes and goes does not fill the memory.
func TestFloodOfRemovals(t *testing.T) {
	m := newMirrored(t)
	m.receive("/a", 1, 1, remoteState(1))
	m.mirror.flush()
	m.mirror.Keep(make([]MirrorRemoval, mostGone+1), nil, remoteState(5))
	m.receive("/b", 2, 1, remoteState(6))
	if m.mirror.pending.size() != 0 {
		t.Errorf("%d still wait", m.mirror.pending.size())
	}
	m.mirror.flush()
	if got := m.restart().mirror.State().Position; got != 1 {
		t.Errorf("the state is at %d, want 1", got)
	}
}

func TestCheckpoint(t *testing.T) {
	m := newMirrored(t)
	own := m.create("/own", m.schema)
	m.create("/silent", m.schema)
	m.receive("/a", 1, 0, remoteState(1))
	m.mirror.flush()
	checkpoint := NewCheckpoint(CheckpointConfig{Store: m.Store, Tree: m.tree})
	if n := checkpoint.Restore(); n != 0 {
		t.Errorf("restored %d samples where none were saved", n)
	}
	publish := func(path string, load float64, state string, quality model.Quality, source model.Time) {
		c, there := m.tree.Lookup(model.MustPath(path))
		if !there {
			t.Fatalf("there is no %s", path)
		}
		var batch tree.Batch
		batch.Add(c.Slots.First, model.Sample{Value: model.Float64(load), Quality: quality, Source: source, Owner: source + 1})
		batch.Add(c.Slots.First+1, model.Sample{Value: model.String(state), Quality: quality, Source: source, Owner: source + 2})
		m.tree.Publish(&batch)
	}
	publish("/own", 1, "old", model.QualityGood, 100)
	checkpoint.save()
	publish("/own", 2, "new", model.QualityGood, 200)
	publish("/sites/berlin/a", 3, "remote", model.QualityNoReply, 300)
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := checkpoint.Run(stopped); err != nil { // saves once more when it ends
		t.Fatal(err)
	}

	again := m.restart()
	c := NewCheckpoint(CheckpointConfig{Store: again.Store, Tree: again.tree})
	if n := c.Restore(); n != 4 {
		t.Errorf("restored %d samples, want 4", n)
	}
	want := map[string]string{
		"/own:load":             "2 uncertain/stale 200 201",
		"/own:state":            "new uncertain/stale 200 202",
		"/sites/berlin/a:load":  "3 bad/no-response 300 301",
		"/sites/berlin/a:state": "remote bad/no-response 300 302",
		"/silent:load":          "- uncertain/not-yet-read 0 0",
		"/mounts/berlin:load":   "- uncertain/not-yet-read 0 0",
	}
	for text, want := range want {
		address, err := model.ParseAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := again.tree.Read(address)
		if got := fmt.Sprintf("%s %s %d %d", r.Sample.Value, r.Sample.Quality, r.Sample.Source, r.Sample.Owner); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
	// Of a context with another schema, or removed, nothing comes back.
	other := mustSchema(t, model.Schema{Kind: "other", Variables: []model.Variable{{Name: "load", Type: model.TypeString}}})
	again.do(PutSchema{other}, Rebind{Target: ByID(own), Schema: other.Hash})
	last := again.restart()
	if n := NewCheckpoint(CheckpointConfig{Store: last.Store, Tree: last.tree}).Restore(); n != 2 {
		t.Errorf("restored %d samples, want those of the mirror", n)
	}
}

// TestLostValues: without its file the node starts as if nothing had been saved.
func TestLostValues(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	n.create("/a", deviceSchema(t))
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.cfg.Dir, "values.db"), []byte("nonsense that is no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	again := openNode(t, Config{Dir: n.cfg.Dir})
	if n := NewCheckpoint(CheckpointConfig{Store: again.Store, Tree: again.tree}).Restore(); n != 0 {
		t.Errorf("restored %d samples", n)
	}
	if _, there := again.tree.Lookup(model.MustPath("/a")); !there {
		t.Error("own contexts are gone")
	}
}
