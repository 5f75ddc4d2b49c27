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
	Description: "Says whether somebody may do something, and by which rule: at this node, and at each further one as far as this one knows.",
	Parameters: []model.Field{
		{Name: "user", Type: model.TypeString, Description: "Somebody who logs in here, or alice@hq for somebody of a node that is linked with this one."},
		{Name: "address", Type: model.TypeString, Description: "PATH, or PATH:NAME of a setting, a variable or a function."},
		{Name: "right", Type: model.TypeString, Optional: true, Description: "view, operate, configure or administer; by default what NAME asks for, and view of a path."},
	},
	Results: []model.Field{
		{Name: "allowed", Type: model.TypeBool, Description: "Whether all of them would allow it, as far as this one knows."},
		{Name: "text", Type: model.TypeString, Description: "The first refusal, or what allows it here."},
		{Name: "hops", Type: model.TypeTable, Description: "One row for each node that decides."},
	},
}}

// explainedHop is what one node decides.
type explainedHop struct {
	node    string
	known   bool // false: it decides by what only it knows
	allowed bool
	rule    int
	origin  string // where the rule stands
	has     model.Right
	need    model.Right
	text    string
}

// explain says what the nodes on the way to an address decide, this one first. A right of none stands for what the address asks for. Of what is hidden
// from who asks nothing is told but which of their own rules hides it, so that they may be answered themselves.
func (n *Node) explain(who access.Principal, at model.Address, need model.Right) []explainedHop {
	entity := access.Entity{Path: at.Path, Name: at.Name}
	c, there := n.tree.Lookup(at.Path)
	seen := there && n.router.decide(who, access.Entity{Path: at.Path, Kind: c.Schema.Kind}, model.RightView, false).Allowed
	asked := need
	need = max(need, model.RightView)
	if seen {
		declared, known := declare(&c, at.Name, &entity)
		switch {
		case !known:
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
	if seen && need > model.RightView {
		hops = append(hops, n.explainWay(who, &c, entity, need)...)
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

// explainWay says what the nodes between here and the owner of a context would decide. What each of them grants the one before stands in its own tree,
// of which this node sees what it is shown: links and exports as a rule, people mostly not.
func (n *Node) explainWay(who access.Principal, c *tree.Context, entity access.Entity, need model.Right) []explainedHop {
	chain := who.Chain
	if chain.Person.Node == "" {
		chain.Person.Node = n.cfg.Name
	}
	before := access.Hop{Node: n.cfg.Name, ID: n.ID()}
	var hops []explainedHop
	for i, hop := range c.Route {
		chain.Hops = append(chain.Hops, before)
		out := explainedHop{node: hop.Name, need: need, text: hop.Name + " decides by what it granted " + before.Node + ", which is not shown here"}
		if grants, root, there := n.grantsShown(c.Route[:i+1], before, entity.Path); there {
			if below, inside := root.Below(entity.Path); inside {
				there := entity
				there.Path = below
				out = explainAt(hop.Name, access.Principal{Link: "link", Chain: chain}, grants, there, need)
			}
		}
		hops = append(hops, out)
		before = access.Hop{Node: hop.Name, ID: hop.Node}
	}
	return hops
}

func explainAt(node string, who access.Principal, cfg access.Config, entity access.Entity, need model.Right) explainedHop {
	cfg.Node = node
	decider, err := access.New(cfg)
	if err != nil {
		return explainedHop{node: node, need: need, text: node + " decides by what cannot be read here"}
	}
	d := decider.Decide(access.Question{Principal: who, Entity: entity, Need: need, Acting: true})
	hop := explainedHop{node: node, known: true, allowed: d.Allowed, rule: d.Rule, has: d.Has, need: d.Need, text: d.Explain()}
	if d.Export != "" {
		hop.origin = "export " + d.Export
	}
	if d.Allowed {
		hop.text += ", unless a rule for them says less"
	}
	return hop
}

// grantsShown is what a node shows of what it grants the one before it, above a path, and where its tree hangs in this one.
func (n *Node) grantsShown(route tree.Route, before access.Hop, at model.Path) (access.Config, model.Path, bool) {
	for root := at.Parent(); !root.IsRoot(); root = root.Parent() {
		for _, link := range n.shownBy(route, root, linksPath, KindLink) {
			if link.SettingNamed(settingPeer).Text() != before.ID.String() || link.SettingNamed(settingRole).Text() != roleProvider {
				continue
			}
			grant := &access.Grant{Node: before.Node, ID: before.ID}
			for _, e := range n.shownBy(route, root, exportsPath, KindExport) {
				if e.SettingNamed(settingLink).Text() != link.Path.Base() {
					continue
				}
				if export, _, err := readExport(e.Path.Base(), e.SettingNamed); err == nil {
					if selection, err := access.NewSelection(export, access.Areas{}); err == nil {
						grant.Exports = append(grant.Exports, selection)
					}
				}
			}
			return access.Config{Grants: map[string]*access.Grant{"link": grant}}, root, len(grant.Exports) > 0
		}
	}
	return access.Config{}, model.Root, false
}

// shownBy are the contexts of a kind in a folder of another node's tree, which hangs at root, that are that node's own.
func (n *Node) shownBy(route tree.Route, root, folder model.Path, kind string) []tree.Context {
	at, err := root.Join(folder)
	if err != nil {
		return nil
	}
	var found []tree.Context
	n.tree.Walk(at, func(path model.Path) bool { return path == at }, func(c *tree.Context) bool {
		if c.Schema.Kind == kind && len(c.Route) == len(route) && c.Route[len(c.Route)-1].Node == route[len(route)-1].Node {
			found = append(found, *c)
		}
		return true
	})
	return found
}

// explainRight answers the function explain_right.
func (n *Node) explainRight(_ context.Context, _ access.Principal, g given) ([]model.Argument, error) {
	address, right, err := readQuestion(g.text("address", ""), g.text("right", ""))
	if err != nil {
		return nil, err
	}
	who, err := n.personAsked(g.text("user", ""))
	if err != nil {
		return nil, err
	}
	hops := n.explain(who, address, right)
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
	return []model.Argument{{Name: "allowed", Value: model.Bool(allowed)}, {Name: "text", Value: model.String(text)}, {Name: "hops", Value: model.TableValue(table)}}, nil
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
func (n *Node) explainSelf(who access.Principal, address, right string) (*apiv1.Explanation, error) {
	at, need, err := readQuestion(address, right)
	if err != nil {
		return nil, err
	}
	out := &apiv1.Explanation{}
	hops := n.explain(who, at, need)
	out.Allowed, out.Text = verdict(hops)
	for _, h := range hops {
		out.Hops = append(out.Hops, &apiv1.ExplainedHop{
			Node: h.node, Allowed: h.allowed, Known: h.known, Rule: int32(h.rule), Origin: h.origin, Has: h.has.String(), Need: h.need.String(), Text: h.text,
		})
	}
	return out, nil
}
