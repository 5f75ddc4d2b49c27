package topologies

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"banyan/durable"
	"banyan/model"
)

// Names in a network's directory.
const (
	topologyFile = "topology.yaml" // the file as it was
	stateFile    = "network.json"  // what is drawn and what runs
	nodesDir     = "nodes"         // NAME/node.yaml, the node's data, NAME/node.log
	secretsDir   = "secrets"       // NAME: password of the first administrator; NAME.USER: of a user
)

// state is what network.json holds.
type state struct {
	Network string `json:"network"`
	// Made says that the directory itself was made here, and goes with the network.
	Made  bool                  `json:"made,omitempty"`
	Nodes map[string]*nodeState `json:"nodes"`
}

// nodeState is one node of a network.
type nodeState struct {
	API   string `json:"api"` // HOST:PORT
	Links string `json:"links"`
	// Ready says that the node's directory and its administrator's password are there.
	Ready bool `json:"ready,omitempty"`
	processID
	Since time.Time `json:"since,omitzero"` // when the process was started
	// Contexts are those that were created for the topology.
	Contexts []string `json:"contexts,omitempty"`
}

// names are the nodes' names in order.
func (s *state) names() []string {
	names := make([]string, 0, len(s.Nodes))
	for name := range s.Nodes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// readState reads DIR/network.json.
func readState(dir string) (*state, error) {
	raw, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &model.Error{
			Kind: model.KindNotFound, Detail: "there is no network in " + dir, Remedy: "`banyan topology up FILE --dir " + dir + "` makes one",
		}
	}
	s := &state{}
	if err == nil {
		err = json.Unmarshal(raw, s)
	}
	if err != nil {
		return nil, model.Errorf(model.KindCorrupt, "%s: %w", filepath.Join(dir, stateFile), err)
	}
	for name, n := range s.Nodes {
		if n == nil || model.CheckName(name) != nil || strings.Contains(name, ".") {
			return nil, model.Errorf(model.KindCorrupt, "%s: there is something wrong about the node %q", filepath.Join(dir, stateFile), name)
		}
	}
	return s, nil
}

// write replaces DIR/network.json, whole or not at all.
func (s *state) write(dir string) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(dir, stateFile), append(raw, '\n'), 0o600)
}

// lock keeps other programs from changing the network. One that is changing it is waited for, but not for ever. The lock is held on the
// directory, so that it leaves no file.
func lock(dir string, patience time.Duration) (unlock func(), err error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for until := time.Now().Add(patience); syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil; time.Sleep(looking) {
		if time.Now().Before(until) {
			continue
		}
		_ = file.Close() // it was only read
		return nil, &model.Error{
			Kind: model.KindConflict, Detail: "another program is changing the network in " + dir, Remedy: "wait until it has ended and try again",
		}
	}
	return func() { _ = file.Close() }, nil // the lock goes with the file
}
