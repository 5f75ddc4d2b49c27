package trials

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"banyan/backup"
	"banyan/fault/disk"
	"banyan/proto/apiv1"
	"banyan/server"
)

// rack is a network of two nodes that share a disk and a plug, and what they have confirmed.
type rack struct {
	*trial
	disk    *disk.Disk
	dir     string // where the disk is mounted
	unmount func() error
	running map[string]*exec.Cmd
	random  *rand.Rand
	key     backup.Key
	writers *ledger // two at the edge, the third one from above

	mu      sync.Mutex // guards what follows
	made    map[string]bool
	doubted map[string]bool // was being made when the power went
	backups []string
	root    string // of the edge, as of the last succession that was confirmed
	rooting bool   // one was under way when the power went
	roots   int
	heads   map[string]string // of audit logs
	number  int
}

const rackNetwork = `network: rack
nodes:
  hq: {}
  edge:
    devices:
      /devices/sim: {kind: simulator, points: 10, poll_interval: 200ms}
      /devices/w0: {kind: simulator, poll_interval: 1h}
      /devices/w1: {kind: simulator, poll_interval: 1h}
      /devices/w2: {kind: simulator, poll_interval: 1h}
links:
  - {provider: edge, consumer: hq, dials: provider, export: {paths: ["/**"], right: configure}, mount: /edge}
`

var rackAddresses = []struct{ node, address string }{{"edge", "/devices/w0:seed"}, {"edge", "/devices/w1:seed"}, {"hq", "/edge/devices/w2:seed"}}

// startRack makes the network on an ordinary disk and puts the directories of its nodes on the one that loses things. The processes are started here: in
// directories of their own, which the disk's owner may not start them in.
func startRack(t *testing.T, seed uint64) *rack {
	t.Helper()
	r := &rack{
		trial: start(t, rackNetwork, nil), disk: disk.New(seed), dir: t.TempDir(), running: map[string]*exec.Cmd{}, random: rand.New(rand.NewPCG(seed, 0)),
		made: map[string]bool{}, doubted: map[string]bool{}, heads: map[string]string{},
		writers: &ledger{confirmed: []int64{1, 1, 1}, tried: []int64{1, 1, 1}, revisions: map[string]int64{}}, // what a simulator begins with
	}
	r.until("the link is up", 30*time.Second, func() bool { return quality(r.get("hq", "/edge/devices/sim:updates")) == "good" })
	if err := r.network.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.mount()
	t.Cleanup(func() { _ = r.unmount() })
	t.Cleanup(r.killAll)
	if err := os.CopyFS(r.dir, os.DirFS(filepath.Join(r.network.Dir(), "nodes"))); err != nil {
		t.Fatal(err)
	}
	for _, node := range r.network.Topology().Names() {
		config := filepath.Join(r.dir, node, "node.yaml")
		text, err := os.ReadFile(config)
		if err == nil {
			err = os.WriteFile(config, bytes.Replace(text, []byte("data: ."), []byte("data: "+filepath.Dir(config)), 1), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	saved := filepath.Join(r.dir, "backups")
	if err := os.Mkdir(saved, 0o700); err != nil {
		t.Fatal(err)
	}
	r.keepAll()
	var err error
	if r.key, err = backup.NewKey(); err != nil {
		t.Fatal(err)
	}
	r.run("hq")
	r.run("edge")
	r.serves()
	r.call("set_recovery", map[string]string{"recipient": r.key.Recipient()})
	for name, value := range map[string]string{"backup_every": "0s", "backup_keep": "1000", "backup_dir": saved} {
		if _, err := r.at("edge").Tree.Set(t.Context(), &apiv1.SetRequest{Address: "/system:" + name, Text: value}); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *rack) mount() {
	r.Helper()
	var err error
	if r.unmount, err = r.disk.Mount(r.dir); err != nil {
		r.Fatal(err)
	}
}

// keepAll makes what was copied there durable, and its owner's alone, as it was.
func (r *rack) keepAll() {
	r.Helper()
	err := filepath.WalkDir(r.dir, func(path string, entry fs.DirEntry, err error) error {
		mode := fs.FileMode(0o600)
		if entry.IsDir() {
			mode = 0o700
		}
		if err = errors.Join(err, os.Chmod(path, mode)); err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
	if err != nil {
		r.Fatal(err)
	}
}

// run starts a node.
func (r *rack) run(node string) {
	r.Helper()
	self, err := os.Executable()
	if err != nil {
		r.Fatal(err)
	}
	r.forget(node)
	log, err := os.OpenFile(filepath.Join(r.network.Dir(), "nodes", node, "node.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600) // on the other disk
	if err != nil {
		r.Fatal(err)
	}
	defer log.Close()
	command := exec.Command(self, "serve", filepath.Join(r.dir, node, "node.yaml"))
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		r.Fatal(err)
	}
	r.running[node] = command
}

// serves waits until both nodes answer.
func (r *rack) serves() {
	r.Helper()
	for node := range r.running {
		r.until(node+" serves", 20*time.Second, func() bool {
			// The network looks for the certificate where it made the node; that of two roots ago is not enough.
			ca, err := os.ReadFile(filepath.Join(r.dir, node, "ca.pem"))
			if err == nil {
				err = os.WriteFile(filepath.Join(r.network.Dir(), "nodes", node, "ca.pem"), ca, 0o600)
			}
			if err != nil {
				r.Fatal(err)
			}
			c, err := r.network.Client(r.Context(), node, server.AdminName)
			if err == nil {
				r.clients[node] = c
			}
			return err == nil
		})
	}
}

func (r *rack) killAll() {
	for node, command := range r.running {
		_ = command.Process.Kill() // it may have ended by itself
		_ = command.Wait()
		delete(r.running, node)
	}
}
