package server

import (
	"context"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/tree"
)

// Get answers what a setting or a variable is now.
func (a *api) Get(ctx context.Context, q *apiv1.GetRequest) (*apiv1.Reading, error) {
	address, err := model.ParseAddress(q.GetAddress())
	if err != nil {
		return nil, err
	}
	if address.Name == "" {
		return nil, &model.Error{
			Kind: model.KindInvalid, Op: "get", Path: address.Path, Detail: "it names no setting or variable", Remedy: "write PATH:NAME; list shows what is below a path",
		}
	}
	reading, err := a.read(callerOf(ctx).Principal, "get", address)
	if err != nil {
		return nil, err
	}
	out := toReading(reading)
	if c, there := a.node.tree.Lookup(address.Path); there && !own(&c) {
		out.AsOf = trueAsOf(&reading, a.freshnessOf(&c))
	}
	return out, nil
}

// read reads what somebody may see; what is absent and what is hidden are one error.
func (a *api) read(who access.Principal, op string, address model.Address) (model.Reading, error) {
	c, err := a.router.look(who, op, address)
	if err != nil {
		return model.Reading{}, err
	}
	e, there := settable(c.Schema, address.Name)
	if !there {
		return model.Reading{}, access.NotFound(op, address)
	}
	if err := a.router.decide(who, e.entity(&c, address.Name), model.RightView, false).Err(op, address); err != nil {
		return model.Reading{}, err
	}
	reading, there := a.node.tree.Read(address)
	if !there {
		return model.Reading{}, access.NotFound(op, address) // it went meanwhile
	}
	reading.Sample.Value = a.router.shown(who, reading.Sample.Value)
	return reading, nil
}

// Describe answers a context with everything of it.
func (a *api) Describe(ctx context.Context, q *apiv1.DescribeRequest) (*apiv1.ContextInfo, error) {
	path, err := model.ParsePath(q.GetPath())
	if err != nil {
		return nil, err
	}
	who := callerOf(ctx).Principal
	c, err := a.router.look(who, "describe", model.Address{Path: path})
	if err != nil {
		return nil, err
	}
	info := &apiv1.ContextInfo{
		Path: c.Path.String(), Id: c.ID.String(), Kind: c.Schema.Kind, Label: c.Label, Revision: c.Version.String(),
		Description: c.Schema.Description, Via: c.Route.Names(),
	}
	if o, stale := a.node.tree.Staleness(path); stale {
		info.Stale = o.Since.String()
		if o.Nodes.On(c.Route) { // it can lie over what came by another way, while a view changes
			info.Hop = o.Hop
		}
	}
	info.Freshness = a.freshnessOf(&c)
	for i := range c.Schema.Settings {
		d := &c.Schema.Settings[i]
		if r, err := a.read(who, "describe", model.Address{Path: path, Name: d.Name}); err == nil {
			info.Settings = append(info.Settings, &apiv1.SettingInfo{
				Reading: toReading(r), Description: d.Description, Right: d.Right.String(), Secret: d.Secret, Local: d.Local,
			})
		}
	}
	for i := range c.Schema.Variables {
		d := &c.Schema.Variables[i]
		if r, err := a.read(who, "describe", model.Address{Path: path, Name: d.Name}); err == nil {
			v := &apiv1.VariableInfo{Reading: toReading(r), Description: d.Description, Writable: d.Writable}
			if d.Writable {
				v.Right = d.Right.String()
			}
			info.Variables = append(info.Variables, v)
		}
	}
	info.Functions = functionsOf(&c)
	return info, nil
}

func functionsOf(c *tree.Context) []*apiv1.FunctionInfo {
	var functions []*apiv1.FunctionInfo
	for i := range c.Schema.Functions {
		f := &c.Schema.Functions[i]
		functions = append(functions, &apiv1.FunctionInfo{
			Name: f.Name, Description: f.Description, Right: f.Right.String(), Idempotent: f.Idempotent, Local: f.Local,
			Parameters: toFields(f.Parameters), Results: toFields(f.Results),
		})
	}
	return functions
}

func toFields(fields []model.Field) []*apiv1.FieldInfo {
	var out []*apiv1.FieldInfo
	for _, f := range fields {
		out = append(out, &apiv1.FieldInfo{Name: f.Name, Type: f.Type.String(), Unit: f.Unit, Description: f.Description, Optional: f.Optional})
	}
	return out
}
