package trials

import (
	"banyan/backup"
	"banyan/fault/disk"
	"banyan/proto/apiv1"
	"context"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestPowerCutsOfANetwork lets the power of two linked nodes go at any step that one of them takes on their disk: while they start on what the cut before
// has left, and while settings, contexts, roots and backups are written by them and over the link. They start again by themselves, and all that was
// confirmed is there: also keys and backups, which are files; the audit log is whole up to where it was seen, and the link comes up.
func TestPowerCutsOfANetwork(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("BANYAN_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d", seed)
	r := startRack(t, seed)
	cuts := times(2, 300)
	for cut := range cuts {
		r.life(false)
		if cut%2 == 1 {
			r.life(true)
		}
		if r.look(); t.Failed() {
			t.Fatalf("after cut %d", cut+1)
		}
	}
	t.Logf("%d cuts, %d confirmations, %d roots, %d contexts", cuts+cuts/2, len(r.writers.revisions), r.roots, len(r.made))
	if len(r.writers.revisions) < cuts {
		t.Error("hardly anything was confirmed: this proves nothing")
	}
}

// life lets the nodes run until the power goes, before a step of what they do while they start, or of what they do when they have started.
func (r *rack) life(starting bool) {
	r.Helper()
	before := int(math.Pow(10, 1.5+2*r.random.Float64())) // 30 to 3,000
	dark, cancel := context.WithCancel(r.Context())
	defer cancel()
	gone := r.disk.Dark()
	go func() {
		<-gone
		cancel()
	}()
	wait := func() {}
	if starting {
		r.disk.Set(disk.Plan{CutBefore: 1 + before/4})
		r.run("hq")
		r.run("edge")
	} else {
		r.disk.Set(disk.Plan{CutBefore: r.disk.Steps() + before})
		wait = r.work(dark)
	}
	timer := time.AfterFunc(3*time.Second, r.disk.PullThePlug)
	<-gone
	timer.Stop()
	r.killAll()
	wait()
	if err := r.unmount(); err != nil {
		r.Fatal(err)
	}
	r.disk.Cut()
	r.mount()
}

// look starts the nodes, which takes no hand, and looks for all that was confirmed.
func (r *rack) look() {
	r.Helper()
	r.run("hq")
	r.run("edge")
	r.serves()
	for w, to := range rackAddresses {
		own := to.address
		if to.node == "hq" {
			own = own[len("/edge"):]
		}
		reading := r.get("edge", own)
		got, err := strconv.ParseInt(reading.GetValue().GetStringValue(), 10, 64)
		if err != nil || got < r.writers.confirmed[w] || got > r.writers.tried[w] {
			r.Errorf("%s is %v, confirmed was %d, tried %d", own, reading, r.writers.confirmed[w], r.writers.tried[w])
		}
		r.writers.confirmed[w], r.writers.tried[w] = got, got
	}
	r.lookForContexts()
	for node := range r.running {
		texts := map[string]string{}
		if head := r.heads[node]; head != "" {
			texts["head"] = head
		}
		answer, err := r.at(node).Tree.Call(r.Context(), &apiv1.CallRequest{Path: "/system", Function: "verify_audit", Texts: texts})
		if err != nil {
			r.Fatal(err)
		}
		for _, result := range answer.GetResults() {
			switch result.GetName() {
			case "problem":
				r.Errorf("the audit log of %s: %s", node, result.GetValue().GetStringValue())
			case "head":
				r.heads[node] = result.GetValue().GetStringValue()
			}
		}
	}
	r.lookForKeys()
	r.lookForBackups()
	r.until("the link is up", 30*time.Second, func() bool { return quality(r.get("hq", "/edge/devices/sim:updates")) == "good" })
	for w, to := range rackAddresses {
		if to.node == "hq" {
			r.until("HQ shows what the owner has", 10*time.Second, func() bool {
				return r.get("hq", to.address).GetValue().GetStringValue() == strconv.FormatInt(r.writers.confirmed[w], 10)
			})
		}
	}
}

func (r *rack) lookForContexts() {
	r.Helper()
	there := map[string]bool{}
	for after, more := "", true; more; {
		listed, err := r.at("edge").Tree.List(r.Context(), &apiv1.ListRequest{Path: "/devices", After: after, Limit: 1000})
		if err != nil {
			r.Fatal(err)
		}
		for _, c := range listed.GetEntries() {
			there[c.GetPath()] = true
			after = c.GetPath()[len("/devices/"):]
		}
		more = listed.GetMore()
	}
	for path := range r.made {
		if !there[path] && !r.doubted[path] {
			r.Errorf("%s was made and is not there", path)
		}
	}
	for path := range there {
		if path != "/devices/sim" && !slices.Contains([]string{"/devices/w0", "/devices/w1", "/devices/w2"}, path) && !r.made[path] && !r.doubted[path] {
			r.Errorf("%s is there, and was removed", path)
		}
	}
	r.made, r.doubted = maps.Clone(there), map[string]bool{}
}

// lookForKeys asks who the edge is: by the root that was confirmed last, or by the one that was being made.
func (r *rack) lookForKeys() {
	r.Helper()
	who := r.call("identity", nil)
	if who["root"] != r.root && r.root != "" && !r.rooting || who["problem"] != "" {
		r.Errorf("the edge is %v, the root that was confirmed is %s", who, r.root)
	}
	r.root, r.rooting = who["root"], false
}

// lookForBackups opens what was said to be backed up.
func (r *rack) lookForBackups() {
	r.Helper()
	for _, name := range r.backups {
		content, err := os.ReadFile(name)
		if err != nil {
			r.Errorf("a backup that was confirmed: %v", err)
			continue
		}
		copied := filepath.Join(r.TempDir(), "backup")
		if err := os.WriteFile(copied, content, 0o600); err != nil {
			r.Fatal(err)
		}
		if _, err := backup.Verify(r.Context(), copied, r.key, r.TempDir(), nil); err != nil {
			r.Errorf("a backup that was confirmed: %v", err)
		}
		_ = os.Remove(name) // or the disk fills up
	}
	r.backups = nil
}
