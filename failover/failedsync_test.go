package failover_test

import (
	"math/rand/v2"
	"testing"

	"banyan/fault/disk"
)

// TestRestartAfterAFailedFsync: where an fsync of the log has failed and the node was started again on the same machine, it finds in the machine's memory
// what is not on the disk. What it confirms behind that outlives a power cut all the same.
func TestRestartAfterAFailedFsync(t *testing.T) {
	for seed := range uint64(12) {
		l := newLossy(t, rand.New(rand.NewPCG(seed, 0)))
		f := &failing{op: disk.OpSync, name: "data/node/node.db-wal", nth: 6, on: true}
		if _, err := l.life(disk.Plan{Each: f.each}, killOps+"=6"); err == nil || !f.hit {
			t.Fatalf("seed %d: the node went on, %v", seed, f.hit)
		}
		l.disk.Restart()
		before := l.ledger.Count()
		if output, _ := l.life(disk.Plan{CutBefore: 300}, killOps+"=6"); l.ledger.Count() == before {
			t.Fatalf("seed %d: nothing was confirmed after the restart\n%s", seed, output)
		}
		l.disk.Cut()
		if l.look(); t.Failed() {
			t.Fatalf("seed %d: %d operations were confirmed before the restart, %d in all", seed, before, l.ledger.Count())
		}
	}
}
