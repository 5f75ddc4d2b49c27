// Package failovertest holds what every failover.Committer is tried with: a conformance suite, and the script and the ledger of a kill loop,
// in which a process is killed while it writes and what it had confirmed is looked for afterwards.
//
// It owns what must hold. It does not start processes nor kill them, and knows no implementation.
package failovertest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"banyan/failover"
	"banyan/model"
	"banyan/proto"
	"banyan/store"
	"banyan/tree"
)

// Node is one life of a node: a store, its tree, and the committer that is tried, which is running.
type Node struct {
	Store     *store.Store
	Tree      *tree.Tree
	Committer failover.Committer
	// Stop ends Run, waits for it, closes the store, and returns what Run returned.
	Stop func() error
}

// Open makes a life of the node whose directory is dir. fault is for store.Config.Fault.
type Open func(t testing.TB, dir string, fault func(step string) error) *Node

// Run tries a committer.
func Run(t *testing.T, open Open) {
	tests := map[string]func(*testing.T, Open){
		"ConfirmedIsShownAndKept": confirmedIsShownAndKept,
		"ManyWriters":             manyWriters,
		"Refusals":                refusals,
		"OnceOnly":                onceOnly,
		"EndedContext":            endedContext,
		"FailedWrite":             failedWrite,
		"FullDisk":                fullDisk,
		"Stop":                    stop,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

// Schema is the schema of the contexts that are written here.
func Schema(t testing.TB) *model.Schema {
	t.Helper()
	schema, err := proto.NewSchema(model.Schema{
		Kind: "counter", Settings: []model.Setting{{Name: "points", Type: model.TypeInt64, Right: model.RightConfigure}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// Points is the setting that is written.
func Points(points int64) []store.Setting {
	return []store.Setting{{Name: "points", Value: model.Int64(points)}}
}

// Commit is the commit of one operation of the script. Sent again with the same number it is the same request.
func (n *Node) Commit(op Op, schema *model.Schema, writer int, number uint64) store.Commit {
	c := store.Commit{Class: store.ClassSettings}
	switch op.Kind {
	case OpCreate:
		create := store.Create{ID: n.Store.NewID(), Path: op.Path, Schema: schema.Hash, Settings: Points(op.Points)}
		c.Changes = []store.Change{store.PutSchema{Schema: schema}, create}
	case OpSet:
		c.Changes = []store.Change{store.Set{Target: store.At(op.Path), Settings: Points(op.Points)}}
	case OpRemove:
		c.Changes = []store.Change{store.Remove{Target: store.At(op.Path)}}
	}
	digest := sha256.Sum256(fmt.Append(nil, writer, number))
	c.Start = &store.RequestStart{ID: store.RequestID(digest[:16]), Digest: digest[:], Expiry: 1 << 62}
	c.Done = &store.RequestDone{ID: c.Start.ID}
	return c
}

// State is what a tree has at and below a path.
func (n *Node) State(path model.Path) State {
	state := State{}
	n.Tree.Walk(path, nil, func(c *tree.Context) bool {
		state[c.Path] = c.SettingNamed("points").Int64()
		return true
	})
	return state
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t testing.TB, err error, kind model.ErrorKind) {
	t.Helper()
	if err == nil || model.KindOf(err) != kind {
		t.Errorf("got the error %v, want one of kind %s", err, kind)
	}
}

func confirmedIsShownAndKept(t *testing.T, open Open) {
	dir, schema := t.TempDir(), Schema(t)
	n := open(t, dir, nil)
	for number := uint64(1); number <= 40; number++ {
		op := Script(0, number)
		result, err := n.Committer.Submit(t.Context(), n.Commit(op, schema, 0, number))
		must(t, err)
		if result.Change == 0 || result.Change > n.Tree.ChangeHead() {
			t.Fatalf("confirmed with change %d, the tree is at %d", result.Change, n.Tree.ChangeHead())
		}
		if c, there := n.Tree.Lookup(op.Path); there && c.Version != result.Revision {
			t.Fatalf("confirmed as %s, the tree shows %s", result.Revision, c.Version)
		}
	}
	want := After(0, 40)
	if got := n.State(Base(0)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the tree has %v, want %v", got, want)
	}
	must(t, n.Stop())
	again := open(t, dir, nil)
	if got := again.State(Base(0)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("after a restart the tree has %v, want %v", got, want)
	}
}

func manyWriters(t *testing.T, open Open) {
	n, schema := open(t, t.TempDir(), nil), Schema(t)
	const writers, each = 16, 30
	var mu sync.Mutex // guards ledger
	ledger := NewLedger(writers)
	var group sync.WaitGroup
	for writer := range writers {
		group.Go(func() {
			for number := uint64(1); number <= each; number++ {
				result, err := n.Committer.Submit(t.Context(), n.Commit(Script(writer, number), schema, writer, number))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				err = ledger.Confirm(Confirmation{writer, number, result.Revision})
				mu.Unlock()
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for writer := range writers {
		if err := ledger.Check(writer, n.State(Base(writer))); err != nil {
			t.Error(err)
		}
	}
}

func refusals(t *testing.T, open Open) {
	n, schema := open(t, t.TempDir(), nil), Schema(t)
	create := func(path string) store.Commit {
		return store.Commit{Class: store.ClassSettings, Changes: []store.Change{
			store.PutSchema{Schema: schema}, store.Create{ID: n.Store.NewID(), Path: model.MustPath(path), Schema: schema.Hash},
		}}
	}
	result, err := n.Committer.Submit(t.Context(), create("/a"))
	must(t, err)
	_, err = n.Committer.Submit(t.Context(), create("/a"))
	wantKind(t, err, model.KindExists)
	_, err = n.Committer.Submit(t.Context(), store.Commit{})
	wantKind(t, err, model.KindInvalid)

	// Of many who expect the same revision one gets through.
	var mu sync.Mutex // guards done
	done := 0
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			set := store.Set{Target: store.At(model.MustPath("/a")), Settings: Points(int64(i)), Expected: result.Revision}
			_, err := n.Committer.Submit(t.Context(), store.Commit{Class: store.ClassPeople, Changes: []store.Change{set}})
			if err != nil {
				wantKind(t, err, model.KindConflict)
				return
			}
			mu.Lock()
			done++
			mu.Unlock()
		})
	}
	group.Wait()
	if done != 1 {
		t.Errorf("%d of 20 set at the same revision", done)
	}
}

func onceOnly(t *testing.T, open Open) {
	dir, schema := t.TempDir(), Schema(t)
	n := open(t, dir, nil)
	first, err := n.Committer.Submit(t.Context(), n.Commit(Script(0, 1), schema, 0, 1))
	must(t, err)
	must(t, n.Stop())
	n = open(t, dir, nil)
	second, err := n.Committer.Submit(t.Context(), n.Commit(Script(0, 1), schema, 0, 1))
	must(t, err)
	if !second.Replayed || !second.Done || second.Revision != first.Revision {
		t.Errorf("the same request after a restart: %+v, before: %+v", second, first)
	}
}

func endedContext(t *testing.T, open Open) {
	n, schema := open(t, t.TempDir(), nil), Schema(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := n.Committer.Submit(ctx, n.Commit(Script(0, 1), schema, 0, 1))
	switch _, there := n.Tree.Lookup(Base(0)); {
	case err == nil: // it was quicker
	case model.KindOf(err) == model.KindUnknownFate: // it may come yet
	default:
		wantKind(t, err, model.KindCanceled)
		if there {
			t.Error("taken back, and done")
		}
	}
	// Whatever became of it, the same request leads to the end.
	_, err = n.Committer.Submit(t.Context(), n.Commit(Script(0, 1), schema, 0, 1))
	must(t, err)
}

// fullDisk: what finds no room is refused at once and leaves nothing, the node goes on, and with room it works again by itself.
func fullDisk(t *testing.T, open Open) {
	for _, step := range []string{"begin", "write", "commit"} {
		schema := Schema(t)
		var full atomic.Bool
		dir := t.TempDir()
		n := open(t, dir, func(at string) error {
			if full.Load() && at == step {
				return syscall.ENOSPC
			}
			return nil
		})
		_, err := n.Committer.Submit(t.Context(), n.Commit(Script(0, 1), schema, 0, 1))
		must(t, err)
		full.Store(true)
		for range 3 {
			_, err = n.Committer.Submit(t.Context(), n.Commit(Script(0, 2), schema, 0, 2))
			wantKind(t, err, model.KindExhausted)
			var told *model.Error
			if errors.As(err, &told) && told.Remedy == "" {
				t.Errorf("%s: nobody is told what to do: %v", step, err)
			}
		}
		if n.Committer.FullSince() == 0 {
			t.Errorf("%s: the committer does not tell that the disk is full", step)
		}
		select {
		case <-n.Committer.Failed():
			t.Errorf("%s: a full disk counts as a failed one", step)
		default:
		}
		full.Store(false)
		_, err = n.Committer.Submit(t.Context(), n.Commit(Script(0, 2), schema, 0, 2))
		must(t, err)
		if n.Committer.FullSince() != 0 {
			t.Errorf("%s: the committer still tells that the disk is full", step)
		}
		want := After(0, 2)
		if got := n.State(Base(0)); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: the tree has %v, want %v", step, got, want)
		}
		must(t, n.Stop())
	}
}

func failedWrite(t *testing.T, open Open) {
	for _, step := range []string{"begin", "write", "commit"} {
		dir, schema := t.TempDir(), Schema(t)
		broken := errors.New("input/output error")
		var mu sync.Mutex // guards fail
		fail := false
		n := open(t, dir, func(at string) error {
			mu.Lock()
			defer mu.Unlock()
			if fail && at == step {
				return broken
			}
			return nil
		})
		_, err := n.Committer.Submit(t.Context(), n.Commit(Script(0, 1), schema, 0, 1))
		must(t, err)
		mu.Lock()
		fail = true
		mu.Unlock()
		before := n.Tree.ChangeHead()
		_, err = n.Committer.Submit(t.Context(), n.Commit(Script(0, 2), schema, 0, 2))
		wantKind(t, err, model.KindUnknownFate)
		select {
		case <-n.Committer.Failed():
		case <-time.After(10 * time.Second):
			t.Fatalf("%s failed, and the node goes on", step)
		}
		mu.Lock()
		fail = false // the disk is well again: that changes nothing
		mu.Unlock()
		_, err = n.Committer.Submit(t.Context(), n.Commit(Script(0, 2), schema, 0, 2))
		wantKind(t, err, model.KindUnavailable)
		if c, _ := n.Tree.Lookup(Base(0)); c.SettingNamed("points").Int64() != 1 {
			t.Errorf("%s failed, and the tree shows what was not written", step)
		}
		n.Tree.Apply(nil, nil) // no reservation is left that would hide changes
		if head := n.Tree.ChangeHead(); head < before {
			t.Errorf("%s failed: the tree went back from change %d to %d", step, before, head)
		}
		if err := n.Stop(); !errors.Is(err, broken) {
			t.Errorf("%s failed: Run ended with %v", step, err)
		}
		again := open(t, dir, nil)
		_, err = again.Committer.Submit(t.Context(), again.Commit(Script(0, 2), schema, 0, 2))
		must(t, err)
	}
}

func stop(t *testing.T, open Open) {
	n, schema := open(t, t.TempDir(), nil), Schema(t)
	var group sync.WaitGroup
	for writer := range 8 {
		group.Go(func() {
			for number := uint64(1); ; number++ {
				_, err := n.Committer.Submit(context.Background(), n.Commit(Script(writer, number), schema, writer, number))
				if err != nil {
					wantKind(t, err, model.KindUnavailable)
					return
				}
			}
		})
	}
	for range 20 {
		_, err := n.Committer.Submit(t.Context(), store.Commit{Class: store.ClassPeople})
		must(t, err)
	}
	// The store is closed when Stop returns, so everyone must have been answered.
	must(t, n.Stop())
	group.Wait()
	_, err := n.Committer.Submit(t.Context(), store.Commit{Class: store.ClassPeople})
	wantKind(t, err, model.KindUnavailable)
}
