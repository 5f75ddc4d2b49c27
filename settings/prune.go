package settings

import (
	"slices"

	"banyan/model"
)

// prune removes what the file could hold and does not, unless something below it stays.
func (p *planner) prune() {
	stays := map[model.Path]bool{} // and what is above it
	for _, path := range slices.Backward(p.state.paths()) {
		c := p.state.Contexts[path]
		switch {
		case p.leaving[path], c.Found:
		case p.byPath[path] == nil && !stays[path] && p.goes(c):
			p.remove(c)
		default:
			for at := path; !at.IsRoot() && !stays[at]; at = at.Parent() {
				stays[at] = true
			}
		}
	}
}

// replaced reports whether a context goes for one of another kind: where what does not stand in the file goes, and nothing that is below it stays.
func (p *planner) replaced(w *wanted, present *Context) bool {
	if present == nil || !p.options.Prune || !w.kind.given || !p.goes(present) {
		return false
	}
	name, _, ok := p.expand(w.kind.value, w.kind.at, w.with)
	if !ok || name == present.Kind.Name {
		return false
	}
	for path, c := range p.state.Contexts {
		if path != w.path && w.path.Contains(path) && !c.Found && (p.byPath[path] != nil || !p.goes(c)) {
			return false
		}
	}
	return true
}

// goes reports whether a context is one that a file can hold and people can remove.
func (p *planner) goes(c *Context) bool {
	return !c.Fixed && p.Scope.Contains(c.Path) && p.state.left(c, p.Scope, p.owner) == ""
}

func (p *planner) remove(c *Context) {
	p.leaving[c.Path] = true
	e := &Edit{Op: Remove, Path: c.Path, Kind: c.Kind.Name, Expected: c.Revision, Owner: c.Owner}
	e.changes = append(e.changes, difference{name: "kind", before: scalarText(c.Kind.Name, false)})
	if c.Label != "" {
		e.changes = append(e.changes, difference{name: "label", before: scalarText(c.Label, false)})
	}
	p.edits = append(p.edits, e)
}
