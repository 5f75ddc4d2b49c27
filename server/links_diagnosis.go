package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"banyan/doctor"
	"banyan/model"
	"banyan/peering"
	"banyan/pki"
	"banyan/proto/linkv1"
	"banyan/proto/modelv1"
	"banyan/tree"
)

const functionExplainLink = "explain"

// explainWithin bounds looking for what is wrong with a link.
const explainWithin = 18 * time.Second

var explainLinkFunction = model.Function{
	Name: functionExplainLink, Right: model.RightAdminister, Idempotent: true,
	Description: "Looks what is wrong with the link, step by step: settings, clocks, names, connections, proxy, certificates, what the other end says, versions, what is shown and mounted. " +
		"It takes 20 s at most and disturbs nothing.",
	Results: []model.Field{
		{Name: "ok", Type: model.TypeBool, Description: "Whether nothing is wrong."},
		{Name: "verdict", Type: model.TypeString, Description: "What is wrong, and what to do."},
		{Name: "state", Type: model.TypeString, Description: "How the link is."},
		{Name: "checks", Type: model.TypeTable, Description: "What was looked at, how it is, and what to do: ok, skipped, unknown, warning or failed."},
	},
}

// linkExplainer looks at one link. What it finds stands in the order of causes: the first that failed is what is wrong.
type linkExplainer struct {
	*links
	c     *tree.Context
	name  string // of the link
	peer  string // what this node calls the other one
	now   time.Time
	d     peering.Diagnosis
	found []doctor.Finding
}

func (e *linkExplainer) say(check string, state doctor.State, remedy, format string, args ...any) {
	e.found = append(e.found, doctor.Found(check, state, remedy, format, args...))
}

// explainLink answers the function.
func (l *links) explainLink(ctx context.Context, at *tree.Context) []model.Argument {
	ctx, cancel := context.WithTimeout(ctx, explainWithin)
	defer cancel()
	e := &linkExplainer{links: l, c: at, name: at.Path.Base(), peer: at.SettingNamed(settingPeerName).Text(), now: l.node.cfg.Now()}
	if e.peer == "" {
		e.peer = "the other node"
	}
	if e.settings() {
		e.examine(ctx)
	}
	state := string(e.d.Status.State)
	if state == "" {
		state = "not in use"
	}
	ok, verdict := e.verdict(state)
	return []model.Argument{
		{Name: "ok", Value: model.Bool(ok)}, {Name: "verdict", Value: model.String(verdict)}, {Name: "state", Value: model.String(state)},
		{Name: "checks", Value: findingsTable(e.found)},
	}
}

// examine makes all checks that a link needs that is in use.
func (e *linkExplainer) examine(ctx context.Context) {
	d, there := e.hub.Diagnose(ctx, e.name)
	if !there {
		e.say("link", doctor.Failed, "look into the log of this node", "it does not run")
		return
	}
	e.d = d
	e.rehearsed()
	e.certificate()
	switch {
	case d.Peer != nil:
		e.say("connection", doctor.OK, "", "it stands, with %s%s", d.Peer.Address, routeText(d.Status.Route))
		e.proved(d.Peer)
	case d.Config.Dials:
		e.reached()
	default:
		e.awaited()
	}
	e.answered()
	e.copied()
	e.otherEnd()
	e.granted()
	e.mounted()
	e.passing()
	e.lastProblem()
}

func routeText(route string) string {
	if route == "" {
		return ", which dials"
	}
	return ", dialled as " + route
}

// verdict is what is wrong in a sentence, and what to do.
func (e *linkExplainer) verdict(state string) (ok bool, text string) {
	warnings := 0
	var warned doctor.Finding
	for _, f := range e.found {
		if f.State == doctor.Failed {
			return false, sentence(f)
		}
		if f.State == doctor.Warning {
			if warnings++; warnings == 1 {
				warned = f
			}
		}
	}
	up := e.d.Status.State == peering.StateUp || e.d.Status.State == peering.StateIdle
	switch {
	case !up && warnings > 0:
		return false, "The link is " + state + ". " + sentence(warned)
	case !up && e.d.Status.Failed != 0:
		return false, fmt.Sprintf("The link is %s, and is tried again. The last try ended so: %s. Run `banyan explain link` at %s as well.", state,
			strings.TrimSuffix(pki.Printable(e.d.Status.Problem, 600), "."), e.peer)
	case !up:
		return false, fmt.Sprintf("The link is %s, and nothing was found here that is wrong. Run `banyan explain link` at %s as well.", state, e.peer)
	case warnings > 0:
		return true, "The link is up. " + sentence(warned)
	}
	return true, "The link is up, and nothing is wrong."
}

