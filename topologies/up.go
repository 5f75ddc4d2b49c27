package topologies

import (
	"context"
	"crypto/rand"
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

	"banyan/durable"
	"banyan/model"
	"banyan/server"
)

// Up makes the network in cfg.Dir what a file says: it makes what is missing, starts what does not run, and joins what is not linked; what the
// file has no more it removes. Done again it does only what is left to do. On an error the nodes that it started do not run. Close must
// follow.
func Up(ctx context.Context, cfg Config, file string) (*Network, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	topology, err := ReadFile(file, cfg.Drivers)
	if err != nil {
		return nil, err
	}
	if err := claim(&cfg, topology); err != nil {
		return nil, err
	}
	n := newNetwork(cfg, topology)
	if err := n.change(func(s *state) error { return n.up(ctx, s) }); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// claim makes the directory a network's, unless it is this one's already.
func claim(cfg *Config, topology *Topology) error {
	dir := cfg.Dir
	_, err := os.Stat(dir)
	made := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	unlock, err := lock(dir, cfg.LockWithin)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := readState(dir)
	switch {
	case model.KindOf(err) == model.KindNotFound:
		if entries, err := os.ReadDir(dir); err != nil || slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == nodesDir || e.Name() == secretsDir }) {
			return errors.Join(err, &model.Error{
				Kind: model.KindExists, Detail: dir + " holds nodes or secrets that are of no network", Remedy: "choose another directory with --dir",
			})
		}
		s = &state{Network: topology.Name, Made: made, Nodes: map[string]*nodeState{}}
	case err != nil:
		return err
	case s.Network != topology.Name:
		return &model.Error{
			Kind: model.KindExists, Detail: fmt.Sprintf("%s holds the network %s, and the file has %s", dir, s.Network, topology.Name),
			Remedy: "choose another directory with --dir, or end that network with `banyan topology down --dir " + dir + "`",
		}
	}
	for _, sub := range []string{nodesDir, secretsDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	if err := durable.Replace(filepath.Join(dir, topologyFile), topology.Source, 0o600); err != nil {
		return err
	}
	return s.write(dir)
}

// up does what is left to do.
func (n *Network) up(ctx context.Context, s *state) error {
	for _, name := range n.stray(s) {
		n.say("%s: is not in the file any more", name)
		if err := errors.Join(n.stopNodes(s, []string{name}), n.removeNode(name)); err != nil {
			return err
		}
		delete(s.Nodes, name)
	}
	for i := range n.topology.Nodes {
		if err := n.ready(ctx, s, &n.topology.Nodes[i]); err != nil {
			return fmt.Errorf("%s: %w", n.topology.Nodes[i].Name, err)
		}
	}
	if err := n.stopMoved(s); err != nil {
		return err
	}
	started, err := n.startNodes(ctx, s, n.topology.Names())
	if err == nil {
		err = n.configure(ctx, s)
	}
	if err != nil {
		return errors.Join(err, n.stopNodes(s, started))
	}
	return nil
}

// ready makes a node's directory and its administrator, once. What was left half-made is made anew: nobody has used it.
func (n *Network) ready(ctx context.Context, s *state, node *Node) error {
	at := s.Nodes[node.Name]
	if at == nil {
		at = &nodeState{}
		s.Nodes[node.Name] = at
	}
	if at.Ready {
		return nil
	}
	if err := s.write(n.cfg.Dir); err != nil { // so that what is made now is known as ours
		return err
	}
	n.say("%s: making it", node.Name)
	dir := n.nodeDir(node.Name)
	if err := n.removeNode(node.Name); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var hosts []string
	if host, _, err := net.SplitHostPort(node.Listeners.API); err == nil {
		hosts = []string{host}
	}
	made, err := server.Init(ctx, dir, node.Name, hosts)
	if err != nil {
		return err
	}
	if err := durable.Replace(n.secret(node.Name, made.AdminName), []byte(made.Password+"\n"), 0o600); err != nil {
		return err
	}
	at.Ready = true
	return s.write(n.cfg.Dir)
}

// stopMoved stops running nodes whose listeners the file has moved.
func (n *Network) stopMoved(s *state) error {
	var moved []string
	for i := range n.topology.Nodes {
		node := &n.topology.Nodes[i]
		at := s.Nodes[node.Name]
		l := node.Listeners
		if at.alive() && (l.Links != "" && l.Links != at.Links || l.API != "" && l.API != at.API) {
			moved = append(moved, node.Name)
		}
	}
	return n.stopNodes(s, moved)
}

// startNodes starts those of the nodes that do not run, all at once, waits until they serve, and says which it started. On an error it has stopped
// them again.
func (n *Network) startNodes(ctx context.Context, s *state, names []string) ([]string, error) {
	var work sync.WaitGroup
	var started []string
	problems := make([]error, len(names))
	for i, name := range names {
		at := s.Nodes[name]
		node, known := n.topology.Node(name)
		if !known || at == nil || !at.Ready {
			return nil, &model.Error{Kind: model.KindNotFound, Detail: name + " was not made yet", Remedy: "use `banyan topology up`"}
		}
		if at.alive() {
			continue
		}
		started = append(started, name)
		work.Go(func() { problems[i] = n.startNode(ctx, node, at) })
	}
	work.Wait()
	if err := errors.Join(append(problems, s.write(n.cfg.Dir))...); err != nil {
		return nil, errors.Join(err, n.stopNodes(s, started))
	}
	return started, nil
}

// startTries is how often a node is started whose port somebody else takes in the very moment.
const startTries = 3

// errPortTaken says that a node found its port taken.
var errPortTaken = errors.New("a port was taken in the moment of the start")

