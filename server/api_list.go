package server

import (
	"context"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/tree"
)

// variableState is by what devices and links say how they are.
const variableStateName = "state"

// List answers what lies directly below a path, as far as the caller may see it. The root can always be listed; any other path must be one that
// may be seen, or lie on the way to one.
func (a *api) List(ctx context.Context, q *apiv1.ListRequest) (*apiv1.ListResponse, error) {
	path, err := model.ParsePath(q.GetPath())
	if err != nil {
		return nil, err
	}
	limit := int(q.GetLimit())
	if limit == 0 {
		limit = defaultList
	}
	if limit < 1 || limit > maxList {
		return nil, model.Errorf(model.KindInvalid, "a limit of %d: 1 to %d are allowed", limit, maxList)
	}
	who := callerOf(ctx).Principal
	if !path.IsRoot() && !a.seesAny(who, path) {
		return nil, access.NotFound("list", model.Address{Path: path})
	}
	out := &apiv1.ListResponse{}
	for after := q.GetAfter(); ; {
		children, more := a.node.tree.Children(path, after, limit+1)
		for i := range children {
			entry := a.entry(who, &children[i])
			if entry == nil {
				continue
			}
			if len(out.Entries) == limit {
				out.More = true
				return out, nil
			}
			out.Entries = append(out.Entries, entry)
		}
		if !more || ctx.Err() != nil {
			return out, ctx.Err()
		}
		after = children[len(children)-1].Path.Base()
	}
}

// sees reports whether a context may be seen.
func sees(d *access.Decider, who access.Principal, c *tree.Context) bool {
	entity := access.Entity{Path: c.Path, Kind: c.Schema.Kind}
	return d.Decide(access.Question{Principal: who, Entity: entity, Need: model.RightView}).Allowed
}

// seesAny reports whether something at or below path may be seen.
func (a *api) seesAny(who access.Principal, path model.Path) bool {
	return a.findSeen(who, path, func(*tree.Context) bool { return true })
}

// seesBelow reports whether something below path, and not only at it, may be seen.
func (a *api) seesBelow(who access.Principal, path model.Path) bool {
	return a.findSeen(who, path, func(c *tree.Context) bool { return c.Path != path })
}

func (a *api) findSeen(who access.Principal, path model.Path, counts func(*tree.Context) bool) bool {
	decider, found := a.router.policies.Decider(), false
	descend := func(at model.Path) bool { return decider.MayMatchBelow(who, at) }
	a.node.tree.Walk(path, descend, func(c *tree.Context) bool {
		found = counts(c) && sees(decider, who, c)
		return !found
	})
	return found
}

// entry is what a caller may know of a child, nil for nothing.
func (a *api) entry(who access.Principal, child *tree.Child) *apiv1.Entry {
	below := child.Parent && a.seesBelow(who, child.Path)
	if child.Context.Schema == nil || !sees(a.router.policies.Decider(), who, &child.Context) {
		if !below {
			return nil
		}
		f, _ := a.node.tree.Freshness(child.Path)
		e := &apiv1.Entry{Path: child.Path.String(), Parent: true}
		if child.Context.Schema == nil {
			e.Stale = f.Stale.String()
		}
		return e
	}
	c := &child.Context
	e := &apiv1.Entry{Path: c.Path.String(), Kind: c.Schema.Kind, Label: c.Label, Parent: below, Via: c.Route.Names()}
	a.freshness(e, c)
	return e
}

// freshness sums up a context's variables: the newest source time, the worst quality, and the state where it has one.
func (a *api) freshness(e *apiv1.Entry, c *tree.Context) {
	f, variables := a.node.tree.Freshness(c.Path)
	e.Stale = f.Stale.String()
	if variables == 0 {
		return
	}
	e.Newest, e.Quality, e.Reason = f.Newest.String(), f.Quality.Level.String(), f.Quality.Reason.String()
	if i := c.Schema.VariableIndex(variableStateName); i >= 0 && c.Schema.Variables[i].Type == model.TypeString {
		if r, there := a.node.tree.Read(model.Address{Path: c.Path, Name: variableStateName}); there {
			e.State = r.Sample.Value.Text()
		}
	}
}
