package server

import (
	"context"

	"banyan/access"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
)

// point is the mount point that a path lies at or below.
func (l *links) point(path model.Path) (mountPoint, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, p := range l.points {
		if p.path.Contains(path) {
			return p, true
		}
	}
	return mountPoint{}, false
}

// Mounted reports whether a path is a mount point or lies below one.
func (l *links) Mounted(path model.Path) bool {
	_, mounted := l.point(path)
	return mounted
}

// MountPoint is the mount point that a path is, or lies below.
func (l *links) MountPoint(path model.Path) (model.Path, bool) {
	p, mounted := l.point(path)
	return p.path, mounted
}

// Forward hands a request to the neighbour through which its path came.
func (l *links) Forward(ctx context.Context, who access.Principal, q Request) (Response, error) {
	p, mounted := l.point(q.Path)
	if !mounted {
		return Response{}, model.Errorf(model.KindUnavailable, "there is no link to the owner")
	}
	outward := func(v model.Value) model.Value {
		return relocate(v, func(path model.Path) (model.Path, bool) { return p.path.Below(path) })
	}
	request, err := requestWire(&q, p.path, outward)
	if err != nil {
		return Response{}, err
	}
	request.Principal, request.Export = l.principalOf(who), p.export
	if q.Until != 0 {
		return l.forwardKept(ctx, p, &q, request)
	}
	answer, err := l.hub.Ask(ctx, p.link, request)
	if err != nil {
		return Response{}, err
	}
	return answered(&p, answer)
}

// requestWire is a request as whoever knows base as the root is asked for it.
func requestWire(q *Request, base model.Path, outward func(model.Value) model.Value) (*linkv1.ExecuteRequest, error) {
	below, _ := base.Below(q.Path)
	request := &linkv1.ExecuteRequest{Id: q.ID[:], Path: below.String()}
	switch q.Op {
	case OpSet:
		request.Operation = &linkv1.ExecuteRequest_Set{Set: &linkv1.SetOperation{
			Name: q.Name, Value: proto.FromValue(outward(q.Value)), Expected: proto.FromPosition(q.Expected),
		}}
	case OpCall:
		request.Operation = &linkv1.ExecuteRequest_Call{Call: &linkv1.CallOperation{
			Function: q.Name, Arguments: proto.FromArguments(relocateAll(q.Arguments, outward)),
		}}
	case OpCreate:
		request.Operation = &linkv1.ExecuteRequest_Create{Create: &linkv1.CreateOperation{
			Kind: q.Kind, Label: q.Label, Settings: proto.FromArguments(relocateAll(q.Arguments, outward)),
		}}
	case OpRemove:
		request.Operation = &linkv1.ExecuteRequest_Remove{Remove: &linkv1.RemoveOperation{Expected: proto.FromPosition(q.Expected), Below: q.Below}}
	case OpApply:
		apply, err := fromEdits(q, base, outward)
		if err != nil {
			return nil, err
		}
		request.Operation = &linkv1.ExecuteRequest_Apply{Apply: apply}
	}
	request.ProtoReflect().SetUnknown(q.extra)
	return request, nil
}

// answered is what came back over a link.
func answered(p *mountPoint, answer *linkv1.ExecuteResponse) (Response, error) {
	if err := proto.ToError(answer.GetError()); err != nil {
		return Response{}, err
	}
	results, err := proto.ToArguments(answer.GetResults())
	if err != nil {
		return Response{}, err
	}
	inward := func(v model.Value) model.Value {
		return relocate(v, func(path model.Path) (model.Path, bool) {
			joined, err := p.path.Join(path)
			return joined, err == nil
		})
	}
	return Response{
		Revision: proto.ToPosition(answer.GetRevision()), Results: relocateAll(results, inward), Via: answer.GetVia(), extra: answer.ProtoReflect().GetUnknown(),
	}, nil
}

// principalOf is who asks as the next node is told: the person, the node where they logged in, and the nodes that handed the request on before this one.
func (l *links) principalOf(who access.Principal) *linkv1.Principal {
	p := &linkv1.Principal{Person: who.Chain.Person.Name, Node: who.Chain.Person.Node}
	if who.Link == "" {
		p.Node = l.self.Name
		return p
	}
	for _, hop := range who.Chain.Hops {
		p.Relays = append(p.Relays, hop.Node)
	}
	return p
}

// serve does what a neighbour asks for over a link.
func (l *links) serve(ctx context.Context, link string, request *linkv1.ExecuteRequest) (*linkv1.ExecuteResponse, error) {
	return l.served(ctx, link, request, false)
}

func (l *links) served(ctx context.Context, link string, request *linkv1.ExecuteRequest, look bool) (*linkv1.ExecuteResponse, error) {
	who, root, err := l.consumerOf(link, request.GetExport(), request.GetPrincipal())
	if err != nil {
		return nil, err
	}
	inward := func(v model.Value) model.Value {
		return relocate(v, func(path model.Path) (model.Path, bool) {
			joined, err := root.Join(path)
			return joined, err == nil
		})
	}
	q, err := readRequest(request, root, inward)
	if err != nil {
		return nil, err
	}
	q.Until, q.Owner, q.Attempt, q.look = model.Time(request.GetUntil()), proto.ToPosition(request.GetOwner()), request.GetAttempt(), look
	if look && q.Until == 0 {
		return nil, model.Errorf(model.KindInvalid, "only requests with a time until which they are sent are looked for")
	}
	response, err := l.node.router.Execute(ctx, who, q)
	if err != nil && (q.Until == 0 || response.old) {
		return nil, err
	}
	outward := func(v model.Value) model.Value { return relocate(l.node.router.shown(who, v), root.Below) }
	answer := &linkv1.ExecuteResponse{
		Revision: proto.FromPosition(response.Revision), Results: proto.FromArguments(relocateAll(response.Results, outward)),
		Via: append([]string{l.self.Name}, response.Via...), Change: response.Change,
	}
	if q.Until != 0 {
		answer.Error, answer.Fate, answer.Owner = proto.FromError(err), linkv1.Fate(response.Fate), proto.FromPosition(response.Owner)
	}
	answer.ProtoReflect().SetUnknown(response.extra)
	return answer, nil
}

