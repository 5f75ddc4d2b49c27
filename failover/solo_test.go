package failover_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"banyan/failover"
	"banyan/failover/failovertest"
	"banyan/model"
	"banyan/store"
	"banyan/tree"
)

var nodeID = model.NodeID(sha256.Sum256([]byte("solo")))

// openSolo is a life of a node with a Solo that runs.
func openSolo(t testing.TB, dir string, fault func(string) error) *failovertest.Node {
	t.Helper()
	return openSoloWith(t, store.Config{Dir: dir, Fault: fault})
}

func openSoloWith(t testing.TB, cfg store.Config) *failovertest.Node {
	t.Helper()
	cfg.Node = nodeID
	s, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	live := tree.New(tree.Config{FirstChange: s.FirstChange()})
	own, err := s.Own(t.Context())
	if err == nil {
		_, err = s.Load(t.Context(), own, nil, live)
	}
	if err != nil {
		t.Fatal(err)
	}
	solo, err := failover.NewSolo(failover.Config{Store: s, Numbers: live})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- solo.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		err := <-ended
		if problem := s.Close(); problem != nil {
			t.Errorf("closing: %v", problem)
		}
		return err
	})
	t.Cleanup(func() { _ = stop() }) // a failed Run is the affair of the test that made it fail
	return &failovertest.Node{Store: s, Tree: live, Committer: solo, Stop: stop}
}

func TestSolo(t *testing.T) { failovertest.Run(t, openSolo) }

// TestTidy: what has expired is forgotten without being asked for.
func TestTidy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openSolo(t, t.TempDir(), nil)
		known := func(id byte) bool {
			_, known, err := n.Store.Request(t.Context(), store.RequestID{id})
			if err != nil {
				t.Fatal(err)
			}
			return known
		}
		for id, lasts := range map[byte]time.Duration{1: 30 * time.Second, 2: time.Hour} {
			start := &store.RequestStart{ID: store.RequestID{id}, Digest: []byte{id}, Expiry: model.TimeOf(time.Now().Add(lasts))}
			if _, err := n.Committer.Submit(t.Context(), store.Commit{Class: store.ClassPeople, Start: start}); err != nil {
				t.Fatal(err)
			}
		}
		if !known(1) || !known(2) {
			t.Error("a request is forgotten before its expiry")
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if known(1) || !known(2) {
			t.Errorf("after two minutes: the one of 30 s is known: %v, the one of an hour: %v", known(1), known(2))
		}
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// BenchmarkSubmit is commits confirmed by so many writers at once, each of one setting: as the node makes them by itself, and with the row of the audit
// log that what people do has.
func BenchmarkSubmit(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) { benchmarkSubmit(b, writers, nil) })
		b.Run(fmt.Sprintf("writers=%d/audited", writers), func(b *testing.B) {
			benchmarkSubmit(b, writers, []store.Change{store.Audit{
				Who: "alice", From: "192.0.2.17:51234, session 1f0c23aa9b1d", Operation: "set", Path: "/devices/hall-3/meter-17", Name: "points", What: "12345",
				Decision: "allowed by berlin, rule 3: alice has configure", Outcome: "done", Request: store.RequestID{1},
			}})
		})
	}
}

func benchmarkSubmit(b *testing.B, writers int, more []store.Change) {
	n, schema := openSolo(b, b.TempDir(), nil), failovertest.Schema(b)
	for writer := range writers {
		if _, err := n.Committer.Submit(b.Context(), n.Commit(failovertest.Script(writer, 1), schema, writer, 1)); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	var group sync.WaitGroup
	for writer := range writers {
		group.Go(func() {
			for i := writer; i < b.N; i += writers {
				set := store.Set{Target: store.At(failovertest.Base(writer)), Settings: failovertest.Points(int64(i))}
				commit := store.Commit{Class: store.ClassSettings, Changes: append([]store.Change{set}, more...)}
				if _, err := n.Committer.Submit(b.Context(), commit); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}
