package trials

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"banyan/proto/apiv1"
)

// lab is a network namespace for each node, joined by a bridge on this machine.
type lab struct {
	t      *testing.T
	prefix string // of names of namespaces and interfaces
	subnet string // three numbers
}

var labs atomic.Int32 // that this process has built

func newLab(t *testing.T, nodes ...string) *lab {
	t.Helper()
	// The kernel takes a namespace down some time after it was deleted: a second lab of this process has names of its own.
	id := (os.Getpid()*16 + int(labs.Add(1))) % 10_000
	l := &lab{t: t, prefix: fmt.Sprintf("by%d", id), subnet: fmt.Sprintf("10.%d.%d", 100+id/100, id%100)}
	t.Cleanup(func() {
		for i, node := range nodes {
			_ = exec.Command("ip", "netns", "del", l.space(node)).Run()
			_ = exec.Command("ip", "link", "del", fmt.Sprintf("%so%d", l.prefix, i)).Run()
		}
		_ = exec.Command("ip", "link", "del", l.prefix+"br").Run()
	})
	l.run("ip", "link", "add", l.prefix+"br", "type", "bridge")
	l.run("ip", "addr", "add", l.subnet+".1/24", "dev", l.prefix+"br")
	l.run("ip", "link", "set", l.prefix+"br", "up")
	for i, node := range nodes {
		outside, inside := fmt.Sprintf("%so%d", l.prefix, i), fmt.Sprintf("%si%d", l.prefix, i)
		l.run("ip", "netns", "add", l.space(node))
		l.run("ip", "link", "add", outside, "type", "veth", "peer", "name", inside, "netns", l.space(node))
		l.run("ip", "link", "set", outside, "master", l.prefix+"br", "up")
		l.in(node, "ip", "addr", "add", fmt.Sprintf("%s.%d/24", l.subnet, 10+i), "dev", inside)
		l.in(node, "ip", "link", "set", inside, "up")
		l.in(node, "ip", "link", "set", "lo", "up")
	}
	return l
}

func (l *lab) space(node string) string { return l.prefix + node }

