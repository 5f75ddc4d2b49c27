package server

import (
	"context"
	"maps"
	"slices"
	"strings"

	"banyan/model"
	"banyan/peering"
	"banyan/store"
	"banyan/tree"
)

const (
	functionNodes      = "nodes"
	functionRevokeNode = "revoke_node"
	functionAdmitNode  = "admit_node"
)

var nodeFunctions = []model.Function{
	{Name: functionNodes, Right: model.RightAdminister, Idempotent: true,
		Description: "The nodes below this one: those that it mounts, and those behind them.",
		Results:     []model.Field{{Name: "nodes", Type: model.TypeTable, Description: "Each with the way to it, how many contexts come through it, and how the line to it is, since when."}}},
	{Name: functionRevokeNode, Right: model.RightAdminister, Local: true, Idempotent: true,
		Description: "Takes a node from nowhere below any more, however it comes: what is here of it goes within 10 s, and those below are told.",
		Parameters:  []model.Field{{Name: "node", Type: model.TypeString, Description: "Its ID, the first digits of that, or its name."}},
		Results:     []model.Field{{Name: "id", Type: model.TypeString, Description: "The node."}}},
	{Name: functionAdmitNode, Right: model.RightAdminister, Local: true, Idempotent: true,
		Description: "Takes a node again that was revoked.",
		Parameters:  []model.Field{{Name: "node", Type: model.TypeString, Description: "Its ID, the first digits of that, or the name that it had."}},
		Results:     []model.Field{{Name: "id", Type: model.TypeString, Description: "The node."}}},
}

// nodeBelow is a node below this one, by the shortest way to it.
type nodeBelow struct {
	hop      tree.Hop
	route    tree.Route
	path     model.Path // of something that came by the route
	mount    model.Path
	link     string
	contexts int
}

// nodesBelow are the nodes of which something is mounted here.
func (l *links) nodesBelow() map[model.NodeID]*nodeBelow {
	found := map[model.NodeID]*nodeBelow{}
	for _, c := range directlyBelow(l.tree, mountsPath) {
		path, err := model.ParsePath(c.SettingNamed(settingPath).Text())
		if err != nil || path.IsRoot() {
			continue
		}
		link := c.SettingNamed(settingLink).Text()
		l.tree.Walk(path, nil, func(at *tree.Context) bool {
			for i, hop := range at.Route {
				n := found[hop.Node]
				if n == nil {
					n = &nodeBelow{hop: hop}
					found[hop.Node] = n
				}
				if n.route == nil || i+1 < len(n.route) {
					n.route, n.path, n.mount, n.link = at.Route[:i+1], at.Path, path, link
				}
				n.contexts++
			}
			return true
		})
	}
	return found
}

// listNodes is the function nodes of /links.
func (l *links) listNodes() []model.Argument {
	t := &model.Table{Columns: []model.Column{
		{Name: "node", Type: model.TypeString}, {Name: "id", Type: model.TypeString}, {Name: "link", Type: model.TypeString}, {Name: "mount", Type: model.TypeString},
		{Name: "route", Type: model.TypeString}, {Name: "contexts", Type: model.TypeInt64}, {Name: "state", Type: model.TypeString},
		{Name: "line", Type: model.TypeString}, {Name: "since", Type: model.TypeTime},
	}}
	found := l.nodesBelow()
	revoked := l.revokedNodes()
	add := func(n *nodeBelow, state string) {
		mount := ""
		if n.route != nil {
			mount = n.mount.String()
		}
		var names []string
		for _, hop := range n.route {
			names = append(names, hop.Name)
		}
		line, since := l.lineTo(n)
		t.Rows = append(t.Rows, []model.Value{
			model.String(n.hop.Name), model.String(n.hop.Node.String()), model.String(n.link), model.String(mount),
			model.String(strings.Join(names, " > ")), model.Int64(int64(n.contexts)), model.String(state), line, since,
		})
	}
	order := slices.SortedFunc(maps.Values(found), func(a, b *nodeBelow) int {
		return strings.Compare(a.mount.String()+" "+a.hop.Name+a.hop.Node.String(), b.mount.String()+" "+b.hop.Name+b.hop.Node.String())
	})
	for _, n := range order {
		state := "taken"
		if slices.ContainsFunc(revoked, func(r tree.Hop) bool { return r.Node == n.hop.Node }) {
			state = "revoked"
		}
		add(n, state)
	}
	for _, hop := range revoked {
		if found[hop.Node] == nil {
			add(&nodeBelow{hop: hop}, "revoked")
		}
	}
	return []model.Argument{{Name: "nodes", Value: model.TableValue(t)}}
}

