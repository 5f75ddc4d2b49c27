package server

import (
	"slices"

	"banyan/access"
	"banyan/model"
)

// mayName reports whether an address may be told to somebody: that of what they may see, or of a context that there is not and that they might.
func (r *Router) mayName(who access.Principal, to model.Address) bool {
	c, there := r.tree.Lookup(to.Path)
	if !there {
		return (to.Name == "" || who.Link == "") && r.decide(who, access.Entity{Path: to.Path}, model.RightView, false).Allowed
	}
	e, name := entry{}, ""
	if to.Name != "" && who.Link != "" { // single entries are hidden from nodes only
		var known bool
		if e, known = settable(c.Schema, to.Name); !known {
			e = entry{sort: model.EntryFunction}
			known = c.Schema.FunctionIndex(to.Name) >= 0
		}
		if name = to.Name; !known {
			return false
		}
	}
	return r.decide(who, e.entity(&c, name), model.RightView, false).Allowed
}

// shown is a value as somebody may read it: else a reference to what is hidden would tell that it is there.
func (r *Router) shown(who access.Principal, v model.Value) model.Value {
	return refer(v, func(to model.Address) (model.Address, bool) { return to, r.mayName(who, to) })
}

// relocate translates references of a value to another node's tree; what has no place there is outside.
func relocate(v model.Value, move func(model.Path) (model.Path, bool)) model.Value {
	return refer(v, func(to model.Address) (model.Address, bool) {
		path, known := move(to.Path)
		return model.Address{Path: path, Name: to.Name}, known
	})
}

// refer changes the references of a value; those that are not known there become outside.
func refer(v model.Value, change func(model.Address) (model.Address, bool)) model.Value {
	switch v.Type() {
	case model.TypeRef:
		if to, inside := v.Ref(); inside {
			if changed, known := change(to); known {
				return model.Ref(changed)
			}
		}
		return model.RefOutside()
	case model.TypeTable:
		table := v.Table()
		if !slices.ContainsFunc(table.Columns, func(c model.Column) bool { return c.Type == model.TypeRef || c.Type == model.TypeTable }) {
			return v
		}
		copied := &model.Table{Columns: table.Columns}
		for _, row := range table.Rows {
			cells := make([]model.Value, len(row))
			for i, cell := range row {
				cells[i] = refer(cell, change)
			}
			copied.Rows = append(copied.Rows, cells)
		}
		return model.TableValue(copied)
	default:
		return v
	}
}
