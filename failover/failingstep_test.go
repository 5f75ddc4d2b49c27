package failover_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"banyan/fault/disk"
)

// failing makes one step of a life fail, the nth of its kind, or also all that follow.
type failing struct {
	op   disk.Op
	name string
	nth  int
	on   bool

	mu   sync.Mutex // guards what follows
	seen int
	hit  bool
}

func (f *failing) String() string {
	also := ""
	if f.on {
		also = " and all that follow"
	}
	return fmt.Sprintf("%s of %s, number %d%s", f.op, f.name, f.nth, also)
}

func (f *failing) each(s disk.Step) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.Op != f.op || s.Name != f.name {
		return 0
	}
	if f.seen++; f.seen == f.nth || f.seen > f.nth && f.on {
		f.hit = true
		return syscall.EIO
	}
	return 0
}

// isTruth reports whether a file is the node's own database or its log, whose failure ends the node.
func isTruth(name string) bool {
	return slices.Contains([]string{"data/node/node.db", "data/node/node.db-wal"}, name)
}

// mustEnd reports whether a node may not go on after the step has failed. Of one write that failed a program may know only that it was short, where the
// kernel had made several of it: then it writes the rest, which is right.
func (f *failing) mustEnd() bool {
	return isTruth(f.name) && (f.op == disk.OpSync || f.op == disk.OpWrite && f.on)
}

// reasons are words of which a node that the step has ended says one. SQLite calls a file malformed that it could not read; what a start makes of that is
// for TestUnreadableDisk. The index of a log is in memory that the disk is mapped into: where that cannot be read the processor ends the process.
func (f *failing) reasons() []string {
	reasons := []string{"input/output error", "disk I/O error", "unable to open"}
	if f.op == disk.OpRead {
		reasons = append(reasons, "malformed")
		if strings.HasSuffix(f.name, "-shm") {
			reasons = append(reasons, "SIGBUS")
		}
	}
	return reasons
}

// shortLife is the environment of a process that writes a little, moves its log again and again, and ends.
var shortLife = []string{killOps + "=6", killLog + "=32768"}

// TestEachFailingStep lets each kind of step that a node takes on its disk fail, reads among them, one in a life: of its database the first, the last and one between, of
// others one, or with TRIALS=full each single one. Where it was an fsync, or all writes, of node.db or its log, the node ends by itself. Whatever it was, what was
// confirmed is there after a restart, after a power cut, and after a power cut that follows what the node did after the restart: the memory of the machine
// shows that what a failed fsync has lost.
func TestEachFailingStep(t *testing.T) {
	seed := number(t, "BANYAN_SEED", rand.Uint64())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	kinds, order := stepsOfALife(t, random)
	tried, ended := 0, 0
	for _, kind := range order {
		for _, nth := range chosen(random, kind, kinds[kind]) {
			f := &failing{op: kind.op, name: kind.name, nth: nth, on: random.IntN(2) == 0}
			l := newLossy(t, random)
			output, err := l.life(disk.Plan{Each: f.each}, shortLife...)
			if !f.hit {
				continue // the writers' commits fell into fewer groups
			}
			tried++
			switch {
			case f.mustEnd() && err == nil:
				t.Errorf("%s failed, and the node went on:\n%s", f, output)
			case err != nil:
				ended++
				if !slices.ContainsFunc(f.reasons(), func(reason string) bool { return strings.Contains(output, reason) }) {
					t.Errorf("%s failed, and the node does not say why it ended: %v\n%s", f, err, output)
				}
			}
			if random.IntN(2) == 0 {
				l.disk.Cut()
			} else {
				l.disk.Restart()
			}
			l.look()
			before := l.ledger.Count() // in a life that does not move its log, which would write again what was lost
			if output, err := l.life(disk.Plan{CutBefore: 100 + random.IntN(600)}, shortLife[0]); l.ledger.Count() == before && err == nil {
				t.Errorf("after %s the node does not work: %v\n%s", f, err, output)
			}
			l.disk.Cut()
			if l.look(); t.Failed() {
				t.Fatalf("%s failed, the node was started again, and then the power went", f)
			}
		}
	}
	t.Logf("%d steps of %d kinds failed, %d of them ended the node", tried, len(order), ended)
	if tried < len(order)/2 || ended == 0 {
		t.Error("hardly anything failed: this proves nothing")
	}
}

// kind is what steps have in common.
type kind struct {
	op   disk.Op
	name string
}

// stepsOfALife counts what a life that goes well takes on the disk.
func stepsOfALife(t *testing.T, random *rand.Rand) (kinds map[kind]int, order []kind) {
	t.Helper()
	kinds = map[kind]int{}
	var mu sync.Mutex
	output, err := newLossy(t, random).life(disk.Plan{Each: func(s disk.Step) syscall.Errno {
		mu.Lock()
		defer mu.Unlock()
		k := kind{s.Op, s.Name}
		if kinds[k]++; kinds[k] == 1 {
			order = append(order, k)
		}
		return 0
	}}, shortLife...)
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return kinds, order
}

// chosen are the numbers from 1 that are tried.
func chosen(random *rand.Rand, of kind, count int) []int {
	var all []int
	for n := 1; n <= count; n++ {
		all = append(all, n)
	}
	if os.Getenv("TRIALS") == "full" || count <= 2 {
		return all
	}
	if !isTruth(of.name) {
		return []int{1 + random.IntN(count)}
	}
	return []int{1, 2 + random.IntN(count-2), count}
}
