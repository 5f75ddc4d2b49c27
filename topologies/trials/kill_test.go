package trials

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"banyan/proto/apiv1"
	"banyan/proto/modelv1"

	_ "github.com/mattn/go-sqlite3"
	pb "google.golang.org/protobuf/proto"
)

// What HQ was told is done is in the owner's database, although the owner is killed the instant the answer is there; and it is in no other
// node's database.
func TestConfirmedSetOutlivesItsOwner(t *testing.T) {
	tr := start(t, threeTiers, nil)
	address := at("berlin", "/devices/sim:seed")
	for i := range times(5, 100) {
		value := strconv.Itoa(100_000 + i)
		tr.until("HQ can set at berlin", 30*time.Second, func() bool {
			_, err := tr.at("hq").Tree.Set(tr.Context(), &apiv1.SetRequest{Address: address, Text: "1"})
			return err == nil
		})
		pid := tr.pid("berlin")
		if _, err := tr.at("hq").Tree.Set(tr.Context(), &apiv1.SetRequest{Address: address, Text: value}); err != nil {
			t.Fatal(err)
		}
		tr.kill(pid)
		if got := stored(t, tr, "berlin", "seed"); got != 100_000+int64(i) {
			t.Fatalf("round %d: berlin's database has %d after %s was confirmed", i, got, value)
		}
		if got := stored(t, tr, "hq", "seed"); got != 0 {
			t.Fatalf("round %d: HQ's database has %d, which is not its to have", i, got)
		}
		tr.restart("berlin")
	}
}

// stored is the newest value of an integer setting in a node's database, 0 where there is none. The file is read as a copy, as it lies on the disk.
func stored(t *testing.T, tr *trial, node, setting string) int64 {
	t.Helper()
	rows, err := copyOf(t, tr, node).QueryContext(t.Context(), `SELECT value FROM settings WHERE name = ?`, setting)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	newest := int64(0)
	for rows.Next() {
		var encoded []byte
		if err := rows.Scan(&encoded); err != nil {
			t.Fatal(err)
		}
		var value modelv1.Value
		if err := pb.Unmarshal(encoded, &value); err != nil {
			t.Fatal(err)
		}
		newest = max(newest, value.GetInt64())
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return newest
}

func copyOf(t *testing.T, tr *trial, node string) *sql.DB {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"node.db", "node.db-wal"} {
		content, err := os.ReadFile(filepath.Join(tr.network.Dir(), "nodes", node, name))
		if err != nil {
			if name == "node.db-wal" {
				continue
			}
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite3", filepath.Join(dir, "node.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Eight writers set over the API while the node is killed at random moments. The ledger of what was confirmed is kept here, in another process.
func TestKillLoopOverTheAPI(t *testing.T) {
	const writers = 8
	text := "network: kill\nnodes:\n  solo:\n    devices:\n"
	for w := range writers {
		text += fmt.Sprintf("      /devices/w%d: {kind: simulator, poll_interval: 1h}\n", w)
	}
	tr := start(t, text, nil)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	l := &ledger{confirmed: make([]int64, writers), tried: make([]int64, writers), revisions: map[string]int64{}}
	for kill := range times(20, 500) {
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		client := tr.at("solo")
		for w := range writers {
			work.Go(func() {
				for ctx.Err() == nil {
					value := l.next(w)
					r, err := client.Tree.Set(ctx, &apiv1.SetRequest{Address: fmt.Sprintf("/devices/w%d:seed", w), Text: strconv.FormatInt(value, 10)})
					if err != nil {
						return
					}
					l.confirm(t, w, value, r.GetRevision())
				}
			})
		}
		<-time.After(time.Duration(random.IntN(300)) * time.Millisecond)
		tr.kill(tr.pid("solo"))
		cancel()
		work.Wait()
		if kill%10 == 0 {
			var verdict string
			if err := copyOf(t, tr, "solo").QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
				t.Fatalf("kill %d: the database is %s, %v", kill, verdict, err)
			}
		}
		tr.restart("solo")
		for w := range writers {
			r := tr.get("solo", fmt.Sprintf("/devices/w%d:seed", w))
			got, err := strconv.ParseInt(r.GetValue().GetStringValue(), 10, 64)
			if err != nil || got < l.confirmed[w] || got > l.tried[w] {
				t.Fatalf("kill %d: writer %d has %v, confirmed was %d, tried %d", kill, w, r.GetValue(), l.confirmed[w], l.tried[w])
			}
			l.confirmed[w], l.tried[w] = got, got
		}
	}
	t.Logf("%d confirmations", len(l.revisions))
	if len(l.revisions) < writers {
		t.Error("hardly anything was confirmed: this proves nothing")
	}
}

// ledger is what was confirmed and what was tried, by writer, and all revisions that were told.
type ledger struct {
	mu        sync.Mutex
	confirmed []int64
	tried     []int64
	revisions map[string]int64
}

func (l *ledger) next(w int) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tried[w] = max(l.tried[w], 1) + 1
	return l.tried[w]
}

func (l *ledger) confirm(t *testing.T, w int, value int64, revision string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.confirmed[w] = value
	if before, twice := l.revisions[revision]; twice {
		t.Errorf("revision %s was given twice, for %d and %d", revision, before, value)
	}
	l.revisions[revision] = value
}
