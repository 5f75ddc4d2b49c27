package trials

import (
	"os"
	"syscall"
	"testing"
	"time"

	"banyan/proto/apiv1"
)

// TestRootsRotateWhilePeersAreAway: certificates of links live for seconds, and each node's root is succeeded once in each of their lives, while its peers are
// killed or stand still for three of them. They come back, and everything is good again, without anybody doing anything.
func TestRootsRotateWhilePeersAreAway(t *testing.T) {
	leaf := time.Duration(times(2, 10)) * time.Second
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tr := start(t, threeTiers, func(config string) []string {
		return []string{"env", "TRIAL_LEAF=" + leaf.String(), "TRIAL_RECONNECT=500ms", self, "serve", config}
	})
	good := func() bool {
		for _, site := range []string{"berlin", "hamburg"} {
			if quality(tr.get("hq", at(site, "/devices/sim:updates"))) != "good" {
				return false
			}
		}
		return true
	}
	tr.until("everything is good", 30*time.Second, good)
	roots := map[string]bool{}
	rotate := func(nodes ...string) {
		t.Helper()
		for range 3 {
			for _, node := range nodes {
				answer, err := tr.at(node).Tree.Call(t.Context(), &apiv1.CallRequest{Path: "/system", Function: "rotate_root"})
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range answer.GetResults() {
					if r.GetName() == "root" {
						roots[r.GetValue().GetStringValue()] = true
					}
				}
			}
			<-time.After(leaf)
		}
	}

	// Both neighbours of north are away: one that dials it, killed, and one that it dials, standing still.
	berlin, hq := tr.pid("berlin"), tr.pid("hq")
	tr.kill(berlin)
	tr.signal(hq, syscall.SIGSTOP)
	rotate("north")
	if q := quality(tr.get("north", "/sites/berlin/devices/sim:updates")); q != "uncertain/stale" {
		t.Errorf("while berlin is away north shows it as %s", q)
	}
	tr.signal(hq, syscall.SIGCONT)
	tr.restart("berlin")
	first := tr.until("everything is good after the roots of north", 60*time.Second, good)

	// North is away while all of its neighbours have other roots.
	tr.kill(tr.pid("north"))
	rotate("hq", "berlin", "hamburg")
	if good() {
		t.Error("while north is away hq shows everything as good")
	}
	tr.restart("north")
	second := tr.until("everything is good after the roots of its neighbours", 60*time.Second, good)
	t.Logf("leaves of %s, %d roots: good again %s and %s after they came back", leaf, len(roots), first.Round(time.Millisecond), second.Round(time.Millisecond))
	if len(roots) != 12 {
		t.Errorf("there were %d roots, not 12: %v", len(roots), roots)
	}
}