func (l *lab) run(command ...string) string {
	l.t.Helper()
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s: %v: %s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

func (l *lab) in(node string, command ...string) string {
	l.t.Helper()
	return l.run(append([]string{"ip", "netns", "exec", l.space(node)}, command...)...)
}

// rules loads a table of nftables at a node.
func (l *lab) rules(node, table string) {
	l.t.Helper()
	cmd := exec.Command("ip", "netns", "exec", l.space(node), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(table)
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("nft: %v: %s", err, out)
	}
}

// command runs a node's program in its namespace.
func (l *lab) command(config string) []string {
	self, err := os.Executable()
	if err != nil {
		l.t.Fatal(err)
	}
	return []string{"ip", "netns", "exec", l.space(filepath.Base(filepath.Dir(config))), self, "serve", config}
}

// counted is the bytes between berlin and another address so far, counted outside of the node.
func (l *lab) counted() int {
	l.t.Helper()
	var answer struct {
		Nftables []struct {
			Counter *struct{ Bytes int } `json:"counter"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(l.in("berlin", "nft", "-j", "list", "counters")), &answer); err != nil {
		l.t.Fatal(err)
	}
	total := 0
	for _, o := range answer.Nftables {
		if o.Counter != nil {
			total += o.Counter.Bytes
		}
	}
	return total
}

// Cuts between a site and the region, in both directions and in each one alone: all of the site is stale above within two heartbeats, berlin shows its
// link stale where it lives, and when the cut ends only what changed meanwhile crosses.
func TestCutsOnTheWire(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("network namespaces need root")
	}
	nodes := []string{"hq", "north", "berlin", "hamburg"}
	l := newLab(t, nodes...)
	address := func(node string) string {
		for i, n := range nodes {
			if n == node {
				return fmt.Sprintf("%s.%d", l.subnet, 10+i)
			}
		}
		return ""
	}
	text := "network: cuts\nnodes:\n"
	for _, node := range nodes {
		text += fmt.Sprintf("  %s:\n    listeners: {links: \"%s:7443\", api: \"%s:8443\"}\n", node, address(node), address(node))
		switch node {
		case "berlin":
			text += "    devices:\n      /devices/big: {kind: simulator, points: 10000, group_size: 1, poll_interval: 24h}\n"
			for i := range 12 {
				text += fmt.Sprintf("      /devices/c%d: {kind: simulator, poll_interval: 24h}\n", i)
			}
		case "hamburg":
			text += "    devices:\n      /devices/c0: {kind: simulator, poll_interval: 500ms}\n"
		}
	}
	text += threeTiers[strings.Index(threeTiers, "links:"):]
	tr := start(t, text, l.command)
	north := address("north")

	// What crosses is counted from the second session on, after the first one has listed everything, and once more for a listing from nothing.
	l.rules("berlin", fmt.Sprintf(`table inet count {
		counter up {}
		counter down {}
		chain out { type filter hook output priority 0; ip daddr %s counter name up; }
		chain in { type filter hook input priority 0; ip saddr %s counter name down; }
	}`, north, north))
	big := at("berlin", "/devices/big")
	everything := func() bool {
		list, err := tr.at("hq").Tree.List(t.Context(), &apiv1.ListRequest{Path: big, After: "group-9998", Limit: 10})
		return err == nil && len(list.GetEntries()) == 1 && quality(tr.get("hq", at("berlin", "/devices/c0:seed"))) == "good"
	}
	tr.until("everything is listed at HQ", 60*time.Second, everything)
	listing := l.relist(tr, everything)

	t.Cleanup(func() {
		for _, where := range []string{"berlin /links/north", "north /links/berlin", "north /mounts/berlin", "hq /regions/north/mounts/berlin"} {
			if node, path, _ := strings.Cut(where, " "); t.Failed() {
				t.Logf("%s is %s since %s: %s", where, tr.get(node, path+":state").GetValue(), tr.get(node, path+":since").GetValue(), tr.get(node, path+":detail").GetValue())
			}
		}
		if t.Failed() {
			t.Log(tr.get("north", "/sites/berlin/devices/c6:seed"), tr.get("hq", at("berlin", "/devices/c6:seed")), tr.get("berlin", "/devices/c6:seed"))
		}
	})
	changed := int64(100)
	for _, cause := range []struct{ name, rules string }{
		{"both ways", "chain out { type filter hook output priority 1; ip daddr %[1]s drop; }\n chain in { type filter hook input priority 1; ip saddr %[1]s drop; }"},
		{"berlin to north", "chain out { type filter hook output priority 1; ip daddr %[1]s drop; }"},
		{"north to berlin", "chain in { type filter hook input priority 1; ip saddr %[1]s drop; }"},
	} {
		l.rules("berlin", "table inet cut {\n"+fmt.Sprintf(cause.rules, north)+"\n}")
		atNorth := tr.until(cause.name+": north shows berlin stale", seenAtNorth, func() bool {
			return quality(tr.get("north", "/sites/berlin/devices/c0:seed")) == "uncertain/stale"
		})
		atHQ := tr.until(cause.name+": HQ shows berlin stale", seenAtHQ-atNorth, func() bool {
			return quality(tr.get("hq", at("berlin", "/devices/c0:seed"))) == "uncertain/stale"
		})
		tr.until(cause.name+": berlin shows its link down", seenAtNorth, func() bool {
			s := tr.get("berlin", "/links/north:state").GetValue().GetStringValue()
			return s == "stale" || s == "connecting"
		})
		if q := quality(tr.get("hq", at("hamburg", "/devices/c0:seed"))); q != "good" {
			t.Errorf("%s: hamburg is %s", cause.name, q)
		}
		for i := range 7 {
			changed++
			if _, err := tr.at("berlin").Tree.Set(t.Context(), &apiv1.SetRequest{Address: fmt.Sprintf("/devices/c%d:seed", i), Text: fmt.Sprint(changed)}); err != nil {
				t.Fatal(err)
			}
		}
		gone := fmt.Sprintf("/devices/c%d", 11-(changed-100)/7)
		if _, err := tr.at("berlin").Tree.Remove(t.Context(), &apiv1.RemoveRequest{Path: gone}); err != nil {
			t.Fatal(err)
		}
		before := l.counted()
		l.in("berlin", "nft", "delete", "table", "inet", "cut")
		back := tr.until(cause.name+": everything is good again", 60*time.Second, func() bool {
			r := tr.get("hq", at("berlin", "/devices/c6:seed"))
			return quality(r) == "good" && r.GetValue().GetStringValue() == fmt.Sprint(changed)
		})
		crossed := l.counted() - before
		if crossed > listing/100+16<<10 {
			t.Errorf("%s: %d bytes crossed for 7 changes and a removal, the listing took %d", cause.name, crossed, listing)
		}
		if _, err := tr.at("hq").Tree.Get(t.Context(), &apiv1.GetRequest{Address: at("berlin", gone+":seed")}); err == nil {
			t.Errorf("%s: what was removed during the cut is still there", cause.name)
		}
		t.Logf("%s: stale at north after %s, at HQ %s, good again after %s, %d bytes (listing %d)", cause.name, atNorth, atNorth+atHQ, back, crossed, listing)
	}
}

// relist makes north forget what it mirrors of berlin, and counts what a listing of everything takes.
func (l *lab) relist(tr *trial, everything func() bool) int {
	l.t.Helper()
	if err := tr.network.Stop(tr.Context(), "north"); err != nil {
		l.t.Fatal(err)
	}
	mirrors, err := filepath.Glob(filepath.Join(tr.network.Dir(), "nodes", "north", "mirrors", "*"))
	if err != nil || len(mirrors) == 0 {
		l.t.Fatalf("north keeps no mirrors: %v", err)
	}
	for _, file := range mirrors {
		if err := os.Remove(file); err != nil {
			l.t.Fatal(err)
		}
	}
	before := l.counted()
	tr.restart("north")
	tr.until("everything is listed again", 60*time.Second, everything)
	return l.counted() - before
}
