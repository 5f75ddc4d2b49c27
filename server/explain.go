package server

import (
	"context"
	"fmt"
	"strings"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/tree"
)

const functionExplainRight = "explain_right"

var explainFunctions = []model.Function{{
	Name: functionExplainRight, Right: model.RightAdminister, Local: true, Idempotent: true,
	Description: "Says whether somebody may do something, and by which rule: at this node, and at each further one up to the owner, which are asked.",
	Parameters: []model.Field{
		{Name: "user", Type: model.TypeString, Description: "Somebody who logs in here, or alice@hq for somebody of a node that is linked with this one."},
		{Name: "address", Type: model.TypeString, Description: "PATH, or PATH:NAME of a setting, a variable or a function."},
		{Name: "right", Type: model.TypeString, Optional: true, Description: "view, operate, configure or administer; by default what NAME asks for, and view of a path."},
	},
	Results: []model.Field{
		{Name: "allowed", Type: model.TypeBool, Description: "Whether all of them would allow it that answered."},
		{Name: "text", Type: model.TypeString, Description: "The first refusal, or what allows it here."},
		{Name: "remedy", Type: model.TypeString, Description: "What is to be done so that it is allowed; empty where it is."},
		{Name: "hops", Type: model.TypeTable, Description: "One row for each node that decides."},
	},
}}

// explainedHop is what one node decides.
type explainedHop struct {
	node    string
	known   bool // false: it cannot be asked now
	allowed bool
	rule    int
	origin  string // where the rule stands
	has     model.Right
	need    model.Right
	text    string
}

// explain says what the nodes on the way to an address decide on somebody, this one first. A right of none stands for what the address asks for. Of what is
// hidden from them, or from by, who wants to know, nothing is told but which of their own rules hides it, so that they may be answered themselves.
func (n *Node) explain(ctx context.Context, by, who access.Principal, at model.Address, need model.Right) []explainedHop {
	entity := access.Entity{Path: at.Path, Name: at.Name}
	c, there := n.tree.Lookup(at.Path)
	there = there && sees(n.policies.Decider(), by, &c)
	seen := there && sees(n.policies.Decider(), who, &c)
	asked := need
	need = max(need, model.RightView)
	if seen {
		declared, known := declare(&c, at.Name, &entity)
		switch {
		case !known || !n.router.decide(who, entity, model.RightView, false).Allowed: // a single entry is hidden in the same words
			return []explainedHop{{node: n.cfg.Name, known: true, need: need, text: "nothing of that name is there"}}
		case asked == model.RightNone:
			need = declared
		}
	}
	decision := n.router.decide(who, entity, need, need > model.RightView)
	hop := explainedHop{node: n.cfg.Name, known: true, allowed: decision.Allowed, rule: decision.Rule, has: decision.Has, need: decision.Need, text: decision.Explain()}
	hop.origin = n.originOf(who, &decision)
	if hop.origin != "" {
		hop.text += " (" + hop.origin + ")"
	}
	hops := []explainedHop{hop}
	if decision.Allowed && !there {
		hops[0].text += "; nothing is there now"
	}
	if seen && !own(&c) {
		hops = append(hops, n.peers.Explain(ctx, who, at, need, c.Route)...)
	}
	return hops
}

// declare fills in what an entry of a context is, and returns the right that it asks for.
func declare(c *tree.Context, name string, entity *access.Entity) (model.Right, bool) {
	entity.Kind = c.Schema.Kind
	if name == "" {
		return model.RightView, true
	}
	if e, known := settable(c.Schema, name); known {
		entity.Sort, entity.Secret, entity.Local = e.sort, e.secret, e.local
		if !e.write {
			return model.RightView, true
		}
		return e.right, true
	}
	if i := c.Schema.FunctionIndex(name); i >= 0 {
		entity.Sort, entity.Local = model.EntryFunction, c.Schema.Functions[i].Local
		return c.Schema.Functions[i].Right, true
	}
	return model.RightNone, false
}

// originOf says where the rule of a decision stands.
func (n *Node) originOf(who access.Principal, d *access.Decision) string {
	switch {
	case d.Scope != "" && who.Scope != nil:
		return d.Scope
	case d.Rule == 0 || who.Link != "":
		return ""
	}
	user, there := enabledUser(n.tree, who.Chain.Person.Name)
	if !there {
		return ""
	}
	policy, err := policyOf(&user, n.policies.roles(n.tree))
	if err != nil {
		return ""
	}
	role, rule := policy.Origin(d.Rule)
	if role == "" {
		return fmt.Sprintf("rule %d of user %s", rule, who.Chain.Person.Name)
	}
	return fmt.Sprintf("rule %d of role %s", rule, role)
}

