package server

import (
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
)

// fromEdits is a batch as the owner of what hangs at a mount point is asked for it.
func fromEdits(q *Request, point model.Path, outward func(model.Value) model.Value) (*linkv1.ApplyOperation, error) {
	apply := &linkv1.ApplyOperation{DryRun: q.DryRun}
	for i := range q.Edits {
		e := &q.Edits[i]
		below, inside := point.Below(e.Path)
		if !inside {
			return nil, model.Errorf(model.KindInternal, "%s is not below %s", e.Path, point)
		}
		wire := &linkv1.Edit{Path: below.String()}
		settings := proto.FromArguments(relocateAll(e.Settings, outward))
		switch e.Op {
		case OpCreate:
			create := &linkv1.CreateOperation{Kind: e.Kind, Settings: settings}
			if e.Label != nil {
				create.Label = *e.Label
			}
			wire.Operation = &linkv1.Edit_Create{Create: create}
		case OpSet:
			wire.Operation = &linkv1.Edit_Change{Change: &linkv1.ChangeOperation{
				Settings: settings, Label: e.Label, Expected: proto.FromPosition(e.Expected),
			}}
		case OpRemove:
			wire.Operation = &linkv1.Edit_Remove{Remove: &linkv1.RemoveOperation{Expected: proto.FromPosition(e.Expected), Below: e.Below}}
		}
		apply.Edits = append(apply.Edits, wire)
	}
	return apply, nil
}

// toEdits reads a batch that a neighbour asks for, relative to the root of what it is shown.
func toEdits(wire []*linkv1.Edit, root model.Path, inward func(model.Value) model.Value) ([]Edit, error) {
	if len(wire) > MaxEdits {
		return nil, tooManyEdits(len(wire))
	}
	edits := make([]Edit, len(wire))
	for i, w := range wire {
		e, err := toEdit(w, root, inward)
		if err != nil {
			return nil, &model.Error{Kind: model.KindOf(err), Edit: i + 1, Err: err}
		}
		edits[i] = e
	}
	return edits, nil
}

func toEdit(wire *linkv1.Edit, root model.Path, inward func(model.Value) model.Value) (Edit, error) {
	var e Edit
	below, err := model.ParsePath(wire.GetPath())
	if err != nil {
		return e, err
	}
	if e.Path, err = root.Join(below); err != nil {
		return e, err
	}
	switch operation := wire.GetOperation().(type) {
	case *linkv1.Edit_Create:
		label := operation.Create.GetLabel()
		e.Op, e.Kind, e.Label = OpCreate, operation.Create.GetKind(), &label
		if err := model.CheckName(e.Kind); err != nil {
			return e, err
		}
		e.Settings, err = proto.ToArguments(operation.Create.GetSettings())
	case *linkv1.Edit_Change:
		e.Op, e.Label, e.Expected = OpSet, operation.Change.Label, proto.ToPosition(operation.Change.GetExpected())
		e.Settings, err = proto.ToArguments(operation.Change.GetSettings())
	case *linkv1.Edit_Remove:
		e.Op, e.Expected, e.Below = OpRemove, proto.ToPosition(operation.Remove.GetExpected()), operation.Remove.GetBelow()
	default:
		return e, model.Errorf(model.KindUnsupported, "received an edit that this version does not know")
	}
	e.Settings = relocateAll(e.Settings, inward)
	return e, err
}
