package topologies

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"
)

const twoTiers = `
network: two-tiers
nodes:
  hq: {}
  berlin:
    devices:
      /devices/sim: {kind: simulator, points: 3, poll_interval: 1s}
links:
  - {provider: berlin, consumer: hq, export: {right: configure}, mount: /sites/berlin}
users:
  hq: {alice: [{pattern: "/**", right: configure}]}
  berlin: {"alice@hq": [{pattern: "/**", right: operate}]}
`

// project is a topology file, and the configuration of a network for it.
func project(t *testing.T, source string) (Config, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "net")
	file := dir + ".yaml"
	write(t, file, source)
	cfg := Config{Dir: dir, Command: command("serve"), Progress: func(line string) { t.Log(line) }}
	return cfg, file
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// up starts a network that is stopped when the test ends.
func up(t *testing.T, cfg Config, file string) *Network {
	t.Helper()
	n, err := Up(t.Context(), cfg, file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := os.Stat(cfg.Dir); err == nil {
			if err := n.Down(context.Background(), false); err != nil {
				t.Error(err)
			}
		}
		n.Close()
	})
	return n
}

func runs(t *testing.T, n *Network) map[string]int {
	t.Helper()
	s, err := readState(n.Dir())
	if err != nil {
		t.Fatal(err)
	}
	pids := map[string]int{}
	for name, at := range s.Nodes {
		if at.alive() {
			pids[name] = at.PID
		}
	}
	return pids
}