// explainRight answers the function explain_right.
func (n *Node) explainRight(ctx context.Context, by access.Principal, g given) ([]model.Argument, error) {
	address, right, err := readQuestion(g.text("address", ""), g.text("right", ""))
	if err != nil {
		return nil, err
	}
	who, err := n.personAsked(g.text("user", ""))
	if err != nil {
		return nil, err
	}
	hops := n.explain(ctx, by, who, address, right)
	table := &model.Table{Columns: []model.Column{
		{Name: "node", Type: model.TypeString}, {Name: "known", Type: model.TypeBool}, {Name: "allowed", Type: model.TypeBool}, {Name: "rule", Type: model.TypeInt64},
		{Name: "origin", Type: model.TypeString}, {Name: "has", Type: model.TypeString}, {Name: "need", Type: model.TypeString}, {Name: "text", Type: model.TypeString},
	}}
	for _, h := range hops {
		table.Rows = append(table.Rows, []model.Value{
			model.String(h.node), model.Bool(h.known), model.Bool(h.allowed), model.Int64(int64(h.rule)), model.String(h.origin),
			model.String(h.has.String()), model.String(h.need.String()), model.String(h.text),
		})
	}
	allowed, text := verdict(hops)
	return []model.Argument{{Name: "allowed", Value: model.Bool(allowed)}, {Name: "text", Value: model.String(text)}, {Name: "remedy", Value: model.String(remedyFor(hops, g.text("user", ""), address))}, {Name: "hops", Value: model.TableValue(table)}}, nil
}

// verdict is whether all allow it that are known of, and the first refusal, or what allows it here.
func verdict(hops []explainedHop) (allowed bool, text string) {
	for _, h := range hops {
		if h.known && !h.allowed {
			return false, h.text
		}
	}
	return true, hops[0].text
}

func readQuestion(address, right string) (model.Address, model.Right, error) {
	at, err := model.ParseAddress(address)
	if err != nil || right == "" {
		return at, model.RightNone, err
	}
	need, err := model.ParseRight(right)
	if err == nil && need == model.RightNone {
		err = model.Errorf(model.KindInvalid, "none is no right that anything asks for: use view, operate, configure or administer")
	}
	return at, need, err
}

// personAsked is somebody who logs in here, or somebody of another node as a link with it would name them.
func (n *Node) personAsked(text string) (access.Principal, error) {
	if !strings.Contains(text, "@") {
		path, err := usersPath.Child(text)
		if err != nil {
			return access.Principal{}, err
		}
		if c, there := n.tree.Lookup(path); !there || c.Schema.Kind != KindUser {
			return access.Principal{}, model.Errorf(model.KindInvalid, "there is no user %s here", text)
		}
		return principal(text, n.cfg.Name), nil
	}
	person, err := access.ParsePerson(text)
	if err != nil {
		return access.Principal{}, err
	}
	for link, grant := range n.peers.Grants() {
		if grant.Node == person.Node {
			return access.Principal{Link: link, Chain: access.Chain{Person: person, Hops: []access.Hop{{Node: grant.Node, ID: grant.ID}}}}, nil
		}
	}
	return access.Principal{}, model.Errorf(model.KindInvalid, "nothing is granted to a node called %s", person.Node)
}

// explainSelf answers somebody who asks about themselves.
func (n *Node) explainSelf(ctx context.Context, who access.Principal, address, right string) (*apiv1.Explanation, error) {
	at, need, err := readQuestion(address, right)
	if err != nil {
		return nil, err
	}
	out := &apiv1.Explanation{}
	hops := n.explain(ctx, who, who, at, need)
	out.Allowed, out.Text = verdict(hops)
	out.Remedy = remedyFor(hops, who.Chain.Person.Name, at)
	for _, h := range hops {
		out.Hops = append(out.Hops, &apiv1.ExplainedHop{
			Node: h.node, Allowed: h.allowed, Known: h.known, Rule: int32(h.rule), Origin: h.origin, Has: h.has.String(), Need: h.need.String(), Text: h.text,
		})
	}
	return out, nil
}
