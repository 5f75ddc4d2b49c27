package server

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"banyan/doctor"
	"banyan/peering"
	"banyan/pki"
)

// granted tells what is shown over the link, of a provider.
func (e *linkExplainer) granted() {
	if e.d.Config.Role != pki.RoleProvider {
		return
	}
	exports := exportsOf(e.tree, e.name)
	if len(exports) == 0 {
		e.say("exports", doctor.Failed, "add the link to an export: banyan set /exports/NAME:links "+e.name+", or banyan create /exports/NAME export links="+e.name,
			"nothing is shown over this link: it has no export")
		return
	}
	for _, c := range exports {
		export, root, err := readExport(c.Path.Base(), c.SettingNamed)
		if err != nil {
			what, remedy := unfold(err)
			e.say("export "+c.Path.Base(), doctor.Failed, remedy, "it cannot be used as it is set: %s", what)
			continue
		}
		e.say("export "+c.Path.Base(), doctor.OK, "", "it shows what is at and below %s, up to %s; `banyan exports preview %s` shows all of it", root, export.Right, c.Path.Base())
	}
}

// mounted tells what hangs where, of a consumer.
func (e *linkExplainer) mounted() {
	if e.d.Config.Role != pki.RoleConsumer {
		return
	}
	mounts := mountsOf(e.tree, e.name)
	if len(mounts) == 0 {
		e.say("mounts", doctor.Failed, "banyan create /mounts/NAME mount link="+e.name+" path=/PATH", "nothing is mounted over this link")
		return
	}
	for _, c := range mounts {
		check, wanted := "mount "+c.Path.Base(), c.SettingNamed(settingExport).Text()
		if err := checkMount(e.tree, c.SettingNamed(settingPath).Text(), c.Path); err != nil {
			what, _ := unfold(err)
			e.say(check, doctor.Failed, "set another path: banyan set "+c.Path.String()+":path /PATH", "its place is taken: %s", what)
			continue
		}
		if e.missing(check, wanted) {
			continue
		}
		at := slices.IndexFunc(e.d.Status.Feeds, func(f peering.FeedStatus) bool { return f.Mount == c.Path.Base() })
		if at < 0 {
			continue
		}
		f := &e.d.Status.Feeds[at]
		switch {
		case f.Loop != "":
			e.say(check, doctor.Failed, "leave that out of one of the exports on the way: except_kinds, hide, or paths", "a part of it came from this node and is refused: loop: %s", pki.Printable(f.Loop, 600))
		case f.State == peering.StateWithdrawn:
			e.say(check, doctor.Failed, "ask whoever administers "+e.peer+" to show it again, or remove the mount", "%s does not show it any more: %s", e.peer, pki.Printable(f.Detail, 600))
		case e.d.Peer != nil:
			e.say(check, doctor.OK, "", "%d contexts at %s", f.Contexts, c.SettingNamed(settingPath).Text())
		default:
			e.say(check, doctor.Skipped, "", "%d contexts at %s, as they were", f.Contexts, c.SettingNamed(settingPath).Text())
		}
	}
}

// missing tells of an export that the provider does not have for this node.
func (e *linkExplainer) missing(check, wanted string) bool {
	if e.d.Theirs == nil {
		return false
	}
	var names []string
	for _, x := range e.d.Theirs.Exports {
		if x.Problem != "" && (x.Name == wanted || wanted == "") {
			e.say(check, doctor.Failed, "ask whoever administers "+e.peer+" to run `banyan explain link` there", "%s has the export %s, and cannot use it: %s", e.peer, x.Name, x.Problem)
			return true
		}
		names = append(names, x.Name)
	}
	switch {
	case len(names) == 0:
		e.say(check, doctor.Failed, "ask whoever administers "+e.peer+" for an export with this link in its links", "%s shows nothing over this link: its export was removed, or is not for this link any more", e.peer)
	case wanted != "" && !slices.Contains(names, wanted):
		e.say(check, doctor.Failed, "set export of the mount to one of those, or ask whoever administers "+e.peer+" to show it", "%s shows nothing called %s over this link; it shows %s", e.peer, wanted, strings.Join(names, ", "))
	default:
		return false
	}
	return true
}

// passing tells how far what was told is behind.
func (e *linkExplainer) passing() {
	s := &e.d.Status
	if e.d.Peer == nil {
		return
	}
	for i := range s.Feeds {
		f := &s.Feeds[i]
		check := "feed " + f.Mount + f.Export
		if f.Mount != "" && f.Export != "" {
			check = fmt.Sprintf("feed %s of %s", f.Mount, f.Export)
		}
		switch f.State {
		case peering.StateUp:
			e.say(check, doctor.OK, "", "heartbeats pass both ways in %s", f.Lag.Round(100*time.Microsecond))
		case peering.StateWithdrawn: // it is told of the mount
		case peering.StateStalled:
			e.say(check, doctor.Warning, "the line is too slow for what is shown, or the other end is busy: show less, or look at its load", "it is stalled since %s%s", instant(f.Since.Std()), because(f.Detail))
		default:
			e.say(check, doctor.Warning, "look whether the line works both ways: a firewall may have forgotten the connection", "it is %s since %s%s", f.State, instant(f.Since.Std()), because(f.Detail))
		}
	}
	if len(s.Feeds) == 0 && e.d.Config.Role == pki.RoleProvider && len(exportsOf(e.tree, e.name)) > 0 {
		e.say("feeds", doctor.Warning, "run `banyan explain link` at "+e.peer+": its mount may be missing", "%s is connected and follows nothing", e.peer)
	}
}

// because is the reason of a state behind what it is; a state that has just begun has none.
func because(detail string) string {
	if detail == "" {
		return ""
	}
	return ": " + pki.Printable(detail, 600)
}
