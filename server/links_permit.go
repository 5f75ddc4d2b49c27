package server

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"banyan/model"
	"banyan/peering"
	"banyan/pki"
	"banyan/proto/linkv1"
	"banyan/tree"

	pb "google.golang.org/protobuf/proto"
)

// Settings of a mount that say which nodes are taken from behind the other one, and of /links that say which are taken from nowhere.
const (
	settingEnrol      = "enrol"
	settingEnrolPaths = "enrol_paths"
	settingEnrolNodes = "enrol_nodes"
	settingEnrolHops  = "enrol_hops"
	settingEnrolUntil = "enrol_until"
	settingRevokedIDs = "revoked_nodes"

	variableRefused = "refused"
)

var permitSettings = []model.Setting{
	{Name: settingEnrol, Type: model.TypeBool, Default: model.Bool(true), Right: model.RightAdminister,
		Description: "Whether nodes are taken that the other one mounts in its turn."},
	{Name: settingEnrolPaths, Type: model.TypeString, Right: model.RightAdminister,
		Description: "Where below the mount their trees may hang: patterns, separated by commas; empty is everywhere."},
	{Name: settingEnrolNodes, Type: model.TypeInt64, Right: model.RightAdminister, Description: "How many different ones at most; no value is any number."},
	{Name: settingEnrolHops, Type: model.TypeInt64, Right: model.RightAdminister,
		Description: "How many nodes may be between the other one and the one that something is of, 0 to 16; no value is any number."},
	{Name: settingEnrolUntil, Type: model.TypeTime, Right: model.RightAdminister, Description: "No new ones are taken after this; those that are here stay."},
}

var linksSettings = []model.Setting{
	{Name: settingRevokedIDs, Type: model.TypeString, Right: model.RightAdminister, Local: true,
		Description: "IDs of nodes that are taken from nowhere below, however they come; separated by commas, each with the name that it had, where one is known. `banyan nodes revoke` adds to it."},
}

const mostEnrolPatterns = 32

// checkPermit refuses settings of a permit that cannot be meant.
func checkPermit(setting func(string) model.Value) error {
	patterns := splitList(setting(settingEnrolPaths).Text())
	if len(patterns) > mostEnrolPatterns {
		return model.Errorf(model.KindInvalid, "setting %s: %d patterns, at most %d are allowed", settingEnrolPaths, len(patterns), mostEnrolPatterns)
	}
	for _, text := range patterns {
		if _, err := model.ParsePattern(text); err != nil {
			return model.Errorf(model.KindInvalid, "setting %s: %w", settingEnrolPaths, err)
		}
	}
	if v := setting(settingEnrolNodes); !v.IsNone() && (v.Int64() < 0 || v.Int64() > peering.Unlimited) {
		return model.Errorf(model.KindInvalid, "setting %s: use 0 or more", settingEnrolNodes)
	}
	if v := setting(settingEnrolHops); !v.IsNone() && (v.Int64() < 0 || v.Int64() > 16) {
		return model.Errorf(model.KindInvalid, "setting %s: use 0 to 16", settingEnrolHops)
	}
	return nil
}

const mostRevokedNodes = 1000

// checkRevokedIDs refuses a list that names no nodes, or more than are told.
func checkRevokedIDs(text string) error {
	entries := splitList(text)
	if len(entries) > mostRevokedNodes {
		return model.Errorf(model.KindExhausted, "%d nodes are to be revoked, at most %d may be", len(entries), mostRevokedNodes)
	}
	for _, entry := range entries {
		if _, err := readRevoked(entry); err != nil {
			return model.Errorf(model.KindInvalid, "setting %s: %w", settingRevokedIDs, err)
		}
	}
	return nil
}

// readRevoked reads an entry of the list: an ID, and behind a space the name that the node had.
func readRevoked(entry string) (tree.Hop, error) {
	text, name, named := strings.Cut(entry, " ")
	id, err := model.ParseNodeID(text)
	if err == nil && named {
		err = model.CheckSegment(name)
	}
	return tree.Hop{Node: id, Name: name}, err
}

// revokedIDs are the IDs of the nodes that are taken from nowhere.
func (l *links) revokedIDs() (list []model.NodeID) {
	for _, hop := range l.revokedNodes() {
		list = append(list, hop.Node)
	}
	return list
}

// revokedNodes are the nodes that are taken from nowhere.
func (l *links) revokedNodes() (list []tree.Hop) {
	c, there := l.tree.Lookup(linksPath)
	if !there || c.Schema.SettingIndex(settingRevokedIDs) < 0 {
		return nil
	}
	for _, entry := range splitList(c.SettingNamed(settingRevokedIDs).Text()) {
		if hop, err := readRevoked(entry); err == nil {
			list = append(list, hop)
		}
	}
	return list
}

