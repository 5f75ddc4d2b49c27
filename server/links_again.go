package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"banyan/model"
	"banyan/pki"
	"banyan/proto/linkv1"
	"banyan/store"
	"banyan/tree"
)

const functionInviteAgain = "invite_again"

// inviteAgainFunction is how a node comes back whose root has expired, or that knows another root of this one than the one in use.
var inviteAgainFunction = model.Function{
	Name: functionInviteAgain, Right: model.RightAdminister, Local: true,
	Description: "Makes an invitation to this link for the node that it is with: by joining, both pin each other's roots anew. Everything that is set stays.",
	Parameters: []model.Field{
		{Name: "expires", Type: model.TypeDuration, Optional: true, Description: "How long the invitation holds, by default 15m."},
		{Name: "addresses", Type: model.TypeString, Optional: true, Description: "Where this node is reached, host:port separated by commas; by default where it listens."},
	},
	Results: []model.Field{
		{Name: "token", Type: model.TypeString, Secret: true, Description: "To be pasted at the other node. It is shown once."},
		{Name: "expires", Type: model.TypeTime, Description: "When it ends."},
	},
}

// inviteAgain makes an invitation to a link that is there. An earlier one that nobody used ends by it.
func (l *links) inviteAgain(ctx context.Context, at *tree.Context, g given, by string) ([]model.Argument, error) {
	switch {
	case at.SettingNamed(settingPeer).Text() == "":
		return nil, &model.Error{Kind: model.KindUnsupported, Detail: "nobody has joined this link yet", Remedy: "remove it, and invite the other node anew"}
	case at.SettingNamed(settingRevoked).Bool():
		return nil, &model.Error{Kind: model.KindUnsupported, Detail: "the link was revoked", Remedy: "remove it, and invite the other node anew"}
	}
	addresses := g.text("addresses", l.node.LinksAddress())
	if err := checkAddresses(addresses); err != nil {
		return nil, err
	}
	now := l.node.cfg.Now()
	token := pki.Token{
		Addresses: splitList(addresses), Node: l.self.Node, JoinDials: !at.SettingNamed(settingDials).Bool(), Inviter: roleOf(at), Again: true,
	}
	var err error
	if token.Expires, err = g.expires(now); err != nil {
		return nil, err
	}
	if token, err = pki.NewToken(token, now); err != nil {
		return nil, err
	}
	hash := token.Secret.Hash()
	if _, err := l.commits.Do(ctx, store.Commit{Changes: []store.Change{store.Set{Target: store.ByID(at.ID), Settings: []store.Setting{
		{Name: settingInvitation, Value: model.Bytes(hash[:])}, {Name: settingInvitedTill, Value: model.Instant(model.TimeOf(token.Expires))},
		{Name: settingInvitedBy, Value: model.String(by)}, {Name: settingAttempt, Value: model.Value{}},
	}}}}); err != nil {
		return nil, err
	}
	return []model.Argument{
		{Name: "token", Value: model.String(token.Reveal())}, {Name: "expires", Value: model.Instant(model.TimeOf(token.Expires))},
	}, nil
}

// used reports whether an invitation was redeemed.
func (l *links) used(ctx context.Context, c *tree.Context) (bool, error) {
	attempt, err := l.store.Secret(ctx, c.ID, settingAttempt)
	return len(attempt.Bytes()) > 0, err
}

// redeemAgain pins the root of the node that a link is with anew. The secret says that it is meant; the ID says that nobody else is.
func (l *links) redeemAgain(ctx context.Context, c *tree.Context, candidate pki.Peer, request *linkv1.RedeemRequest) error {
	l.redeeming.Lock()
	defer l.redeeming.Unlock()
	if c.SettingNamed(settingPeer).Text() != candidate.Node.String() {
		return pki.Refuse(pki.InvitationForeign, "the invitation is for the node that link "+c.Path.Base()+" is with, which is another one")
	}
	row := joinRow(candidate, request, outcomeDone)
	row.Path = c.Path.String()
	return l.renew(ctx, row, c, candidate, []store.Setting{{Name: settingAttempt, Value: model.Bytes(request.GetAttempt())}}, c.Version)
}

