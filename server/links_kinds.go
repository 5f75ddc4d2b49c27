package server

import (
	"slices"

	"banyan/model"
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
	settingInvitedBy   = "invitation_by"
	settingAttempt     = "invitation_attempt"
	settingLink        = "link"
	settingLinks       = "links"
	settingExport      = "export"
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

	variableAsOf       = "true_as_of"
	variableLagChanges = "lag_changes"
	variableLagSamples = "lag_samples"

	variableSkew      = "skew"
	variableRoute     = "route"
	variableProblem   = "last_problem"
	variableProblemAt = "last_problem_at"

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
	Settings: linksSettings,
	Functions: slices.Concat(invitationFunctions, nodeFunctions, []model.Function{
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
				proxyParameters[0], proxyParameters[1], proxyParameters[2],
			},
			Results: []model.Field{
				{Name: "token", Type: model.TypeString, Secret: true, Description: "To be pasted at the other node. It is shown once."},
				{Name: "expires", Type: model.TypeTime, Description: "When it ends."},
			}},
		{Name: functionJoin, Right: model.RightAdminister, Local: true,
			Description: "Redeems an invitation of another node.",
			Parameters: []model.Field{
				{Name: "token", Type: model.TypeString, Secret: true, Description: "The invitation."},
				{Name: "name", Type: model.TypeString, Optional: true, Description: "Of the link here, by default the other node's name."},
				{Name: "paths", Type: model.TypeString, Optional: true, Description: "As provider: patterns of what is shown, by default /**."},
				{Name: "right", Type: model.TypeString, Optional: true, Description: "As provider: the highest right that is granted, by default view."},
				{Name: "mount", Type: model.TypeString, Optional: true, Description: "As consumer: where the other's tree is to hang."},
				{Name: "addresses", Type: model.TypeString, Optional: true, Description: "Where this node is reached, where the inviter dials."},
				proxyParameters[0], proxyParameters[1], proxyParameters[2],
			},
			Results: []model.Field{
				{Name: "link", Type: model.TypeString, Description: "Name of the link here."},
				{Name: "peer", Type: model.TypeString, Description: "Name of the other node."},
			}},
	}),
}

var linkSchema = model.Schema{
	Kind: KindLink, Description: "A link to another node.",
	Settings: slices.Concat([]model.Setting{
		{Name: settingPeer, Type: model.TypeString, Right: model.RightAdminister, Local: true, Description: "ID of the other node; empty while nobody has joined."},
		{Name: settingPeerName, Type: model.TypeString, Right: model.RightAdminister, Description: "What this node calls the other one."},
		{Name: settingRole, Type: model.TypeString, Right: model.RightAdminister, Local: true, Description: "This node's part: consumer or provider."},
		{Name: settingDials, Type: model.TypeBool, Right: model.RightAdminister, Description: "Whether this node opens the connections."},
		{Name: settingAddresses, Type: model.TypeString, Right: model.RightAdminister, Description: "Where the other node is reached, host:port separated by commas, the preferred one first."},
		proxySettings[0], proxySettings[1], proxySettings[2],
		{Name: settingEnabled, Type: model.TypeBool, Default: model.Bool(true), Right: model.RightAdminister, Description: "False ends the link until it is true again."},
		{Name: settingRevoked, Type: model.TypeBool, Default: model.Bool(false), Right: model.RightAdminister, Description: "True ends the link for good."},
		{Name: settingRoots, Type: model.TypeBytes, Right: model.RightAdminister, Local: true, Description: "The root certificate that is pinned for the other node, DER."},
		{Name: settingInvitation, Type: model.TypeBytes, Secret: true, Right: model.RightAdminister, Local: true, Description: "SHA-256 of the invitation's secret."},
		{Name: settingInvitedTill, Type: model.TypeTime, Right: model.RightAdminister, Local: true, Description: "When the invitation ends."},
		{Name: settingInvitedBy, Type: model.TypeString, Right: model.RightAdminister, Local: true, Description: "Who made the invitation."},
		{Name: settingAttempt, Type: model.TypeBytes, Secret: true, Right: model.RightAdminister, Local: true, Description: "By which attempt the invitation was redeemed."},
	}, []model.Setting{beatSetting}, keepSettings, lifeSettings),
	Variables: slices.Concat([]model.Variable{
		{Name: variableState, Type: model.TypeString, Description: "invited, connecting, starting, up, partial (some of what it carries is not up), idle (it carries nothing), stalled, stale, refused, withdrawn, disabled, revoked."},
		{Name: variableSince, Type: model.TypeTime, Description: "Since when it is in this state."},
		{Name: variableLag, Type: model.TypeDuration, Description: "How long the newest heartbeat took both ways."},
		{Name: variableSkew, Type: model.TypeDuration, Description: "How far the other node's clock is ahead of this one's, negative for behind."},
		{Name: variableDetail, Type: model.TypeString, Description: "Why it is in this state."},
		{Name: variableAddress, Type: model.TypeString, Description: "Where the other end of the connection is."},
		{Name: variableRoute, Type: model.TypeString, Description: "How this node dialled it: the address, and the proxy."},
		{Name: variableProblem, Type: model.TypeString, Description: "Why there was no connection the last time that there was none."},
		{Name: variableProblemAt, Type: model.TypeTime, Description: "When that was."},
	}, []model.Variable{detectionVariable}, bytesVariables, keepVariables, lifeVariables, rehearsalVariables),
	Functions: slices.Concat([]model.Function{{
		Name: functionRevoke, Right: model.RightAdminister, Idempotent: true, Description: "Ends the link for good; its connections end at once.",
	}, recoverFunction, readmitFunction, inviteAgainFunction, explainLinkFunction}, rehearsalFunctions),
}

