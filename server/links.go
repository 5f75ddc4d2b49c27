package server

import (
	"context"
	"crypto/x509"
	"sync"
	"time"

	"banyan/access"
	"banyan/follow"
	"banyan/model"
	"banyan/peering"
	"banyan/pki"
	"banyan/proto"
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

	mu     sync.RWMutex // guards all below
	mounts map[model.ContextID]*mount
	points []mountPoint
	roots  map[model.NodeID][]*x509.Certificate
	views  map[uint64]*follow.View
}

// mountPoint is where requests for a path go.
type mountPoint struct {
	path model.Path
	link string
}

// mount is a mirror in use.
type mount struct {
	path   model.Path
	link   string
	peer   model.NodeID
	mirror *peering.Mirror
	store  *store.Mirror
	cancel context.CancelFunc
	done   chan struct{}
}

var _ Peers = (*links)(nil)

// newPeers makes the node's links.
func (n *Node) newPeers() (Peers, error) {
	leaf, err := n.authority.LinkLeaf(pki.LeafConfig{Lifetime: n.cfg.LinkLeaf, Clock: n.cfg.Now, Logger: n.log.Named("pki")})
	if err != nil {
		return nil, err
	}
	l := &links{
		node: n, self: tree.Hop{Node: n.authority.ID(), Name: n.cfg.Name}, tree: n.tree, store: n.store, commits: n.commits,
		log: n.log.Named("links"), leaf: leaf, wake: make(chan struct{}, 1), settled: make(chan chan struct{}), kept: make(map[model.ContextID][]peering.Row),
		mounts: make(map[model.ContextID]*mount), roots: make(map[model.NodeID][]*x509.Certificate), views: make(map[uint64]*follow.View),
	}
	l.hub = peering.NewHub(peering.HubConfig{
		Self: l.self, Epoch: n.store.Epoch(), Chain: n.store.ChangeChain(), Tree: n.tree, Certificate: leaf.Current, Pins: l,
		Logger: n.log, Beat: n.cfg.Beat, Dial: n.cfg.Dial, Execute: l.serve, Redeem: l.redeem, Joining: l.joining, Changed: l.publish,
	})
	return l, nil
}

// Mounts are the mirrors to load.
func (l *links) Mounts(puts []tree.Put) []store.Mount {
	var mounts []store.Mount
	for i := range puts {
		put := &puts[i]
		if put.Schema.Kind != KindMount {
			continue
		}
		c := tree.Context{Schema: put.Schema, Settings: put.Settings}
		path, err := model.ParsePath(c.SettingNamed(settingPath).Text())
		if err != nil {
			continue
		}
		mounts = append(mounts, store.Mount{ID: put.ID, Path: path, Each: func(row *store.MirrorRow) {
			l.kept[put.ID] = append(l.kept[put.ID], peering.Row{
				ID: row.ID, Path: row.Path, Label: row.Label, Schema: row.Schema, Settings: row.Settings, Version: row.Version,
				Change: row.ProviderChange, Local: row.Change, Route: row.Route,
			})
		}})
	}
	return mounts
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

// Run keeps links until ctx ends.
func (l *links) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var work sync.WaitGroup
	work.Go(func() { _ = l.leaf.Run(inner) })
	work.Go(func() { _ = l.hub.Run(inner, l.node.linksListener) })
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
			l.publishAll()
		case <-ctx.Done():
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
	var wanted []peering.LinkConfig
	roots := make(map[model.NodeID][]*x509.Certificate)
	used := make(map[model.ContextID]bool)
	for _, c := range directlyBelow(l.tree, linksPath) {
		cfg, ok := l.configOf(&c, roots)
		if !ok {
			continue
		}
		ready := false
		if cfg.Role == pki.RoleConsumer {
			cfg.Mirror, ready = l.mirrorOf(ctx, &cfg, c.SettingNamed(settingPeerName).Text(), used)
		} else {
			cfg.View, ready = l.viewOf(cfg.Name)
		}
		if ready || cfg.Refused {
			wanted = append(wanted, cfg)
		}
	}
	l.mu.Lock()
	l.roots = roots
	l.mu.Unlock()
	l.hub.Reconcile(wanted)
	l.dropMounts(ctx, used)
	l.publishAll()
}

