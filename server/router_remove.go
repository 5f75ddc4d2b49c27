package server

import (
	"context"

	"banyan/access"
	"banyan/model"
	"banyan/store"
	"banyan/tree"
)

// remove takes a context away, and with Below everything below it.
func (r *Router) remove(ctx context.Context, who access.Principal, q *Request) (Response, error) {
	c, err := r.look(who, q.Op.String(), q.address())
	if err != nil {
		return r.removedBefore(ctx, who, q, err)
	}
	if err := r.mayRemove(who, q, &c); err != nil {
		return Response{}, err
	}
	if !own(&c) {
		return r.handOn(ctx, who, q, func(*Response) bool { return !r.hasID(q.Path, c.ID) })
	}
	goes, err := r.proposeRemove(ctx, who, q, &c)
	if err != nil {
		return Response{}, err
	}
	result, err := r.confirm(ctx, who, q, []store.Change{goes.change}, nil)
	if err != nil {
		return Response{}, err
	}
	for _, f := range goes.done {
		f()
	}
	return Response{Mirrored: true, Change: result.Change}, nil
}

// removal is what goes with an own context, itself first, and what is to be called once it is gone.
type removal struct {
	change store.Remove
	gone   []tree.Context
	done   []func()
}

// proposeRemove judges the removal of an own context.
func (r *Router) proposeRemove(ctx context.Context, who access.Principal, q *Request, c *tree.Context) (*removal, error) {
	kind, err := r.controlled(c)
	if err != nil {
		return nil, err
	}
	if _, part := r.part(c); part {
		return nil, model.Errorf(model.KindUnsupported, "contexts of the kind %s only show what was found", c.Schema.Kind)
	}
	if kind.Fixed {
		return nil, model.Errorf(model.KindUnsupported, "every node has %s", c.Path)
	}
	below, err := r.checkBelow(who, q, c, &kind)
	if err != nil {
		return nil, err
	}
	goes := &removal{change: store.Remove{Target: target(c), Below: q.Below || kind.Whole, Expected: q.Expected}, gone: below}
	for i := range below {
		p := r.proposal(who, OpRemove, below[i].Path)
		p.At, p.Schema = &below[i], below[i].Schema
		if k, known := r.kinds[below[i].Schema.Kind]; known {
			if err := k.Controller.Check(ctx, p); err != nil {
				return nil, err
			}
		}
		if p.Done != nil {
			goes.done = append(goes.done, p.Done)
		}
	}
	return goes, nil
}

func (r *Router) hasID(path model.Path, id model.ContextID) bool {
	c, there := r.tree.Lookup(path)
	return there && c.ID == id
}

// removedBefore answers a removal that is sent again after it was done, when nothing is there any more.
func (r *Router) removedBefore(ctx context.Context, who access.Principal, q *Request, absent error) (Response, error) {
	if model.KindOf(absent) != model.KindNotFound {
		return Response{}, absent
	}
	known, there, err := r.commits.store.Request(ctx, q.ID)
	if err != nil || !there || !known.Done || string(known.Digest) != string(q.digest(who)) {
		return Response{}, absent
	}
	return Response{Mirrored: true}, nil
}

func (r *Router) mayRemove(who access.Principal, q *Request, c *tree.Context) error {
	entity := access.Entity{Path: c.Path, Kind: c.Schema.Kind}
	return r.decide(who, entity, model.RightConfigure, true).Err(q.Op.String(), q.address())
}

// checkBelow collects what goes with a context, itself first, and decides on each. What is below it and hidden from who asks is refused in the
// same words as what may not be removed.
func (r *Router) checkBelow(who access.Principal, q *Request, c *tree.Context, kind *Kind) ([]tree.Context, error) {
	var below []tree.Context
	r.tree.Walk(c.Path, nil, func(at *tree.Context) bool {
		below = append(below, *at)
		return true
	})
	if len(below) > 1 && !q.Below && !kind.Whole {
		return nil, &model.Error{Kind: model.KindConflict, Detail: "something is below it", Remedy: "remove it with everything below it"}
	}
	for i := range below {
		at := &below[i]
		if !own(at) {
			return nil, &model.Error{Kind: model.KindConflict, Detail: "something is mounted below it", Remedy: "remove the mount first"}
		}
		if r.mayRemove(who, q, at) != nil {
			return nil, model.Errorf(model.KindDenied, "denied by %s: something below it may not be removed", r.node)
		}
	}
	return below, nil
}
