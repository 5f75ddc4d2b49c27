package server

import (
	"context"

	"banyan/model"
	"banyan/peering"
	"banyan/store"
	"banyan/tree"
)

// mount is a mirror in use.
type mount struct {
	mountPoint
	peer   model.NodeID
	mirror *peering.Mirror
	store  *store.Mirror
	cancel context.CancelFunc
	done   chan struct{}

	permission *peering.Permission // that the mirror has; of reconcile alone
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
				Change: row.ProviderChange, Local: row.Change, Route: row.Route, Extra: row.Extra,
			})
		}})
	}
	return mounts
}

// mountsFor are the mounts of a consumer's link with their mirrors, made where there are none. One that was moved is left out until the mirror
// that it had is gone.
func (l *links) mountsFor(ctx context.Context, cfg *peering.LinkConfig, set []tree.Context, peerName string, used map[model.ContextID]bool) []peering.Mount {
	var mounts []peering.Mount
	for _, c := range set {
		path, err := model.ParsePath(c.SettingNamed(settingPath).Text())
		if err != nil {
			continue
		}
		export := c.SettingNamed(settingExport).Text()
		l.mu.RLock()
		m := l.mounts[c.ID]
		l.mu.RUnlock()
		switch {
		case m != nil && !m.is(path, cfg.Name, export, cfg.Peer):
			signal(l.wake)
			continue
		case m == nil:
			if m, err = l.newMount(ctx, c.ID, mountPoint{path, cfg.Name, export}, cfg.Peer, peerName); err != nil {
				l.log.Error("a mount cannot be kept", "mount", c.Path, "error", err)
				continue
			}
		}
		m.mirror.Bound(mountMemory(c.SettingNamed(settingMemory)))
		used[c.ID] = true
		mounts = append(mounts, peering.Mount{Name: c.Path.Base(), Export: export, Mirror: m.mirror})
	}
	return mounts
}

// is reports whether a mount is still what is set. What is asked for as the only export may have been another one.
func (m *mount) is(path model.Path, link, export string, peer model.NodeID) bool {
	return m.path == path && m.link == link && m.export == export && m.peer == peer
}

func (l *links) newMount(ctx context.Context, id model.ContextID, at mountPoint, peer model.NodeID, peerName string) (*mount, error) {
	kept, err := l.store.Mirror(ctx, id, at.path)
	if err != nil {
		return nil, err
	}
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m := &mount{mountPoint: at, peer: peer, store: kept, cancel: cancel, done: make(chan struct{})}
	state := kept.State()
	place := peering.Place{View: state.View, Epoch: state.Epoch, Chain: state.Chain, Changes: state.Position, Heard: state.Heard}
	rows := l.kept[id]
	delete(l.kept, id)
	if len(rows) == 0 {
		place = peering.Place{Heard: state.Heard}
	}
	m.mirror = peering.NewMirror(peering.MirrorConfig{
		Tree: l.tree, Mount: at.path, Self: l.self, Peer: tree.Hop{Node: peer, Name: peerName}, Keeper: keeper{kept, l},
		Room: l.node.contextsLeft,
	}, rows, place)
	go func() {
		defer close(m.done)
		if err := kept.Run(runCtx); err != nil {
			l.log.Warn("a mirror is not kept any more", "mount", at.path, "error", err)
		}
	}()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mounts[id] = m
	l.points = append(l.points, at)
	return m, nil
}

// dropMounts purges mirrors that are used no more. Whoever comes back after that compares, since their removals are forgotten with the file.
func (l *links) dropMounts(ctx context.Context, used map[model.ContextID]bool) {
	dropped := make(map[model.ContextID]*mount)
	l.mu.Lock()
	for id, m := range l.mounts {
		if !used[id] && !l.rests(id, m) {
			dropped[id] = m
			delete(l.mounts, id)
		}
	}
	l.points = nil
	for _, m := range l.mounts {
		l.points = append(l.points, m.mountPoint)
	}
	l.mu.Unlock()
	if len(dropped) == 0 {
		return
	}
	for id, m := range dropped {
		m.mirror.Purge()
		m.cancel()
		<-m.done
		if err := l.store.DropMirror(id); err != nil {
			l.log.Warn("a mirror was not deleted", "error", err)
		}
	}
	l.trim(ctx)
}

// trim says that removals were forgotten with what was mounted: whoever comes back compares.
func (l *links) trim(ctx context.Context) {
	trim := store.Commit{Class: store.ClassSettings, Changes: []store.Change{store.Trim{Horizon: l.tree.ChangeHead() + 1}}}
	if _, err := l.commits.Do(ctx, trim); err != nil {
		l.log.Warn("what was forgotten with a mount was not noted", "error", err)
	}
}

// rests reports whether a mount is as it is set, and only its link is not in use now: what it mirrors stays, stale.
func (l *links) rests(id model.ContextID, m *mount) bool {
	c := l.contextOf(id)
	return c != nil && c.SettingNamed(settingLink).Text() == m.link && c.SettingNamed(settingExport).Text() == m.export &&
		c.SettingNamed(settingPath).Text() == m.path.String() && l.hasLink(m.link)
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
type keeper struct {
	to    *store.Mirror
	links *links
}

// Forget gives up what is kept, and the removals that were kept with it.
func (k keeper) Forget() {
	k.to.Forget()
	k.links.forgot.Store(true)
	signal(k.links.wake)
}

// Keep hands over.
func (k keeper) Keep(gone []peering.Gone, rows []peering.Row, at peering.Place) {
	removals := make([]store.MirrorRemoval, len(gone))
	for i, g := range gone {
		removals[i] = store.MirrorRemoval{ID: g.ID, Path: g.Path, Version: g.Version, Change: g.Local, Withdrawn: g.Withdrawn}
	}
	kept := make([]store.MirrorRow, len(rows))
	for i, r := range rows {
		kept[i] = store.MirrorRow{
			ID: r.ID, Path: r.Path, Label: r.Label, Schema: r.Schema, Settings: r.Settings, Version: r.Version,
			ProviderChange: r.Change, Change: r.Local, Route: r.Route, Extra: r.Extra,
		}
	}
	k.to.Keep(removals, kept, store.MirrorState{Chain: at.Chain, Position: at.Changes, View: at.View, Epoch: at.Epoch, Heard: at.Heard})
}