func (n *Network) startNode(ctx context.Context, node *Node, at *nodeState) error {
	var err error
	for range startTries {
		if err = settleAddresses(node, at, n.say); err != nil {
			return err
		}
		if err = n.startOnce(ctx, node.Name, at); !errors.Is(err, errPortTaken) {
			break
		}
		n.say("%s: %s", node.Name, err)
	}
	return err
}

func (n *Network) startOnce(ctx context.Context, name string, at *nodeState) error {
	dir := n.nodeDir(name)
	config := filepath.Join(dir, "node.yaml")
	if err := durable.Replace(config, nodeConfig(name, at), 0o600); err != nil {
		return err
	}
	before := fileSize(n.logFile(name))
	c, err := n.nursery.start(n.cfg.Command(config), dir, n.logFile(name))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	at.processID, at.Since = c.processID, time.Now()
	if err := n.serving(ctx, name, at, c, before); err != nil {
		select {
		case <-c.done:
		default:
			err = errors.Join(err, end([]processID{c.processID}, time.Second))
		}
		at.processID, at.Since = processID{}, time.Time{}
		return err
	}
	n.say("%s: serves at https://%s (pid %d)", name, at.API, at.PID)
	n.keep(name, c)
	return nil
}

// nodeConfig is the configuration file of a node.
func nodeConfig(name string, at *nodeState) []byte {
	return fmt.Appendf(nil, "# Written by `banyan topology`; it is written anew at each start.\nname: %q\ndata: .\nlisteners:\n  links: %q\n  api: %q\n", name, at.Links, at.API)
}

// serving waits until a node that was started answers.
func (n *Network) serving(ctx context.Context, name string, at *nodeState, c *offspring, logged int64) error {
	client, err := n.stranger(name, at)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, n.cfg.HealthyWithin)
	defer cancel()
	last := errors.New("it was not asked")
	for {
		select {
		case <-c.done:
			tail := logTail(n.logFile(name), logged)
			if strings.Contains(tail, "address already in use") {
				return fmt.Errorf("%s: %w", name, errPortTaken)
			}
			return &model.Error{Kind: model.KindUnavailable, Detail: fmt.Sprintf("%s: ended as it started (%s): %s", name, ending(c), tail), Remedy: "see " + n.logFile(name)}
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return &model.Error{
				Kind: model.KindTimeout, Detail: fmt.Sprintf("%s: does not serve within %s: %s", name, n.cfg.HealthyWithin, last), Remedy: "see " + n.logFile(name),
			}
		default:
		}
		if err := client.healthy(ctx); err == nil {
			return nil
		} else if ctx.Err() == nil {
			last = err
		}
		sleep(ctx, 2*looking)
	}
}

func fileSize(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

// logTail is the end of what a log got since it had a size.
func logTail(name string, since int64) string {
	raw, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	const most = 2000
	raw = raw[min(max(since, int64(len(raw)-most)), int64(len(raw))):]
	return strings.TrimSpace(string(raw))
}

// configure makes running nodes what the file says, and waits until all links are up.
func (n *Network) configure(ctx context.Context, s *state) error {
	c, closeAll, err := n.configurer(ctx, s, n.topology.Names())
	if err != nil {
		return err
	}
	defer closeAll()
	err = c.run(ctx)
	for name, at := range c.nodes {
		s.Nodes[name].Contexts = nil
		for path := range at.made {
			s.Nodes[name].Contexts = append(s.Nodes[name].Contexts, path)
		}
		slices.Sort(s.Nodes[name].Contexts)
	}
	if err = errors.Join(err, s.write(n.cfg.Dir)); err != nil {
		return err
	}
	if len(n.topology.Links) > 0 {
		n.say("waiting for %d links", len(n.topology.Links))
	}
	return c.linked(ctx, n.cfg.LinkedWithin)
}

// configurer logs in at nodes.
func (n *Network) configurer(ctx context.Context, s *state, names []string) (*configurer, func(), error) {
	c := &configurer{topology: n.topology, nodes: map[string]*configured{}, password: n.password, say: n.say}
	closeAll := func() {
		for _, at := range c.nodes {
			at.client.Close()
		}
	}
	for _, name := range names {
		client, err := n.client(ctx, name, s.Nodes[name], server.AdminName)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		at := &configured{client: client, links: s.Nodes[name].Links, made: map[string]bool{}}
		for _, path := range s.Nodes[name].Contexts {
			at.made[path] = true
		}
		c.nodes[name] = at
	}
	return c, closeAll, nil
}

// password is the one that is kept for a user, or a new one, which is kept before it is used.
func (n *Network) password(node, user string) (string, bool, error) {
	kept, err := os.ReadFile(n.secret(node, user))
	if err == nil {
		return strings.TrimSpace(string(kept)), false, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", false, err
	}
	drawn := rand.Text()
	return drawn, true, durable.Replace(n.secret(node, user), []byte(drawn+"\n"), 0o600)
}

// readdress tells the nodes that dial where those are now that were started. A node that does not run is told when it is started.
func (n *Network) readdress(ctx context.Context, s *state, started []string) error {
	for i := range n.topology.Links {
		l := &n.topology.Links[i]
		if !slices.Contains(started, l.Dialer()) && !slices.Contains(started, l.Listener()) || !s.Nodes[l.Dialer()].alive() {
			continue
		}
		c, closeAll, err := n.configurer(ctx, s, []string{l.Dialer()})
		if err != nil {
			return err
		}
		c.nodes[l.Listener()] = &configured{client: c.nodes[l.Dialer()].client, links: s.Nodes[l.Listener()].Links}
		err = c.address(ctx, l)
		closeAll()
		if err != nil && model.KindOf(err) != model.KindNotFound { // a link that somebody removed
			return err
		}
	}
	return nil
}
