package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"banyan/access"
	"banyan/devices"
	"banyan/doctor"
	"banyan/model"
	"banyan/peering"
	"banyan/tree"
)

// backedUp judges the backups and the key by which they are sealed, as the node's own context tells of them.
func (n *Node) backedUp(now time.Time) []doctor.Finding {
	c, there := n.tree.Lookup(systemPath)
	if !there {
		return nil
	}
	const drawKey = "draw a recovery key with `banyan recovery renew` and keep it apart from the node"
	if n.variable(systemPath, variableRecipient).Text() == "" {
		return []doctor.Finding{doctor.Found("backup", doctor.Warning, drawKey, "there is no recovery key, so that nothing can be backed up")}
	}
	if c.SettingNamed(settingBackupDir).Text() == "" {
		return []doctor.Finding{doctor.Found("backup", doctor.Warning, "set /system:backup_dir, best to another disk; or have a consumer keep backups", "this node keeps no backups of itself")}
	}
	made := n.variable(systemPath, variableBackupTime).Time()
	every := c.SettingNamed(settingBackupEvery).Duration()
	switch {
	case n.variable(systemPath, variableBackupState).Text() == "failed":
		return []doctor.Finding{doctor.Found("backup", doctor.Failed, "look at /system:backup_detail", "the newest one failed: %s", n.variable(systemPath, variableBackupDetail).Text())}
	case made == 0:
		return []doctor.Finding{doctor.Found("backup", doctor.Warning, "wait for the first one, or call /system:backup", "none was made yet")}
	case every > 0 && now.Sub(made.Std()) > 2*every+time.Minute:
		return []doctor.Finding{doctor.Found("backup", doctor.Warning, "call /system:backup and see what it says", "the newest one is %s old", now.Sub(made.Std()).Round(time.Minute))}
	}
	return []doctor.Finding{doctor.Good("backup", "the newest one is of %s", made)}
}

// variable is the latest value of a variable of an own context.
func (n *Node) variable(path model.Path, name string) model.Value {
	r, _ := n.tree.Read(model.Address{Path: path, Name: name})
	return r.Sample.Value
}

// seen reports whether somebody may know of a context.
func (n *Node) seen(by access.Principal, c *tree.Context) bool {
	return n.router.decide(by, access.Entity{Path: c.Path, Kind: c.Schema.Kind}, model.RightView, false).Allowed
}

// linksFound tells which links are not up, and whose clock is wrong.
func (n *Node) linksFound(by access.Principal) []doctor.Finding {
	var found []doctor.Finding
	up, all := 0, 0
	for _, c := range directlyBelow(n.tree, linksPath) {
		if c.Schema.Kind != KindLink {
			continue
		}
		name := c.Path.Base()
		if !n.seen(by, &c) {
			name = "one that you may not see"
		}
		state := n.variable(c.Path, variableState).Text()
		switch state {
		case string(peering.StateUp):
			up++
			all++
			if f, off := doctor.Skew("link "+name, n.variable(c.Path, variableSkew).Duration()); off {
				found = append(found, f)
			}
		case string(peering.StateDisabled), "revoked", "invited":
		default:
			all++
			badness := doctor.Warning
			if state == string(peering.StateRefused) {
				badness = doctor.Failed
			}
			detail := n.variable(c.Path, variableDetail).Text()
			if !n.seen(by, &c) {
				detail = ""
			}
			found = append(found, doctor.Found("links", badness, "look at `banyan links` at both nodes", "%s is %s since %s", name, state,
				strings.TrimSuffix(fmt.Sprint(n.variable(c.Path, variableSince).Time(), ": ", detail), ": ")))
		}
	}
	if all == up {
		found = append(found, doctor.Good("links", "%d of %d are up", up, all))
	}
	return found
}

// devicesFound tells which devices do not work.
func (n *Node) devicesFound(by access.Principal) []doctor.Finding {
	named := map[string][]string{}
	counts := map[string]int{}
	n.tree.Walk(devicesPath, nil, func(c *tree.Context) bool {
		if !own(c) || c.Schema.SettingIndex(devices.SettingEnabled) < 0 {
			return true
		}
		state := n.variable(c.Path, "state").Text()
		counts[state]++
		if len(named[state]) < mostNamed && n.seen(by, c) {
			named[state] = append(named[state], c.Path.String())
		}
		return true
	})
	var found []doctor.Finding
	all := 0
	for _, state := range slices.Sorted(maps.Keys(counts)) {
		count := counts[state]
		all += count
		switch state {
		case "ok", "disabled", "starting", "":
			continue
		}
		names := strings.Join(named[state], ", ")
		if count > len(named[state]) {
			names = strings.TrimPrefix(names+" ...", " ")
		}
		found = append(found, doctor.Found("devices", doctor.Warning, "look at last_error of each", "%d of them: %s (%s)", count, state, names))
	}
	if len(found) == 0 {
		found = append(found, doctor.Good("devices", "%d of %d are ok", counts["ok"], all))
	}
	return found
}
