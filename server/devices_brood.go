package server

import (
	"sync"

	"banyan/model"
	"banyan/store"
)

// brood is the children that a device has found and that are not committed yet: thousands of them found in one poll are a few commits.
type brood struct {
	hub    *deviceHub
	parent model.ContextID

	mu      sync.Mutex // held while the children are made
	changes []store.Change
	places  map[model.Path]*place
}

// mostUnborn is how many children wait before they are made whether or not anything is published for them.
const mostUnborn = 2000

// broodOf is the brood of a device.
func (h *deviceHub) broodOf(parent model.ContextID) *brood {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.broods[parent]
	if b == nil {
		b = &brood{hub: h, parent: parent, places: make(map[model.Path]*place)}
		h.broods[parent] = b
	}
	return b
}

// add notes a child that is to be made, and returns its place.
func (b *brood) add(path model.Path, label string, schema *model.Schema) (*place, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.places[path]; p != nil {
		return p, nil
	}
	p := &place{id: b.hub.commits.NewID(), hub: b.hub, brood: b}
	b.places[path] = p
	b.changes = append(b.changes, store.PutSchema{Schema: schema}, store.Create{ID: p.id, Path: path, Label: label, Schema: schema.Hash})
	if len(b.places) >= mostUnborn {
		return p, b.make()
	}
	return p, nil
}

// birth makes the children that wait.
func (b *brood) birth() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.make()
}

// make commits and binds. brood.mu is held.
func (b *brood) make() error {
	if len(b.changes) == 0 {
		return nil
	}
	err := b.hub.commitChild(b.parent, b.changes)
	for path, p := range b.places {
		if c, there := b.hub.tree.Lookup(path); err == nil && there && c.ID == p.id {
			p.bind(&c)
			b.hub.mu.Lock()
			b.hub.places[p.id] = p
			b.hub.mu.Unlock()
		}
	}
	b.changes, b.places = nil, make(map[model.Path]*place)
	return err
}
