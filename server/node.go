package server

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"banyan/doctor"
	"banyan/doorstep"
	"banyan/failover"
	"banyan/model"
	"banyan/pki"
	"banyan/profiles"
	"banyan/store"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
)

// Node is one node. It owns the lives of its parts and what they know of each other; what they do is theirs.
type Node struct {
	cfg        Config
	log        hclog.Logger
	started    time.Time
	authority  *pki.Authority
	sealer     *pki.Sealer
	store      *store.Store
	tree       *tree.Tree
	solo       *failover.Solo
	checkpoint *store.Checkpoint
	commits    *Commits
	pulse      *pulse
	policies   *policies
	audit      *auditor
	sessions   *sessions
	tokens     *tokens
	profiles   *profiles.Registry
	devices    *deviceHub
	backups    *backups
	kinds      Kinds
	peers      Peers
	router     *Router
	api        *api
	limits     *limits
	ledger     *ledger
	counts     *counts

	deviceSchemas map[model.SchemaHash]bool     // with which devices are created
	jumps         doctor.Jumps                  // of the machine's clock
	certifier     atomic.Pointer[pki.Certifier] // of the API, once it serves
	measure       chan struct{}                 // capacity 1: the node's own figures are wanted now
	doors         doors
	frames        *doorstep.Frames // paced at all doors
	closing       sync.Once        // closes the store
}

// New opens a node's directory, begins its epoch, loads its tree, and listens; nothing is answered before Run, which must follow, or Close.
func New(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, log: cfg.Logger, started: cfg.Now(), kinds: Kinds{}, counts: newCounts(), frames: doorstep.NewFrames(), measure: make(chan struct{}, 1)}
	for _, step := range []func(context.Context) error{n.openStore, n.openProfiles, n.compose, n.load, n.listen} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	return n, nil
}

func (n *Node) openStore(ctx context.Context) error {
	var err error
	if n.authority, err = pki.Load(n.cfg.Data); err != nil {
		return err
	}
	if now := n.cfg.Now(); now.After(n.authority.Root().NotAfter) {
		if err := n.rescueRoot(now); err != nil {
			return err
		}
	}
	if n.sealer, err = pki.LoadSealer(n.cfg.Data); err != nil {
		return err
	}
	n.store, err = store.Open(ctx, store.Config{
		Dir: n.cfg.Data, Node: n.authority.ID(), Name: n.cfg.Name, Sealer: n.sealer, Logger: n.log.Named("store"),
		Now: func() model.Time { return model.TimeOf(n.cfg.Now()) },
	})
	if err != nil {
		return err
	}
	n.tree = tree.New(tree.Config{Now: n.cfg.Now, FirstChange: n.store.FirstChange()})
	n.checkpoint = store.NewCheckpoint(store.CheckpointConfig{Store: n.store, Tree: n.tree})
	n.solo, err = failover.NewSolo(failover.Config{Store: n.store, Numbers: n.tree, Logger: n.log.Named("commits"), Now: n.cfg.Now, Full: func() { signal(n.measure) }})
	return err
}

// compose makes the parts and hands them to each other.
func (n *Node) compose(context.Context) error {
	n.pulse = newPulse(n.tree)
	n.commits = &Commits{counts: n.counts, room: n.room, to: n.solo, store: n.store, tree: n.tree, pulse: n.pulse, now: n.cfg.Now}
	n.audit = newAuditor(n.commits, n.cfg.Now, n.log.Named("audit"))
	n.sessions = newSessions(n.cfg.Name, n.cfg.Now, n.tree, n.store, n.audit)
	n.tokens = &tokens{
		node: n.cfg.Name, now: n.cfg.Now, tree: n.tree, store: n.store, commits: n.commits, audit: n.audit, log: n.log.Named("tokens"),
		wake: make(chan struct{}, 1),
	}
	n.policies = &policies{node: n.cfg.Name, tree: n.tree, log: n.log.Named("access")}
	var err error
	if n.devices, err = newDeviceHub(n.cfg.Drivers, n.tree, n.store, n.commits, n.log.Named("devices")); err != nil {
		return err
	}
	n.backups = newBackups(n)
	if n.peers, err = n.newPeers(); err != nil {
		return err
	}
	n.policies.grants, n.policies.heard = n.peers.Grants, n.commits.tell
	n.router = &Router{
		node: n.cfg.Name, tree: n.tree, policies: n.policies, rules: n.policies, kinds: n.kinds, part: n.devices.part, commits: n.commits, pulse: n.pulse, forward: n.peers, now: n.cfg.Now, audit: n.audit,
		log: n.log.Named("router"),
	}
	n.ledger = &ledger{
		router: n.router, store: n.store, tree: n.tree, tokens: n.tokens, now: n.cfg.Now, log: n.log.Named("requests"), reached: n.cfg.Reached,
		rows: map[store.RequestID]*kept{}, changed: make(chan struct{}), doing: map[store.RequestID]bool{},
	}
	n.router.ledger = n.ledger
	if err := n.addBuiltin(); err != nil {
		return err
	}
	if err := n.peers.AddKinds(n.kinds); err != nil {
		return err
	}
	n.deviceSchemas = make(map[model.SchemaHash]bool)
	for kind := range n.devices.kinds {
		n.deviceSchemas[n.kinds[kind].Schema.Hash] = true
	}
	n.commits.Observe(n.observe)
	n.commits.Observe(n.observeSettings)
	n.commits.Observe(n.audit.observe)
	n.commits.Observe(n.devices.observe)
	n.commits.Observe(n.peers.Observe)
	n.commits.Observe(n.backups.observe)
	n.limits = newLimits(n.tree, n.cfg.Now)
	n.commits.Observe(n.limits.observe)
	n.api = newAPI(n)
	return nil
}

