package failover_test

import (
	"bufio"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"banyan/failover/failovertest"
	"banyan/fault/disk"
)

// lossy is a machine whose disk loses what was not fsynced, with the ledger of what was confirmed on it.
type lossy struct {
	*testing.T
	disk   *disk.Disk
	dir    string // where it is mounted
	copied string // where it is looked at
	ledger *failovertest.Ledger
	random *rand.Rand

	refused int // for want of room, in all lives
}

func newLossy(t *testing.T, random *rand.Rand) *lossy {
	return &lossy{
		T: t, disk: disk.New(random.Uint64()), dir: t.TempDir(), copied: quickDir(t), ledger: failovertest.NewLedger(killWriters), random: random,
	}
}

// quickDir is a directory where an fsync takes no time, since nothing is lost there but by this machine.
func quickDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "banyan-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// life lets a process write on the disk until the power goes, or until it ends by itself. It returns what that said then.
func (l *lossy) life(plan disk.Plan, environment ...string) (output string, ended error) {
	l.Helper()
	unmount, err := l.disk.Mount(l.dir)
	if err != nil {
		l.Fatal(err)
	}
	l.disk.Set(plan)
	read, write, err := os.Pipe()
	if err != nil {
		l.Fatal(err)
	}
	defer read.Close()
	child := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$", "-test.timeout=60s")
	child.Env = append(os.Environ(), killDir+"="+filepath.Join(l.dir, "data", "node"), killNext+"="+strings.Trim(fmt.Sprint(l.ledger.Next()), "[]"))
	child.Env = append(child.Env, environment...)
	child.ExtraFiles = []*os.File{write}
	var told strings.Builder
	child.Stdout, child.Stderr = &told, &told
	if err := child.Start(); err != nil {
		l.Fatal(err)
	}
	write.Close()
	gone := make(chan struct{})
	go func() {
		select {
		case <-l.disk.Dark():
			_ = child.Process.Kill() // it may have ended by itself
		case <-gone:
		}
	}()
	lines := bufio.NewScanner(read)
	for lines.Scan() {
		if lines.Text() == refusedLine {
			l.refused++
			continue
		}
		c, err := failovertest.ParseConfirmation(lines.Text())
		if err == nil {
			err = l.ledger.Confirm(c)
		}
		if err != nil {
			l.Error(err)
		}
	}
	ended = child.Wait()
	close(gone)
	if err := unmount(); err != nil {
		l.Fatal(err)
	}
	return told.String(), ended
}

// look opens what is on the disk and compares it with what was confirmed.
func (l *lossy) look() {
	l.Helper()
	dir := filepath.Join(l.copied, "node")
	if err := os.RemoveAll(dir); err != nil {
		l.Fatal(err)
	}
	if err := l.disk.CopyTo("data/node", dir); err != nil && !os.IsNotExist(err) {
		l.Fatal(err)
	}
	checkAfterKill(l.T, dir, l.ledger)
}

// TestPowerCuts lets the power go at any step that a node's database takes on its disk, 20 times or as often as the environment variable CUTS says:
// in the first ones of a new directory, while it commits, while it moves its log, while it starts on what the cut before has left. Each time what is left
// is what was confirmed. It turns red for the planted faults synchronous-normal and names-not-kept.
func TestPowerCuts(t *testing.T) {
	cuts := int(number(t, "CUTS", 20))
	seed := number(t, "BANYAN_SEED", rand.Uint64())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var l *lossy
	confirmed, starts, steps := 0, 0, 0
	for cut := range cuts {
		if cut%3 == 0 { // a new machine: much is written once in the life of a directory
			if l != nil {
				confirmed += l.ledger.Count()
			}
			l = newLossy(t, random)
		}
		before := int(math.Pow(10, 1+2.6*random.Float64())) // 10 to 4,000, the first ones as often as the later ones
		longLog := 32 << (10 + 3*random.IntN(4))            // 32 KiB to 16 MiB: moved with each commit, or never
		output, err := l.life(disk.Plan{CutBefore: before}, fmt.Sprint(killLog, "=", longLog))
		if l.disk.Steps() < before {
			t.Fatalf("cut %d: the process ended by itself: %v\n%s", cut, err, output)
		}
		l.disk.Cut()
		steps += before
		if l.ledger.Count() > 0 {
			starts++
		}
		if l.look(); t.Failed() {
			t.Fatalf("after cut %d before step %d, with %d operations confirmed", cut+1, before, l.ledger.Count())
		}
	}
	confirmed += l.ledger.Count()
	t.Logf("%d cuts, %d steps, %d operations confirmed, %d cuts with some confirmed before", cuts, steps, confirmed, starts)
	if starts < cuts/2 || confirmed < cuts {
		t.Error("hardly anything was confirmed: this proves nothing")
	}
}
