package server

import (
	"fmt"
	"slices"
	"strings"

	"banyan/access"
	"banyan/follow"
	"banyan/model"
	"banyan/peering"
	"banyan/pki"
	"banyan/tree"
)

// ownNamed is what an export shows, under a name of this node.
type ownNamed struct {
	follow.Selection
	key string
}

// Key is what the view is known by to the other node, also after a restart. It is a name that only this node can give: by a hash of the patterns whoever
// guesses them would know when they are right.
func (s ownNamed) Key() string { return s.key }

// exportsFor are the exports that are shown over a provider's link. used takes their views.
func (l *links) exportsFor(link string, used map[uint64]*follow.View) []peering.Export {
	var exports []peering.Export
	for _, c := range exportsOf(l.tree, link) {
		view, _, err := l.exported(&c)
		if err != nil {
			l.log.Error("an export cannot be used", "export", c.Path, "error", err)
		} else {
			used[view.ID] = view
		}
		exports = append(exports, peering.Export{Name: c.Path.Base(), View: view})
	}
	return exports
}

// exported is the view of an export, the same for all exports of equal content, and what it shows.
func (l *links) exported(at *tree.Context) (*follow.View, *access.Selection, error) {
	export, root, err := readExport(at.Path.Base(), at.SettingNamed)
	if err != nil {
		return nil, nil, err
	}
	selected, err := access.NewSelection(export, access.Areas{})
	if err != nil {
		return nil, nil, err
	}
	made := follow.NewView(l.tree, root, ownNamed{follow.Export(selected), l.node.sealer.Name(root.String() + "\n" + selected.Key())})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reaches[made.ID] = reach(root, export.Paths)
	if known := l.views[made.ID]; known != nil {
		return known, selected, nil
	}
	l.views[made.ID] = made
	return made, selected, nil
}

// linkOfExport is the link of an export: the one that is named, which must be one of its, or the first.
func (l *links) linkOfExport(at *tree.Context, name string) (tree.Context, error) {
	of := exportedTo(at.SettingNamed)
	switch {
	case len(of) == 0:
		return tree.Context{}, &model.Error{Kind: model.KindInvalid, Detail: at.Path.Base() + " is an export for no link", Remedy: "set its links"}
	case name == "":
		name = of[0]
	case !slices.Contains(of, name):
		return tree.Context{}, &model.Error{Kind: model.KindInvalid, Detail: fmt.Sprintf("%s is not an export for link %.64q", at.Path.Base(), name), Remedy: "it is for " + strings.Join(of, ", ")}
	}
	path, err := linksPath.Child(name)
	if err != nil {
		return tree.Context{}, err
	}
	c, there := l.tree.Lookup(path)
	if !there {
		return c, model.Errorf(model.KindNotFound, "there is no link called %s", name)
	}
	return c, nil
}

// Grants are what this node granted, by link. A link that may not be used grants nothing.
func (l *links) Grants() map[string]*access.Grant {
	grants := make(map[string]*access.Grant)
	for _, c := range directlyBelow(l.tree, linksPath) {
		peer, err := model.ParseNodeID(c.SettingNamed(settingPeer).Text())
		if c.Schema.Kind != KindLink || err != nil || roleOf(&c) != pki.RoleProvider ||
			c.SettingNamed(settingRevoked).Bool() || !c.SettingNamed(settingEnabled).Bool() {
			continue
		}
		grant := &access.Grant{Node: c.SettingNamed(settingPeerName).Text(), ID: peer}
		if model.CheckName(grant.Node) != nil {
			l.log.Error("the other node of a link has no name that can be used, nothing is granted to it", "link", c.Path)
			continue // one link must not take everybody's rights with it
		}
		exports := exportsOf(l.tree, c.Path.Base())
		for _, e := range exports[:min(len(exports), access.MaxExports)] {
			if export, _, err := readExport(e.Path.Base(), e.SettingNamed); err == nil {
				if selected, err := access.NewSelection(export, access.Areas{}); err == nil {
					grant.Exports = append(grant.Exports, selected)
				}
			}
		}
		grants[c.Path.Base()] = grant
	}
	return grants
}

// readExport reads an export from its settings.
func readExport(name string, setting func(string) model.Value) (access.Export, model.Path, error) {
	e := access.Export{
		Name: name, Kinds: splitList(setting(settingKinds).Text()), ExceptKinds: splitList(setting(settingExceptKinds).Text()),
		Secrets: setting(settingSecrets).Bool(), People: setting(settingPeople).Bool(),
	}
	var err error
	if e.Right, err = model.ParseRight(setting(settingRight).Text()); err != nil {
		return e, model.Root, err
	}
	for _, text := range splitList(setting(settingPaths).Text()) {
		pattern, err := model.ParsePattern(text)
		if err != nil {
			return e, model.Root, err
		}
		e.Paths = append(e.Paths, pattern)
	}
	root, err := model.ParsePath(setting(settingRoot).Text())
	if err != nil {
		return e, model.Root, err
	}
	if err := readEntities(&e, setting); err != nil {
		return e, root, err
	}
	if err := applyPreset(&e, setting); err != nil {
		return e, root, err
	}
	_, err = access.NewSelection(e, access.Areas{})
	return e, root, err
}
