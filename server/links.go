package server

import (
	"bytes"
	"context"
	"crypto/x509"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/peering"
	"banyan/pki"
	"banyan/store"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
)

// links makes what the tree says of links, exports and mounts true: it keeps peering.Hub's links, the views that are exported, and the mirrors that
// are mounted.
type links struct {
	node    *Node
	self    tree.Hop
	tree    *tree.Tree
	store   *store.Store
	commits *Commits
	log     hclog.Logger
	kinds   Kinds
	hub     *peering.Hub
	leaf    *pki.Leaf
	wake    chan struct{}      // capacity 1: links, exports or mounts changed
	settled chan chan struct{} // somebody waits until what is set runs

	// kept are the rows of mirrors that were loaded, until their mounts are made. For Mounts and the first reconcile.
	kept map[model.ContextID][]peering.Row

	interests *interests
	carried   *carried
	reaches   map[uint64][]model.Path // where what a view shows lies; guarded by mu

	forgot atomic.Bool // a mirror was purged, and its removals are forgotten with it

	rehearsals *rehearsals
	shelf      *keptShelf // backups of providers
	sent       *sent      // backups for consumers
	recoveries recoveries

	redeeming sync.Mutex // held while an invitation is looked at and taken
	pinning   sync.Mutex // held while a root takes the place of another

	mu     sync.RWMutex // guards all below
	mounts map[model.ContextID]*mount
	points []mountPoint
	below  map[string][]model.Path // mounts by their link
	roots  map[model.NodeID][]*x509.Certificate
	views  map[uint64]*follow.View

	permits map[string]peering.Permitted // by link and export: what consumers let this node enrol, as far as they told since its start

	readmitted map[string]time.Time // by link: until when any life of the provider is taken
}

// mountPoint is where requests for a path go.
type mountPoint struct {
	path   model.Path
	link   string
	export string
}

var _ Peers = (*links)(nil)

// newPeers makes the node's links.
func (n *Node) newPeers() (Peers, error) {
	leaf, err := n.authority.LinkLeaf(pki.LeafConfig{Lifetime: n.cfg.Certificates.Link, Clock: n.cfg.Now, Logger: n.log.Named("pki")})
	if err != nil {
		return nil, err
	}
	l := &links{
		node: n, self: tree.Hop{Node: n.authority.ID(), Name: n.cfg.Name}, tree: n.tree, store: n.store, commits: n.commits,
		log: n.log.Named("links"), leaf: leaf, wake: make(chan struct{}, 1), settled: make(chan chan struct{}), kept: make(map[model.ContextID][]peering.Row),
		mounts: make(map[model.ContextID]*mount), permits: make(map[string]peering.Permitted), roots: make(map[model.NodeID][]*x509.Certificate), views: make(map[uint64]*follow.View), reaches: make(map[uint64][]model.Path),
	}
	l.shelf, l.sent = newKeptShelf(l), newSent(n.backups, l)
	l.recoveries.open, l.readmitted = make(map[string]*openRecovery), make(map[string]time.Time)
	n.commits.Observe(l.sent.observe)
	var restores []peering.RestoreID
	for _, r := range n.store.Restores() {
		restores = append(restores, peering.RestoreID(r.ID))
	}
	l.rehearsals = &rehearsals{links: l, lease: rehearsalLease, running: make(map[string]*rehearsing)}
	l.hub = peering.NewHub(peering.HubConfig{
		Frames: l.node.frames,
		Self:   l.self, Epoch: n.store.Epoch(), Chain: n.store.ChangeChain(), Tree: n.tree, Certificate: leaf.Current, Pins: l,
		Logger: n.log, Beat: n.cfg.Beat, Reconnect: n.cfg.Reconnect, Now: n.cfg.Now, Dial: n.dialer(), Lines: &l.rehearsals.lines, Software: n.cfg.Version, Inspect: l.inspect, Execute: l.serve, Look: l.look, Explain: l.explainTo, Redeem: l.redeem, Joining: l.joining, Changed: l.publish,
		Wished:  func() { signal(l.interests.wake) },
		Recover: l.handOut, Meet: l.meet, Succeed: l.succeed, Twins: l.twins, Permitted: l.permitted, Restores: restores, Shelf: l.shelf, Backups: l.sent,
	})
	l.interests, l.carried = newInterests(l), newCarried(l.hub.Carried)
	return l, nil
}

