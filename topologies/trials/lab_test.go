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
