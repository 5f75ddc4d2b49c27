package server

import (
	"context"

	"banyan/access"
	"banyan/model"
)

// apply does the edits of a batch as one commit, or none of them: here, or at the one owner of all of them.
func (r *Router) apply(ctx context.Context, who access.Principal, q *Request) (Response, error) {
	point, mounted, err := r.ownerOf(q.Edits)
	if err != nil {
		return Response{}, err
	}
	if done, before, err := r.appliedBefore(ctx, who, q); before || err != nil {
		return done, err
	}
	b := newBatch(r, who, q, mounted)
	for i := range q.Edits {
		if err := ctx.Err(); err != nil {
			return Response{}, err
		}
		b.judge(ctx, i)
	}
	if err := b.refusal(); err != nil {
		return Response{}, err
	}
	switch {
	case mounted:
		q.Path = point
		return r.applyAway(ctx, who, q)
	case q.DryRun:
		return Response{Mirrored: true}, nil
	}
	result, err := r.confirm(ctx, who, q, b.changes, nil)
	if err != nil {
		return Response{}, err
	}
	for _, f := range b.done {
		f()
	}
	return Response{Revision: result.Revision, Mirrored: true, Change: result.Change}, nil
}

// ownerOf finds whether the contexts of a batch are all this node's, or all below one mount point.
func (r *Router) ownerOf(edits []Edit) (point model.Path, mounted bool, err error) {
	switch {
	case len(edits) == 0:
		return point, false, model.Errorf(model.KindInvalid, "a batch without edits")
	case len(edits) > MaxEdits:
		return point, false, tooManyEdits(len(edits))
	}
	point, mounted = r.forward.MountPoint(edits[0].Path)
	for i := range edits {
		other, away := r.forward.MountPoint(edits[i].Path)
		if away != mounted || other != point {
			return point, false, &model.Error{
				Kind: model.KindInvalid, Edit: i + 1, Detail: "a batch is done by one node, and this edit is another's than the first one",
				Remedy: "send the edits of each node as a batch of their own",
			}
		}
	}
	return point, mounted, nil
}

func tooManyEdits(count int) error {
	return &model.Error{
		Kind: model.KindExhausted, Detail: "too many edits in one batch", Err: model.Errorf(model.KindExhausted, "%d, at most %d are allowed", count, MaxEdits),
		Remedy: "send them in several",
	}
}

// appliedBefore answers a batch that is sent again after it was done: judged anew it would be refused, since what it creates is there.
func (r *Router) appliedBefore(ctx context.Context, who access.Principal, q *Request) (Response, bool, error) {
	if q.drawn || q.DryRun {
		return Response{}, false, nil
	}
	known, there, err := r.commits.store.Request(ctx, q.ID)
	if err != nil || !there || string(known.Digest) != string(q.digest(who)) {
		return Response{}, false, err // with another digest the commit is refused
	}
	if !known.Done {
		return Response{}, true, unknownFate()
	}
	return Response{Revision: known.Revision, Mirrored: true}, true, nil
}

// applyAway hands a batch on to the owner, and waits a moment for its effect to show here.
func (r *Router) applyAway(ctx context.Context, who access.Principal, q *Request) (Response, error) {
	seen := 0 // that many edits showed already
	return r.handOn(ctx, who, q, func(s *Response) bool {
		for ; seen < len(q.Edits) && !q.DryRun; seen++ {
			e := &q.Edits[seen]
			if e.Op == OpRemove {
				continue // it may have been created again
			}
			if !r.reached(e.Path, s.Revision) || !r.has(e.Path) {
				return false
			}
		}
		return true
	})
}

// locateEdit puts what the edit is about, that an error names, into the error.
func (q *Request) locateEdit(e *model.Error) {
	if e.Edit == 0 && !e.Path.IsRoot() { // refused by the store, which knows paths
		for i := range q.Edits {
			if q.Edits[i].Path == e.Path {
				e.Edit = i + 1
			}
		}
	}
	if e.Edit < 1 || e.Edit > len(q.Edits) {
		e.Op, e.Path, e.Name, e.Edit = q.Op.String(), model.Root, "", 0
		return
	}
	edit := &q.Edits[e.Edit-1]
	e.Op, e.Path = edit.Op.String(), edit.Path
	if !edit.names(e.Name) {
		e.Name = ""
	}
	if e.Kind == model.KindNotFound {
		number, also := e.Edit, e.Also
		*e = *access.NotFound(e.Op, model.Address{Path: e.Path, Name: e.Name})
		e.Edit, e.Also = number, also
	}
}

// names reports whether an edit gives a setting of that name.
func (e *Edit) names(setting string) bool {
	for _, a := range e.Settings {
		if a.Name == setting {
			return true
		}
	}
	return false
}