// configOf reads a link. One that nobody has joined is not run.
func (l *links) configOf(c *tree.Context, roots map[model.NodeID][]*x509.Certificate) (peering.LinkConfig, bool) {
	cfg := peering.LinkConfig{Name: c.Path.Base(), Dials: c.SettingNamed(settingDials).Bool(), Addresses: splitList(c.SettingNamed(settingAddresses).Text())}
	peer, err := model.ParseNodeID(c.SettingNamed(settingPeer).Text())
	if c.Schema.Kind != KindLink || err != nil {
		return cfg, false
	}
	root, err := x509.ParseCertificate(c.SettingNamed(settingRoots).Bytes())
	if err != nil {
		l.log.Error("the root that is pinned for a link cannot be read", "link", cfg.Name, "error", err)
		return cfg, false
	}
	roots[peer] = append(roots[peer], root)
	cfg.Peer, cfg.Role = peer, roleOf(c)
	switch {
	case c.SettingNamed(settingRevoked).Bool():
		cfg.Refused, cfg.Refusal = true, pki.Revoked
	case !c.SettingNamed(settingEnabled).Bool():
		cfg.Refused, cfg.Refusal = true, pki.Disabled
	}
	return cfg, true
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

// mirrorOf is the mirror of a consumer's link, made where there is none.
func (l *links) mirrorOf(ctx context.Context, cfg *peering.LinkConfig, peerName string, used map[model.ContextID]bool) (*peering.Mirror, bool) {
	c, there := l.usedBy(mountsPath, KindMount, cfg.Name)
	if !there {
		return nil, false
	}
	path, err := model.ParsePath(c.SettingNamed(settingPath).Text())
	if err != nil {
		return nil, false
	}
	l.mu.RLock()
	m := l.mounts[c.ID]
	l.mu.RUnlock()
	if m != nil && m.path == path && m.link == cfg.Name && m.peer == cfg.Peer {
		used[c.ID] = true
		return m.mirror, true
	}
	if m != nil {
		l.hub.Reconcile(nil) // the mirror must not be in use when it is purged; every link starts anew right after
		l.dropMounts(ctx, map[model.ContextID]bool{})
		signal(l.wake)
		return nil, false
	}
	m, err = l.newMount(ctx, c.ID, path, cfg, peerName)
	if err != nil {
		l.log.Error("a mount cannot be kept", "mount", c.Path, "error", err)
		return nil, false
	}
	used[c.ID] = true
	return m.mirror, true
}

// usedBy is the export or the mount of a link.
func (l *links) usedBy(folder model.Path, kind, link string) (tree.Context, bool) {
	for _, c := range directlyBelow(l.tree, folder) {
		if c.Schema.Kind == kind && c.SettingNamed(settingLink).Text() == link {
			return c, true
		}
	}
	return tree.Context{}, false
}

func (l *links) newMount(ctx context.Context, id model.ContextID, path model.Path, cfg *peering.LinkConfig, peerName string) (*mount, error) {
	kept, err := l.store.Mirror(ctx, id, path)
	if err != nil {
		return nil, err
	}
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m := &mount{path: path, link: cfg.Name, peer: cfg.Peer, store: kept, cancel: cancel, done: make(chan struct{})}
	state := kept.State()
	at := peering.Place{View: state.View, Epoch: state.Epoch, Chain: state.Chain, Changes: state.Position, Heard: state.Heard}
	rows := l.kept[id]
	delete(l.kept, id)
	if len(rows) == 0 {
		at = peering.Place{Heard: state.Heard}
	}
	m.mirror = peering.NewMirror(peering.MirrorConfig{
		Tree: l.tree, Mount: path, Self: l.self, Peer: tree.Hop{Node: cfg.Peer, Name: peerName}, Keeper: keeper{kept},
	}, rows, at)
	go func() {
		defer close(m.done)
		if err := kept.Run(runCtx); err != nil {
			l.log.Warn("a mirror is not kept any more", "mount", path, "error", err)
		}
	}()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mounts[id] = m
	l.points = append(l.points, mountPoint{path, cfg.Name})
	return m, nil
}

// dropMounts purges mirrors that are used no more. Whoever comes back after that compares, since their removals are forgotten with the file.
func (l *links) dropMounts(ctx context.Context, used map[model.ContextID]bool) {
	l.mu.Lock()
	var dropped []*mount
	for id, m := range l.mounts {
		if _, stays := l.tree.Lookup(m.path); used[id] && stays || used[id] {
			continue
		}
		if c := l.contextOf(id); c != nil && c.SettingNamed(settingLink).Text() == m.link && c.SettingNamed(settingPath).Text() == m.path.String() && l.hasLink(m.link) {
			continue // it rests: its link is switched off
		}
		dropped = append(dropped, m)
		delete(l.mounts, id)
		defer func() {
			if err := l.store.DropMirror(id); err != nil {
				l.log.Warn("a mirror was not deleted", "error", err)
			}
		}()
	}
	l.points = nil
	for _, m := range l.mounts {
		l.points = append(l.points, mountPoint{m.path, m.link})
	}
	l.mu.Unlock()
	for _, m := range dropped {
		m.mirror.Purge()
		m.cancel()
		<-m.done
	}
	if len(dropped) > 0 {
		trim := store.Commit{Class: store.ClassSettings, Changes: []store.Change{store.Trim{Horizon: l.tree.ChangeHead() + 1}}}
		if _, err := l.commits.Do(ctx, trim); err != nil {
			l.log.Warn("what was forgotten with a mount was not noted", "error", err)
		}
	}
}

func (l *links) contextOf(id model.ContextID) *tree.Context {
	for _, path := range l.tree.ByID(id) {
		if c, there := l.tree.Lookup(path); there && own(&c) {
			return &c
		}
	}
	return nil
}

func (l *links) hasLink(name string) bool {
	path, err := linksPath.Child(name)
	if err != nil {
		return false
	}
	_, there := l.tree.Lookup(path)
	return there
}

// keeper hands what a mirror learns to the store.
type keeper struct{ to *store.Mirror }

// Keep hands over.
func (k keeper) Keep(gone []peering.Gone, rows []peering.Row, at peering.Place) {
	removals := make([]store.MirrorRemoval, len(gone))
	for i, g := range gone {
		removals[i] = store.MirrorRemoval{ID: g.ID, Path: g.Path, Version: g.Version, Change: g.Local}
	}
	kept := make([]store.MirrorRow, len(rows))
	for i, r := range rows {
		kept[i] = store.MirrorRow{
			ID: r.ID, Path: r.Path, Label: r.Label, Schema: r.Schema, Settings: r.Settings, Version: r.Version,
			ProviderChange: r.Change, Change: r.Local, Route: r.Route,
		}
	}
	k.to.Keep(removals, kept, store.MirrorState{Chain: at.Chain, Position: at.Changes, View: at.View, Epoch: at.Epoch, Heard: at.Heard})
}

// selection is an export as package follow asks for it.
type selection struct{ *access.Selection }

// Schema is what the export shows of a schema.
func (s selection) Schema(full *model.Schema) (*model.Schema, error) {
	secret := make(map[string]bool)
	for i := range full.Settings {
		secret[full.Settings[i].Name] = full.Settings[i].Secret
	}
	return proto.DeriveSchema(full, func(entry string) bool { return !s.HidesEntity(full.Kind, entry, secret[entry]) })
}

// viewOf is the view of a provider's link. Exports of equal content share one.
func (l *links) viewOf(link string) (*follow.View, bool) {
	c, there := l.usedBy(exportsPath, KindExport, link)
	if !there {
		return nil, false
	}
	export, root, err := readExport(c.Path.Base(), c.SettingNamed)
	if err != nil {
		l.log.Error("an export cannot be used", "export", c.Path, "error", err)
		return nil, false
	}
	selected, err := access.NewSelection(export, access.Areas{})
	if err != nil {
		l.log.Error("an export cannot be used", "export", c.Path, "error", err)
		return nil, false
	}
	made := follow.NewView(l.tree, root, selection{selected})
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.views[made.ID]; known != nil {
		return known, true
	}
	l.views[made.ID] = made
	return made, true
}

// Grants are what this node granted, by link. A link that may not be used grants nothing.
func (l *links) Grants() map[string]*access.Grant {
	grants := make(map[string]*access.Grant)
	for _, c := range directlyBelow(l.tree, linksPath) {
		peer, err := model.ParseNodeID(c.SettingNamed(settingPeer).Text())
		if c.Schema.Kind != KindLink || err != nil || roleOf(&c) != pki.RoleProvider ||
			c.SettingNamed(settingRevoked).Bool() || !c.SettingNamed(settingEnabled).Bool() {
			continue
		}
		grant := &access.Grant{Node: c.SettingNamed(settingPeerName).Text(), ID: peer}
		if e, there := l.usedBy(exportsPath, KindExport, c.Path.Base()); there {
			if export, _, err := readExport(e.Path.Base(), e.SettingNamed); err == nil {
				if selected, err := access.NewSelection(export, access.Areas{}); err == nil {
					grant.Exports = []*access.Selection{selected}
				}
			}
		}
		grants[c.Path.Base()] = grant
	}
	return grants
}

// revoke ends a link for good.
func (l *links) revoke(ctx context.Context, at *tree.Context) error {
	_, err := l.commits.Do(ctx, store.Commit{Changes: []store.Change{store.Set{
		Target: store.ByID(at.ID), Settings: []store.Setting{{Name: settingRevoked, Value: model.Bool(true)}},
	}}})
	return err
}
