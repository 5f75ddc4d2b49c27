package trials

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"banyan/backup"
	"banyan/model"
	"banyan/proto/apiv1"

	"connectrpc.com/connect"
)

const backupWriters = 8

// saved is a node with a recovery key, a directory for backups, and devices in pairs: both of a pair are set in one commit.
type saved struct {
	*trial
	key    backup.Key
	dir    string // for backups
	ledger *ledger
}

func startSaved(t *testing.T, dir string) *saved {
	t.Helper()
	text := "network: saved\nnodes:\n  solo:\n    devices:\n"
	for w := range backupWriters {
		for _, of := range []string{"a", "b"} {
			text += fmt.Sprintf("      /devices/%s%d: {kind: simulator, poll_interval: 1h}\n", of, w)
		}
	}
	s := &saved{trial: start(t, text, nil), dir: dir}
	s.ledger = &ledger{confirmed: make([]int64, backupWriters), tried: make([]int64, backupWriters), revisions: map[string]int64{}}
	for w := range backupWriters {
		s.ledger.confirmed[w], s.ledger.tried[w] = 1, 1 // what a simulator begins with
	}
	var err error
	if s.key, err = backup.NewKey(); err != nil {
		t.Fatal(err)
	}
	s.call("set_recovery", map[string]string{"recipient": s.key.Recipient()})
	for name, value := range map[string]string{"backup_every": "0s", "backup_keep": "1000", "backup_dir": dir} {
		if _, err := s.at("solo").Tree.Set(t.Context(), &apiv1.SetRequest{Address: "/system:" + name, Text: value}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *saved) call(function string, texts map[string]string) map[string]string {
	s.Helper()
	answer, err := s.at("solo").Tree.Call(s.Context(), &apiv1.CallRequest{Path: "/system", Function: function, Texts: texts})
	if err != nil {
		s.Fatal(err)
	}
	results := map[string]string{}
	for _, r := range answer.GetResults() {
		results[r.GetName()] = r.GetValue().GetStringValue()
	}
	return results
}

// write lets all writers set their pairs until stop is called.
func (s *saved) write() (stop func()) {
	client := s.at("solo")
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	for w := range backupWriters {
		work.Go(func() {
			for ctx.Err() == nil {
				value := s.ledger.next(w)
				text := strconv.FormatInt(value, 10)
				var edits []*apiv1.Edit
				for _, of := range []string{"a", "b"} {
					change := &apiv1.ChangeEdit{Texts: map[string]string{"seed": text}}
					edits = append(edits, &apiv1.Edit{Path: fmt.Sprintf("/devices/%s%d", of, w), Operation: &apiv1.Edit_Change{Change: change}})
				}
				r, err := client.Tree.Apply(ctx, &apiv1.ApplyRequest{Edits: edits})
				if err != nil {
					return
				}
				s.ledger.confirm(s.T, w, value, r.GetRevision())
			}
		})
	}
	return sync.OnceFunc(func() {
		cancel()
		work.Wait()
	})
}

// snapshot is what was confirmed so far, or what was tried.
func (l *ledger) snapshot(of *[]int64) []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]int64(nil), *of...)
}

// replace kills the node and puts one in its place that is restored from a backup.
func (s *saved) replace(file string) backup.Restored {
	s.Helper()
	s.kill(s.pid("solo"))
	dir := filepath.Join(s.network.Dir(), "nodes", "solo")
	if err := os.Rename(dir, s.TempDir()+"/before"); err != nil {
		s.Fatal(err)
	}
	done, err := backup.Restore(s.Context(), file, backup.Restoring{Dir: dir, Key: s.key, Now: func() model.Time { return model.TimeOf(time.Now()) }})
	if err != nil {
		s.Fatal(err)
	}
	s.restart("solo")
	return done
}

func (s *saved) seed(device string) int64 {
	s.Helper()
	value, err := strconv.ParseInt(s.get("solo", "/devices/"+device+":seed").GetValue().GetStringValue(), 10, 64)
	if err != nil {
		s.Fatal(err)
	}
	return value
}