func sentence(f doctor.Finding) string {
	text := f.Check + ": " + strings.TrimSuffix(f.Detail, ".") + "."
	if f.Remedy != "" {
		text += " What to do: " + strings.TrimSuffix(f.Remedy, ".") + "."
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// settings looks at what is set; false where nothing runs by it.
func (e *linkExplainer) settings() bool {
	invited := e.c.SettingNamed(settingInvitedTill).Time()
	administrator := "the link is ended for good here: remove it, and invite " + e.peer + " again if it is to come back"
	switch {
	case e.c.SettingNamed(settingPeer).Text() == "" && invited.Std().Before(e.now):
		e.say("invitation", doctor.Failed, "remove the link and what it was to carry, and make a new invitation with `banyan invite`", "nobody has joined, and the invitation expired at %s", invited)
		return false
	case e.c.SettingNamed(settingPeer).Text() == "":
		e.say("invitation", doctor.Failed, "run `banyan join` with the token at the other node before that; a token that was lost cannot be shown again, make a new one", "nobody has joined yet; the invitation holds until %s", invited)
		return false
	case e.c.SettingNamed(settingRevoked).Bool():
		e.say("settings", doctor.Failed, administrator, "the link was revoked at this node")
		return false
	case !e.c.SettingNamed(settingEnabled).Bool():
		e.say("settings", doctor.Failed, "banyan set "+e.c.Path.String()+":enabled true", "the link is switched off at this node")
		return false
	case e.c.SettingNamed(settingDials).Bool() && len(splitList(e.c.SettingNamed(settingAddresses).Text())) == 0:
		e.say("settings", doctor.Failed, "banyan set "+e.c.Path.String()+":addresses HOST:PORT", "this node is to dial, and no address is set")
		return false
	}
	dials := e.peer + " dials"
	if e.c.SettingNamed(settingDials).Bool() {
		dials = "this node dials " + e.c.SettingNamed(settingAddresses).Text()
	}
	e.say("settings", doctor.OK, "", "this node is the %s, %s", e.c.SettingNamed(settingRole).Text(), dials)
	return true
}

// copyGone is after how long without a try a copy counts as stopped: it tries every few seconds.
const copyGone = 5 * time.Minute

// copied tells of a copy of the other node. That the link is up says nothing of it: the one that is linked stays, and the copy is refused.
func (e *linkExplainer) copied() {
	r, there := e.tree.Read(model.Address{Path: e.c.Path, Name: variableClone})
	what := pki.Printable(strings.TrimPrefix(r.Sample.Value.Text(), "clone: "), 600)
	switch {
	case !there || what == "":
		return
	case e.now.Sub(r.Received.Std()) > copyGone:
		e.say("copy", doctor.OK, "", "%s; none has come since", what)
		return
	}
	e.say("copy", doctor.Warning, "stop the copy and delete its directory; if it is the one to go on, stop the other one and run `banyan call "+e.c.Path.String()+":readmit`, which forgets this as well",
		"%s", what)
}

func (e *linkExplainer) rehearsed() {
	if text := e.rehearsals.text(e.name); text != "" {
		e.say("rehearsal", doctor.Failed, "it ends by itself; `banyan rehearse "+e.name+" --end` ends it now", "an outage is rehearsed here: %s", text)
	}
}

// certificate looks at what this node shows, and at its clock.
func (e *linkExplainer) certificate() {
	if leaf := e.leaf.Current().Leaf; e.now.After(leaf.NotAfter) || e.now.Before(leaf.NotBefore) {
		e.say("own certificate", doctor.Failed, "look at the clock of this machine, and in the log why it was not renewed",
			"it holds from %s to %s, and the clock of this node says %s", instant(leaf.NotBefore), instant(leaf.NotAfter), instant(e.now))
	} else {
		e.say("own certificate", doctor.OK, "", "it holds until %s", instant(leaf.NotAfter))
	}
	const renew = "`banyan identity rotate` makes a new root, and peers take it"
	if f := doctor.Certificate("own root", e.node.authority.Root(), e.now, rootDue, renew); f.State != doctor.OK {
		e.found = append(e.found, f)
	}
	for _, f := range doctor.Clock(e.now) {
		if f.Check = "own clock"; f.State == doctor.Unknown || f.State == doctor.Warning {
			f.State = doctor.Skipped // it is a reason only where clocks differ, and then that is told
			f.Remedy = ""
		}
		e.found = append(e.found, f)
	}
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// proved tells of the certificate at the other end of the connection that stands.
func (e *linkExplainer) proved(who *pki.Peer) {
	e.say("certificate", doctor.OK, "", "%s proved to be node %s; its certificate holds until %s", e.peer, who.Node.Short(), instant(who.NotAfter))
	if who.Root != nil {
		if f := doctor.Certificate("root of "+e.peer, who.Root, e.now, rootDue, "run `banyan identity rotate` at "+e.peer+": this node takes its new root by itself"); f.State != doctor.OK {
			e.found = append(e.found, f)
		}
	}
}

// otherEnd tells what the other end says of itself.
func (e *linkExplainer) otherEnd() {
	told := e.d.Theirs
	switch {
	case e.d.Peer == nil:
		return
	case told == nil:
		e.say("other end", doctor.Unknown, "", "%s tells nothing of itself: %v", e.peer, e.d.Unsaid)
		return
	}
	when := ""
	if e.d.Config.Role == pki.RoleProvider {
		when = fmt.Sprintf(", as it told at %s: a provider cannot ask", instant(told.At.Std()))
	}
	e.say("versions", doctor.OK, "", "%s speaks protocol %d (banyan %s), this node banyan %s; both use %d%s", e.peer, told.Version, orUnknown(told.Software), orUnknown(e.node.cfg.Version), e.d.Status.Version, when)
	skew := e.d.Status.Skew
	if told.Clock != 0 && e.d.Config.Role == pki.RoleConsumer {
		skew = told.Skew
	}
	if f, off := doctor.Skew(e.peer, skew); off {
		f.Check, f.State = "clocks", doctor.Warning
		e.found = append(e.found, f)
	} else {
		e.say("clocks", doctor.OK, "", "they differ by %s", skew.Abs().Round(time.Millisecond))
	}
	if told.Rehearsal != "" {
		e.say("rehearsal", doctor.Failed, "it ends by itself, or is ended there", "an outage is rehearsed at %s: %s", e.peer, told.Rehearsal)
	}
	if told.LastProblem != "" {
		e.say("its last problem", doctor.OK, "", "%s says: %s, at %s", e.peer, told.LastProblem, instant(model.Time(told.LastProblemAt).Std()))
	}
}

func orUnknown(version string) string {
	if version == "" {
		return "of an unknown version"
	}
	return version
}

// inspect adds what the other end of a link is told about what it is granted.
func (l *links) inspect(link string, told *linkv1.InspectResponse) {
	told.RootUntil = l.node.authority.Root().NotAfter.UnixNano()
	told.Rehearsal = l.rehearsals.text(link)
	for _, c := range exportsOf(l.tree, link) {
		export, _, err := readExport(c.Path.Base(), c.SettingNamed)
		shown := &linkv1.InspectedExport{Name: c.Path.Base(), Right: modelv1.Right(export.Right)}
		if err != nil {
			shown.Problem = "it cannot be used as it is set" // the error could tell what is hidden
		}
		told.Exports = append(told.Exports, shown)
	}
	slices.SortFunc(told.Exports, func(a, b *linkv1.InspectedExport) int { return strings.Compare(a.Name, b.Name) })
}