// Observe wakes the reconciling when something of links changed.
func (l *links) Observe(changed []tree.Context, removed []tree.Tombstone) {
	concerned := false
	for i := range changed {
		concerned = concerned || ofLinks(changed[i].Path)
	}
	for i := range removed {
		concerned = concerned || ofLinks(removed[i].Path)
	}
	if concerned {
		l.node.policies.Changed()
		signal(l.wake)
	}
}

func ofLinks(path model.Path) bool {
	return linksPath.Contains(path) || exportsPath.Contains(path) || mountsPath.Contains(path)
}

func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// refreshTime is how often what links say of themselves is published where nothing but figures changed.
const refreshTime = 10 * time.Second

// withdrawnTime is how long it is remembered that something was here which may not be shown any more, so that those above are told without a
// comparison. Whoever is away for longer compares.
const withdrawnTime = 20 * time.Second

// Run keeps links until ctx ends.
func (l *links) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	l.reconcile(ctx) // before anybody is heard: nobody is to be told that a link is not known
	var work sync.WaitGroup
	work.Go(func() { _ = l.leaf.Run(inner) })
	work.Go(func() { _ = l.hub.Run(inner, l.node.doors[DoorLinks]) })
	work.Go(func() { _ = l.sent.run(inner) })
	work.Go(func() { l.interests.run(inner) })
	ticker := time.NewTicker(refreshTime)
	defer ticker.Stop()
	for {
		l.reconcile(ctx)
		select {
		case <-l.wake:
		case waiting := <-l.settled:
			l.reconcile(ctx)
			close(waiting)
		case <-ticker.C:
			l.tree.ForgetWithdrawn(model.TimeOf(l.node.cfg.Now().Add(-withdrawnTime)))
		case <-ctx.Done():
			l.rehearsals.stop()
			work.Wait()
			l.mu.Lock()
			mounts := l.mounts
			l.mounts = map[model.ContextID]*mount{}
			l.mu.Unlock()
			for _, m := range mounts {
				m.cancel()
				<-m.done
			}
			return nil
		}
	}
}