// Eight writers set pairs of devices over the API while a backup is made. What was confirmed before the backup began is in it, of each commit all or
// nothing; restored, the node serves it. One backup restored twice gives no revision twice: neither of the life that it was made in, which went
// on, nor of each other.
func TestBackupUnderLoad(t *testing.T) {
	s := startSaved(t, t.TempDir())
	for round := range times(3, 100) {
		stop := s.write()
		<-time.After(200 * time.Millisecond)
		before := s.ledger.snapshot(&s.ledger.confirmed)
		began := time.Now()
		made := s.call("backup", nil)
		took := time.Since(began)
		after := s.ledger.snapshot(&s.ledger.tried)
		<-time.After(100 * time.Millisecond) // the life goes on: its revisions must not come again
		stop()
		epochs := map[string]bool{s.epoch(): true}
		for range 2 {
			done := s.replace(made["file"])
			if epoch := s.epoch(); epochs[epoch] || done.Revision.String() != made["revision"] {
				t.Fatalf("round %d: the epoch %s after the restore of revision %s, the backup said %s", round, epoch, done.Revision, made["revision"])
			} else {
				epochs[epoch] = true
			}
			for w := range backupWriters {
				a, b := s.seed(fmt.Sprint("a", w)), s.seed(fmt.Sprint("b", w))
				if a != b {
					t.Fatalf("round %d: a commit is torn: %d and %d", round, a, b)
				}
				if a < before[w] || a > after[w] {
					t.Fatalf("round %d: writer %d has %d in the backup, %d was confirmed before it began, %d tried when it ended", round, w, a, before[w], after[w])
				}
				s.ledger.mu.Lock()
				s.ledger.confirmed[w], s.ledger.tried[w] = a, a
				s.ledger.mu.Unlock()
			}
			stop := s.write() // confirm finds a revision that was given before
			<-time.After(100 * time.Millisecond)
			stop()
			if !strings.HasPrefix(s.get("solo", "/system:restored").GetValue().GetStringValue(), "20") {
				t.Errorf("round %d: the node does not say that it was restored", round)
			}
		}
		if round == 0 {
			t.Logf("a backup of %s B took %s beside %d confirmations so far", made["size"], took, len(s.ledger.revisions))
		}
	}
	if len(s.ledger.revisions) < 10*backupWriters {
		t.Error("hardly anything was confirmed: this proves nothing")
	}
}

func (s *saved) epoch() string {
	s.Helper()
	var epoch string
	s.until("the node tells its epoch", 10*time.Second, func() bool {
		r := s.get("solo", "/system:epoch")
		epoch = r.GetValue().GetStringValue()
		return quality(r) == "good" && epoch != ""
	})
	return epoch
}

// A disk for backups that has no room: the backup is refused with a text that says so, nothing is left on it, the state shows it, writers do not notice,
// and with room the next one is made.
func TestBackupWithoutRoom(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("a small file system needs root")
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=16k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	s := startSaved(t, disk)
	stop := s.write()
	defer stop()
	_, err := s.at("solo").Tree.Call(t.Context(), &apiv1.CallRequest{Path: "/system", Function: "backup"})
	if connect.CodeOf(err) != connect.CodeResourceExhausted || !strings.Contains(err.Error(), "no room") {
		t.Fatalf("a backup without room: %v", err)
	}
	if left, err := os.ReadDir(disk); err != nil || len(left) > 0 {
		t.Errorf("without room %v is left, %v", left, err)
	}
	s.until("the state shows it", 10*time.Second, func() bool { return s.get("solo", "/system:backup_state").GetValue().GetStringValue() == "failed" })
	if detail := s.get("solo", "/system:backup_detail").GetValue().GetStringValue(); !strings.Contains(detail, "no room") {
		t.Errorf("the detail is %q", detail)
	}
	confirmed := s.ledger.snapshot(&s.ledger.confirmed)
	s.until("the writers go on", 5*time.Second, func() bool { return s.ledger.snapshot(&s.ledger.confirmed)[0] > confirmed[0] })
	if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=4m"); err != nil {
		t.Fatal(err)
	}
	made := s.call("backup", nil)
	stop()
	if _, err := backup.Verify(t.Context(), made["file"], s.key, t.TempDir(), nil); err != nil {
		t.Error(err)
	}
	s.until("the state is good again", 10*time.Second, func() bool { return s.get("solo", "/system:backup_state").GetValue().GetStringValue() == "ok" })
}

// A node that is killed while it makes a backup leaves none of that name, and after its next start nothing of it at all.
func TestKilledInABackup(t *testing.T) {
	s := startSaved(t, t.TempDir())
	for round := range times(4, 100) {
		ended, client := make(chan struct{}), s.at("solo")
		go func() {
			defer close(ended)
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_, _ = client.Tree.Call(ctx, &apiv1.CallRequest{Path: "/system", Function: "backup"})
		}()
		<-time.After(time.Duration(round%20) * 5 * time.Millisecond)
		s.kill(s.pid("solo"))
		<-ended
		whole, _ := filepath.Glob(filepath.Join(s.dir, "*.banyan"))
		for _, file := range whole {
			if _, err := backup.Verify(t.Context(), file, s.key, t.TempDir(), nil); err != nil {
				t.Fatalf("round %d: %s has its name and %v", round, file, err)
			}
		}
		s.restart("solo")
		if left, _ := filepath.Glob(filepath.Join(s.network.Dir(), "nodes", "solo", backup.ScratchPrefix+"*")); len(left) > 0 {
			t.Errorf("round %d: left %v", round, left)
		}
	}
	s.call("backup", nil)
	if left, _ := filepath.Glob(filepath.Join(s.dir, "*.tmp")); len(left) > 0 {
		t.Errorf("the next backup leaves %v", left)
	}
}
