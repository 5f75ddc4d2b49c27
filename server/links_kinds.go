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

// Kinds that links are made of.
const (
	KindLinks  = "links"
	KindLink   = "link"
	KindExport = "export"
	KindMount  = "mount"
)

// Settings, variables and functions of links, exports and mounts.
const (
	settingPeer        = "peer"
	settingPeerName    = "peer_name"
	settingRole        = "role"
	settingDials       = "dials"
	settingAddresses   = "addresses"
	settingRevoked     = "revoked"
	settingRoots       = "roots"
	settingInvitation  = "invitation"
	settingInvitedTill = "invitation_expires"
	settingAttempt     = "invitation_attempt"
	settingLink        = "link"
	settingPaths       = "paths"
	settingRight       = "right"
	settingRoot        = "root"
	settingKinds       = "kinds"
	settingExceptKinds = "except_kinds"
	settingSecrets     = "secrets"
	settingPeople      = "people"
	settingPath        = "path"

	variableState   = "state"
	variableSince   = "since"
	variableLag     = "lag"
	variableDetail  = "detail"
	variableAddress = "address"
	variableMounted = "contexts"

	functionInvite = "invite"
	functionJoin   = "join"
	functionRevoke = "revoke"
)

// Roles as settings write them.
const (
	roleConsumer = "consumer"
	roleProvider = "provider"
)

var linksSchema = model.Schema{
	Kind: KindLinks, Description: "Links to other nodes.",
	Functions: []model.Function{
		{Name: functionInvite, Right: model.RightAdminister, Local: true,
			Description: "Makes a link and an invitation to it, which another node redeems once.",
			Parameters: []model.Field{
				{Name: "name", Type: model.TypeString, Description: "Of the link."},
				{Name: "role", Type: model.TypeString, Description: "This node's part: consumer (it sees the other's tree) or provider."},
				{Name: "mount", Type: model.TypeString, Optional: true, Description: "For a consumer: where the other's tree is to hang."},
				{Name: "paths", Type: model.TypeString, Optional: true, Description: "For a provider: patterns of what is shown, separated by commas, by default /**."},
				{Name: "right", Type: model.TypeString, Optional: true, Description: "For a provider: the highest right that is granted, by default view."},
				{Name: "dials", Type: model.TypeString, Optional: true, Description: "Who opens connections: joiner (the default) or inviter."},
				{Name: "expires", Type: model.TypeDuration, Optional: true, Description: "How long the invitation holds, by default 15m."},
				{Name: "addresses", Type: model.TypeString, Optional: true, Description: "Where this node is reached, host:port separated by commas; by default where it listens."},
			},
			Results: []model.Field{
				{Name: "token", Type: model.TypeString, Description: "To be pasted at the other node. It is shown once."},
				{Name: "expires", Type: model.TypeTime, Description: "When it ends."},
			}},
		{Name: functionJoin, Right: model.RightAdminister, Local: true,
			Description: "Redeems an invitation of another node.",
			Parameters: []model.Field{
				{Name: "token", Type: model.TypeString, Description: "The invitation."},
				{Name: "name", Type: model.TypeString, Optional: true, Description: "Of the link here, by default the other node's name."},
				{Name: "paths", Type: model.TypeString, Optional: true, Description: "As provider: patterns of what is shown, by default /**."},
				{Name: "right", Type: model.TypeString, Optional: true, Description: "As provider: the highest right that is granted, by default view."},
				{Name: "mount", Type: model.TypeString, Optional: true, Description: "As consumer: where the other's tree is to hang."},
				{Name: "addresses", Type: model.TypeString, Optional: true, Description: "Where this node is reached, where the inviter dials."},
			},
			Results: []model.Field{
				{Name: "link", Type: model.TypeString, Description: "Name of the link here."},
				{Name: "peer", Type: model.TypeString, Description: "Name of the other node."},
			}},
	},
}

