package server

import (
	"context"
	"fmt"
	"slices"

	"banyan/access"
	"banyan/model"
	"banyan/store"
	"banyan/tree"
	"banyan/yamlfile"
)

// create makes a context at the owner of the place: of a path at or below a mount point its owner, else this node.
func (r *Router) create(ctx context.Context, who access.Principal, q *Request) (Response, error) {
	if err := r.mayCreate(who, q); err != nil {
		return Response{}, err
	}
	if r.forward.Mounted(q.Path) {
		return r.handOn(ctx, who, q, func(s *Response) bool { return r.reached(q.Path, s.Revision) && r.has(q.Path) })
	}
	p, err := r.proposeCreate(ctx, who, q)
	if err != nil {
		return Response{}, err
	}
	return r.createOwn(ctx, who, q, p)
}

func (r *Router) mayCreate(who access.Principal, q *Request) error {
	entity := access.Entity{Path: q.Path, Kind: q.Kind}
	if err := r.decide(who, entity, model.RightConfigure, true).Err(q.Op.String(), q.address()); err != nil {
		return err
	}
	if q.Path.IsRoot() {
		return model.Errorf(model.KindExists, "the root is always there")
	}
	return nil
}

// noKind refuses a kind that this node does not know, and names one like it that who asks may know of.
func (r *Router) noKind(who access.Principal, at model.Path, kind string) error {
	var there []string
	for name, k := range r.kinds {
		if !k.Fixed && r.decide(who, access.Entity{Path: at, Kind: name}, model.RightView, false).Allowed {
			there = append(there, name)
		}
	}
	slices.Sort(there)
	return &model.Error{Kind: model.KindInvalid, Detail: fmt.Sprintf("this node has no kind %.64q", kind), Remedy: yamlfile.DidYouMean(kind, there)}
}

// proposeCreate judges an own context that is to be created, by all but whether something of its name is there.
func (r *Router) proposeCreate(ctx context.Context, who access.Principal, q *Request) (*Proposal, error) {
	kind, known := r.kinds[q.Kind]
	if !known {
		return nil, r.noKind(who, q.Path, q.Kind)
	}
	if kind.Fixed {
		return nil, model.Errorf(model.KindUnsupported, "contexts of the kind %s are made by the node itself", q.Kind)
	}
	if err := r.checkSettings(who, q, kind.Schema); err != nil {
		return nil, err
	}
	if err := r.checkPlace(q.Path); err != nil {
		return nil, err
	}
	if kind.Whole && r.hasBelow(q.Path) {
		return nil, &model.Error{
			Kind: model.KindConflict, Detail: "what is below it would become part of it, and go with it", Remedy: "choose another path, or remove what is below first",
		}
	}
	p := r.proposal(who, OpCreate, q.Path)
	p.Schema, p.Settings = kind.Schema, slices.Clone(q.Arguments)
	return p, kind.Controller.Check(ctx, p)
}

// proposal is one that is judged against what the router looks at.
func (r *Router) proposal(who access.Principal, op Op, path model.Path) *Proposal {
	return &Proposal{By: who, Op: op, Path: path, Tree: r.tree, Rights: r.policies.Decider(), Trial: r.trial}
}

// hasBelow reports whether a context is below a path.
func (r *Router) hasBelow(path model.Path) bool {
	found := false
	r.tree.Walk(path, nil, func(c *tree.Context) bool {
		found = found || c.Path != path
		return !found
	})
	return found
}

func (r *Router) has(path model.Path) bool {
	_, there := r.tree.Lookup(path)
	return there
}

// checkSettings checks names and types, and that each setting may be set by who asks.
func (r *Router) checkSettings(who access.Principal, q *Request, schema *model.Schema) error {
	seen := map[string]bool{}
	for _, a := range q.Arguments {
		at := schema.SettingIndex(a.Name)
		switch {
		case at < 0:
			return noSetting(q.Kind, a.Name)
		case seen[a.Name]:
			return model.Errorf(model.KindInvalid, "setting %s is given twice", a.Name)
		case !a.Value.IsNone() && a.Value.Type() != schema.Settings[at].Type:
			return model.Errorf(model.KindInvalid, "setting %s is a %s, not a %s", a.Name, schema.Settings[at].Type, a.Value.Type())
		}
		seen[a.Name] = true
		d := &schema.Settings[at]
		entity := access.Entity{Path: q.Path, Kind: q.Kind, Name: a.Name, Sort: model.EntrySetting, Secret: d.Secret, Local: d.Local}
		decision := r.decide(who, entity, d.Right, true)
		if !decision.Visible {
			return noSetting(q.Kind, a.Name) // hidden and absent are the same words
		}
		if err := decision.Err(q.Op.String(), model.Address{Path: q.Path, Name: a.Name}); err != nil {
			return err
		}
	}
	return nil
}

func noSetting(kind, name string) error {
	return model.Errorf(model.KindInvalid, "the kind %s has no setting %q", kind, name)
}

// checkPlace refuses a place below a context whose inside is its own business, and one that is kept for a mount whose node has not joined yet.
func (r *Router) checkPlace(path model.Path) error {
	for _, c := range directlyBelow(r.tree, mountsPath) {
		point, err := model.ParsePath(c.SettingNamed(settingPath).Text())
		if err == nil && !point.IsRoot() && point.Contains(path) {
			return model.Errorf(model.KindUnavailable, "%s is the mount point of %s, where nothing is mounted yet", point, c.Path.Base())
		}
	}
	for above := path.Parent(); !above.IsRoot(); above = above.Parent() {
		c, there := r.tree.Lookup(above)
		if !there {
			continue
		}
		if kind, known := r.kinds[c.Schema.Kind]; !known || kind.Whole {
			return model.Errorf(model.KindUnsupported, "what is below %s is made by it", above)
		}
	}
	return nil
}

func (r *Router) createOwn(ctx context.Context, who access.Principal, q *Request, p *Proposal) (Response, error) {
	id := r.commits.NewID()
	result, err := r.confirm(ctx, who, q, []store.Change{
		store.PutSchema{Schema: p.Schema},
		store.Create{ID: id, Path: q.Path, Label: q.Label, Schema: p.Schema.Hash, Settings: toSettings(p.Settings)},
	}, []byte(id.String()))
	if err != nil {
		return Response{}, err
	}
	if result.Replayed {
		if id, err = model.ParseContextID(string(result.Recorded)); err != nil {
			return Response{}, err
		}
	} else if p.Done != nil {
		p.Done()
	}
	return Response{ID: id, Revision: result.Revision, Mirrored: true, Change: result.Change}, nil
}
