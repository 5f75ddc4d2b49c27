package server

import (
	"context"
	"net"
	"strings"

	"banyan/access"
	"banyan/model"
	"banyan/pki"
	"banyan/tree"
)

// linkMaker is the controller of /links.
type linkMaker struct{ *links }

// Check reads which nodes are revoked.
func (linkMaker) Check(_ context.Context, p *Proposal) error {
	if p.Op != OpSet {
		return nil
	}
	return checkRevokedIDs(p.After(settingRevokedIDs).Text())
}

// Write has nothing to write.
func (linkMaker) Write(ctx context.Context, at *tree.Context, name string, v model.Value) error {
	return passive{}.Write(ctx, at, name, v)
}

// Call invites and joins.
func (m linkMaker) Call(ctx context.Context, at *tree.Context, function string, arguments []model.Argument, by access.Principal) ([]model.Argument, error) {
	switch function {
	case functionInvite:
		return m.invite(ctx, arguments, by.Chain.String())
	case functionJoin:
		return m.join(ctx, arguments)
	case functionInvitations:
		return m.listInvitations(ctx)
	case functionWithdraw:
		return nil, m.withdraw(ctx, argumentsOf(arguments))
	case functionNodes:
		return m.listNodes(), nil
	case functionRevokeNode:
		return m.revokeNode(ctx, argumentsOf(arguments))
	case functionAdmitNode:
		return m.admitNode(ctx, argumentsOf(arguments))
	}
	return nil, model.Errorf(model.KindInternal, "/links has no function %s", function)
}

// linkKeeper is the controller of links.
type linkKeeper struct{ *links }

// Check lets invitations and joins make links, and people switch and remove them.
func (k linkKeeper) Check(_ context.Context, p *Proposal) error {
	if p.Op == OpCreate {
		return &model.Error{Kind: model.KindUnsupported, Detail: "a link is made by inviting another node or by joining it", Remedy: "call /links:invite or /links:join"}
	}
	if p.Op == OpRemove {
		return k.mayForget(p.At)
	}
	if p.Op == OpSet {
		for _, fixed := range []string{settingPeer, settingRole, settingRoots, settingInvitation, settingInvitedTill, settingInvitedBy, settingAttempt} {
			if _, given := p.Given(fixed); given {
				return model.Errorf(model.KindUnsupported, "%s is agreed when the link is made", fixed)
			}
		}
		for _, noted := range []string{settingPeerEpoch, settingPeerRestores, settingPeerLeft} {
			if _, given := p.Given(noted); given {
				return &model.Error{Kind: model.KindUnsupported, Detail: noted + " is noted by the node", Remedy: "call " + functionReadmit + " of the link"}
			}
		}
		if err := checkKeep(p); err != nil {
			return err
		}
		if err := checkBeat(p); err != nil {
			return err
		}
		if !p.After(settingRevoked).Bool() && p.At.SettingNamed(settingRevoked).Bool() {
			return &model.Error{Kind: model.KindUnsupported, Detail: "a link that was revoked stays so", Remedy: "remove it and invite the other node again"}
		}
		if v, given := p.Given(settingPeerName); given {
			if err := model.CheckName(v.Text()); err != nil {
				return err
			}
		}
		if v, given := p.Given(settingAddresses); given {
			if err := checkAddresses(v.Text()); err != nil {
				return err
			}
		}
		return checkProxy(p.After(settingProxy).Text(), p.After(settingProxyUser).Text())
	}
	return nil
}

// Write has nothing to write.
func (linkKeeper) Write(ctx context.Context, at *tree.Context, name string, v model.Value) error {
	return passive{}.Write(ctx, at, name, v)
}

// Call does what a link can do.
func (k linkKeeper) Call(ctx context.Context, at *tree.Context, function string, arguments []model.Argument, by access.Principal) ([]model.Argument, error) {
	switch function {
	case functionRevoke:
		return nil, k.revoke(ctx, at)
	case functionExplainLink:
		return k.explainLink(ctx, at), nil
	case functionRehearse:
		return k.rehearsals.start(at, argumentsOf(arguments), by)
	case functionKeepRehearsing:
		return k.rehearsals.extend(at.Path.Base(), argumentsOf(arguments).text("id", ""))
	case functionEndRehearsal:
		k.rehearsals.end(ctx, at.Path.Base(), errEndedEarly)
		return nil, nil
	case functionRecover:
		return k.recoverToken(at, argumentsOf(arguments))
	case functionInviteAgain:
		return k.inviteAgain(ctx, at, argumentsOf(arguments), by.Chain.String())
	case functionReadmit:
		return nil, k.readmit(ctx, at)
	}
	return nil, model.Errorf(model.KindInternal, "a link has no function %s", function)
}

