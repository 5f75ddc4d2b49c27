package topologies

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"banyan/devices"
	"banyan/model"
	"banyan/server"

	"github.com/hashicorp/go-hclog"
)

// Options are how a topology runs in one process.
type Options struct {
	// Dir holds the nodes' data; a temporary directory that Close removes when empty.
	Dir string
	// Drivers are the kinds of devices that nodes have; those that come with the program when nil.
	Drivers []devices.Driver
	// Logger gets the logs of all nodes, each under its name; nothing is logged when nil.
	Logger hclog.Logger
	// Beat is the time between heartbeats of links; the nodes' default when 0.
	Beat time.Duration
	// LinkedWithin bounds how long links take to come up, default 60 s.
	LinkedWithin time.Duration
}

// Simulation is a network in one process, for tests: whole nodes, with a network in memory between them that tests cut and heal. It runs in
// the time of its process, which is fake in a bubble of testing/synctest. The listeners of the file do not matter: nobody outside of
// the process reaches it.
type Simulation struct {
	topology  *Topology
	options   Options
	temporary bool
	wires     *wires
	ctx       context.Context //nolint:containedctx // the nodes' own: it ends with Close, and Restart is called by others
	cancel    context.CancelFunc

	mu        sync.Mutex // guards nodes and passwords
	nodes     map[string]*simulated
	passwords map[string]string // by NODE for administrators, by NODE.USER for users
}

// simulated is one running node.
type simulated struct {
	node   *server.Node
	cancel context.CancelFunc
	done   chan struct{}
	err    error // how it ended; set before done is closed
}

// Start makes the nodes of a topology, runs them, and waits until they are linked. Close must follow.
func Start(ctx context.Context, topology *Topology, options Options) (*Simulation, error) {
	s := &Simulation{topology: topology, options: options, wires: newWires(), nodes: map[string]*simulated{}, passwords: map[string]string{}}
	if s.options.Logger == nil {
		s.options.Logger = hclog.NewNullLogger()
	}
	if s.options.LinkedWithin == 0 {
		s.options.LinkedWithin = time.Minute
	}
	if s.options.Dir == "" {
		dir, err := os.MkdirTemp("", "banyan-")
		if err != nil {
			return nil, err
		}
		s.options.Dir, s.temporary = dir, true
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Simulation) start(ctx context.Context) error {
	for _, name := range s.topology.Names() {
		made, err := server.Init(ctx, s.dir(name), name, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.passwords[name] = made.Password
		if err := s.run(name); err != nil {
			return err
		}
	}
	return s.configure(ctx)
}

// configure makes the nodes what the topology says, and waits until they are linked.
func (s *Simulation) configure(ctx context.Context) error {
	c := &configurer{topology: s.topology, nodes: map[string]*configured{}, password: s.password, say: func(string, ...any) {}}
	for _, name := range s.topology.Names() {
		client, err := s.Client(ctx, name, server.AdminName)
		if err != nil {
			return err
		}
		defer client.Close()
		c.nodes[name] = &configured{client: client, links: linksAddress(name), made: map[string]bool{}}
	}
	if err := c.run(ctx); err != nil {
		return err
	}
	return c.linked(ctx, s.options.LinkedWithin)
}

func (s *Simulation) dir(name string) string { return filepath.Join(s.options.Dir, name) }

func linksAddress(name string) string { return name + ":7443" }
func apiAddress(name string) string   { return name + ":8443" }

// run starts a node.
func (s *Simulation) run(name string) error {
	ctx, cancel := context.WithCancel(s.ctx)
	node, err := server.New(ctx, server.Config{
		File:   server.File{Name: name, Data: s.dir(name), Listeners: server.Listeners{Links: linksAddress(name), API: apiAddress(name)}},
		Logger: s.options.Logger.Named(name), Drivers: s.options.Drivers, Beat: s.options.Beat,
		Listen: func(address string) (net.Listener, error) { return s.wires.listen(name, address) },
		Dial:   func(ctx context.Context, address string) (net.Conn, error) { return s.wires.dial(ctx, name, address) },
	})
	if err != nil {
		cancel()
		return fmt.Errorf("%s: %w", name, err)
	}
	r := &simulated{node: node, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = node.Run(ctx)
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes[name] = r
	return nil
}

// stop ends a node and waits.
func (s *Simulation) stop(name string) error {
	s.mu.Lock()
	r := s.nodes[name]
	delete(s.nodes, name)
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	r.cancel()
	<-r.done
	if r.err != nil {
		return fmt.Errorf("%s: %w", name, r.err)
	}
	return nil
}

// Close stops all nodes.
func (s *Simulation) Close() error {
	var work sync.WaitGroup
	names := s.topology.Names()
	problems := make([]error, len(names))
	for i, name := range names {
		work.Go(func() { problems[i] = s.stop(name) })
	}
	work.Wait()
	s.cancel()
	if s.temporary {
		problems = append(problems, os.RemoveAll(s.options.Dir))
	}
	return errors.Join(problems...)
}

// Node is a node that runs; nil for one that was killed.
func (s *Simulation) Node(name string) *server.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.nodes[name]; r != nil {
		return r.node
	}
	return nil
}

// Client is a client of a node's API, logged in as its administrator "admin" or as a user of the topology. No cut concerns it. Close it.
func (s *Simulation) Client(ctx context.Context, node, user string) (*Client, error) {
	ca, err := os.ReadFile(filepath.Join(s.dir(node), "ca.pem"))
	if err != nil {
		return nil, err
	}
	c, err := newClient(node, "localhost", ca, func(ctx context.Context, _, _ string) (net.Conn, error) {
		return s.wires.dial(ctx, "", apiAddress(node))
	})
	if err != nil {
		return nil, err
	}
	key := node
	if user != server.AdminName {
		key += "." + user
	}
	s.mu.Lock()
	password, known := s.passwords[key]
	s.mu.Unlock()
	if !known {
		return nil, model.Errorf(model.KindNotFound, "the topology has no user %s at %s", user, node)
	}
	if _, err := c.login(ctx, user, password); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (s *Simulation) password(node, user string) (string, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := node + "." + user
	if known, there := s.passwords[key]; there {
		return known, false, nil
	}
	s.passwords[key] = rand.Text()
	return s.passwords[key], true, nil
}

// Cut lets nothing through between two nodes, and neither is told. What is on the way arrives after Heal.
func (s *Simulation) Cut(a, b string) {
	s.CutOneWay(a, b)
	s.CutOneWay(b, a)
}

// CutOneWay lets nothing through from one node to another; the way back is as it was.
func (s *Simulation) CutOneWay(from, to string) { s.wires.set(way{from, to}, true) }

// Heal ends all cuts between two nodes.
func (s *Simulation) Heal(a, b string) {
	s.wires.set(way{a, b}, false)
	s.wires.set(way{b, a}, false)
}

// Kill ends a node without a word to anybody: its connections break first, so that nothing of its stop is heard outside. Its files are closed as
// at a stop, since a part of a process cannot be killed; what a dead process leaves in its files is tried with real ones (Network).
func (s *Simulation) Kill(name string) error {
	s.wires.sever(name)
	err := s.stop(name)
	s.wires.sever(name) // what it opened meanwhile
	if errors.Is(err, net.ErrClosed) {
		return nil // its listeners broke before it was told to stop, which is what killing it is
	}
	return err
}

// Restart stops a node if it runs, and starts it.
func (s *Simulation) Restart(name string) error {
	if err := s.stop(name); err != nil {
		return err
	}
	return s.run(name)
}