// ownPermit is what a mount permits by its settings, and until when.
func (l *links) ownPermit(c *tree.Context) (peering.Permit, model.Time) {
	p := peering.Free()
	p.Revoked = l.revokedIDs()
	if c.Schema.SettingIndex(settingEnrol) < 0 {
		return p, 0
	}
	if v := c.SettingNamed(settingEnrolNodes); !v.IsNone() {
		p.Nodes = int(v.Int64())
	}
	if !c.SettingNamed(settingEnrol).Bool() {
		p.Nodes = 0
	}
	if v := c.SettingNamed(settingEnrolHops); !v.IsNone() {
		p.Hops = int(v.Int64())
	}
	for _, text := range splitList(c.SettingNamed(settingEnrolPaths).Text()) {
		if pattern, err := model.ParsePattern(text); err == nil {
			p.Patterns = append(p.Patterns, pattern)
		}
	}
	until := c.SettingNamed(settingEnrolUntil).Time()
	p.Closed = until != 0 && model.TimeOf(l.node.cfg.Now()) > until
	return p, until
}

// permission is what a mount permits, and what the provider is told of it: that, narrowed by what this node was permitted itself from above.
func (l *links) permission(c *tree.Context, path model.Path, above []permitTold) *peering.Permission {
	own, until := l.ownPermit(c)
	told := &linkv1.Permit{Nodes: uint32(own.Nodes), Hops: uint32(own.Hops), Until: int64(until)}
	by := map[string]bool{}
	if own.Nodes < peering.Unlimited || own.Hops < peering.Unlimited || until != 0 || len(own.Patterns) > 0 {
		by[l.self.Name] = true
	}
	for _, p := range own.Patterns {
		told.Patterns = append(told.Patterns, p.String())
	}
	revoked := slices.Clone(own.Revoked)
	if all := permitsAt(path, above); len(all) > 0 {
		above := loosest(all)
		shorter := above.Until != 0 && (told.GetUntil() == 0 || int64(above.Until) < told.GetUntil())
		if above.Nodes < own.Nodes || above.Hops < own.Hops || shorter {
			by[above.By] = true
		}
		told.Nodes, told.Hops = min(told.GetNodes(), uint32(above.Nodes)), min(told.GetHops(), uint32(above.Hops))
		if shorter {
			told.Until = int64(above.Until)
		}
		for _, id := range above.Revoked {
			if len(revoked) < peering.MostRevoked && !slices.Contains(own.Revoked, id) {
				revoked = append(revoked, id) // what is too much for one frame would end the session
			}
		}
	}
	slices.SortFunc(revoked, func(a, b model.NodeID) int { return strings.Compare(string(a[:]), string(b[:])) })
	for _, id := range slices.Compact(revoked) {
		told.Revoked = append(told.Revoked, slices.Clone(id[:]))
	}
	names := make([]string, 0, len(by))
	for name := range by {
		names = append(names, name)
	}
	slices.Sort(names)
	told.By = clip(strings.Join(names, ", "), 200)
	return &peering.Permission{Permit: own, Told: told}
}

// permitAbove is what a consumer of this node permits, as far as it concerns a path.
type permitAbove struct {
	peering.Permitted
	at model.Path // the path below the export's root
	by string     // who narrowed it
}

// onward is what is left of a permit for one of this node's own neighbours, which counts itself.
func (p *permitAbove) onward() peering.Permitted {
	q := p.Permitted
	q.By, q.Revoked = p.by, slices.Clone(p.Revoked)
	if q.Nodes < peering.Unlimited {
		q.Nodes = max(0, q.Nodes-1)
	}
	if q.Hops == 0 || !p.Hangs(p.at) && !slices.ContainsFunc(p.Patterns, func(shown model.Pattern) bool { return shown.MayMatchBelow(p.at) }) {
		q.Nodes = 0
	}
	if q.Hops < peering.Unlimited {
		q.Hops = max(0, q.Hops-1)
	}
	return q
}

// loosest is what one or another of several consumers permits: none of them narrows what this node shows to the others.
func loosest(all []permitAbove) peering.Permitted {
	sum := all[0].onward()
	for i := range all[1:] {
		p := all[i+1].onward()
		sum.Nodes, sum.Hops = max(sum.Nodes, p.Nodes), max(sum.Hops, p.Hops)
		if sum.Until != 0 && p.Until != 0 {
			sum.Until = max(sum.Until, p.Until)
		} else {
			sum.Until = 0
		}
		sum.Revoked = common(sum.Revoked, p.Revoked)
		if p.By != sum.By {
			sum.By += ", " + p.By
		}
	}
	return sum
}

// common are the nodes that are in both lists.
func common(a, b []model.NodeID) []model.NodeID {
	in := make(map[model.NodeID]bool, len(b))
	for _, id := range b {
		in[id] = true
	}
	return slices.DeleteFunc(a, func(id model.NodeID) bool { return !in[id] })
}

