package tree

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"

	"banyan/model"
)

// Overlay says that everything at and below a path is stale: what is known of it may have changed since. It lies over samples
// when they are read and changes none of them.
type Overlay struct {
	Path  model.Path
	Since model.Time // the last moment at which what is below was known to be true
	Hop   string     // where the way to the owner is cut: "region-north > berlin"
	Nodes Ends       // that Hop names

	// Before limits the overlay to samples whose position in the ring is less; 0 is no limit. It stands for an owner that was
	// restarted: what it has published since is fresh, what it had published before may have changed.
	Before uint64
}

// Ends are the two nodes of a hop, the nearer first. Where one node alone is meant it stands second.
type Ends [2]model.NodeID

// On reports whether what came by a route came over the hop. Whoever is shown nothing that did is not to be told the names of its nodes: an overlay can lie
// where something else hangs now, or still.
func (e Ends) On(route Route) bool {
	for i, hop := range route {
		if hop.Node == e[1] {
			return i == 0 || e[0] == model.NodeID{} || e[0] == route[i-1].Node // before the first of a route is this node
		}
	}
	return false
}

// overlayKey lets a cut and a restart lie over the same path.
type overlayKey struct {
	path    model.Path
	limited bool
}

func (o *Overlay) key() overlayKey { return overlayKey{o.Path, o.Before != 0} }

// overlaySet is guarded by Tree.mu.
type overlaySet struct {
	laid       map[overlayKey]Overlay
	generation atomic.Uint64 // may be read without
}

// SetOverlay lays an overlay over its path, in place of the one of the same sort that lies there.
func (t *Tree) SetOverlay(o Overlay) {
	t.mu.Lock()
	if t.overlays.laid == nil {
		t.overlays.laid = make(map[overlayKey]Overlay)
	}
	changed := t.overlays.laid[o.key()] != o
	if changed {
		t.overlays.laid[o.key()] = o
		t.overlays.generation.Add(1)
	}
	t.mu.Unlock()
	if changed {
		t.wakeReaders()
	}
}

// ClearOverlay takes away the unlimited overlay of exactly that path.
func (t *Tree) ClearOverlay(path model.Path) {
	t.ReplaceOverlays(func(o Overlay) bool { return o.Path == path && o.Before == 0 }, nil)
}

// ReplaceOverlays takes away the overlays that drop names and lays others in their place, at once.
func (t *Tree) ReplaceOverlays(drop func(Overlay) bool, lay []Overlay) {
	t.mu.Lock()
	changed := false
	kept := make(map[overlayKey]Overlay, len(t.overlays.laid)+len(lay))
	for key, o := range t.overlays.laid {
		if !drop(o) {
			kept[key] = o
		}
	}
	for _, o := range lay {
		kept[o.key()] = o
	}
	if changed = !maps.Equal(kept, t.overlays.laid); changed {
		t.overlays.laid = kept
		t.overlays.generation.Add(1)
	}
	t.mu.Unlock()
	if changed {
		t.wakeReaders()
	}
}

// OverlaysSince returns all overlays in the order of paths when their generation is no longer the given one. Change and sample heads
// are taken at the same moment: whoever has passed them may take this set for true.
func (t *Tree) OverlaysSince(generation uint64) (all []Overlay, now uint64, change, sample uint64) {
	if t.overlays.generation.Load() == generation {
		return nil, generation, 0, 0
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	now = t.overlays.generation.Load()
	for _, o := range t.overlays.laid {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b Overlay) int {
		return cmp.Or(a.Path.Compare(b.Path), cmp.Compare(a.Before, b.Before))
	})
	return all, now, t.changes.visible(), t.ring.head.Load()
}

// OverlayGeneration is the generation of the overlays that lie now.
func (t *Tree) OverlayGeneration() uint64 {
	return t.overlays.generation.Load()
}

// before is the position up to which the overlays at and above path make samples stale. Tree.mu is held.
func (s *overlaySet) before(path model.Path) (position uint64) {
	for len(s.laid) > 0 {
		position = max(position, s.laid[overlayKey{path, true}].Before)
		if path.IsRoot() {
			break
		}
		path = path.Parent()
	}
	return position
}

// staleness is the overlay that holds at path for a sample with the given position + 1: of several on the way up the one that has
// been stale longest. Tree.mu is held.
func (t *Tree) staleness(path model.Path, version uint64) (Overlay, bool) {
	if len(t.overlays.laid) == 0 {
		return Overlay{}, false
	}
	found, stale := Overlay{}, false
	for {
		for _, limited := range [...]bool{false, true} {
			o, there := t.overlays.laid[overlayKey{path, limited}]
			if there && (!limited || version <= o.Before) && (!stale || o.Since < found.Since) {
				found, stale = o, true
			}
		}
		if path.IsRoot() {
			return found, stale
		}
		path = path.Parent()
	}
}
