package server

import (
	"slices"

	"banyan/access"
	"banyan/model"
	"banyan/peering"
	"banyan/tree"
)

// exportedTo are the links over which an export is shown. Earlier versions knew one, in another setting: it is read as well, as another node may
// still have it.
func exportedTo(setting func(string) model.Value) []string {
	to := splitList(setting(settingLinks).Text())
	if one := setting(settingLink).Text(); one != "" && !slices.Contains(to, one) {
		to = append(to, one)
	}
	return to
}

// exportsOf are the exports that are shown over a link.
func exportsOf(in View, link string) (found []tree.Context) {
	for _, c := range directlyBelow(in, exportsPath) {
		if c.Schema.Kind == KindExport && slices.Contains(exportedTo(c.SettingNamed), link) {
			found = append(found, c)
		}
	}
	return found
}

// exportFor is which of the exports of a link the other node means by a name.
func exportFor(in View, link, name string) (tree.Context, bool) {
	exports := exportsOf(in, link)
	names := make([]string, len(exports))
	for i := range exports {
		names[i] = exports[i].Path.Base()
	}
	at, found := peering.ExportFor(link, name, names)
	if !found {
		return tree.Context{}, false
	}
	return exports[at], true
}

// mountsOf are the mounts of a link.
func mountsOf(in View, link string) (found []tree.Context) {
	for _, c := range directlyBelow(in, mountsPath) {
		if c.Schema.Kind == KindMount && c.SettingNamed(settingLink).Text() == link {
			found = append(found, c)
		}
	}
	return found
}

// mountsByLink are all mounts, by the name of their link.
func mountsByLink(in View) map[string][]tree.Context {
	found := make(map[string][]tree.Context)
	for _, c := range directlyBelow(in, mountsPath) {
		if c.Schema.Kind == KindMount {
			link := c.SettingNamed(settingLink).Text()
			found[link] = append(found[link], c)
		}
	}
	return found
}

// checkExported refuses an export to a link that is not there or is agreed the other way round, or has as many as it may.
func checkExported(p *Proposal) error {
	if _, given := p.Given(settingLinks); !given && p.Op == OpSet {
		return nil
	}
	for _, name := range exportedTo(p.After) {
		if err := checkLink(p.Tree, settingLinks, name, roleProvider); err != nil {
			return err
		}
		others := slices.DeleteFunc(exportsOf(p.Tree, name), func(c tree.Context) bool { return c.Path == p.Path })
		if len(others) >= access.MaxExports {
			return model.Errorf(model.KindExhausted, "link %s has %d exports already, which is as many as there may be", name, len(others))
		}
	}
	return nil
}

// checkMounted refuses a mount of a link that is not there or is agreed the other way round, and of what is mounted already.
func checkMounted(p *Proposal) error {
	name, export := p.After(settingLink).Text(), p.After(settingExport).Text()
	if err := checkLink(p.Tree, settingLink, name, roleConsumer); err != nil {
		return err
	}
	if export != "" {
		if err := model.CheckSegment(export); err != nil {
			return model.Errorf(model.KindInvalid, "setting export: %w", err)
		}
	}
	others := slices.DeleteFunc(mountsOf(p.Tree, name), func(c tree.Context) bool { return c.Path == p.Path })
	if len(others) >= access.MaxExports {
		return model.Errorf(model.KindExhausted, "link %s has %d mounts already, which is as many as there may be", name, len(others))
	}
	for _, other := range others {
		if other.SettingNamed(settingExport).Text() == export {
			return &model.Error{
				Kind: model.KindExists, Detail: "that is mounted by " + other.Path.String() + " already",
				Remedy: "name another export of the other node, or change that mount",
			}
		}
	}
	return nil
}

// checkLink refuses the name of a link that is not there, or where this node has not that part.
func checkLink(in View, setting, name, role string) error {
	at, err := linksPath.Child(name)
	if err != nil {
		return model.Errorf(model.KindInvalid, "setting %s: %w", setting, err)
	}
	c, there := in.Lookup(at)
	if !there || c.Schema.Kind != KindLink {
		return &model.Error{Kind: model.KindInvalid, Name: setting, Detail: "there is no link called " + name, Remedy: "invite the other node or join it first"}
	}
	if c.SettingNamed(settingRole).Text() != role {
		return model.Errorf(model.KindInvalid, "on link %s this node is the %s", name, c.SettingNamed(settingRole).Text())
	}
	return nil
}
