package server

import (
	"context"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/tree"
)

// Apply does several edits as one commit, or none of them.
func (a *api) Apply(ctx context.Context, q *apiv1.ApplyRequest) (*apiv1.ApplyResponse, error) {
	request := Request{Op: OpApply, DryRun: q.GetDryRun()}
	var err error
	if request.ID, err = parseID(q.GetId()); err != nil {
		return nil, err
	}
	if len(q.GetEdits()) > MaxEdits {
		return nil, tooManyEdits(len(q.GetEdits()))
	}
	if request.Edits, err = a.readEdits(callerOf(ctx).Principal, q.GetEdits()); err != nil {
		return nil, err
	}
	if request.Until, request.Async, err = a.until(q.GetUntil(), q.GetAsync()); err != nil {
		return nil, err
	}
	done, err := a.execute(ctx, callerOf(ctx).Principal, request)
	if err != nil {
		return nil, err
	}
	return &apiv1.ApplyResponse{Revision: done.Revision.String(), Mirrored: done.Mirrored, Via: done.Via, Request: a.keptOf(ctx, &done)}, nil
}

// readEdits reads all edits and tells of all that cannot be read.
func (a *api) readEdits(who access.Principal, wire []*apiv1.Edit) ([]Edit, error) {
	edits := make([]Edit, len(wire))
	var refused []*model.Error
	for i, w := range wire {
		var err error
		if edits[i], err = a.readEdit(who, w); err == nil {
			continue
		}
		if len(refused) < mostRefusals {
			refused = append(refused, &model.Error{
				Kind: model.KindOf(err), Op: edits[i].Op.String(), Path: edits[i].Path, Edit: i + 1, Err: bareOf(err),
			})
		}
	}
	if len(refused) == 0 {
		return edits, nil
	}
	refused[0].Also = refused[1:]
	return nil, refused[0]
}

// bareOf is an error without what says where it was: the edit says so.
func bareOf(err error) error {
	known := &model.Error{Kind: model.KindOf(err), Err: err}
	if e, ok := err.(*model.Error); ok { //nolint:errorlint // only what stands outermost is taken away
		known = &model.Error{Kind: e.Kind, Detail: e.Detail, Remedy: e.Remedy, Err: e.Err}
	}
	return known
}

func (a *api) readEdit(who access.Principal, wire *apiv1.Edit) (Edit, error) {
	var e Edit
	path, err := model.ParsePath(wire.GetPath())
	if err != nil {
		return e, err
	}
	e.Path = path
	if e.Expected, err = model.ParsePosition(wire.GetExpected()); err != nil {
		return e, err
	}
	switch operation := wire.GetOperation().(type) {
	case *apiv1.Edit_Create:
		e.Op = OpCreate
		return e, a.readCreate(who, &e, operation.Create)
	case *apiv1.Edit_Change:
		e.Op = OpSet
		return e, a.readChange(who, &e, operation.Change)
	case *apiv1.Edit_Remove:
		e.Op, e.Below = OpRemove, operation.Remove.GetBelow()
		return e, nil
	}
	return e, &model.Error{Kind: model.KindInvalid, Detail: "the edit does nothing", Remedy: "give one of create, change and remove"}
}

func (a *api) readCreate(who access.Principal, e *Edit, wire *apiv1.CreateEdit) error {
	if err := model.CheckName(wire.GetKind()); err != nil {
		return err
	}
	label := wire.GetLabel()
	e.Kind, e.Label = wire.GetKind(), &label
	entity := access.Entity{Path: e.Path, Kind: e.Kind}
	if err := a.router.decide(who, entity, model.RightConfigure, true).Err("create", model.Address{Path: e.Path}); err != nil {
		return err
	}
	schema, err := a.schemaOf(who, e.Path, e.Kind)
	if err != nil {
		return err
	}
	e.Settings, err = arguments(settingTypes(schema), settingNames(schema), wire.GetSettings(), wire.GetTexts())
	return err
}

// readChange reads values by the types that the context has. What the caller may not see has none.
func (a *api) readChange(who access.Principal, e *Edit, wire *apiv1.ChangeEdit) error {
	e.Label = wire.Label
	c, err := a.router.look(who, "set", model.Address{Path: e.Path})
	if err != nil {
		return err
	}
	decider := a.router.policies.Decider()
	e.Settings, err = arguments(func(name string) (model.Type, bool) {
		found, there := settable(c.Schema, name)
		return found.typ, there && seesEntry(decider, who, &c, name, &found)
	}, nil, wire.GetSettings(), wire.GetTexts())
	return err
}

// seesEntry reports whether an entry of a context may be known of.
func seesEntry(d *access.Decider, who access.Principal, c *tree.Context, name string, e *entry) bool {
	return d.Decide(access.Question{Principal: who, Entity: e.entity(c, name), Need: model.RightView}).Allowed
}