// permitTold is what a consumer of this node permits for one of the exports that it is shown.
type permitTold struct {
	peering.Permitted
	paths []model.Pattern // that the export shows
	root  model.Path      // of the export
	by    string          // who narrowed it
}

// permitsAt are those of consumers to whom what hangs at a path is shown.
func permitsAt(path model.Path, told []permitTold) (found []permitAbove) {
	for i := range told {
		p := &told[i]
		at, inside := p.root.Below(path)
		if inside && slices.ContainsFunc(p.paths, func(shown model.Pattern) bool { return shown.Matches(path) || shown.MayMatchBelow(path) }) {
			found = append(found, permitAbove{p.Permitted, at, p.by})
		}
	}
	return found
}

// permitsTold are the permits of all consumers, for each export. One that has said nothing permits everything.
func (l *links) permitsTold() (found []permitTold) {
	for _, link := range directlyBelow(l.tree, linksPath) {
		if link.Schema.Kind != KindLink || roleOf(&link) != pki.RoleProvider || link.SettingNamed(settingRevoked).Bool() || link.SettingNamed(settingPeer).Text() == "" {
			continue
		}
		for _, e := range exportsOf(l.tree, link.Path.Base()) {
			export, root, err := readExport(e.Path.Base(), e.SettingNamed)
			if err != nil {
				continue
			}
			l.mu.RLock()
			p, told := l.permits[link.Path.Base()+"/"+export.Name]
			l.mu.RUnlock()
			if !told {
				p = peering.Permitted{Nodes: peering.Unlimited, Hops: peering.Unlimited}
			}
			by := p.By
			if by == "" {
				by = link.SettingNamed(settingPeerName).Text()
			}
			found = append(found, permitTold{p, export.Paths, root, by})
		}
	}
	return found
}

// permitted takes what a consumer permits.
func (l *links) permitted(p peering.Permitted) {
	key := p.Link + "/" + p.Export
	l.mu.Lock()
	changed := !reflect.DeepEqual(l.permits[key], p)
	l.permits[key] = p
	l.mu.Unlock()
	if changed {
		signal(l.wake)
	}
}

// allow says to each mirror what it may take now.
func (l *links) allow() {
	above := l.permitsTold() // once: for each of a thousand mounts it would be a million links
	for _, c := range directlyBelow(l.tree, mountsPath) {
		l.mu.RLock()
		m := l.mounts[c.ID]
		l.mu.RUnlock()
		if m == nil {
			continue
		}
		p := l.permission(&c, m.path, above)
		if m.permission == nil && reflect.DeepEqual(p.Permit, peering.Free()) && pb.Equal(p.Told, freePermit) {
			continue // nothing was ever narrowed
		}
		if m.permission == nil || !reflect.DeepEqual(p.Permit, m.permission.Permit) || !pb.Equal(p.Told, m.permission.Told) {
			m.permission = p
			m.mirror.Allow(p)
		}
	}
}

var freePermit = &linkv1.Permit{Nodes: peering.Unlimited, Hops: peering.Unlimited}

// checkEnrol refuses to let another node's tree hang where nobody above takes any: it would be of no use there, and nobody here would learn why.
func (l *links) checkEnrol(path model.Path) (refused error) {
	for _, p := range permitsAt(path, l.permitsTold()) {
		why := ""
		switch {
		case p.Nodes == 0:
			why = "takes no nodes from behind this one"
		case p.Until != 0 && model.TimeOf(l.node.cfg.Now()) > p.Until:
			why = "takes no new nodes from behind this one since " + p.Until.String()
		case !p.Hangs(p.at):
			why = "takes other nodes at other paths only, and not at " + path.String()
		case p.Nodes < peering.Unlimited && len(l.nodesBelow()) >= p.Nodes:
			why = "takes " + strconv.Itoa(p.Nodes) + " nodes from behind this one, and so many are here"
		default:
			return nil
		}
		refused = &model.Error{
			Kind: model.KindDenied, Node: l.self.Name, Detail: p.by + " " + why,
			Remedy: "ask who administers " + p.by + ": the settings enrol of the mount there say it",
		}
	}
	return refused
}

// checkRevoked refuses a node that is taken from nowhere: by this one, or by all to whom this one shows something.
func (l *links) checkRevoked(node model.NodeID) error {
	by := ""
	if slices.Contains(l.revokedIDs(), node) {
		by = l.self.Name
	}
	all := l.permitsTold()
	if by == "" && len(all) > 0 && !slices.ContainsFunc(all, func(p permitTold) bool { return !slices.Contains(p.Revoked, node) }) {
		by = all[0].by
	}
	if by == "" {
		return nil
	}
	return pki.Refuse(pki.Revoked, fmt.Sprintf("the node was revoked by %s: it is taken from nowhere", by))
}
