package trials

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"banyan/proto/apiv1"
	"banyan/server"
	"banyan/topologies"
)

// TestMain runs a node where the test's program was started as one.
func TestMain(m *testing.M) {
	run := map[string]func(string) error{"serve": serve, "hang": hang}
	if len(os.Args) == 3 && run[os.Args[1]] != nil {
		if err := run[os.Args[1]](os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if faulty.dir != "" {
		_ = os.RemoveAll(faulty.dir)
	}
	os.Exit(code)
}

// hang accepts connections and says nothing.
func hang(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	var held []net.Conn
	for {
		conn, err := listener.Accept()
		if err != nil {
			return errors.Join(err, fmt.Errorf("after %d connections", len(held)))
		}
		held = append(held, conn)
	}
}

func serve(config string) error {
	raw, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	file, err := server.ParseFile(config, raw)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	cfg := server.Config{File: file, Logger: server.NewLogger(file.Log, file.Name)}
	for name, field := range map[string]*time.Duration{"TRIAL_RECONNECT": &cfg.Reconnect, "TRIAL_LEAF": &cfg.Certificates.Link} {
		if text := os.Getenv(name); text != "" {
			if *field, err = time.ParseDuration(text); err != nil {
				return err
			}
		}
	}
	if os.Getenv("TRIAL_COUNTER") != "" {
		counting(&cfg)
	}
	if dir := os.Getenv("TRIAL_WORDS"); dir != "" {
		telling(&cfg, dir)
	}
	node, err := server.New(ctx, cfg)
	if err != nil {
		return err
	}
	return node.Run(ctx)
}

// trial is a running network.
type trial struct {
	*testing.T
	network *topologies.Network
	clients map[string]*topologies.Client
}

// full reports whether to try as hard as before a release.
func full() bool { return os.Getenv("TRIALS") == "full" }

// times is how often something is tried: all of it before a release, else a few.
func times(few, all int) int {
	if full() {
		return all
	}
	return few
}

const threeTiers = `network: trial
nodes:
  hq: {}
  north: {}
  berlin: &probe
    devices:
      /devices/sim: {kind: simulator, points: 10, poll_interval: 500ms}
      /devices/slow: {kind: simulator, points: 2, poll_interval: 1h}
  hamburg: *probe
links:
  - {provider: north, consumer: hq, dials: provider, export: {paths: ["/**"], right: configure}, mount: /regions/north}
  - {provider: berlin, consumer: north, dials: provider, export: {paths: ["/**"], right: configure}, mount: /sites/berlin}
  - {provider: hamburg, consumer: north, dials: provider, export: {paths: ["/**"], right: configure}, mount: /sites/hamburg}
`

func start(t *testing.T, text string, command func(config string) []string) *trial {
	t.Helper()
	return startIn(t, t.TempDir(), text, command)
}

// startIn starts a network in a directory, which the caller may have prepared.
func startIn(t *testing.T, dir, text string, command func(config string) []string) *trial {
	t.Helper()
	file := filepath.Join(dir, "topology.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if command == nil {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		command = func(config string) []string { return []string{self, "serve", config} }
	}
	network, err := topologies.Up(t.Context(), topologies.Config{Dir: filepath.Join(dir, "network"), Command: command}, file)
	if err != nil {
		logs(t, filepath.Join(dir, "network"))
		t.Fatal(err)
	}
	tr := &trial{T: t, network: network, clients: map[string]*topologies.Client{}}
	t.Cleanup(func() {
		if t.Failed() {
			logs(t, network.Dir())
		}
		for _, c := range tr.clients {
			c.Close()
		}
		if err := network.Down(context.Background(), false); err != nil {
			t.Error(err)
		}
		network.Close()
	})
	return tr
}

// logs shows the end of each node's log.
func logs(t *testing.T, dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "nodes", "*", "node.log"))
	for _, file := range files {
		if out, err := exec.Command("tail", "-n", "15", file).Output(); err == nil {
			t.Logf("%s:\n%s", filepath.Base(filepath.Dir(file)), out)
		}
	}
}

// at is a client of a node's administrator. It survives restarts of the node by logging in anew.
func (t *trial) at(node string) *topologies.Client {
	t.Helper()
	if c := t.clients[node]; c != nil {
		return c
	}
	c, err := t.network.Client(t.Context(), node, server.AdminName)
	if err != nil {
		t.Fatal(err)
	}
	t.clients[node] = c
	return c
}

// forget drops the client of a node that was restarted.
func (t *trial) forget(node string) {
	if c := t.clients[node]; c != nil {
		c.Close()
		delete(t.clients, node)
	}
}

func (t *trial) pid(node string) int {
	t.Helper()
	status, err := t.network.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range status.Rows {
		if row.Node == node && row.PID != 0 {
			return row.PID
		}
	}
	t.Fatalf("%s does not run", node)
	return 0
}

func (t *trial) signal(pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// kill ends a process as a power cut would, and waits until it is gone.
func (t *trial) kill(pid int) {
	t.Helper()
	t.signal(pid, syscall.SIGKILL)
	t.until("the process is gone", 10*time.Second, func() bool { return gone(pid) })
}

// gone reports whether a process has ended, whether or not somebody has asked how.
func gone(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(status), ") Z ")
}

func (t *trial) get(node, address string) *apiv1.Reading {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // it is asked for after a failure, too
	defer cancel()
	r, err := t.at(node).Tree.Get(ctx, &apiv1.GetRequest{Address: address})
	if err != nil {
		return &apiv1.Reading{Quality: err.Error()}
	}
	return r
}

// quality is a reading's quality with its reason.
func quality(r *apiv1.Reading) string {
	if r.GetReason() == "" {
		return r.GetQuality()
	}
	return r.GetQuality() + "/" + r.GetReason()
}

// until waits for something, at most so long, and returns how long it took.
func (t *trial) until(what string, most time.Duration, holds func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > most {
			t.Fatalf("not within %s: %s", most, what)
		}
		<-time.After(20 * time.Millisecond)
	}
	return time.Since(began)
}

// start runs a node again.
func (t *trial) restart(node string) {
	t.Helper()
	t.forget(node)
	if err := t.network.Start(t.Context(), node); err != nil {
		t.Fatal(err)
	}
}

func at(site, address string) string {
	return strings.Join([]string{"/regions/north/sites", site, strings.TrimPrefix(address, "/")}, "/")
}
