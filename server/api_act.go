package server

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/tree"
	"banyan/yamlfile"

	"google.golang.org/protobuf/types/known/structpb"
)

// mostMargin is how long before the caller's deadline an answer is due.
const mostMargin = 250 * time.Millisecond

// execute carries out a request. It ends a little before the caller's deadline, so that the caller hears what did not answer, and where, instead
// of nothing.
func (a *api) execute(ctx context.Context, who access.Principal, q Request) (Response, error) {
	if deadline, limited := ctx.Deadline(); limited {
		left := time.Until(deadline)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, left-min(mostMargin, left/10))
		defer cancel()
	}
	return a.router.Execute(ctx, who, q)
}

// Set sets a setting or a writable variable at its owner.
func (a *api) Set(ctx context.Context, q *apiv1.SetRequest) (*apiv1.SetResponse, error) {
	address, err := model.ParseAddress(q.GetAddress())
	if err != nil {
		return nil, err
	}
	if address.Name == "" {
		return nil, model.Errorf(model.KindInvalid, "%s names no setting or variable: write PATH:NAME", address.Path)
	}
	who := callerOf(ctx).Principal
	c, err := a.router.look(who, "set", address)
	if err != nil {
		return nil, err
	}
	e, there := settable(c.Schema, address.Name)
	if !there {
		return nil, access.NotFound("set", address)
	}
	request := Request{Op: OpSet, Path: address.Path, Name: address.Name}
	if request.Value, err = fromValue(e.typ, q.GetValue(), q.GetText(), q.GetText() != "" || q.GetValue() == nil && e.typ == model.TypeString); err != nil {
		return nil, about(err, "set", address)
	}
	if request.Expected, err = model.ParsePosition(q.GetExpected()); err != nil {
		return nil, err
	}
	if request.ID, err = parseID(q.GetId()); err != nil {
		return nil, err
	}
	if request.Until, request.Async, err = a.until(q.GetUntil(), q.GetAsync()); err != nil {
		return nil, err
	}
	done, err := a.execute(ctx, who, request)
	if err != nil {
		return nil, err
	}
	return &apiv1.SetResponse{Revision: done.Revision.String(), Mirrored: done.Mirrored, Via: done.Via, Request: a.keptOf(ctx, &done)}, nil
}

// about says of an error what was being done, and with what.
func about(err error, op string, at model.Address) error {
	return &model.Error{Kind: model.KindOf(err), Op: op, Path: at.Path, Name: at.Name, Err: err}
}

// parseID reads a request's ID, 32 hexadecimal digits; empty is none.
func parseID(text string) (id [16]byte, err error) {
	if text == "" {
		return id, nil
	}
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(id) || [16]byte(raw) == [16]byte{} {
		return id, model.Errorf(model.KindInvalid, "the ID of a request has 32 hexadecimal digits, not all of them 0")
	}
	return [16]byte(raw), nil
}

// Call calls a function at the owner.
func (a *api) Call(ctx context.Context, q *apiv1.CallRequest) (*apiv1.CallResponse, error) {
	path, err := model.ParsePath(q.GetPath())
	if err != nil {
		return nil, err
	}
	if err := model.CheckName(q.GetFunction()); err != nil {
		return nil, err
	}
	address := model.Address{Path: path, Name: q.GetFunction()}
	who := callerOf(ctx).Principal
	c, err := a.router.look(who, "call", address)
	if err != nil {
		return nil, err
	}
	at := c.Schema.FunctionIndex(address.Name)
	if at < 0 {
		return nil, access.NotFound("call", address)
	}
	function := &c.Schema.Functions[at]
	request := Request{Op: OpCall, Path: path, Name: address.Name}
	if request.Arguments, err = arguments(fieldTypes(function.Parameters), fieldNames(function.Parameters), q.GetArguments(), q.GetTexts()); err != nil {
		return nil, about(err, "call", address)
	}
	if request.ID, err = parseID(q.GetId()); err != nil {
		return nil, err
	}
	if request.Until, request.Async, err = a.until(q.GetUntil(), q.GetAsync()); err != nil {
		return nil, err
	}
	done, err := a.execute(ctx, who, request)
	if err != nil {
		return nil, err
	}
	return &apiv1.CallResponse{Via: done.Via, Results: a.results(who, done.Results, function), Request: a.keptOf(ctx, &done)}, nil
}

// results are what a function answered, as somebody may read it and with the units that it declares; it is nil where it is not known any more.
func (a *api) results(who access.Principal, answered []model.Argument, function *model.Function) []*apiv1.Result {
	var out []*apiv1.Result
	for _, r := range answered {
		result := &apiv1.Result{Name: r.Name, Type: r.Value.Type().String(), Value: toValue(a.router.shown(who, r.Value))}
		if function != nil {
			for _, f := range function.Results {
				if f.Name == r.Name {
					result.Unit = f.Unit
				}
			}
		}
		out = append(out, result)
	}
	return out
}

// typeOf finds the type of an entry by its name.
type typeOf func(name string) (model.Type, bool)

func fieldTypes(fields []model.Field) typeOf {
	return func(name string) (model.Type, bool) {
		for _, f := range fields {
			if f.Name == name {
				return f.Type, true
			}
		}
		return model.TypeNone, false
	}
}