// TestNetwork is the life of a network: up, up again, one node stopped and started, changed, down.
func TestNetwork(t *testing.T) {
	cfg, file := project(t, twoTiers)
	n := up(t, cfg, file)
	first := runs(t, n)
	if len(first) != 2 {
		t.Fatalf("running: %v", first)
	}
	seen(t, n, "hq", "alice", "/sites/berlin/devices/sim:all_int64")
	for _, secret := range []string{"hq", "hq.alice", "berlin"} {
		info, err := os.Stat(filepath.Join(n.Dir(), "secrets", secret))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("secret %s: %v, %v", secret, info, err)
		}
	}

	t.Run("again", func(t *testing.T) {
		again := up2(t, cfg, file)
		defer again.Close()
		if now := runs(t, again); now["hq"] != first["hq"] || now["berlin"] != first["berlin"] {
			t.Errorf("the second up started nodes anew: %v, before %v", now, first)
		}
	})
	t.Run("status", func(t *testing.T) { checkStatus(t, n) })
	t.Run("stop and start", func(t *testing.T) {
		if err := n.Stop(t.Context(), "berlin"); err != nil {
			t.Fatal(err)
		}
		if now := runs(t, n); len(now) != 1 || now["hq"] != first["hq"] {
			t.Errorf("running: %v", now)
		}
		row := rowOf(t, n, "berlin")
		if row.State != "stopped" || row.PID != 0 {
			t.Errorf("status of what is stopped: %+v", row)
		}
		if err := n.Start(t.Context(), "berlin"); err != nil {
			t.Fatal(err)
		}
		seen(t, n, "hq", "alice", "/sites/berlin/devices/sim:all_int64")
		if err := n.Stop(t.Context(), "berln"); model.KindOf(err) != model.KindNotFound || !strings.Contains(err.Error(), "did you mean berlin?") {
			t.Errorf("a wrong name: %v", err)
		}
	})
	t.Run("changed", func(t *testing.T) { changeFile(t, n, cfg, file) })
	t.Run("down", func(t *testing.T) {
		write(t, filepath.Join(n.Dir(), "notes"), "mine")
		if err := n.Down(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		left, err := os.ReadDir(n.Dir())
		if err != nil || len(left) != 1 || left[0].Name() != "notes" {
			t.Errorf("left behind: %v, %v", left, err)
		}
		if err := os.RemoveAll(n.Dir()); err != nil {
			t.Fatal(err)
		}
	})
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func up2(t *testing.T, cfg Config, file string) *Network {
	t.Helper()
	n, err := Up(t.Context(), cfg, file)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// seen waits until a reading is good.
func seen(t *testing.T, n *Network, node, user, address string) *apiv1.Reading {
	t.Helper()
	c, err := n.Client(t.Context(), node, user)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var last any
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); sleep(t.Context(), 20*time.Millisecond) {
		r, err := ask(t.Context(), c, c.Tree.Get, &apiv1.GetRequest{Address: address})
		if err == nil && r.GetQuality() == "good" {
			return r
		}
		if last = r; err != nil {
			last = err
		}
	}
	t.Fatalf("%s at %s does not become good: %v", address, node, last)
	return nil
}

func rowOf(t *testing.T, n *Network, node string) Row {
	t.Helper()
	status, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(status.Rows, func(r Row) bool { return r.Node == node })
	if at < 0 {
		t.Fatalf("no row of %s: %+v", node, status)
	}
	return status.Rows[at]
}

func checkStatus(t *testing.T, n *Network) {
	status, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := status.String()
	t.Log("\n" + text)
	for _, want := range []string{"NODE", "PASSWORD", "-> hq", "<- berlin", "up (lag", "https://127.0.0.1:", "secrets/berlin"} {
		if !strings.Contains(text, want) {
			t.Errorf("the status does not have %q", want)
		}
	}
	raw, err := json.Marshal(status)
	if err != nil || !strings.Contains(string(raw), `"link":"-\u003e hq"`) && !strings.Contains(string(raw), `"peer":"hq"`) {
		t.Errorf("as JSON: %s, %v", raw, err)
	}
}

// changeFile brings the network to another state of its file: a device changed, one added and one removed, a user less, a node less.
func changeFile(t *testing.T, n *Network, cfg Config, file string) {
	c, err := n.Client(t.Context(), "berlin", "admin")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	byHand := model.MustPath("/devices/by-hand")
	if err := c.create(t.Context(), byHand, "simulator", "", nil); err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer("points: 3, poll_interval: 1s}", "points: 5, poll_interval: 2s}\n      /devices/more: {kind: simulator}",
		"{alice: [{pattern: \"/**\", right: configure}]}", "{bob: [{pattern: \"/**\", right: view}]}",
		"  berlin: {\"alice@hq\": [{pattern: \"/**\", right: operate}]}\n", "", "mount: /sites/berlin", "mount: /berlin").Replace(twoTiers)
	write(t, file, changed)
	up2(t, cfg, file).Close()
	info, err := c.describe(t.Context(), model.MustPath("/devices/sim"))
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := settingOf(info, "points"); valueOf(r).Int64() != 5 {
		t.Errorf("points: %v", r)
	}
	for path, want := range map[model.Path]bool{
		byHand: true, model.MustPath("/devices/more"): true, model.MustPath("/users/alice-at-hq"): false, model.MustPath("/links/hq"): true,
	} {
		if _, there, err := c.there(t.Context(), path); err != nil || there != want {
			t.Errorf("%s is there: %v, %v, want %v", path, there, err, want)
		}
	}
	seen(t, n, "hq", "bob", "/berlin/devices/sim:all_int64")

	write(t, file, "network: two-tiers\nnodes: {berlin: {}}\n")
	alone := up2(t, cfg, file)
	defer alone.Close()
	if now := runs(t, alone); len(now) != 1 || now["berlin"] == 0 {
		t.Errorf("running: %v", now)
	}
	for path, want := range map[model.Path]bool{byHand: true, model.MustPath("/devices/sim"): false, model.MustPath("/links/hq"): false, model.MustPath("/exports/hq"): false} {
		if _, there, err := c.there(t.Context(), path); err != nil || there != want {
			t.Errorf("%s is there: %v, %v, want %v", path, there, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(n.Dir(), "nodes", "hq")); err == nil {
		t.Error("the directory of a node that the file has no more is still there")
	}
}

// TestDiesWithParent: however the program that started a network ends, no process of it is left. A detached one stays.
func TestDiesWithParent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	write(t, dir+".yaml", "network: orphans\nnodes: {hq: {}, berlin: {}}\n")
	cmd := parentCommand(dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	s, err := readState(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range s.names() {
		if !s.Nodes[name].alive() {
			t.Errorf("%s does not run", name)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	for _, name := range s.names() {
		if !s.Nodes[name].gone(5 * time.Second) {
			t.Errorf("%s outlives who started it", name)
		}
	}
}

func TestDetached(t *testing.T) {
	cfg, file := project(t, "network: detached\nnodes: {hq: {}}\n")
	cfg.Detach = true
	n := up2(t, cfg, file)
	before := runs(t, n)
	n.Close()
	// Its thread ends with the nursery; what would die with it would do so at once.
	other, err := Open(Config{Dir: cfg.Dir, Command: command("serve")})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	sleep(t.Context(), 50*time.Millisecond)
	if now := runs(t, other); now["hq"] == 0 || now["hq"] != before["hq"] {
		t.Errorf("running: %v, before %v", now, before)
	}
	if err := other.Down(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if now := runs(t, other); len(now) != 0 {
		t.Errorf("still running: %v", now)
	}
	if err := other.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := other.Down(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cfg.Dir); err == nil {
		t.Error("the directory, which was made for the network, is left")
	}
}

// TestPortTaken: a port that somebody took while the node was away, and one that somebody takes in the very moment.
func TestPortTaken(t *testing.T) {
	var lines []string
	cfg, file := project(t, twoTiers)
	cfg.Progress = func(line string) { lines = append(lines, line) }
	n := up(t, cfg, file)
	if err := n.Stop(t.Context(), "hq"); err != nil {
		t.Fatal(err)
	}
	s, err := readState(n.Dir())
	if err != nil {
		t.Fatal(err)
	}
	thief := listen(t, s.Nodes["hq"].Links)
	defer thief.Close()
	n.cfg.Command = command("rob")
	if err := n.Start(t.Context(), "hq"); err != nil {
		t.Fatal(err)
	}
	now, err := readState(n.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if now.Nodes["hq"].Links == s.Nodes["hq"].Links {
		t.Error("the port is the one that was taken")
	}
	text := strings.Join(lines, "\n")
	if !strings.Contains(text, "is taken by another program; it is now 127.0.0.1:") || !strings.Contains(text, "taken in the moment of the start") {
		t.Errorf("it is not said that ports were taken:\n%s", text)
	}
	seen(t, n, "hq", "alice", "/sites/berlin/devices/sim:all_int64") // berlin was told where hq is now
}

// TestStartFails: what a node says before it gives up is in the error, and nothing is left running.
func TestStartFails(t *testing.T) {
	cfg, file := project(t, twoTiers)
	cfg.Command = command("fail")
	_, err := Up(t.Context(), cfg, file)
	if err == nil || !strings.Contains(err.Error(), "made of cheese") || !strings.Contains(err.Error(), "node.log") {
		t.Errorf("got %v", err)
	}
	cfg.Command = command("serve") // and the next up goes on where that one ended
	n := up(t, cfg, file)
	if len(runs(t, n)) != 2 {
		t.Errorf("running: %v", runs(t, n))
	}
}

// TestFixedPortTaken: a port that the file names is not exchanged for another.
func TestFixedPortTaken(t *testing.T) {
	thief := listen(t, "127.0.0.1:0")
	defer thief.Close()
	cfg, file := project(t, "network: fixed\nnodes: {hq: {listeners: {api: \""+thief.Addr().String()+"\"}}}\n")
	_, err := Up(t.Context(), cfg, file)
	if model.KindOf(err) != model.KindUnavailable || !strings.Contains(err.Error(), thief.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

// TestStubborn: what does not end by itself is killed, in time. What stands still is ended as well.
func TestStubborn(t *testing.T) {
	cfg, file := project(t, "network: stubborn\nnodes: {hq: {}, berlin: {}}\n")
	cfg.Command = command("stubborn")
	cfg.StopWithin = 2 * time.Second
	n := up(t, cfg, file)
	if err := syscall.Kill(runs(t, n)["berlin"], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(before); took > 4*time.Second {
		t.Errorf("it took %s", took)
	}
	if now := runs(t, n); len(now) != 0 {
		t.Errorf("still running: %v", now)
	}
}

// TestNotOurs: a process that has got the number of one of ours is left alone.
func TestNotOurs(t *testing.T) {
	cfg, file := project(t, "network: numbers\nnodes: {hq: {}}\n")
	n := up(t, cfg, file)
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	mine, _ := identify(os.Getpid())
	s, err := readState(n.Dir())
	if err != nil {
		t.Fatal(err)
	}
	s.Nodes["hq"].processID = processID{PID: mine.PID, Started: mine.Started + "0"}
	if err := s.write(n.Dir()); err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(t.Context()); err != nil { // would end this test
		t.Fatal(err)
	}
	if err := n.Start(t.Context(), "hq"); err != nil {
		t.Fatal(err)
	}
}

// TestTwoPrograms: only one changes a network at a time, and a directory is of one network.
func TestTwoPrograms(t *testing.T) {
	cfg, file := project(t, "network: one\nnodes: {hq: {}}\n")
	cfg.LockWithin = 20 * time.Millisecond
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	unlock, err := lock(cfg.Dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Up(t.Context(), cfg, file); model.KindOf(err) != model.KindConflict {
		t.Errorf("while another program works there: %v", err)
	}
	unlock()
	up(t, cfg, file)
	write(t, file, "network: two\nnodes: {hq: {}}\n")
	if _, err := Up(t.Context(), cfg, file); model.KindOf(err) != model.KindExists {
		t.Errorf("a second network in the directory: %v", err)
	}
}

// TestSideBySide: two networks of one file do not disturb each other.
func TestSideBySide(t *testing.T) {
	cfg, file := project(t, twoTiers)
	other, otherFile := project(t, twoTiers)
	n, m := up(t, cfg, file), up(t, other, otherFile)
	before := runs(t, m)
	if err := n.Down(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if now := runs(t, m); now["hq"] != before["hq"] || now["berlin"] != before["berlin"] || len(now) != 2 {
		t.Errorf("running: %v, before %v", now, before)
	}
	seen(t, m, "hq", "alice", "/sites/berlin/devices/sim:all_int64")
}

// TestSilent: a node that stands still is named as such, and soon; the others' rows are as they are.
func TestSilent(t *testing.T) {
	cfg, file := project(t, twoTiers)
	n := up(t, cfg, file)
	pid := runs(t, n)["berlin"]
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	if row := rowOf(t, n, "berlin"); row.State != StateSilent || row.PID != pid {
		t.Errorf("who stands still is shown as %+v", row)
	}
	if took := time.Since(before); took > 2*statusWithin {
		t.Errorf("it took %s", took)
	}
	if row := rowOf(t, n, "hq"); row.PID == 0 || row.State == StateSilent || row.State == StateStopped {
		t.Errorf("who runs is shown as %+v", row)
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}
