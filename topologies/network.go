package topologies

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"banyan/devices"
	"banyan/durable"
	"banyan/model"
	"banyan/server"
	"banyan/yamlfile"
)

// Config is how networks are run as processes.
type Config struct {
	// Dir is the network's directory.
	Dir string
	// Drivers are the kinds of devices that nodes have; those that come with the program when nil.
	Drivers []devices.Driver
	// Command is the program that runs a node by its configuration file, with its arguments; this program with `serve --config FILE` when nil.
	Command func(configFile string) []string
	// Detach lets processes outlive the program that started them. Without it they end with it, however it ends.
	Detach bool
	// Progress is told, in lines for people, what is being done; nobody when nil. It is called by one goroutine at a time.
	Progress func(line string)
	// HealthyWithin bounds how long a node takes to serve, default 30 s; LinkedWithin how long links take to come up, default 60 s.
	HealthyWithin, LinkedWithin time.Duration
	// StopWithin bounds a stop, default 10 s: processes that do not end by themselves a second before are killed.
	StopWithin time.Duration
	// LockWithin is how long another program is waited for that is changing the network, default 5 s.
	LockWithin time.Duration
}

func (c *Config) validate() error {
	if c.Dir == "" {
		return &model.Error{Kind: model.KindInvalid, Detail: "a network needs a directory", Remedy: "give one with --dir"}
	}
	var err error
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return err
	}
	if c.Drivers == nil {
		if c.Drivers, err = server.CheckingDrivers(); err != nil {
			return err
		}
	}
	if c.Command == nil {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		c.Command = func(configFile string) []string { return []string{self, "serve", "--config", configFile} }
	}
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	for _, d := range []struct {
		to       *time.Duration
		standard time.Duration
	}{{&c.HealthyWithin, 30 * time.Second}, {&c.LinkedWithin, time.Minute}, {&c.StopWithin, 10 * time.Second}, {&c.LockWithin, 5 * time.Second}} {
		if *d.to <= 0 {
			*d.to = d.standard
		}
	}
	return nil
}

// Network is a network of processes in a directory. Several programs may hold the same one: what runs is read from the directory each time.
type Network struct {
	cfg      Config
	topology *Topology
	nursery  *nursery

	mu       sync.Mutex // guards children, and is held while Progress is told
	children map[string]*offspring
}

// Open finds the network in cfg.Dir. Close must follow.
func Open(cfg Config) (*Network, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if _, err := readState(cfg.Dir); err != nil {
		return nil, err
	}
	topology, err := ReadFile(filepath.Join(cfg.Dir, topologyFile), cfg.Drivers)
	if err != nil {
		return nil, err
	}
	return newNetwork(cfg, topology), nil
}

func newNetwork(cfg Config, topology *Topology) *Network {
	return &Network{cfg: cfg, topology: topology, nursery: newNursery(cfg.Detach), children: map[string]*offspring{}}
}

// Close ends what this program keeps for the network. Processes that it started and that are not detached are killed; Stop ends them better.
func (n *Network) Close() { n.nursery.close() }

// Dir is the network's directory.
func (n *Network) Dir() string { return n.cfg.Dir }

// Topology is what the network's file says.
func (n *Network) Topology() *Topology { return n.topology }

func (n *Network) say(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cfg.Progress(fmt.Sprintf(format, args...))
}

func (n *Network) nodeDir(name string) string { return filepath.Join(n.cfg.Dir, nodesDir, name) }

// change runs f while no other program changes the network, and keeps what f did to the state, also when it failed.
func (n *Network) change(f func(s *state) error) error {
	unlock, err := lock(n.cfg.Dir, n.cfg.LockWithin)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := readState(n.cfg.Dir)
	if err != nil {
		return err
	}
	err = f(s)
	if _, gone := os.Stat(filepath.Join(n.cfg.Dir, stateFile)); errors.Is(gone, fs.ErrNotExist) {
		return err // f has removed the network
	}
	return errors.Join(err, s.write(n.cfg.Dir))
}

// choose checks names of nodes; none at all means all nodes.
func (n *Network) choose(names []string) ([]string, error) {
	if len(names) == 0 {
		return n.topology.Names(), nil
	}
	for _, name := range names {
		if _, known := n.topology.Node(name); !known {
			return nil, &model.Error{Kind: model.KindNotFound, Detail: "the network has no node " + name, Remedy: yamlfile.DidYouMean(name, n.topology.Names())}
		}
	}
	return names, nil
}

// Start starts nodes that do not run, all when none is named, and waits until they serve.
func (n *Network) Start(ctx context.Context, names ...string) error {
	names, err := n.choose(names)
	if err != nil {
		return err
	}
	return n.change(func(s *state) error {
		started, err := n.startNodes(ctx, s, names)
		if err != nil {
			return err
		}
		return n.readdress(ctx, s, started)
	})
}

// Stop stops nodes, all when none is named: within StopWithin, by force where it must be.
func (n *Network) Stop(_ context.Context, names ...string) error {
	names, err := n.choose(names)
	if err != nil {
		return err
	}
	return n.change(func(s *state) error { return n.stopNodes(s, names) })
}

// Restart stops nodes and starts them again, all when none is named.
func (n *Network) Restart(ctx context.Context, names ...string) error {
	if err := n.Stop(ctx, names...); err != nil {
		return err
	}
	return n.Start(ctx, names...)
}