// renew pins a root for the node of a link, at all links with it, and forgets which of its lives were given up: who comes by an invitation is the one.
func (l *links) renew(ctx context.Context, row store.Audit, c *tree.Context, peer pki.Peer, settings []store.Setting, expected model.Revision) error {
	l.pinning.Lock()
	defer l.pinning.Unlock()
	row.What = auditText(strings.TrimPrefix(row.What+", its root "+pki.Fingerprint(peer.Root).Short()+" pinned anew", ", "))
	settings = append(settings, store.Setting{Name: settingPeerRestores}, store.Setting{Name: settingPeerLeft}, store.Setting{Name: settingPeerEpoch})
	if err := l.pin(ctx, row, peer.Node, peer.Root, store.Set{Target: store.ByID(c.ID), Settings: settings, Expected: expected}); err != nil {
		return err
	}
	l.mu.Lock()
	l.readmitted[c.Path.Base()] = l.node.cfg.Now().Add(readmitFor)
	l.mu.Unlock()
	l.publishValues(c, map[string]model.Value{variableClone: model.String("")})
	return nil
}

// joinAgain redeems an invitation to a link that is there.
func (l *links) joinAgain(ctx context.Context, token pki.Token, g given) ([]model.Argument, error) {
	for _, other := range []string{"name", "mount", "paths", "right"} {
		if g.text(other, "") != "" {
			return nil, &model.Error{Kind: model.KindInvalid, Detail: "the invitation renews a link that is there, which keeps its " + other, Remedy: "leave it out; set it afterwards where it is to change"}
		}
	}
	c, there := l.linkWith(token.Node, token.Inviter.Other())
	if !there {
		return nil, &model.Error{
			Kind: model.KindNotFound, Detail: "the invitation renews a link, and this node has none with the node " + token.Node.Short(),
			Remedy: "ask for an invitation to a new link, after the other node has removed this one",
		}
	}
	secret := token.Secret.Reveal()
	attempt := sha256.Sum256(append(append([]byte("attempt"), l.self.Node[:]...), secret...))
	result := []model.Argument{{Name: "link", Value: model.String(c.Path.Base())}, {Name: "peer", Value: c.SettingNamed(settingPeerName)}}
	if kept, err := l.store.Secret(ctx, c.ID, settingAttempt); err != nil || subtle.ConstantTimeCompare(kept.Bytes(), attempt[:]) == 1 {
		return result, err
	}
	proxy, _, err := proxyGiven(g)
	if err != nil {
		return nil, err
	}
	if proxy.URL == "" {
		proxy = l.proxyOf(ctx, &c)
	}
	response, who, address, err := l.hub.Join(ctx, token, proxy, &linkv1.RedeemRequest{
		Secret: secret, Name: l.self.Name, Roots: [][]byte{l.node.authority.Root().Raw}, Attempt: attempt[:],
	})
	if err != nil {
		return nil, err
	}
	// The other end has taken this node's certificate by its own clock, and has pinned the root.
	if l.node.authority.IsProvisional() {
		if err := l.node.succeedRoot(ctx, "banyan", "joining "+address+" by an invitation"); err != nil {
			return nil, err
		}
	}
	row := store.Audit{
		Who: auditText("node " + who.Node.Short()), From: auditText(address), Operation: "join", Path: c.Path.String(),
		What: auditText("calls itself " + clip(response.GetName(), mostShown)), Outcome: outcomeDone,
	}
	if err := l.renew(ctx, row, &c, who, []store.Setting{{Name: settingAttempt, Value: model.Bytes(attempt[:])}}, model.Revision{}); err != nil {
		return nil, err
	}
	l.hub.Reconnect()
	return result, nil
}

// linkWith is the link with a node in which this one has a role, and that may be used.
func (l *links) linkWith(peer model.NodeID, role pki.Role) (tree.Context, bool) {
	for _, c := range directlyBelow(l.tree, linksPath) {
		if c.Schema.Kind == KindLink && c.SettingNamed(settingPeer).Text() == peer.String() && roleOf(&c) == role && !c.SettingNamed(settingRevoked).Bool() {
			return c, true
		}
	}
	return tree.Context{}, false
}

// checkKnown refuses a candidate that shows another root than the one that is pinned for its ID at another link: an old key of a node that is linked
// would get in by an invitation that is for anybody.
func (l *links) checkKnown(candidate pki.Peer) error {
	l.mu.RLock()
	known := len(l.roots[candidate.Node]) > 0
	l.mu.RUnlock()
	if !known || l.pinned(candidate.Node, candidate.Root) {
		return nil
	}
	return pki.Refuse(pki.WrongFingerprint, "a node with that ID is linked already, by another root")
}
