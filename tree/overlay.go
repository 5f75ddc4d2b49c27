package tree

import (
	"cmp"
	"slices"

	"banyan/model"
)

// Overlay says that everything at and below a path is stale: what is known of it may have changed since. It lies over samples
// when they are read and changes none of them.
type Overlay struct {
	Path  model.Path
	Since model.Time // the last moment at which what is below was known to be true
	Hop   string     // where the way to the owner is cut: "region-north > berlin"
}

// overlaySet is guarded by Tree.mu.
type overlaySet struct {
	byPath     map[model.Path]Overlay
	generation uint64
}

// SetOverlay lays an overlay over its path, in place of the one that lies there.
func (t *Tree) SetOverlay(o Overlay) {
	t.mu.Lock()
	if t.overlays.byPath == nil {
		t.overlays.byPath = make(map[model.Path]Overlay)
	}
	changed := t.overlays.byPath[o.Path] != o
	if changed {
		t.overlays.byPath[o.Path] = o
		t.overlays.generation++
	}
	t.mu.Unlock()
	if changed {
		t.wakeReaders()
	}
}

// ClearOverlay takes away the overlay of exactly that path.
func (t *Tree) ClearOverlay(path model.Path) {
	t.mu.Lock()
	_, there := t.overlays.byPath[path]
	if there {
		delete(t.overlays.byPath, path)
		t.overlays.generation++
	}
	t.mu.Unlock()
	if there {
		t.wakeReaders()
	}
}

// OverlaysSince returns all overlays in the order of paths when their generation is no longer the given one. Change and sample heads
// are taken at the same moment: whoever has passed them may take this set for true.
func (t *Tree) OverlaysSince(generation uint64) (all []Overlay, now uint64, change, sample uint64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	now = t.overlays.generation
	if now == generation {
		return nil, now, 0, 0
	}
	for _, o := range t.overlays.byPath {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b Overlay) int { return a.Path.Compare(b.Path) })
	return all, now, t.changes.visible(), t.ring.head.Load()
}

// staleness is the overlay that holds at path: of several on the way up the one that has been stale longest. Tree.mu is held.
func (t *Tree) staleness(path model.Path) (Overlay, bool) {
	if len(t.overlays.byPath) == 0 {
		return Overlay{}, false
	}
	found, stale := Overlay{}, false
	for {
		if o, there := t.overlays.byPath[path]; there && (!stale || cmp.Compare(o.Since, found.Since) < 0) {
			found, stale = o, true
		}
		if path.IsRoot() {
			return found, stale
		}
		path = path.Parent()
	}
}