// lineTo is how the way to a node is, and since when: of several hops the nearest that is not up, as of what lies behind that nothing newer is known.
func (l *links) lineTo(n *nodeBelow) (line, since model.Value) {
	hops, _ := l.hub.FreshnessOf(n.path, n.route)
	for i := range hops {
		line, since = model.String(string(hops[i].State)), model.Value{}
		if hops[i].Since != 0 {
			since = model.Instant(hops[i].Since)
		}
		if hops[i].State != peering.StateUp {
			break
		}
	}
	return line, since
}

// nodeNamed finds one of some nodes by its ID, the first digits of that, or its name. A whole ID need not be one of them.
func nodeNamed(text string, among []tree.Hop) (tree.Hop, error) {
	whole, err := model.ParseNodeID(text)
	found := map[model.NodeID]tree.Hop{}
	for _, hop := range among {
		if err == nil && hop.Node == whole || hop.Name == text || len(text) >= 6 && strings.HasPrefix(hop.Node.String(), text) {
			found[hop.Node] = hop
		}
	}
	if err == nil && len(found) == 0 {
		return tree.Hop{Node: whole}, nil
	}
	switch len(found) {
	case 1:
		for _, hop := range found {
			return hop, nil
		}
	case 0:
		return tree.Hop{}, &model.Error{Kind: model.KindNotFound, Detail: "no node of that name or ID is here", Remedy: "`banyan nodes` shows which there are; one that is not here is named by its whole ID"}
	}
	return tree.Hop{}, &model.Error{Kind: model.KindInvalid, Detail: "several nodes are called so", Remedy: "give the ID"}
}

// revokeNode takes a node from nowhere any more.
func (l *links) revokeNode(ctx context.Context, g given) ([]model.Argument, error) {
	var below []tree.Hop
	for _, n := range l.nodesBelow() {
		below = append(below, n.hop)
	}
	node, err := nodeNamed(g.text("node", ""), below)
	if err != nil {
		return nil, err
	}
	if node.Node == l.self.Node {
		return nil, &model.Error{Kind: model.KindInvalid, Detail: "that is this node", Remedy: "name one below it"}
	}
	return l.setRevoked(ctx, func(list []tree.Hop) ([]tree.Hop, tree.Hop, error) {
		return append(slices.DeleteFunc(list, func(r tree.Hop) bool { return r.Node == node.Node }), node), node, nil
	})
}

// admitNode takes a node again.
func (l *links) admitNode(ctx context.Context, g given) ([]model.Argument, error) {
	return l.setRevoked(ctx, func(list []tree.Hop) ([]tree.Hop, tree.Hop, error) {
		node, err := nodeNamed(g.text("node", ""), list)
		return slices.DeleteFunc(list, func(r tree.Hop) bool { return r.Node == node.Node }), node, err
	})
}

// setRevoked changes the list as it is now: of two who do so at once neither undoes what the other one did.
func (l *links) setRevoked(ctx context.Context, change func([]tree.Hop) ([]tree.Hop, tree.Hop, error)) ([]model.Argument, error) {
	l.redeeming.Lock() // so that nobody joins meanwhile
	defer l.redeeming.Unlock()
	at, there := l.tree.Lookup(linksPath)
	if !there {
		return nil, model.Errorf(model.KindNotFound, "there are no links")
	}
	list, node, err := change(l.revokedNodes())
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(list))
	for i := range list {
		texts[i] = strings.TrimSpace(list[i].Node.String() + " " + list[i].Name)
	}
	set := store.Set{Target: store.ByID(at.ID), Expected: at.Version, Settings: []store.Setting{{Name: settingRevokedIDs, Value: model.String(strings.Join(texts, ","))}}}
	if err := checkRevokedIDs(set.Settings[0].Value.Text()); err != nil {
		return nil, err
	}
	_, err = l.commits.Do(ctx, store.Commit{Changes: []store.Change{set}})
	return []model.Argument{{Name: "id", Value: model.String(node.Node.String())}}, err
}