// exportKeeper is the controller of exports.
type exportKeeper struct{ *links }

// Check refuses what could not be compiled, or shown over the links that it is for.
func (exportKeeper) Check(_ context.Context, p *Proposal) error {
	if p.Op == OpRemove {
		return nil
	}
	if err := checkExported(p); err != nil {
		return err
	}
	_, _, err := readExport(p.Path.Base(), p.After)
	return err
}

// Write has nothing to write.
func (exportKeeper) Write(ctx context.Context, at *tree.Context, name string, v model.Value) error {
	return passive{}.Write(ctx, at, name, v)
}

// Call previews.
func (k exportKeeper) Call(ctx context.Context, at *tree.Context, f string, a []model.Argument, by access.Principal) ([]model.Argument, error) {
	if f == functionPreview {
		return k.preview(at, argumentsOf(a), by)
	}
	return passive{}.Call(ctx, at, f, a, by)
}

// mountKeeper is the controller of mounts.
type mountKeeper struct{ *links }

// Check keeps mounts apart from each other and from this node's own contexts.
func (k mountKeeper) Check(_ context.Context, p *Proposal) error {
	if p.Op == OpRemove {
		return nil
	}
	if err := checkMounted(p); err != nil {
		return err
	}
	if err := checkPace(p); err != nil {
		return err
	}
	if err := checkPermit(p.After); err != nil {
		return err
	}
	if err := checkMountMemory(p.After(settingMemory)); err != nil {
		return err
	}
	if _, given := p.Given(settingPath); !given && p.Op == OpSet {
		return nil
	}
	if err := checkMount(p.Tree, p.After(settingPath).Text(), p.Path); err != nil {
		return err
	}
	path, err := model.ParsePath(p.After(settingPath).Text())
	if err != nil {
		return err
	}
	return k.checkEnrol(path)
}

// Write has nothing to write.
func (mountKeeper) Write(ctx context.Context, at *tree.Context, name string, v model.Value) error {
	return passive{}.Write(ctx, at, name, v)
}

// Call has nothing to call.
func (mountKeeper) Call(ctx context.Context, at *tree.Context, f string, a []model.Argument, by access.Principal) ([]model.Argument, error) {
	return passive{}.Call(ctx, at, f, a, by)
}

// checkMount refuses a mount point that is not free in a tree. except is the mount that is asked for.
func checkMount(in View, text string, except model.Path) error {
	path, err := model.ParsePath(text)
	if err != nil {
		return err
	}
	if path.IsRoot() {
		return &model.Error{Kind: model.KindInvalid, Detail: "the root cannot be a mount point", Remedy: "use a path like /sites/berlin"}
	}
	for _, other := range directlyBelow(in, mountsPath) {
		taken, err := model.ParsePath(other.SettingNamed(settingPath).Text())
		if err == nil && other.Path != except && (taken.Contains(path) || path.Contains(taken)) {
			return model.Errorf(model.KindExists, "%s overlaps with %s, the mount point of %s", path, taken, other.Path.Base())
		}
	}
	for _, place := range ownPlaces {
		if place.path.Contains(path) || path.Contains(place.path) {
			return model.Errorf(model.KindInvalid, "%s is a place of this node's own", path)
		}
	}
	blocked := model.Path{}
	in.Walk(path, nil, func(c *tree.Context) bool {
		if own(c) {
			blocked = c.Path
		}
		return blocked.IsRoot()
	})
	for up := path; blocked.IsRoot() && !up.IsRoot(); up = up.Parent() {
		if c, there := in.Lookup(up); there && own(&c) && c.Schema.Kind != KindFolder {
			blocked = up
		}
	}
	if !blocked.IsRoot() {
		return model.Errorf(model.KindExists, "%s is this node's own: a mount point must be free", blocked)
	}
	return nil
}

// splitList splits text at commas.
func splitList(text string) []string { return roleNames(text) }

func checkAddresses(text string) error {
	list := splitList(text)
	if len(list) > pki.MaxAddresses {
		return model.Errorf(model.KindInvalid, "%d addresses, at most %d are allowed", len(list), pki.MaxAddresses)
	}
	for _, address := range list {
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			return model.Errorf(model.KindInvalid, "%q is no address: write host:port", strings.ToValidUTF8(address, "?"))
		}
	}
	return nil
}