// observe marks what is worked out from the tree as old.
func (n *Node) observe(changed []tree.Context, removed []tree.Tombstone) {
	people := false
	for i := range changed {
		people = people || usersPath.Contains(changed[i].Path) || rolesPath.Contains(changed[i].Path)
	}
	for i := range removed {
		people = people || usersPath.Contains(removed[i].Path) || rolesPath.Contains(removed[i].Path)
	}
	if people {
		n.policies.Changed()
		n.tokens.changed()
	}
}

// load fills the tree with what is stored.
func (n *Node) load(ctx context.Context) error {
	own, err := n.store.Own(ctx)
	if err != nil {
		return err
	}
	if len(own) == 0 {
		return &model.Error{Kind: model.KindNotFound, Op: "open " + n.cfg.Data, Detail: "no node was made there", Remedy: "use `banyan init` first"}
	}
	contexts, err := n.store.Load(ctx, own, n.peers.Mounts(own), n.tree)
	if err != nil {
		return err
	}
	if err := n.ledger.load(ctx); err != nil {
		return err
	}
	samples := n.checkpoint.Restore()
	n.policies.Changed()
	n.commits.tell()
	n.log.Info("loaded", "contexts", contexts, "samples", samples, "epoch", n.store.Epoch())
	return nil
}

func (n *Node) listen(context.Context) error { return n.openDoors() }

func cannotListen(what, setting, address string, err error) error {
	cannot := model.Error{Kind: model.KindUnavailable, Detail: "cannot listen for " + what + " on " + address, Err: err}
	if errors.Is(err, syscall.EADDRINUSE) {
		cannot.Detail += ", which another program uses"
		cannot.Remedy = "end that program, or give " + setting + " another port in the node's configuration file"
	}
	return &cannot
}

// Run serves until ctx ends or something that a node cannot do without fails, and closes everything: within ten seconds, whatever hangs.
func (n *Node) Run(ctx context.Context) error {
	// What others write to outlives them.
	base, baseCtx := newTasks(context.WithoutCancel(ctx))
	base.start(baseCtx, "commits", n.solo.Run)
	base.start(baseCtx, "checkpoint", n.checkpoint.Run)
	base.start(baseCtx, "pulse", n.pulse.Run)
	err := n.upgrade(ctx)
	if err == nil {
		err = n.restored(ctx)
	}
	if err == nil {
		err = n.serve(ctx, baseCtx)
	}
	base.cancel()
	<-base.ended()
	return errors.Join(err, base.err(), n.Close())
}

// serve runs what people, devices and neighbours see, until ctx or the base ends.
func (n *Node) serve(ctx, baseCtx context.Context) error {
	services, servicesCtx := newTasks(ctx)
	defer context.AfterFunc(baseCtx, services.cancel)()
	services.start(servicesCtx, "devices", n.devices.Run)
	services.start(servicesCtx, "profiles", n.watchProfiles)
	services.start(servicesCtx, "links", n.peers.Run)
	services.start(servicesCtx, "system", n.measureSelf)
	services.start(servicesCtx, "audit", n.audit.Run)
	services.start(servicesCtx, "root", n.keepRoot)
	services.start(servicesCtx, "tokens", n.tokens.Run)
	services.start(servicesCtx, "requests", n.ledger.Run)
	services.start(servicesCtx, "backups", n.backups.run)
	services.start(servicesCtx, "api", n.serveAPI)
	n.cfg.Serving()
	n.log.Info("serving", "api", n.APIAddress(), "links", n.LinksAddress(), "id", n.ID().Short())
	<-servicesCtx.Done()
	asked := ctx.Err() != nil
	n.log.Info("stopping")
	timer := time.NewTimer(n.cfg.StopWithin)
	defer timer.Stop()
	select {
	case <-services.ended():
	case <-timer.C:
		n.log.Warn("some parts of the node did not end and are left behind", "waited", n.cfg.StopWithin)
	}
	err := services.err()
	if err != nil && asked {
		n.log.Warn("not everything ended cleanly", "error", err)
		return nil
	}
	return err
}

// Close closes files and listeners of a node that was not run.
func (n *Node) Close() error {
	var problems []error
	problems = append(problems, n.doors.close())
	if n.store != nil {
		n.closing.Do(func() { problems = append(problems, n.store.Close()) })
	}
	return errors.Join(problems...)
}

// ID is the node's ID.
func (n *Node) ID() model.NodeID { return n.authority.ID() }

// APIAddress is where people and programs find the node, HOST:PORT.
func (n *Node) APIAddress() string { return n.doors.address(DoorAPI) }

// LinksAddress is where other nodes find it.
func (n *Node) LinksAddress() string { return n.doors.address(DoorLinks) }

// Tree is the live tree, for tests that run a node in their process.
func (n *Node) Tree() *tree.Tree { return n.tree }

// Router is the way of requests, for whoever serves them.
func (n *Node) Router() *Router { return n.router }

// ownOf are the own contexts of a kind.
func (n *Node) ownOf(kind string) []tree.Context {
	var found []tree.Context
	n.tree.Walk(model.Root, nil, func(c *tree.Context) bool {
		if own(c) && c.Schema.Kind == kind {
			found = append(found, *c)
		}
		return true
	})
	return found
}
