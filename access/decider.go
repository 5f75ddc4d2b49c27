package access

import (
	"maps"
	"slices"

	"banyan/model"
)

// Grant is what this node granted to the neighbour at the other end of a link.
type Grant struct {
	Node    string       // the neighbour's name, as this node knows it
	ID      model.NodeID // the neighbour, proved by its certificate
	Exports []*Selection // none grants nothing, MaxExports at most
}

// MaxExports bounds the exports of one grant.
const MaxExports = 64

// Config is everything that decisions are made from. New copies the maps.
type Config struct {
	Node    string             // this node's name, as refusals tell it
	People  map[string]*Policy // who can log in here, by name
	Foreign map[Person]*Policy // how people of other nodes are narrowed; who is not named here has what their node was granted
	Grants  map[string]*Grant  // by the name of the link
	Areas   Areas              // what is protected whatever the rules say; an empty area is the default one
}

func (c *Config) validate() error {
	if err := model.CheckName(c.Node); err != nil {
		return model.Errorf(model.KindInvalid, "the decider's node: %w", err)
	}
	for name, policy := range c.People {
		if model.CheckName(name) != nil || policy == nil {
			return model.Errorf(model.KindInvalid, "person %s has no name or no policy", shown(name))
		}
	}
	for person, policy := range c.Foreign {
		if !person.valid() || policy == nil {
			return model.Errorf(model.KindInvalid, "foreign person %s has no name or no policy", person)
		}
	}
	for link, grant := range c.Grants {
		if link == "" || grant == nil || model.CheckName(grant.Node) != nil || slices.Contains(grant.Exports, nil) {
			return model.Errorf(model.KindInvalid, "the grant of link %s is incomplete", shown(link))
		}
		if n := len(grant.Exports); n > MaxExports {
			return model.Errorf(model.KindInvalid, "link %s has %d exports, at most %d are allowed", shown(link), n, MaxExports)
		}
	}
	return nil
}

// Decider decides for one node. It is immutable.
type Decider struct {
	node                string
	people              map[string]*Policy
	foreign             map[Person]*Policy
	grants              map[string]*Grant
	links, persons, own area
}

// New makes a decider.
func New(cfg Config) (*Decider, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	areas := cfg.Areas.orDefault()
	return &Decider{
		node: cfg.Node, people: maps.Clone(cfg.People), foreign: maps.Clone(cfg.Foreign), grants: maps.Clone(cfg.Grants),
		links: areas.Links.compile(), persons: areas.People.compile(), own: areas.Node.compile(),
	}, nil
}

// Entity is what a question is about: a context, or a setting, variable, function or event of it.
type Entity struct {
	Path   model.Path      // in this node's tree
	Kind   string          // the context's kind; of one that is to be created, the kind it shall have; empty where there is none
	Name   string          // empty for the context itself
	Sort   model.EntrySort // of what is called Name
	Secret bool            // as the schema says
	Local  bool            // as the schema says
}

// Question asks whether somebody may do something. What concerns many contexts (a removal with everything below, a move) is asked
// for each of them.
type Question struct {
	Principal Principal
	Entity    Entity
	Need      model.Right // view to see; to act, what the schema declares
	Acting    bool        // it sets, calls, creates, removes: implied from operate on
}

// Decide decides for this node. Every other node on the request's way asks its own decider, and the first refusal answers.
func (d *Decider) Decide(q Question) Decision {
	q.Acting = q.Acting || q.Need > model.RightView
	out := Decision{Node: d.node, Person: q.Principal.Chain.Person, Need: q.Need}
	if q.Principal.Link != "" {
		d.decideLink(&q, &out)
	} else {
		d.decideLocal(&q, &out)
	}
	out.Allowed = out.Cause <= CauseGrant && out.Visible && out.Has >= out.Need && declared(q.Need)
	if out.Visible && !declared(q.Need) {
		out.Cause = CauseUndeclared
	}
	return out
}