var exportSchema = model.Schema{
	Kind: KindExport, Description: "What is shown over a link, and up to which right it may be acted on.",
	Settings: slices.Concat([]model.Setting{
		{Name: settingLinks, Type: model.TypeString, Right: model.RightAdminister, Description: "Names of the links over which it is shown, separated by commas."},
		{Name: settingPaths, Type: model.TypeString, Default: model.String("/**"), Right: model.RightAdminister, Description: "Patterns, separated by commas."},
		{Name: settingRight, Type: model.TypeString, Default: model.String("view"), Right: model.RightAdminister, Description: "view, operate, configure or administer."},
		{Name: settingRoot, Type: model.TypeString, Default: model.String("/"), Right: model.RightAdminister, Description: "The path that the other node sees as the root."},
		{Name: settingKinds, Type: model.TypeString, Right: model.RightAdminister, Description: "Only contexts of these kinds, separated by commas; empty is all."},
		{Name: settingExceptKinds, Type: model.TypeString, Right: model.RightAdminister, Description: "No contexts of these kinds."},
		{Name: settingSecrets, Type: model.TypeBool, Default: model.Bool(false), Right: model.RightAdminister, Description: "Whether secret settings can be known of and written."},
		{Name: settingPeople, Type: model.TypeBool, Default: model.Bool(false), Right: model.RightAdminister, Description: "Whether users and roles are shown."},
	}, entitySettings),
	Functions: []model.Function{previewFunction},
}

var mountSchema = model.Schema{
	Kind: KindMount, Description: "Where the tree of another node hangs in this one.",
	Settings: slices.Concat([]model.Setting{
		{Name: settingLink, Type: model.TypeString, Right: model.RightAdminister, Description: "Name of the link."},
		{Name: settingExport, Type: model.TypeString, Right: model.RightAdminister, Description: "Name of what the other node shows; empty is the only one, or the one that the link was made with."},
		{Name: settingPath, Type: model.TypeString, Right: model.RightAdminister, Description: "The path; nothing of this node may lie there."},
		paceSettings[0], paceSettings[1], memorySetting,
	}, permitSettings),
	Variables: []model.Variable{
		{Name: variableState, Type: model.TypeString, Description: "good, stale, withdrawn where the other node shows it no more, refused, or loop where something was refused since it came from here."},
		{Name: variableSince, Type: model.TypeTime, Description: "Since when it is in this state."},
		{Name: variableMounted, Type: model.TypeInt64, Description: "How many contexts are mounted."},
		{Name: variableDetail, Type: model.TypeString, Description: "Why it is in this state; of a loop its route."},
		{Name: variableAsOf, Type: model.TypeTime, Description: "What is mounted was true then, as far as the link to the other node goes."},
		{Name: variableLagChanges, Type: model.TypeDuration, Description: "For how long contexts and settings are missing that were told."},
		{Name: variableLagSamples, Type: model.TypeDuration, Description: "For how long samples are missing that were told."},
		wantedVariable,
		{Name: variableRefused, Type: model.TypeString, Description: "Nodes behind the other one that are not taken, and why."},
	},
}

// AddKinds adds the kinds of links.
func (l *links) AddKinds(kinds Kinds) error {
	for _, k := range []struct {
		schema model.Schema
		kind   Kind
	}{
		{linksSchema, Kind{Controller: linkMaker{l}, Fixed: true, Confidential: true, Shows: map[string]bool{functionInvitations: true, functionNodes: true}}},
		{linkSchema, Kind{Controller: linkKeeper{l}, Confidential: true, Shows: map[string]bool{functionKeepRehearsing: true, functionExplainLink: true}}},
		{exportSchema, Kind{Controller: exportKeeper{l}, Shows: map[string]bool{functionPreview: true}}},
		{mountSchema, Kind{Controller: mountKeeper{l}}},
	} {
		if err := kinds.Add(k.schema, k.kind); err != nil {
			return err
		}
	}
	l.kinds = kinds
	return nil
}