var linkSchema = model.Schema{
	Kind: KindLink, Description: "A link to another node.",
	Settings: []model.Setting{
		{Name: settingPeer, Type: model.TypeString, Right: model.RightAdminister, Local: true, Description: "ID of the other node; empty while nobody has joined."},
		{Name: settingPeerName, Type: model.TypeString, Right: model.RightAdminister, Description: "What this node calls the other one."},
		{Name: settingRole, Type: model.TypeString, Right: model.RightAdminister, Local: true, Description: "This node's part: consumer or provider."},
		{Name: settingDials, Type: model.TypeBool, Right: model.RightAdminister, Description: "Whether this node opens the connections."},
		{Name: settingAddresses, Type: model.TypeString, Right: model.RightAdminister, Description: "Where the other node is reached, host:port separated by commas, tried in order."},
		{Name: settingEnabled, Type: model.TypeBool, Default: model.Bool(true), Right: model.RightAdminister, Description: "False ends the link until it is true again."},
		{Name: settingRevoked, Type: model.TypeBool, Default: model.Bool(false), Right: model.RightAdminister, Description: "True ends the link for good."},
		{Name: settingRoots, Type: model.TypeBytes, Right: model.RightAdminister, Local: true, Description: "The root certificate that is pinned for the other node, DER."},
		{Name: settingInvitation, Type: model.TypeBytes, Secret: true, Right: model.RightAdminister, Local: true, Description: "SHA-256 of the invitation's secret."},
		{Name: settingInvitedTill, Type: model.TypeTime, Right: model.RightAdminister, Local: true, Description: "When the invitation ends."},
		{Name: settingAttempt, Type: model.TypeBytes, Secret: true, Right: model.RightAdminister, Local: true, Description: "By which attempt the invitation was redeemed."},
	},
	Variables: []model.Variable{
		{Name: variableState, Type: model.TypeString, Description: "invited, connecting, starting, up, stalled, stale, refused, disabled, revoked."},
		{Name: variableSince, Type: model.TypeTime, Description: "Since when it is in this state."},
		{Name: variableLag, Type: model.TypeDuration, Description: "How long the newest heartbeat took both ways."},
		{Name: variableDetail, Type: model.TypeString, Description: "Why it is in this state."},
		{Name: variableAddress, Type: model.TypeString, Description: "Where the other end of the connection is."},
	},
	Functions: []model.Function{{
		Name: functionRevoke, Right: model.RightAdminister, Idempotent: true, Description: "Ends the link for good; its connections end at once.",
	}},
}

var exportSchema = model.Schema{
	Kind: KindExport, Description: "What is shown over a link, and up to which right it may be acted on.",
	Settings: []model.Setting{
		{Name: settingLink, Type: model.TypeString, Right: model.RightAdminister, Description: "Name of the link."},
		{Name: settingPaths, Type: model.TypeString, Default: model.String("/**"), Right: model.RightAdminister, Description: "Patterns, separated by commas."},
		{Name: settingRight, Type: model.TypeString, Default: model.String("view"), Right: model.RightAdminister, Description: "view, operate, configure or administer."},
		{Name: settingRoot, Type: model.TypeString, Default: model.String("/"), Right: model.RightAdminister, Description: "The path that the other node sees as the root."},
		{Name: settingKinds, Type: model.TypeString, Right: model.RightAdminister, Description: "Only contexts of these kinds, separated by commas; empty is all."},
		{Name: settingExceptKinds, Type: model.TypeString, Right: model.RightAdminister, Description: "No contexts of these kinds."},
		{Name: settingSecrets, Type: model.TypeBool, Default: model.Bool(false), Right: model.RightAdminister, Description: "Whether secret settings can be known of and written."},
		{Name: settingPeople, Type: model.TypeBool, Default: model.Bool(false), Right: model.RightAdminister, Description: "Whether users and roles are shown."},
	},
}

var mountSchema = model.Schema{
	Kind: KindMount, Description: "Where the tree of another node hangs in this one.",
	Settings: []model.Setting{
		{Name: settingLink, Type: model.TypeString, Right: model.RightAdminister, Description: "Name of the link."},
		{Name: settingPath, Type: model.TypeString, Right: model.RightAdminister, Description: "The path; nothing of this node may lie there."},
	},
	Variables: []model.Variable{
		{Name: variableState, Type: model.TypeString, Description: "good, stale, or loop where something was refused since it came from here."},
		{Name: variableSince, Type: model.TypeTime, Description: "Since when it is in this state."},
		{Name: variableMounted, Type: model.TypeInt64, Description: "How many contexts are mounted."},
		{Name: variableDetail, Type: model.TypeString, Description: "Why it is in this state; of a loop its route."},
	},
}

// AddKinds adds the kinds of links.
func (l *links) AddKinds(kinds Kinds) error {
	for _, k := range []struct {
		schema model.Schema
		kind   Kind
	}{
		{linksSchema, Kind{Controller: linkMaker{l}, Fixed: true, Confidential: true}},
		{linkSchema, Kind{Controller: linkKeeper{l}}},
		{exportSchema, Kind{Controller: exportKeeper{l}}},
		{mountSchema, Kind{Controller: mountKeeper{l}}},
	} {
		if err := kinds.Add(k.schema, k.kind); err != nil {
			return err
		}
	}
	l.kinds = kinds
	return nil
}

// linkMaker is the controller of /links.
type linkMaker struct{ *links }

// Check lets the folder be.
func (linkMaker) Check(context.Context, *Proposal) error { return nil }

// Write has nothing to write.
func (linkMaker) Write(ctx context.Context, at *tree.Context, name string, v model.Value) error {
	return passive{}.Write(ctx, at, name, v)
}

// Call invites and joins.
func (m linkMaker) Call(ctx context.Context, _ *tree.Context, function string, arguments []model.Argument, _ access.Principal) ([]model.Argument, error) {
	if function == functionInvite {
		return m.invite(ctx, arguments)
	}
	return m.join(ctx, arguments)
}

// linkKeeper is the controller of links.
type linkKeeper struct{ *links }

