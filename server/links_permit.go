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

// checkRevokedIDs refuses a list that names no nodes.
func checkRevokedIDs(text string) error {
	for _, entry := range splitList(text) {
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
func (l *links) permission(c *tree.Context, path model.Path) *peering.Permission {
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
	for _, above := range l.permitsAt(path) {
		nodes, hops := above.nodes(), above.Hops
		if hops == 0 {
			nodes = 0
		}
		if !above.Hangs(above.at) && !slices.ContainsFunc(above.Patterns, func(p model.Pattern) bool { return p.MayMatchBelow(above.at) }) {
			nodes = 0
		}
		narrower := nodes < int(told.GetNodes()) || hops-1 < int(told.GetHops()) && hops < peering.Unlimited || above.Until != 0 && (told.GetUntil() == 0 || int64(above.Until) < told.GetUntil())
		told.Nodes = min(told.GetNodes(), uint32(nodes))
		if hops < peering.Unlimited {
			told.Hops = min(told.GetHops(), uint32(max(0, hops-1)))
		}
		if above.Until != 0 && (told.GetUntil() == 0 || int64(above.Until) < told.GetUntil()) {
			told.Until = int64(above.Until)
		}
		if narrower {
			by[above.by] = true
		}
		revoked = append(revoked, above.Revoked...)
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

// nodes is how many may be behind one of this node's own neighbours, which counts itself.
func (p *permitAbove) nodes() int {
	if p.Nodes == peering.Unlimited {
		return p.Nodes
	}
	return max(0, p.Nodes-1)
}

// permitsAt are the permits of consumers to whom what hangs at a path is shown.
func (l *links) permitsAt(path model.Path) (found []permitAbove) {
	l.mu.RLock()
	permits := make([]peering.Permitted, 0, len(l.permits))
	for _, p := range l.permits {
		permits = append(permits, p)
	}
	l.mu.RUnlock()
	slices.SortFunc(permits, func(a, b peering.Permitted) int { return strings.Compare(a.Link+"/"+a.Export, b.Link+"/"+b.Export) })
	for _, p := range permits {
		link, there := l.linkNamed(p.Link)
		if !there || link.SettingNamed(settingRevoked).Bool() {
			continue
		}
		e, there := exportFor(l.tree, p.Link, p.Export)
		if !there {
			continue
		}
		export, root, err := readExport(e.Path.Base(), e.SettingNamed)
		at, inside := root.Below(path)
		if err != nil || !inside || !slices.ContainsFunc(export.Paths, func(shown model.Pattern) bool { return shown.Matches(path) || shown.MayMatchBelow(path) }) {
			continue
		}
		by := p.By
		if by == "" {
			by = link.SettingNamed(settingPeerName).Text()
		}
		found = append(found, permitAbove{p, at, by})
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
	for _, c := range directlyBelow(l.tree, mountsPath) {
		l.mu.RLock()
		m := l.mounts[c.ID]
		l.mu.RUnlock()
		if m == nil {
			continue
		}
		p := l.permission(&c, m.path)
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

// checkEnrol refuses to let another node's tree hang where somebody above takes none: it would be of no use there, and nobody here would learn why.
func (l *links) checkEnrol(path model.Path) error {
	for _, p := range l.permitsAt(path) {
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
		}
		if why != "" {
			return &model.Error{
				Kind: model.KindDenied, Node: l.self.Name, Detail: p.by + " " + why,
				Remedy: "ask who administers " + p.by + ": the settings enrol of the mount there say it",
			}
		}
	}
	return nil
}

// checkRevoked refuses a node that is taken from nowhere, here or by a consumer.
func (l *links) checkRevoked(node model.NodeID) error {
	by := ""
	if slices.Contains(l.revokedIDs(), node) {
		by = l.self.Name
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, p := range l.permits {
		if slices.Contains(p.Revoked, node) && by == "" {
			by = p.By
			if c, there := l.linkNamed(p.Link); there && by == "" {
				by = c.SettingNamed(settingPeerName).Text()
			}
		}
	}
	if by == "" {
		return nil
	}
	return pki.Refuse(pki.Revoked, fmt.Sprintf("the node was revoked by %s: it is taken from nowhere", by))
}
