package failover_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"banyan/fault/disk"
)

// TestUnreadableDisk: a node whose database cannot be read does not start, says that it is the disk, and does not call what lies there damaged, as SQLite
// does: nobody is to restore a backup over what is whole. When the disk reads again all is there.
func TestUnreadableDisk(t *testing.T) {
	l := newLossy(t, rand.New(rand.NewPCG(1, 0)))
	if output, err := l.life(disk.Plan{}, shortLife...); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for _, name := range []string{"data/node/node.db", "data/node/values.db"} {
		f := &failing{op: disk.OpRead, name: name, nth: 1, on: true}
		output, err := l.life(disk.Plan{Each: f.each}, shortLife...)
		if err == nil || !strings.Contains(output, "the disk cannot read") || !strings.Contains(output, "look at the disk") || strings.Contains(output, "damaged") {
			t.Errorf("%s cannot be read: %v\n%s", name, err, output)
		}
		l.disk.Restart()
	}
	before := l.ledger.Count()
	l.look()
	if output, err := l.life(disk.Plan{}, shortLife...); err != nil || l.ledger.Count() == before {
		t.Errorf("when the disk reads again: %v\n%s", err, output)
	}
	l.look()
}
