package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banyan/fault/disk"
)

// outage is a machine on which one command is done, and then the power goes.
type outage struct {
	*testing.T
	disk *disk.Disk
	dir  string
}

// do runs a command on the disk. It reports whether that was confirmed before the power went, and what was said.
func (o *outage) do(plan disk.Plan, arguments ...string) (confirmed bool, out string) {
	o.Helper()
	unmount, err := o.disk.Mount(o.dir)
	if err != nil {
		o.Fatal(err)
	}
	o.disk.Set(plan)
	command := exec.CommandContext(o.Context(), "banyan", arguments...)
	var told, problem bytes.Buffer
	command.Stdout, command.Stderr = &told, &problem
	failed := command.Run()
	select {
	case <-o.disk.Dark():
	default:
		if failed != nil {
			o.Errorf("banyan %s: %v\n%s", strings.Join(arguments, " "), failed, &problem)
		}
	}
	if err := unmount(); err != nil {
		o.Fatal(err)
	}
	o.disk.Cut()
	return failed == nil, told.String()
}

// starts serves what is left of a directory, from a copy.
func (o *outage) starts(from, password string) {
	o.Helper()
	n := &fileNode{t: o.T, name: fmt.Sprint("n", time.Now().UnixNano()), dir: filepath.Join(o.TempDir(), "node"), password: password}
	if err := o.disk.CopyTo(from, n.dir); err != nil {
		o.Errorf("what was confirmed is gone: %v", err)
		return
	}
	kill, address := n.serve(filepath.Join(n.dir, configName))
	defer kill()
	if password != "" {
		n.banyanReads(password, 0, "login", address, "--ca", filepath.Join(n.dir, "ca.pem"), "--name", "admin")
	}
}

// TestConfirmedOutlivesAPowerCut lets the power go before any step of making a node, backing it up and restoring it, and right after: what the command
// had said is done is there, whole, in directories that it made for that; a node starts without a hand.
func TestConfirmedOutlivesAPowerCut(t *testing.T) {
	t.Setenv("BANYAN_CONFIG", t.TempDir())
	seed := rand.Uint64()
	rounds := 4
	if os.Getenv("TRIALS") == "full" {
		rounds = 100
	}
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	keep := t.TempDir()
	key, saved := filepath.Join(keep, "key"), filepath.Join(keep, "saved.banyan")
	n := madeToRestore(t, key, saved)
	fates := map[string]int{}
	for round := range rounds {
		plan := disk.Plan{}
		if round%2 == 1 {
			plan.CutBefore = int(math.Pow(10, 1+1.5*random.Float64())) // 10 to 300
		}
		o := &outage{t, disk.New(random.Uint64()), t.TempDir()}
		dir, config := filepath.Join(o.dir, "var", "lib", "node"), filepath.Join("var", "lib", "node")
		confirmed, out := o.do(plan, "init", "--dir", dir, "--name", "n", "--api", "127.0.0.1:0", "--links", "127.0.0.1:0", "--json")
		if confirmed {
			var made initJSON
			if err := json.Unmarshal([]byte(out), &made); err != nil {
				t.Fatal(err)
			}
			o.starts(config, made.Password)
		}
		fates[fmt.Sprint("init ", confirmed)]++

		o = &outage{t, disk.New(random.Uint64()), t.TempDir()}
		dir = filepath.Join(o.dir, "srv", "nodes", "again")
		confirmed, _ = o.do(plan, "restore", saved, "--dir", dir, "--key-file", key, "--api", "127.0.0.1:0", "--links", "127.0.0.1:0")
		if confirmed {
			o.starts(filepath.Join("srv", "nodes", "again"), n.password)
		}
		fates[fmt.Sprint("restore ", confirmed)]++
	}
	t.Log(fates)
	if fates["init true"] < rounds/2 || fates["restore true"] < rounds/2 {
		t.Error("too little was confirmed: this proves nothing")
	}
}

// madeToRestore makes a node and a backup of it.
func madeToRestore(t *testing.T, key, saved string) *fileNode {
	t.Helper()
	n := &fileNode{t: t, name: "made", dir: filepath.Join(t.TempDir(), "node")}
	var made initJSON
	out := n.banyanReads("", 0, "init", "--dir", n.dir, "--name", "n", "--api", "127.0.0.1:0", "--links", "127.0.0.1:0", "--recovery-key", key, "--json")
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	n.password = made.Password
	kill, address := n.serve(filepath.Join(n.dir, configName))
	defer kill()
	n.banyanReads(n.password, 0, "login", address, "--ca", filepath.Join(n.dir, "ca.pem"), "--name", "admin")
	n.banyanReads("", 0, "backup", "--out", saved)
	return n
}
