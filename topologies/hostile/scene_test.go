package hostile

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
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
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		if err := serve(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// heardAfter is how long a node rests before it dials again, and before it hears somebody again who broke the protocol, at first.
const heardAfter = 50 * time.Millisecond

func serve(config string) error {
	file, err := server.LoadFile(config)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	cfg := server.Config{File: file, Logger: server.NewLogger(file.Log, file.Name), Reconnect: heardAfter} // else each bomb would wait longer than the one before
	node, err := server.New(ctx, cfg)
	if err != nil {
		return err
	}
	defer givingBack(file.Data)()
	if dir := os.Getenv("PROFILE"); dir != "" { // what it spends its time with, for whoever looks
		to, err := os.Create(filepath.Join(dir, file.Name+".cpu"))
		if err != nil {
			return err
		}
		defer func() { _ = to.Close() }()
		if err := pprof.StartCPUProfile(to); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	return node.Run(ctx)
}

// gaveBack is the file that says that memory was given back.
const gaveBack = "gave-back"

// givingBack gives memory that is not used back to the machine at each SIGUSR1, so that what is measured next began from nothing.
func givingBack(dir string) (end func()) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			debug.FreeOSMemory()
			_ = os.WriteFile(filepath.Join(dir, gaveBack), nil, 0o600)
		}
	}()
	return func() {
		signal.Stop(asked)
		close(asked)
	}
}

// full reports whether to try as hard as before a release.
func full() bool { return os.Getenv("TRIALS") == "full" }

const besieged = `network: besieged
nodes:
  hq: {}
  berlin:
    devices:
      /devices/sim: {kind: simulator, points: 10, poll_interval: 200ms}
links:
  - {provider: berlin, consumer: hq, dials: provider, export: {paths: ["/**"], right: configure}, mount: /sites/berlin}
`

// grantedMemory is what the hostile provider's mount may take.
const grantedMemory = 12 << 20

// scene is a victim with one honest neighbour and hostile ones.
type scene struct {
	*testing.T
	network *topologies.Network
	victim  *topologies.Client
	pid     int    // of the victim
	data    string // the victim's directory

	provider, consumer, inviter *Peer
}

// besiege invites hostile peers to hq: a provider that hangs at /evil, and a consumer that is shown everything.
func besiege(t *testing.T) *scene {
	t.Helper()
	s := &scene{T: t}
	s.up()
	s.provider = s.invite("evil-provider", map[string]string{"role": "consumer", "mount": "/evil"})
	s.consumer = s.invite("evil-consumer", map[string]string{"role": "provider", "right": "view", "paths": "/system/**,/sites/**"})
	var err error
	if s.inviter, err = New(t.TempDir(), "evil-inviter"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.victim.Tree.Set(t.Context(), &apiv1.SetRequest{Address: "/mounts/evil-provider:memory", Text: strconv.Itoa(grantedMemory)}); err != nil {
		t.Fatal(err)
	}
	s.neglect()
	s.until("the neighbour is there", 20*time.Second, func() bool { return s.get("/sites/berlin/devices/sim:state").GetQuality() == "good" })
	return s
}

// up starts the network.
func (s *scene) up() {
	s.Helper()
	self, err := os.Executable()
	if err != nil {
		s.Fatal(err)
	}
	dir := s.TempDir()
	file := filepath.Join(dir, "topology.yaml")
	if err := os.WriteFile(file, []byte(besieged), 0o600); err != nil {
		s.Fatal(err)
	}
	command := func(config string) []string { return []string{self, "serve", config} }
	if s.network, err = topologies.Up(s.Context(), topologies.Config{Dir: filepath.Join(dir, "network"), Command: command}, file); err != nil {
		s.logs(filepath.Join(dir, "network"))
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if s.Failed() {
			s.logs(s.network.Dir())
		}
		if s.victim != nil {
			s.victim.Close()
		}
		if err := s.network.Down(context.Background(), false); err != nil {
			s.Error(err)
		}
		s.network.Close()
	})
	status, err := s.network.Status(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	for _, row := range status.Rows {
		if row.Node == "hq" {
			s.pid = row.PID
		}
	}
	parsed, err := server.LoadFile(filepath.Join(s.network.Dir(), "nodes", "hq", "node.yaml"))
	if err != nil {
		s.Fatal(err)
	}
	s.data = parsed.Data
	if s.victim, err = s.network.Client(s.Context(), "hq", server.AdminName); err != nil {
		s.Fatal(err)
	}
}

// invite lets a hostile peer join the victim.
func (s *scene) invite(name string, texts map[string]string) *Peer {
	s.Helper()
	texts["name"] = name
	invitation, err := s.victim.Tree.Call(s.Context(), &apiv1.CallRequest{Path: "/links", Function: "invite", Texts: texts})
	if err != nil {
		s.Fatal(err)
	}
	peer, err := Join(s.Context(), s.TempDir(), name, invitation.GetResults()[0].GetValue().GetStringValue())
	if err != nil {
		s.Fatal(err)
	}
	return peer
}

// logs shows the end of each node's log.
func (s *scene) logs(dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "nodes", "*", "node.log"))
	for _, file := range files {
		if out, err := exec.Command("tail", "-n", "15", file).Output(); err == nil {
			s.Logf("%s:\n%s", filepath.Base(filepath.Dir(file)), out)
		}
	}
}

func (s *scene) get(address string) *apiv1.Reading {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // it is asked for after a failure, too
	defer cancel()
	r, err := s.victim.Tree.Get(ctx, &apiv1.GetRequest{Address: address})
	if err != nil {
		return &apiv1.Reading{Quality: err.Error()}
	}
	return r
}

func (s *scene) text(address string) string { return s.get(address).GetValue().GetStringValue() }

// until waits for something, at most so long.
func (s *scene) until(what string, most time.Duration, holds func() bool) {
	s.Helper()
	for began := time.Now(); !holds(); <-time.After(20 * time.Millisecond) {
		if time.Since(began) > most {
			s.Fatalf("not within %s: %s", most, what)
		}
	}
}

// memory is a figure of the victim's process in bytes, like VmHWM.
func (s *scene) memory(name string) int64 {
	s.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		s.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if rest, is := strings.CutPrefix(line, name+":"); is {
			kilobytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				s.Fatal(err)
			}
			return kilobytes << 10
		}
	}
	s.Fatalf("no %s in the status of process %d", name, s.pid)
	return 0
}

// settle lets the victim give back what it does not need, begins to measure its peak anew, and is what that is now.
func (s *scene) settle() int64 {
	s.Helper()
	if err := syscall.Kill(s.pid, syscall.SIGUSR1); err != nil {
		s.Fatal(err)
	}
	given := filepath.Join(s.data, gaveBack)
	s.until("the victim has given its memory back", 10*time.Second, func() bool { return os.Remove(given) == nil })
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.pid), []byte("5"), 0o200); err != nil {
		s.Fatal(err)
	}
	return s.memory("VmHWM")
}

// own are the paths of the victim outside of what is mounted.
func (s *scene) own() (paths []string) {
	s.Helper()
	var walk func(path string)
	walk = func(path string) {
		list, err := s.victim.Tree.List(s.Context(), &apiv1.ListRequest{Path: path, Limit: 1000})
		if err != nil {
			s.Fatal(err)
		}
		for _, e := range list.GetEntries() {
			if e.GetPath() != "/evil" && !strings.HasPrefix(e.GetPath(), "/sites/berlin") {
				paths = append(paths, e.GetPath()+" "+e.GetKind())
				walk(e.GetPath())
			}
		}
	}
	walk("/")
	return paths
}