// consumerOf is who asks over a provider's link, and which path here is the root that they know of an export.
// What they may do there is decided by all that is granted over the link.
func (l *links) consumerOf(link, name string, p *linkv1.Principal) (access.Principal, model.Path, error) {
	at, err := linksPath.Child(link)
	if err != nil {
		return access.Principal{}, model.Root, err
	}
	c, there := l.tree.Lookup(at)
	export, exported := exportFor(l.tree, link, name)
	if !there || !exported {
		return access.Principal{}, model.Root, model.Errorf(model.KindDenied, "nothing is provided over this link")
	}
	_, root, err := readExport(export.Path.Base(), export.SettingNamed)
	if err != nil {
		return access.Principal{}, model.Root, err
	}
	who, err := neighbour(link, c.SettingNamed(settingPeerName).Text(), c.SettingNamed(settingPeer).Text(), p)
	return who, root, err
}

// neighbour is the principal of a request that came over a link: only the neighbour itself is proved, the names before it are its word.
func neighbour(link, name, id string, p *linkv1.Principal) (access.Principal, error) {
	node, err := model.ParseNodeID(id)
	if err != nil {
		return access.Principal{}, err
	}
	if len(p.GetRelays()) >= access.MaxHops {
		return access.Principal{}, model.Errorf(model.KindExhausted, "the request has passed %d nodes, at most %d are allowed", len(p.GetRelays()), access.MaxHops)
	}
	who := access.Principal{Link: link, Chain: access.Chain{Person: access.Person{Name: p.GetPerson(), Node: p.GetNode()}}}
	for _, relay := range p.GetRelays() {
		if err := model.CheckSegment(relay); err != nil {
			return access.Principal{}, err
		}
		who.Chain.Hops = append(who.Chain.Hops, access.Hop{Node: relay})
	}
	who.Chain.Hops = append(who.Chain.Hops, access.Hop{Node: name, ID: node})
	return who, nil
}

// mostExtra bounds what is handed on of a request without being understood.
const mostExtra = 64 << 10

func readRequest(wire *linkv1.ExecuteRequest, root model.Path, inward func(model.Value) model.Value) (Request, error) {
	var q Request
	below, err := model.ParsePath(wire.GetPath())
	if err != nil {
		return q, err
	}
	if q.Path, err = root.Join(below); err != nil {
		return q, err
	}
	if len(wire.GetId()) != len(q.ID) {
		return q, model.Errorf(model.KindInvalid, "a request has an ID of %d bytes, received %d", len(q.ID), len(wire.GetId()))
	}
	copy(q.ID[:], wire.GetId())
	if q.extra = wire.ProtoReflect().GetUnknown(); len(q.extra) > mostExtra {
		return q, model.Errorf(model.KindExhausted, "the request has %d bytes that this version does not know, at most %d are handed on", len(q.extra), mostExtra)
	}
	switch operation := wire.GetOperation().(type) {
	case *linkv1.ExecuteRequest_Set:
		q.Op, q.Name, q.Expected = OpSet, operation.Set.GetName(), proto.ToPosition(operation.Set.GetExpected())
		if q.Value, err = proto.ToValue(operation.Set.GetValue()); err != nil {
			return q, err
		}
		q.Value = inward(q.Value)
		return q, model.CheckName(q.Name)
	case *linkv1.ExecuteRequest_Call:
		q.Op, q.Name = OpCall, operation.Call.GetFunction()
		if q.Arguments, err = proto.ToArguments(operation.Call.GetArguments()); err != nil {
			return q, err
		}
		q.Arguments = relocateAll(q.Arguments, inward)
		return q, model.CheckName(q.Name)
	case *linkv1.ExecuteRequest_Create:
		q.Op, q.Kind, q.Label = OpCreate, operation.Create.GetKind(), operation.Create.GetLabel()
		if q.Arguments, err = proto.ToArguments(operation.Create.GetSettings()); err != nil {
			return q, err
		}
		q.Arguments = relocateAll(q.Arguments, inward)
		return q, model.CheckName(q.Kind)
	case *linkv1.ExecuteRequest_Remove:
		q.Op, q.Expected, q.Below = OpRemove, proto.ToPosition(operation.Remove.GetExpected()), operation.Remove.GetBelow()
		return q, nil
	case *linkv1.ExecuteRequest_Apply:
		q.Op, q.DryRun = OpApply, operation.Apply.GetDryRun()
		q.Edits, err = toEdits(operation.Apply.GetEdits(), root, inward)
		return q, err
	default:
		return q, model.Errorf(model.KindUnsupported, "received an operation that this version does not know")
	}
}

func relocateAll(arguments []model.Argument, move func(model.Value) model.Value) []model.Argument {
	moved := make([]model.Argument, len(arguments))
	for i, a := range arguments {
		moved[i] = model.Argument{Name: a.Name, Value: move(a.Value)}
	}
	return moved
}