func (n *Network) stopNodes(s *state, names []string) error {
	var running []processID
	for _, name := range names {
		if at := s.Nodes[name]; at != nil && at.alive() {
			running = append(running, at.processID)
			n.say("%s: stopping (pid %d)", name, at.PID)
		}
	}
	n.mu.Lock()
	for _, name := range names {
		delete(n.children, name) // that they end is no news
	}
	n.mu.Unlock()
	const killing = time.Second
	err := end(running, max(n.cfg.StopWithin-killing, killing))
	for _, name := range names {
		if at := s.Nodes[name]; at != nil && !at.alive() {
			at.processID, at.Since = processID{}, time.Time{}
		}
	}
	return err
}

// Down stops all nodes. Unless keep says that data stay for another time, it removes what was made for the network, and nothing else.
func (n *Network) Down(_ context.Context, keep bool) error {
	return n.change(func(s *state) error {
		if err := n.stopNodes(s, s.names()); err != nil {
			return err
		}
		if keep {
			return nil
		}
		return n.remove(s)
	})
}

// remove removes what was made. Files that somebody else put there stay, and so do the directories around them.
func (n *Network) remove(s *state) error {
	dir := n.cfg.Dir
	var problems []error
	for _, name := range s.names() {
		problems = append(problems, n.removeNode(name))
	}
	for _, name := range []string{topologyFile, stateFile} {
		if err := os.Remove(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	empty := []string{filepath.Join(dir, nodesDir), filepath.Join(dir, secretsDir)}
	if s.Made {
		empty = append(empty, dir)
	}
	for _, name := range empty {
		_ = os.Remove(name) // where it is not empty it is not ours alone
	}
	return errors.Join(problems...)
}

// removeNode removes a node's directory and secrets.
func (n *Network) removeNode(name string) error {
	err := os.RemoveAll(n.nodeDir(name))
	secrets := filepath.Join(n.cfg.Dir, secretsDir)
	files, _ := os.ReadDir(secrets)
	for _, file := range files {
		if file.Name() == name || strings.HasPrefix(file.Name(), name+".") {
			err = errors.Join(err, os.Remove(filepath.Join(secrets, file.Name())))
		}
	}
	return err
}

// secret is the file of a password: of the first administrator, or of a user of the topology.
func (n *Network) secret(node, user string) string {
	if user == server.AdminName {
		return filepath.Join(n.cfg.Dir, secretsDir, node)
	}
	return filepath.Join(n.cfg.Dir, secretsDir, node+"."+user)
}

// Client is a client of a node's API as one of the people whose password the network keeps. Close it.
func (n *Network) Client(ctx context.Context, node, user string) (*Client, error) {
	s, err := readState(n.cfg.Dir)
	if err != nil {
		return nil, err
	}
	at := s.Nodes[node]
	if at == nil {
		return nil, &model.Error{Kind: model.KindNotFound, Detail: "the network has no node " + node, Remedy: yamlfile.DidYouMean(node, s.names())}
	}
	return n.client(ctx, node, at, user)
}

// Listening is where a node listens, as it was drawn or fixed.
func (n *Network) Listening(node string) (Listeners, error) {
	s, err := readState(n.cfg.Dir)
	if err != nil {
		return Listeners{}, err
	}
	at := s.Nodes[node]
	if at == nil {
		return Listeners{}, &model.Error{Kind: model.KindNotFound, Detail: "the network has no node " + node, Remedy: yamlfile.DidYouMean(node, s.names())}
	}
	return Listeners{Links: at.Links, API: at.API}, nil
}

// client logs in, with the session that is kept where it still holds.
func (n *Network) client(ctx context.Context, node string, at *nodeState, user string) (*Client, error) {
	c, err := n.stranger(node, at)
	if err != nil {
		return nil, err
	}
	session := filepath.Join(n.cfg.Dir, secretsDir, node+"."+user+".session")
	if kept, err := os.ReadFile(session); err == nil && c.resume(ctx, strings.TrimSpace(string(kept))) {
		return c, nil
	}
	password, err := os.ReadFile(n.secret(node, user))
	if err != nil {
		return nil, &model.Error{Kind: model.KindUnauthenticated, Detail: "the network keeps no password of " + user + " at " + node, Err: err}
	}
	token, err := c.login(ctx, user, strings.TrimSpace(string(password)))
	if err == nil {
		err = durable.Replace(session, []byte(token+"\n"), 0o600)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("%s: %w", node, err)
	}
	return c, nil
}

// stranger is a client that has not logged in.
func (n *Network) stranger(node string, at *nodeState) (*Client, error) {
	ca, err := os.ReadFile(filepath.Join(n.nodeDir(node), "ca.pem"))
	if err != nil {
		return nil, err
	}
	return newClient(node, at.API, ca, (&net.Dialer{Timeout: answerWithin}).DialContext)
}

// keep watches a child: it is said when it ends without having been stopped here.
func (n *Network) keep(name string, c *offspring) {
	n.mu.Lock()
	n.children[name] = c
	n.mu.Unlock()
	go func() {
		<-c.done
		n.mu.Lock()
		expected := n.children[name] != c
		n.mu.Unlock()
		switch {
		case expected:
		case c.err == nil: // somebody else stopped it
			n.say("%s: has stopped", name)
		default:
			n.say("%s: has ended (%s); %s says why, and `banyan topology start %s --dir %s` starts it again", name, c.err, n.logFile(name), name, n.cfg.Dir)
		}
	}()
}

func ending(c *offspring) string {
	if c.err != nil {
		return c.err.Error()
	}
	return "exit status 0"
}

func (n *Network) logFile(name string) string { return filepath.Join(n.nodeDir(name), "node.log") }

// stray lists nodes that the directory has and the file has not.
func (n *Network) stray(s *state) []string {
	return slices.DeleteFunc(s.names(), func(name string) bool {
		_, known := n.topology.Node(name)
		return known
	})
}
