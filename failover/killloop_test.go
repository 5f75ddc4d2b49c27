package failover_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/failover/failovertest"
	"banyan/model"
	"banyan/store"
)

// Environment of the process that is killed.
const (
	killDir  = "BANYAN_KILL_DIR"
	killNext = "BANYAN_KILL_NEXT" // each writer's next operation
	killLog  = "BANYAN_KILL_LOG"  // how long the write-ahead log gets, bytes; nothing for as long as it is by itself
	killFull = "BANYAN_KILL_FULL" // 1: what a full disk refuses is tried again, with a line "refused" for each time
	killOps  = "BANYAN_KILL_OPS"  // how many operations each writer does before the process ends by itself; nothing for no end
)

const killWriters = 8

// refusedLine is what stands in place of a confirmation where the disk was full.
const refusedLine = "refused"

// TestKillLoop kills a process with eight writers at random moments, 20 times or as often as the environment variable KILLS says. What it
// had confirmed is written down here, outside of it, and looked for after each kill. It turns red for the planted fault:
//
//	BANYAN_FAULT=answer-before-commit go test -tags sqlite_fts5,faults -run TestKillLoop ./failover
func TestKillLoop(t *testing.T) {
	kills := int(number(t, "KILLS", 20))
	seed := number(t, "BANYAN_SEED", rand.Uint64())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir, ledger := t.TempDir(), failovertest.NewLedger(killWriters)
	for kill := range kills {
		killOnce(t, dir, ledger, random)
		checkAfterKill(t, dir, ledger)
		if t.Failed() {
			t.Fatalf("after kill %d, with %d operations confirmed", kill+1, ledger.Count())
		}
	}
	t.Logf("%d kills, %d operations confirmed", kills, ledger.Count())
	if ledger.Count() < kills {
		t.Errorf("only %d operations were confirmed in %d lives", ledger.Count(), kills)
	}
}

// killOnce lets a process write, kills it, and takes down what it said until then.
func killOnce(t *testing.T, dir string, ledger *failovertest.Ledger, random *rand.Rand) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	child := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$", "-test.timeout=60s")
	child.Env = append(os.Environ(), killDir+"="+dir, killNext+"="+strings.Trim(fmt.Sprint(ledger.Next()), "[]"))
	child.ExtraFiles = []*os.File{write}
	var output strings.Builder
	child.Stdout, child.Stderr = &output, &output
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()

	// Three moments: at the instant of a confirmation, some time after one, and some time after the start, which may be before
	// anything was confirmed.
	after, delay := 1+random.IntN(400), time.Duration(0)
	if random.IntN(2) == 0 {
		delay = time.Duration(random.Int64N(int64(5 * time.Millisecond)))
	}
	var kill sync.Once
	end := func() { kill.Do(func() { _ = child.Process.Kill() }) } // it may have ended by itself, which shows below
	if random.IntN(4) == 0 {
		defer time.AfterFunc(time.Duration(random.Int64N(int64(100*time.Millisecond))), end).Stop()
	}
	lines := bufio.NewScanner(read)
	for count := 0; lines.Scan(); {
		c, err := failovertest.ParseConfirmation(lines.Text())
		if err == nil {
			err = ledger.Confirm(c)
		}
		if err != nil {
			t.Error(err)
			end()
		}
		if count++; count == after {
			time.AfterFunc(delay, end)
		}
	}
	end()
	if err := child.Wait(); child.ProcessState.ExitCode() != -1 {
		t.Fatalf("the process ended by itself: %v\n%s", err, &output)
	}
}

// checkAfterKill looks for what was confirmed.
func checkAfterKill(t *testing.T, dir string, ledger *failovertest.Ledger) {
	t.Helper()
	n := openSolo(t, dir, nil)
	for writer := range killWriters {
		if err := ledger.Check(writer, n.State(failovertest.Base(writer))); err != nil {
			t.Error(err)
		}
	}
	if err := n.Store.Check(t.Context()); err != nil {
		t.Error(err)
	}
	report, err := n.Store.VerifyAudit(t.Context(), store.AuditHead{})
	if err != nil || report.Broken != 0 || report.Last < uint64(ledger.Count()) {
		t.Errorf("the audit log is %+v, %v, with %d operations confirmed", report, err, ledger.Count())
	}
	for name, chain := range map[string]interface{ Validate() error }{"revisions": n.Store.RevisionChain(), "changes": n.Store.ChangeChain()} {
		if err := chain.Validate(); err != nil {
			t.Errorf("the chain of %s: %v", name, err)
		}
	}
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
}

// TestKilledProcess is the process that is killed, and no test by itself.
func TestKilledProcess(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		t.Skip("TestKillLoop and others run this in a process of its own")
	}
	confirmed := os.NewFile(3, "confirmed")
	n, schema := openSoloWith(t, store.Config{Dir: dir, LongLog: int64(number(t, killLog, 0))}), failovertest.Schema(t)
	most, again := number(t, killOps, 1<<62), number(t, killFull, 0) == 1
	var group sync.WaitGroup
	for writer, text := range strings.Fields(os.Getenv(killNext)) {
		next, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			for number := next; number < next+most; number++ {
				commit := n.Commit(failovertest.Script(writer, number), schema, writer, number)
				commit.Changes = append(commit.Changes, store.Audit{Who: fmt.Sprint("writer ", writer), Operation: "script", What: fmt.Sprint(number)})
				result, err := n.Committer.Submit(context.Background(), commit)
				for again && model.KindOf(err) == model.KindExhausted {
					if _, err := confirmed.WriteString(refusedLine + "\n"); err != nil {
						t.Error(err)
						return
					}
					<-time.After(2 * time.Millisecond)
					result, err = n.Committer.Submit(context.Background(), commit)
				}
				if err != nil {
					select {
					case <-n.Committer.Failed():
						t.Errorf("writer %d, operation %d: %v", writer, number, err)
					case <-time.After(time.Second): // the node goes on, which is not for this process to judge
					}
					return
				}
				line := failovertest.Confirmation{Writer: writer, Number: number, Revision: result.Revision}.String() + "\n"
				if _, err := confirmed.WriteString(line); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
}

// number is a number in the environment.
func number(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