// declared is false for an entry of a schema that forgot its right, which is nobody's.
func declared(need model.Right) bool { return need >= model.RightView && need <= model.RightAdminister }

// decideLocal decides for a person who is logged in here, by their rules alone.
func (d *Decider) decideLocal(q *Question, out *Decision) {
	policy := d.policyOf(&q.Principal)
	if policy == nil {
		out.Cause = CauseUnknown
		return
	}
	out.Person.Node = "" // at home a name is enough
	out.Has, out.Rule = policy.Match(q.Entity.Path)
	if left, rule := q.Principal.Scope.Match(q.Entity.Path); left < out.Has {
		out.Has, out.Rule, out.Scope = left, rule, q.Principal.Scope.Name
	}
	out.Visible = out.Has >= model.RightView
	guarded := d.links.contains(q.Entity.Path, q.Entity.Kind) || d.persons.contains(q.Entity.Path, q.Entity.Kind)
	if q.Need == model.RightConfigure && guarded {
		out.Need = model.RightAdminister
	}
}

// decideLink decides for a neighbour, by what it was granted, and from operate on by the rules for the name it tells.
func (d *Decider) decideLink(q *Question, out *Decision) {
	e, grant := &q.Entity, d.grantOf(&q.Principal)
	if grant == nil {
		out.Cause = CauseUnknown
		return
	}
	out.Cause, out.Neighbour = CauseGrant, grant.Node
	for _, s := range grant.Exports {
		if right := s.rightOn(e); right > out.Has {
			out.Has, out.Export = right, s.name
		}
	}
	out.Visible = out.Has >= model.RightView
	if !q.Acting || !out.Visible {
		return
	}
	switch {
	case e.Local:
		out.Cause = CauseLocal
		return
	case d.links.contains(e.Path, e.Kind) || d.own.contains(e.Path, e.Kind):
		out.Cause = CauseProtected
		return
	case d.persons.contains(e.Path, e.Kind):
		out.Need = model.RightAdminister
	default:
		out.Has = min(out.Has, model.RightConfigure) // administer over a link is for people and roles only
	}
	if out.Need < model.RightOperate || out.Has < out.Need {
		return
	}
	d.narrow(e.Path, out)
}

// narrow applies the rules for a foreign name to what the grant would allow. They take away acting, never seeing.
func (d *Decider) narrow(path model.Path, out *Decision) {
	if !out.Person.valid() {
		out.Cause = CauseNobody
		return
	}
	policy := d.foreign[out.Person]
	if policy == nil {
		return
	}
	right, rule := policy.Match(path)
	out.Cause, out.Rule = CauseRule, rule
	out.Has = max(min(out.Has, right), model.RightView)
}

// policyOf is the policy of a person who is logged in here, nil for anybody else.
func (d *Decider) policyOf(who *Principal) *Policy {
	person := &who.Chain.Person
	if who.Link != "" || len(who.Chain.Hops) > 0 || person.Node != "" && person.Node != d.node {
		return nil
	}
	return d.people[person.Name]
}

// grantOf is the grant of the neighbour that handed a request over, nil where the chain does not end with that neighbour.
func (d *Decider) grantOf(who *Principal) *Grant {
	hops, grant := who.Chain.Hops, d.grants[who.Link]
	if grant == nil || len(hops) == 0 || len(hops) > MaxHops || hops[len(hops)-1].ID != grant.ID {
		return nil
	}
	return grant
}

// MayMatchBelow reports whether the principal may see something at or below path: where it is false, a walk need not descend.
func (d *Decider) MayMatchBelow(who Principal, path model.Path) bool {
	if policy := d.policyOf(&who); policy != nil {
		return policy.MayMatchBelow(path, model.RightView) && who.Scope.mayMatchBelow(path)
	}
	grant := d.grantOf(&who)
	return grant != nil && slices.ContainsFunc(grant.Exports, func(s *Selection) bool { return s.MayMatchBelow(path) })
}