func settingTypes(s *model.Schema) typeOf {
	return func(name string) (model.Type, bool) {
		if i := s.SettingIndex(name); i >= 0 {
			return s.Settings[i].Type, true
		}
		return model.TypeNone, false
	}
}

func fieldNames(fields []model.Field) []string {
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].Name
	}
	return names
}

func settingNames(s *model.Schema) []string {
	names := make([]string, len(s.Settings))
	for i := range s.Settings {
		names[i] = s.Settings[i].Name
	}
	return names
}

// arguments reads named values, in the order of names, so that the same request is always the same. there are the names to tell somebody who
// gives another one, nil where they are not to be told.
func arguments(types typeOf, there []string, values map[string]*structpb.Value, texts map[string]string) ([]model.Argument, error) {
	var list []model.Argument
	names := slices.Collect(maps.Keys(values))
	for name := range texts {
		if _, both := values[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		t, known := types(name)
		if !known {
			unknown := &model.Error{Kind: model.KindInvalid, Detail: fmt.Sprintf("there is no %.64q here", name)}
			if there != nil {
				unknown.Remedy = yamlfile.DidYouMean(name, there)
			}
			return nil, unknown
		}
		typed, isTyped := texts[name]
		value, err := fromValue(t, values[name], typed, isTyped)
		if err != nil {
			return nil, model.Errorf(model.KindInvalid, "%s: %w", name, err)
		}
		list = append(list, model.Argument{Name: name, Value: value})
	}
	return list, nil
}

// Create creates a context at the owner of the path.
func (a *api) Create(ctx context.Context, q *apiv1.CreateRequest) (*apiv1.CreateResponse, error) {
	path, err := model.ParsePath(q.GetPath())
	if err != nil {
		return nil, err
	}
	if err := model.CheckName(q.GetKind()); err != nil {
		return nil, err
	}
	who := callerOf(ctx).Principal
	entity := access.Entity{Path: path, Kind: q.GetKind()}
	if err := a.router.decide(who, entity, model.RightConfigure, true).Err("create", model.Address{Path: path}); err != nil {
		return nil, err
	}
	schema, err := a.schemaOf(who, path, q.GetKind())
	if err != nil {
		return nil, about(err, "create", model.Address{Path: path})
	}
	request := Request{Op: OpCreate, Path: path, Kind: q.GetKind(), Label: q.GetLabel()}
	if request.Arguments, err = arguments(settingTypes(schema), settingNames(schema), q.GetSettings(), q.GetTexts()); err != nil {
		return nil, about(err, "create", model.Address{Path: path})
	}
	if request.ID, err = parseID(q.GetId()); err != nil {
		return nil, err
	}
	if request.Until, request.Async, err = a.until(q.GetUntil(), q.GetAsync()); err != nil {
		return nil, err
	}
	done, err := a.execute(ctx, who, request)
	if err != nil {
		return nil, err
	}
	return &apiv1.CreateResponse{
		Id: done.ID.String(), Revision: done.Revision.String(), Mirrored: done.Mirrored, Via: done.Via, Request: a.keptOf(ctx, &done),
	}, nil
}

// schemaOf is the schema of a kind that is to be created at a path: this node's, or below a mount point the one that the owner's contexts of the
// kind have, since what this node calls so need not be what the owner does.
func (a *api) schemaOf(who access.Principal, path model.Path, kind string) (*model.Schema, error) {
	if !a.router.forward.Mounted(path) {
		if k, known := a.router.kinds[kind]; known {
			return k.Schema, nil
		}
		return nil, a.router.noKind(who, path, kind)
	}
	top := path
	for above := path.Parent(); a.router.forward.Mounted(above); above = above.Parent() {
		top = above
	}
	var found *model.Schema
	decider := a.router.policies.Decider()
	a.node.tree.Walk(top, nil, func(c *tree.Context) bool {
		if c.Schema.Kind == kind && sees(decider, who, c) {
			found = c.Schema
		}
		return found == nil
	})
	if found != nil {
		return found, nil
	}
	if k, known := a.router.kinds[kind]; known {
		return k.Schema, nil
	}
	return nil, model.Errorf(model.KindInvalid, "no context of the kind %q is known below %s", kind, top)
}

// Remove removes a context at its owner.
func (a *api) Remove(ctx context.Context, q *apiv1.RemoveRequest) (*apiv1.RemoveResponse, error) {
	path, err := model.ParsePath(q.GetPath())
	if err != nil {
		return nil, err
	}
	request := Request{Op: OpRemove, Path: path, Below: q.GetBelow()}
	if request.Expected, err = model.ParsePosition(q.GetExpected()); err != nil {
		return nil, err
	}
	if request.ID, err = parseID(q.GetId()); err != nil {
		return nil, err
	}
	if request.Until, request.Async, err = a.until(q.GetUntil(), q.GetAsync()); err != nil {
		return nil, err
	}
	done, err := a.execute(ctx, callerOf(ctx).Principal, request)
	if err != nil {
		return nil, err
	}
	return &apiv1.RemoveResponse{Mirrored: done.Mirrored, Via: done.Via, Request: a.keptOf(ctx, &done)}, nil
}
