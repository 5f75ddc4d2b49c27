package main

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
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

// short is a soak of some 20 seconds.
func short(t *testing.T, seed uint64) (config, *bytes.Buffer) {
	out := &bytes.Buffer{}
	t.Cleanup(func() { t.Logf("%s", out) })
	return config{lasts: 15 * time.Second, seed: seed, dir: t.TempDir(), out: out, storm: 8 * time.Second}, out
}

// A whole network goes through a storm, and everything is as the books have it.
func TestShortSoak(t *testing.T) {
	t.Parallel()
	cfg, out := short(t, 7)
	o, err := soak(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.wrong) > 0 {
		t.Errorf("did not hold: %v", o.wrong)
	}
	for _, wanted := range []string{"seed 7", "sets ", "calls ", "requests kept", "ages looked at", "resident memory", "SEED=7"} {
		if !strings.Contains(out.String(), wanted) {
			t.Errorf("the report says nothing of %q", wanted)
		}
	}
}

// What a process loses is found and its node named: the first node loses goroutines, the second files, the third memory, the fourth nothing.
func TestLeaksAreFound(t *testing.T) {
	t.Parallel()
	cfg, _ := short(t, 3)
	cfg.still = true
	leaks := []string{"goroutines", "files", "memory", ""}
	cfg.environment = func(node int) []string { return []string{leakVariable + "=" + leaks[min(node, 3)]} }
	o, err := soak(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	names := newPlan(rand.New(rand.NewPCG(cfg.seed, 1))).names
	for _, wanted := range []string{"goroutines of " + names[0], "open files of " + names[1], "resident memory of " + names[2]} {
		if !slices.Contains(o.grows, wanted) {
			t.Errorf("what grows is %v, without %s", o.grows, wanted)
		}
	}
	for _, unwanted := range []string{"goroutines of " + names[3], "open files of " + names[3], "resident memory of " + names[3]} {
		if slices.Contains(o.grows, unwanted) {
			t.Errorf("%s is said to grow", unwanted)
		}
	}
}

// A bug that is planted in the nodes is found by what is looked at all the time: a dead link leaves what is mounted good.
func TestPlantedFaultIsFound(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "node")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-tags=sqlite_fts5,faults", "-o", program, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("building the nodes' program: %v: %s", err, out)
	}
	cfg, _ := short(t, 5)
	cfg.program = program
	cfg.environment = func(int) []string { return []string{"BANYAN_FAULT=stale-never-set"} }
	cfg.only, cfg.each = []string{"cuts"}, 10*time.Second
	o, err := soak(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if o.wrong[oldIsGood] == 0 {
		t.Errorf("it was not found, but: %v", o.wrong)
	}
}

// The rule tells leaks from noise, from a warm-up, from lives that begin anew, and from a step.
func TestTrend(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	series := func(of func(i int) float64) (samples []sample) {
		for i := range 400 {
			samples = append(samples, sample{at: time.Duration(i) * 10 * time.Second, of: of(i)})
		}
		return samples
	}
	noise := func() float64 { return random.NormFloat64() * 5 }
	lives := func(each func(age int) float64) []sample {
		samples := series(func(i int) float64 { return each(i % 50) })
		for i := range samples {
			samples[i].life = i / 50
		}
		return samples
	}
	for _, c := range []struct {
		name    string
		samples []sample
		grows   bool
	}{
		{"a leak among noise", series(func(i int) float64 { return 100 + float64(i)/8 + noise() }), true},
		{"noise", series(func(int) float64 { return 100 + noise() }), false},
		{"a warm-up", series(func(i int) float64 { return 100 + min(float64(i), 90) + noise() }), false},
		{"one step", series(func(i int) float64 { return 100 + 60*float64(min(i/380, 1)) + noise()/5 }), false},
		{"a saw", series(func(i int) float64 { return 100 + float64(i%20) }), false},
		{"a leak in each of eight lives", lives(func(age int) float64 { return 100 + float64(age)/8 }), true},
		{"lives that warm up", lives(func(age int) float64 { return 100 + min(float64(age), 6) }), false},
	} {
		got := trendOf(warm(c.samples, 1000*time.Second, time.Minute), rule{least: 16, share: 0.2})
		if got.grows != c.grows {
			t.Errorf("%s: grows is %v: %+v", c.name, got.grows, got)
		}
	}
}

// The same seed is the same network.
func TestPlan(t *testing.T) {
	diamonds := 0
	for seed := range uint64(50) {
		p, again := newPlan(rand.New(rand.NewPCG(seed, 1))), newPlan(rand.New(rand.NewPCG(seed, 1)))
		if p.String() != again.String() {
			t.Fatalf("seed %d makes %s and %s", seed, p, again)
		}
		seen := map[string]int{}
		for _, v := range p.views() {
			seen[fmt.Sprintf("%d at %d", v.owner, v.at)]++
		}
		if len(p.names) < leastNodes || len(p.names) > mostNodes || len(seen) < 2*len(p.names)-1 {
			t.Errorf("seed %d makes %s", seed, p)
		}
		if slices.ContainsFunc(slices.Collect(maps.Values(seen)), func(n int) bool { return n > 1 }) {
			diamonds++
		}
	}
	if diamonds < 10 {
		t.Errorf("of 50 networks %d have a diamond", diamonds)
	}
}