// Check lets invitations and joins make links, and people switch and remove them.
func (linkKeeper) Check(_ context.Context, p *Proposal) error {
	if p.Op == OpCreate {
		return &model.Error{Kind: model.KindUnsupported, Detail: "a link is made by inviting another node or by joining it", Remedy: "call /links:invite or /links:join"}
	}
	if p.Op == OpSet {
		for _, fixed := range []string{settingPeer, settingRole, settingRoots, settingInvitation, settingInvitedTill, settingAttempt} {
			if _, given := p.Given(fixed); given {
				return model.Errorf(model.KindUnsupported, "%s is agreed when the link is made", fixed)
			}
		}
		if !p.After(settingRevoked).Bool() && p.At.SettingNamed(settingRevoked).Bool() {
			return &model.Error{Kind: model.KindUnsupported, Detail: "a link that was revoked stays so", Remedy: "remove it and invite the other node again"}
		}
		if v, given := p.Given(settingAddresses); given {
			return checkAddresses(v.Text())
		}
	}
	return nil
}

// Write has nothing to write.
func (linkKeeper) Write(ctx context.Context, at *tree.Context, name string, v model.Value) error {
	return passive{}.Write(ctx, at, name, v)
}

// Call revokes.
func (k linkKeeper) Call(ctx context.Context, at *tree.Context, _ string, _ []model.Argument, _ access.Principal) ([]model.Argument, error) {
	return nil, k.revoke(ctx, at)
}

// exportKeeper is the controller of exports.
type exportKeeper struct{ *links }

// Check refuses what could not be compiled, and a second export of one link.
func (k exportKeeper) Check(_ context.Context, p *Proposal) error {
	if p.Op == OpRemove {
		return nil
	}
	if err := k.checkUsed(p, roleProvider); err != nil {
		return err
	}
	_, _, err := readExport(p.Path.Base(), p.After)
	return err
}

// Write has nothing to write.
func (exportKeeper) Write(ctx context.Context, at *tree.Context, name string, v model.Value) error {
	return passive{}.Write(ctx, at, name, v)
}

// Call has nothing to call.
func (exportKeeper) Call(ctx context.Context, at *tree.Context, f string, a []model.Argument, by access.Principal) ([]model.Argument, error) {
	return passive{}.Call(ctx, at, f, a, by)
}

// mountKeeper is the controller of mounts.
type mountKeeper struct{ *links }

// Check keeps mounts apart from each other and from this node's own contexts.
func (k mountKeeper) Check(_ context.Context, p *Proposal) error {
	if p.Op == OpRemove {
		return nil
	}
	if err := k.checkUsed(p, roleConsumer); err != nil {
		return err
	}
	if _, given := p.Given(settingPath); !given && p.Op == OpSet {
		return nil
	}
	return k.checkMount(p.After(settingPath).Text(), p.Path)
}

// Write has nothing to write.
func (mountKeeper) Write(ctx context.Context, at *tree.Context, name string, v model.Value) error {
	return passive{}.Write(ctx, at, name, v)
}

// Call has nothing to call.
func (mountKeeper) Call(ctx context.Context, at *tree.Context, f string, a []model.Argument, by access.Principal) ([]model.Argument, error) {
	return passive{}.Call(ctx, at, f, a, by)
}

// checkUsed refuses an export or a mount of a link that is not there, is agreed the other way round, or has one already.
func (l *links) checkUsed(p *Proposal, role string) error {
	name := p.After(settingLink).Text()
	at, err := linksPath.Child(name)
	if err != nil {
		return model.Errorf(model.KindInvalid, "setting link: %w", err)
	}
	c, there := l.tree.Lookup(at)
	if !there || c.Schema.Kind != KindLink {
		return &model.Error{Kind: model.KindInvalid, Name: settingLink, Detail: "there is no link called " + name, Remedy: "invite the other node or join it first"}
	}
	if c.SettingNamed(settingRole).Text() != role {
		return model.Errorf(model.KindInvalid, "on link %s this node is the %s", name, c.SettingNamed(settingRole).Text())
	}
	for _, other := range directlyBelow(l.tree, p.Path.Parent()) {
		if other.Path != p.Path && other.SettingNamed(settingLink).Text() == name {
			return model.Errorf(model.KindExists, "link %s has %s already", name, other.Path)
		}
	}
	return nil
}

// checkMount refuses a mount point that is not free. except is the mount that is asked for.
func (l *links) checkMount(text string, except model.Path) error {
	path, err := model.ParsePath(text)
	if err != nil {
		return err
	}
	if path.IsRoot() {
		return &model.Error{Kind: model.KindInvalid, Detail: "the root cannot be a mount point", Remedy: "use a path like /sites/berlin"}
	}
	for _, other := range directlyBelow(l.tree, mountsPath) {
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
	l.tree.Walk(path, nil, func(c *tree.Context) bool {
		if own(c) {
			blocked = c.Path
		}
		return blocked.IsRoot()
	})
	for up := path; blocked.IsRoot() && !up.IsRoot(); up = up.Parent() {
		if c, there := l.tree.Lookup(up); there && own(&c) && c.Schema.Kind != KindFolder {
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
	_, err = access.NewSelection(e, access.Areas{})
	return e, root, err
}
