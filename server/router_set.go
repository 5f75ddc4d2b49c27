package server

import (
	"context"
	"slices"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/store"
	"banyan/tree"
)

// requestMemory is how long an owner remembers what became of a request.
const requestMemory = 24 * time.Hour

// set commits a setting, or passes a variable's value to the controller.
func (r *Router) set(ctx context.Context, who access.Principal, q *Request) (Response, error) {
	c, err := r.look(who, q.Op.String(), q.address())
	if err != nil {
		return Response{}, err
	}
	e, there := settable(c.Schema, q.Name)
	if !there {
		return Response{}, access.NotFound(q.Op.String(), q.address())
	}
	if err := r.may(who, q.Op, &c, q.Name, &e); err != nil {
		return Response{}, err
	}
	if err := checkSet(q, &e); err != nil {
		return Response{}, err
	}
	switch {
	case !own(&c):
		shown := func(s *Response) bool { return s.Revision.IsZero() || r.reached(q.Path, s.Revision) }
		return r.handOn(ctx, who, q, shown)
	case e.sort == model.EntrySetting:
		return r.setSetting(ctx, who, q, &c)
	}
	return r.once(ctx, who, q, false, false, func() ([]model.Argument, error) {
		kind, err := r.controlled(&c)
		if err != nil {
			return nil, err
		}
		return nil, kind.Controller.Write(ctx, &c, q.Name, q.Value)
	})
}

func checkSet(q *Request, e *entry) error {
	switch {
	case q.Value.IsNone() && e.sort != model.EntrySetting:
		return model.Errorf(model.KindInvalid, "a variable is set to a value, a %s", e.typ)
	case !q.Value.IsNone() && q.Value.Type() != e.typ:
		return model.Errorf(model.KindInvalid, "it is a %s, not a %s", e.typ, q.Value.Type())
	case !q.Expected.IsZero() && e.sort != model.EntrySetting:
		return model.Errorf(model.KindInvalid, "a variable has no revision to be expected")
	}
	return nil
}

func (r *Router) setSetting(ctx context.Context, who access.Principal, q *Request, c *tree.Context) (Response, error) {
	p, err := r.proposeSet(ctx, who, c, []model.Argument{{Name: q.Name, Value: q.Value}})
	if err != nil {
		return Response{}, err
	}
	set := store.Set{Target: target(c), Settings: toSettings(p.Settings), Expected: q.Expected}
	result, err := r.confirm(ctx, who, q, []store.Change{set}, nil)
	if err != nil {
		return Response{}, err
	}
	if p.Done != nil {
		p.Done()
	}
	return Response{Revision: result.Revision, Mirrored: true, Change: result.Change}, nil
}

// proposeSet judges settings that are to be set of an own context, after rights and types were.
func (r *Router) proposeSet(ctx context.Context, who access.Principal, c *tree.Context, settings []model.Argument) (*Proposal, error) {
	p := r.proposal(who, OpSet, c.Path)
	p.At, p.Schema, p.Settings = c, c.Schema, slices.Clone(settings)
	if kind, known := r.kinds[c.Schema.Kind]; known {
		if err := kind.Controller.Check(ctx, p); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// target names a context by its ID, with its path for messages.
func target(c *tree.Context) store.Target { return store.Target{ID: c.ID, Path: c.Path} }

func toSettings(arguments []model.Argument) []store.Setting {
	settings := make([]store.Setting, len(arguments))
	for i, a := range arguments {
		settings[i] = store.Setting{Name: a.Name, Value: a.Value}
	}
	return settings
}

// confirm makes the commit of a request, begun and ended in one: sent again it is answered with what became of it.
func (r *Router) confirm(ctx context.Context, who access.Principal, q *Request, changes []store.Change, recorded []byte) (store.Result, error) {
	commit := store.Commit{Time: model.TimeOf(r.now()), Changes: changes}
	if !q.drawn {
		commit.Start = &store.RequestStart{ID: q.ID, Digest: q.digest(who), Expiry: max(commit.Time, q.Until) + model.Time(requestMemory)}
		commit.Done = &store.RequestDone{ID: q.ID, Result: recorded}
	}
	commit.Conditions = q.relied
	kept := r.ledger.with(q, model.FateDone, nil)
	commit.Changes = slices.Concat(r.auditRows(ctx, who, q, outcomeDone), changes, kept)
	r.stopAt(q, "started")
	result, err := r.commits.Do(ctx, commit)
	if err == nil && !result.Replayed {
		r.ledger.wrote(kept)
	}
	if err == nil && result.Replayed && !result.Done {
		err = unknownFate()
	}
	return result, err
}

func unknownFate() error {
	return &model.Error{
		Kind: model.KindUnknownFate, Detail: "this request was begun before, and how it ended is not known", Remedy: "look what became of it, and send a new one",
	}
}

// controlled is the kind behind an own context.
func (r *Router) controlled(c *tree.Context) (Kind, error) {
	if kind, part := r.part(c); part {
		return kind, nil
	}
	kind, known := r.kinds[c.Schema.Kind]
	if !known {
		return Kind{}, model.Errorf(model.KindUnsupported, "contexts of the kind %s only show what was found", c.Schema.Kind)
	}
	return kind, nil
}