// settle waits until what is set runs, so that whoever was told of a link finds it.
func (l *links) settle(ctx context.Context) {
	done := make(chan struct{})
	select {
	case l.settled <- done:
	case <-ctx.Done():
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// reconcile makes what runs what is set. Rights were told before; here connections follow.
func (l *links) reconcile(ctx context.Context) {
	if l.forgot.Swap(false) {
		l.trim(ctx)
	}
	var wanted []peering.LinkConfig
	roots := make(map[model.NodeID][]*x509.Certificate)
	used := make(map[model.ContextID]bool)
	views := make(map[uint64]*follow.View)
	mounts := mountsByLink(l.tree)
	l.mu.Lock()
	l.below = make(map[string][]model.Path, len(mounts))
	for link, list := range mounts {
		for i := range list {
			l.below[link] = append(l.below[link], list[i].Path)
		}
	}
	l.mu.Unlock()
	l.pinning.Lock() // else what is read here may take the place of what was just pinned
	for _, c := range directlyBelow(l.tree, linksPath) {
		cfg, ok := l.configOf(ctx, &c, roots)
		if !ok {
			continue
		}
		if cfg.Role == pki.RoleConsumer {
			cfg.Mounts = l.mountsFor(ctx, &cfg, mounts[cfg.Name], c.SettingNamed(settingPeerName).Text(), used)
		} else {
			cfg.Exports = l.exportsFor(cfg.Name, views)
		}
		wanted = append(wanted, cfg)
	}
	l.mu.Lock()
	maps.DeleteFunc(l.reaches, func(id uint64, _ []model.Path) bool { return views[id] == nil })
	l.roots, l.views = roots, views // a view that is in use no more is forgotten
	l.mu.Unlock()
	l.pinning.Unlock()
	l.hub.Reconcile(wanted)
	l.rehearsals.settle(func(link string) bool {
		return slices.ContainsFunc(wanted, func(c peering.LinkConfig) bool { return c.Name == link && !c.Refused })
	})
	l.dropMounts(ctx, used)
	signal(l.interests.wake)
	l.allow()
	l.sweepInvitations(ctx)
	l.publishAll()
}

// configOf reads a link. One that nobody has joined is not run.
func (l *links) configOf(ctx context.Context, c *tree.Context, roots map[model.NodeID][]*x509.Certificate) (peering.LinkConfig, bool) {
	cfg := peering.LinkConfig{Name: c.Path.Base(), Dials: c.SettingNamed(settingDials).Bool(), Addresses: splitList(c.SettingNamed(settingAddresses).Text())}
	peer, err := model.ParseNodeID(c.SettingNamed(settingPeer).Text())
	if c.Schema.Kind != KindLink || err != nil {
		return cfg, false
	}
	root, err := l.rootOf(peer, c.SettingNamed(settingRoots).Bytes())
	if err != nil {
		l.log.Error("the root that is pinned for a link cannot be read", "link", cfg.Name, "error", err)
		return cfg, false
	}
	roots[peer] = append(roots[peer], root)
	cfg.Known = knownLife(c)
	cfg.Peer, cfg.Role, cfg.Proxy, cfg.Beat = peer, roleOf(c), l.proxyOf(ctx, c), c.SettingNamed(settingBeat).Duration()
	switch {
	case c.SettingNamed(settingRevoked).Bool():
		cfg.Refused, cfg.Refusal = true, pki.Revoked
	case !c.SettingNamed(settingEnabled).Bool():
		cfg.Refused, cfg.Refusal = true, pki.Disabled
	}
	return cfg, true
}

// rootOf is a root that is pinned for a node. One that was read before is not read again: with a thousand links that would be most of a reconcile.
func (l *links) rootOf(node model.NodeID, raw []byte) (*x509.Certificate, error) {
	known, _ := l.Roots(node)
	for _, root := range known {
		if bytes.Equal(root.Raw, raw) {
			return root, nil
		}
	}
	return x509.ParseCertificate(raw)
}

func roleOf(c *tree.Context) pki.Role {
	if c.SettingNamed(settingRole).Text() == roleConsumer {
		return pki.RoleConsumer
	}
	return pki.RoleProvider
}

// Roots are the roots pinned for a node.
func (l *links) Roots(node model.NodeID) ([]*x509.Certificate, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.roots[node], nil
}

// mayForget refuses to remove the link of a consumer that is away and was not revoked: what it has is withdrawn by telling it, and a node that has
// forgotten the link can tell it nothing but that it is a stranger. A link that was revoked goes at any time, told or not: that takes a word more.
func (l *links) mayForget(c *tree.Context) error {
	if roleOf(c) == pki.RoleConsumer || c.SettingNamed(settingRevoked).Bool() || c.SettingNamed(settingPeer).Text() == "" {
		return nil
	}
	r, _ := l.tree.Read(model.Address{Path: c.Path, Name: variableState})
	switch peering.State(r.Sample.Value.Text()) {
	case peering.StateUp, peering.StatePartial, peering.StateIdle, peering.StateStalled:
		if r.Sample.Quality.Level == model.Good {
			return nil // it is told
		}
	}
	return &model.Error{
		Kind: model.KindConflict, Detail: "the other node is not there to hear of it, and would keep what it was shown, as stale",
		Remedy: "`banyan call " + c.Path.String() + ":revoke` is told at its next contact, and what it has goes then; after that the link can be removed",
	}
}

// revoke ends a link for good. When it returns the other node is let in no more.
func (l *links) revoke(ctx context.Context, at *tree.Context) error {
	_, err := l.commits.Do(ctx, store.Commit{Changes: []store.Change{store.Set{
		Target: store.ByID(at.ID), Settings: []store.Setting{{Name: settingRevoked, Value: model.Bool(true)}},
	}}})
	if err == nil {
		l.settle(ctx)
	}
	return err
}
