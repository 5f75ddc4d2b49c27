package siege

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"banyan/server"
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

func serve(config string) error {
	file, err := server.LoadFile(config)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	node, err := server.New(ctx, server.Config{File: file, Logger: server.NewLogger(file.Log, file.Name)})
	if err != nil {
		return err
	}
	return node.Run(ctx)
}

// full reports whether to try as hard as before a release.
func full() bool { return os.Getenv("TRIALS") == "full" }

// logs shows the end of each node's log.
func logs(t *testing.T, dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "nodes", "*", "node.log"))
	for _, file := range files {
		if out, err := exec.Command("tail", "-n", "15", file).Output(); err == nil {
			t.Logf("%s:\n%s", filepath.Base(filepath.Dir(file)), out)
		}
	}
}

func besiege(t *testing.T) *Scene {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	scene, err := Prepare(t.Context(), dir, func(config string) []string { return []string{self, "serve", config} })
	if err != nil {
		logs(t, filepath.Join(dir, "network"))
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			logs(t, scene.Network.Dir())
		}
		if err := scene.End(); err != nil {
			t.Error(err)
		}
	})
	return scene
}

// Attacks by strangers, by people with a token and by a linked node cost the node at most one processor and 64 MiB, and honest people and links beside
// them are answered. Everyday all attacks of one attacker come together, for two seconds, and what they cost of the processor is only told; with TRIALS=full
// each comes alone, for ten.
func TestSiege(t *testing.T) {
	scene := besiege(t)
	cores, only := MostCores, os.Getenv("SIEGE")
	attacks := slices.DeleteFunc(Attacks(), func(a Attack) bool { return !strings.Contains(a.String(), only) })
	lasts := 10 * time.Second
	if !full() {
		attacks, lasts, cores = together(attacks), 2*time.Second, 0 // twenty attackers may cost more than one may
		scene.Target.Connections = 1
	}
	scene.warm(t)
	for _, a := range attacks {
		f, err := Measure(t.Context(), scene.PID, lasts, scene.Honest(), scene.Target, a.String(), a.Run)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(f.String())
		if broken := f.Broken(cores); broken != "" {
			t.Errorf("%s: %s", a, broken)
		}
	}
}

// warm lets honest people take the memory that they take, which an attack is not to be charged with.
func (s *Scene) warm(t *testing.T) {
	t.Helper()
	f, err := Measure(t.Context(), s.PID, time.Second, s.Honest(), s.Target, "nothing", func(ctx context.Context, _ *Target) { <-ctx.Done() })
	if err != nil {
		t.Fatal(err)
	}
	t.Log(f.String())
}

// together makes one attack of all that come from one attacker to one door.
func together(all []Attack) []Attack {
	var groups []Attack
	for len(all) > 0 {
		of := all[0]
		var runs []func(context.Context, *Target)
		all = slices.DeleteFunc(slices.Clone(all), func(a Attack) bool {
			same := a.Who == of.Who && a.Door == of.Door
			if same {
				runs = append(runs, a.Run)
			}
			return same
		})
		groups = append(groups, Attack{Name: fmt.Sprintf("all %d attacks", len(runs)), Who: of.Who, Door: of.Door, Run: func(ctx context.Context, t *Target) {
			var work sync.WaitGroup
			for _, run := range runs {
				work.Go(func() { run(ctx, t) })
			}
			work.Wait()
		}})
	}
	return groups
}

// Thousands of connections that come to nothing, at both doors and from a few addresses, in turn silent, dripping a greeting, half through the handshake,
// dripping a header, dripping a body, and idle: the node stays small and quick, the link of a friend stays up, one that was cut comes back, people log in. And
// with all of them open, and a peer that stands still, it stops within ten seconds.
func TestSlowLoris(t *testing.T) {
	scene := besiege(t)
	count, lasts := 400, 3*time.Second
	if full() {
		count, lasts = 10_000, time.Minute
	}
	scene.warm(t)
	for _, from := range [][]string{{"127.66.0.1"}, scene.Target.Sources} {
		target := scene.Target
		target.Sources = from
		api, links := &Loris{Target: target, Count: count / 2}, &Loris{Target: target, Count: count / 2, Links: true}
		most := 0
		f, err := Measure(t.Context(), scene.PID, lasts, scene.Honest(), target, fmt.Sprintf("%d slow connections from %d addresses", count, len(from)), func(ctx context.Context, _ *Target) {
			var work sync.WaitGroup
			work.Go(func() { api.Run(ctx) })
			work.Go(func() { links.Run(ctx) })
			pause(ctx, lasts/3)
			most = api.Held() + links.Held()
			work.Wait()
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s; %d open at once at the attacker", f, most)
		if broken := f.Broken(MostCores); broken != "" {
			t.Error(broken)
		}
	}
	stop(t, scene, count)
}

// stop ends the node while slow connections are open and its friend stands still.
func stop(t *testing.T, scene *Scene, count int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	for _, links := range []bool{false, true} {
		loris := &Loris{Target: scene.Target, Count: count / 2, Links: links}
		work.Go(func() { loris.Run(ctx) })
	}
	friend := 0
	status, err := scene.Network.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range status.Rows {
		if row.Node == "friend" {
			friend = row.PID
		}
	}
	if err := syscall.Kill(friend, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(friend, syscall.SIGCONT) }()
	pause(ctx, time.Second)
	began := time.Now()
	if err := syscall.Kill(scene.PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for {
		if raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", scene.PID)); err != nil || strings.Contains(string(raw), ") Z ") {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("with slow connections open and a peer that stands still the node does not stop within 10 s")
		}
		pause(ctx, 10*time.Millisecond)
	}
	t.Logf("stopped within %s", time.Since(began).Round(time.Millisecond))
}
