package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"strconv"
	"strings"
	"time"

	"banyan/fault"
	"banyan/model"
	"banyan/pki"
	"banyan/proto/linkv1"
	"banyan/proto/modelv1"
	"banyan/store"
	"banyan/tree"
)

// given are the arguments of a call by name, text ones without the space around them.
type given map[string]model.Value

func argumentsOf(arguments []model.Argument) given {
	g := make(given, len(arguments))
	for _, a := range arguments {
		g[a.Name] = a.Value
	}
	return g
}

// expires is until when an invitation holds, zero where nothing is said of it.
func (g given) expires(now time.Time) (time.Time, error) {
	holds, there := g["expires"]
	if !there {
		return time.Time{}, nil
	}
	if holds.Duration() <= 0 {
		return time.Time{}, &model.Error{
			Kind: model.KindInvalid, Detail: "an invitation that holds for " + holds.Duration().String() + " is over before anybody has it",
			Remedy: "give a length of time above zero, like 15m, or none for 15 minutes",
		}
	}
	return now.Add(holds.Duration()), nil
}

func (g given) text(name, otherwise string) string {
	if text := strings.TrimSpace(g[name].Text()); text != "" {
		return text
	}
	return otherwise
}

// invite makes a link that nobody has joined yet, with what this node gives, and the token by which another node joins it.
func (l *links) invite(ctx context.Context, arguments []model.Argument, by string) ([]model.Argument, error) {
	g := argumentsOf(arguments)
	name := g.text("name", "")
	path, err := linksPath.Child(name)
	if err != nil {
		return nil, model.Errorf(model.KindInvalid, "name of the link: %w", err)
	}
	role, dials := g.text("role", ""), g.text("dials", "joiner")
	if role != roleConsumer && role != roleProvider {
		return nil, model.Errorf(model.KindInvalid, "role %q: this node is consumer or provider", role)
	}
	if dials != "joiner" && dials != "inviter" {
		return nil, model.Errorf(model.KindInvalid, "dials %q: joiner or inviter opens the connections", dials)
	}
	addresses := g.text("addresses", l.node.LinksAddress())
	if err := checkAddresses(addresses); err != nil {
		return nil, err
	}
	now := l.node.cfg.Now()
	token := pki.Token{Addresses: splitList(addresses), Node: l.self.Node, JoinDials: dials == "joiner", Inviter: pki.RoleProvider}
	if role == roleConsumer {
		token.Inviter = pki.RoleConsumer
	}
	if token.Expires, err = g.expires(now); err != nil {
		return nil, err
	}
	if token, err = pki.NewToken(token, now); err != nil {
		return nil, err
	}
	_, proxy, err := proxyGiven(g)
	if err != nil {
		return nil, err
	}
	if len(proxy) > 0 && token.JoinDials {
		return nil, &model.Error{Kind: model.KindInvalid, Detail: "a proxy is for the node that dials, which is the joining one here", Remedy: "give it to `banyan join`, or let this node dial"}
	}
	hash := token.Secret.Hash()
	commit := l.linkCommit(path, append(proxy,
		store.Setting{Name: settingRole, Value: model.String(role)}, store.Setting{Name: settingDials, Value: model.Bool(dials == "inviter")},
		store.Setting{Name: settingInvitation, Value: model.Bytes(hash[:])},
		store.Setting{Name: settingInvitedTill, Value: model.Instant(model.TimeOf(token.Expires))},
		store.Setting{Name: settingInvitedBy, Value: model.String(by)},
	))
	if err := l.addSide(&commit, role, name, g); err != nil {
		return nil, err
	}
	if _, err := l.commits.Do(ctx, commit); err != nil {
		return nil, err
	}
	return []model.Argument{
		{Name: "token", Value: model.String(token.Reveal())}, {Name: "expires", Value: model.Instant(model.TimeOf(token.Expires))},
	}, nil
}

// linkCommit makes a link.
func (l *links) linkCommit(path model.Path, settings []store.Setting) store.Commit {
	schema := l.kinds[KindLink].Schema
	return store.Commit{Changes: []store.Change{
		store.PutSchema{Schema: schema},
		store.Create{ID: l.commits.NewID(), Path: path, Schema: schema.Hash, Settings: settings},
	}}
}

// checkSide refuses what is the other side's to say. Passed over, a right that was given would be believed to be granted.
func checkSide(role string, g given) error {
	others := []string{"mount"}
	if role == roleConsumer {
		others = []string{"paths", "right"}
	}
	for _, other := range others {
		if g.text(other, "") != "" {
			return &model.Error{Kind: model.KindInvalid, Detail: other + " is not this node's to give: on this link it is the " + role, Remedy: "leave it out; the other node says it"}
		}
	}
	return nil
}

// addSide adds what this node gives or takes over the link: an export or a mount.
func (l *links) addSide(commit *store.Commit, role, name string, g given) error {
	if err := checkSide(role, g); err != nil {
		return err
	}
	if err := l.checkLeft(role, name); err != nil {
		return err
	}
	if role == roleConsumer {
		point := g.text("mount", "")
		if point == "" {
			return &model.Error{Kind: model.KindInvalid, Detail: "a consumer needs a mount point", Remedy: "give mount, like /sites/" + name}
		}
		path, _ := mountsPath.Child(name)
		if err := checkMount(l.tree, point, path); err != nil {
			return err
		}
		hangs, err := model.ParsePath(point)
		if err != nil {
			return err
		}
		if err := l.checkEnrol(hangs); err != nil {
			return err
		}
		l.addContext(commit, KindMount, path, []store.Setting{
			{Name: settingLink, Value: model.String(name)}, {Name: settingPath, Value: model.String(point)},
		})
		return nil
	}
	settings := map[string]model.Value{
		settingLinks: model.String(name), settingPaths: model.String(g.text("paths", "/**")), settingRight: model.String(g.text("right", "view")),
	}
	schema := l.kinds[KindExport].Schema
	_, _, err := readExport(name, func(setting string) model.Value {
		if v, set := settings[setting]; set {
			return v
		}
		return schema.Settings[schema.SettingIndex(setting)].Default
	})
	if err != nil {
		return err
	}
	var list []store.Setting
	for setting, v := range settings {
		list = append(list, store.Setting{Name: setting, Value: v})
	}
	path, _ := exportsPath.Child(name)
	l.addContext(commit, KindExport, path, list)
	return nil
}

// checkLeft refuses a name for which an earlier link left its export or its mount: that would hold for the new link as well.
func (l *links) checkLeft(role, name string) error {
	left := exportsOf(l.tree, name)
	if role == roleConsumer {
		left = mountsOf(l.tree, name)
	}
	if len(left) > 0 {
		return &model.Error{
			Kind: model.KindExists, Detail: left[0].Path.String() + " is of a link called " + name + " already",
			Remedy: "remove it first, or give another name",
		}
	}
	return nil
}

// checkSecond refuses a second link of one role with one node: by its certificate alone nobody could tell which of the two it speaks over, and what
// is granted for one would be used for the other. except is the link that is asked for.
func (l *links) checkSecond(peer model.NodeID, role string, except model.Path) error {
	for _, c := range directlyBelow(l.tree, linksPath) {
		of := c.SettingNamed(settingPeer).Text() == peer.String() && c.SettingNamed(settingRole).Text() == role
		if of && c.Path != except && !c.SettingNamed(settingRevoked).Bool() {
			return &model.Error{
				Kind: model.KindExists, Node: l.self.Name, Detail: l.self.Name + " is linked with that node already, by its link " + c.Path.Base(),
				Remedy: "change what it shows or where it is mounted, or remove it first",
			}
		}
	}
	return nil
}

func (l *links) addContext(commit *store.Commit, kind string, path model.Path, settings []store.Setting) {
	schema := l.kinds[kind].Schema
	commit.Changes = append(commit.Changes,
		store.PutSchema{Schema: schema}, store.Create{ID: l.commits.NewID(), Path: path, Schema: schema.Hash, Settings: settings})
}

// joining says whether anybody may join: nobody is heard where nobody was ever invited.
func (l *links) joining() error {
	if l.recoveries.any(l.node.cfg.Now()) {
		return nil
	}
	for _, c := range directlyBelow(l.tree, linksPath) {
		if c.SettingNamed(settingInvitedTill).Time() != 0 {
			return nil
		}
	}
	return pki.Refuse(pki.InvitationForeign, "nobody is invited")
}

// redeemTries is how often a redemption looks again after somebody else changed the link meanwhile.
const redeemTries = 3

// redeem lets a node join by an invitation, and notes who was refused and why.
func (l *links) redeem(ctx context.Context, candidate pki.Peer, request *linkv1.RedeemRequest) (*linkv1.RedeemResponse, error) {
	response, err := l.redeemOnce(ctx, candidate, request)
	if err != nil {
		l.log.Warn("an invitation was not redeemed", "node", candidate.Node.Short(), "address", candidate.Address, "error", err)
		l.node.audit.refused(ctx, joinRow(candidate, request, failedText(err)))
	}
	return response, err
}

// redeemOnce takes an invitation: once, and again for the same node and the same attempt, whose answer may have been lost.
func (l *links) redeemOnce(ctx context.Context, candidate pki.Peer, request *linkv1.RedeemRequest) (*linkv1.RedeemResponse, error) {
	if err := model.CheckSegment(request.GetName()); err != nil {
		return nil, model.Errorf(model.KindInvalid, "name of the joining node: %w", err)
	}
	if len(request.GetAttempt()) != sha256.Size {
		return nil, model.Errorf(model.KindInvalid, "an attempt has %d bytes", sha256.Size)
	}
	if err := checkAddresses(strings.Join(request.GetAddresses(), ",")); err != nil {
		return nil, err
	}
	for range redeemTries {
		c, err := l.invited(ctx, request.GetSecret())
		if err != nil {
			return nil, err
		}
		peer := c.SettingNamed(settingPeer).Text()
		used, err := l.used(ctx, &c)
		if err != nil {
			return nil, err
		}
		if used && !fault.Planted(fault.InvitationTwice) {
			return l.redeemedBefore(ctx, &c, peer, candidate, request)
		}
		if l.node.cfg.Now().After(c.SettingNamed(settingInvitedTill).Time().Std()) {
			return nil, pki.Refuse(pki.InvitationExpired, "the invitation expired at "+c.SettingNamed(settingInvitedTill).Time().String())
		}
		if peer != "" && !used {
			err = l.redeemAgain(ctx, &c, candidate, request)
		} else {
			err = l.redeemLink(ctx, &c, candidate, request)
		}
		if model.KindOf(err) == model.KindConflict {
			continue
		}
		if err != nil {
			return nil, err
		}
		l.settle(ctx)
		l.log.Info("a node joined", "link", c.Path.Base(), "node", candidate.Node.Short(), "name", request.GetName(), "address", candidate.Address)
		return l.redeemed(&c), nil
	}
	return nil, pki.Refuse(pki.InvitationUsed, "the invitation was used already")
}

// redeemLink is one redemption at a time, so that one node that comes with two invitations gets one link.
func (l *links) redeemLink(ctx context.Context, c *tree.Context, candidate pki.Peer, request *linkv1.RedeemRequest) error {
	l.redeeming.Lock()
	defer l.redeeming.Unlock()
	if err := l.checkSecond(candidate.Node, c.SettingNamed(settingRole).Text(), c.Path); err != nil {
		return err
	}
	if err := l.checkKnown(candidate); err != nil {
		return err
	}
	if roleOf(c) == pki.RoleConsumer {
		if err := l.checkRevoked(candidate.Node); err != nil {
			return err
		}
	}
	return l.commitRedeemed(ctx, c, candidate, request)
}

func (l *links) commitRedeemed(ctx context.Context, c *tree.Context, candidate pki.Peer, request *linkv1.RedeemRequest) error {
	settings := []store.Setting{
		{Name: settingPeer, Value: model.String(candidate.Node.String())}, {Name: settingPeerName, Value: model.String(request.GetName())},
		{Name: settingRoots, Value: model.Bytes(candidate.Root.Raw)}, {Name: settingAttempt, Value: model.Bytes(request.GetAttempt())},
		{Name: settingAddresses, Value: model.String(strings.Join(request.GetAddresses(), ","))},
	}
	set := store.Set{Target: store.ByID(c.ID), Settings: settings, Expected: c.Version}
	if fault.Planted(fault.InvitationTwice) {
		set.Expected = model.Revision{}
	}
	row := joinRow(candidate, request, outcomeDone)
	row.Path = c.Path.String()
	_, err := l.commits.Do(ctx, store.Commit{Changes: []store.Change{row, set}})
	return err
}

// joinRow tells of a node that presents an invitation. What it calls itself is its word.
func joinRow(candidate pki.Peer, request *linkv1.RedeemRequest, outcome string) store.Audit {
	return store.Audit{
		Who: auditText("node " + candidate.Node.Short()), From: auditText(candidate.Address), Operation: "join",
		What: auditText("calls itself " + clip(request.GetName(), mostShown)), Outcome: auditText(outcome),
	}
}

// invited finds the link that a secret invites to.
func (l *links) invited(ctx context.Context, presented []byte) (tree.Context, error) {
	for _, c := range directlyBelow(l.tree, linksPath) {
		if c.SettingNamed(settingInvitedTill).Time() == 0 {
			continue
		}
		kept, err := l.store.Secret(ctx, c.ID, settingInvitation)
		if err != nil {
			return tree.Context{}, err
		}
		var hash pki.SecretHash
		if copy(hash[:], kept.Bytes()) == len(hash) && hash.Matches(presented) {
			return c, nil
		}
	}
	return tree.Context{}, pki.Refuse(pki.InvitationForeign, "the invitation was not made here, or was withdrawn")
}

// redeemedBefore answers again whoever redeemed by this attempt, and refuses everybody else.
func (l *links) redeemedBefore(ctx context.Context, c *tree.Context, used string, candidate pki.Peer, request *linkv1.RedeemRequest) (*linkv1.RedeemResponse, error) {
	attempt, err := l.store.Secret(ctx, c.ID, settingAttempt)
	if err != nil {
		return nil, err
	}
	if used == candidate.Node.String() && subtle.ConstantTimeCompare(attempt.Bytes(), request.GetAttempt()) == 1 {
		return l.redeemed(c), nil
	}
	return nil, pki.Refuse(pki.InvitationUsed, "the invitation was used already")
}

func (l *links) redeemed(c *tree.Context) *linkv1.RedeemResponse {
	response := &linkv1.RedeemResponse{Link: c.Path.Base(), Name: l.self.Name, Roots: [][]byte{l.node.authority.Root().Raw}}
	if e, there := exportFor(l.tree, c.Path.Base(), ""); there {
		if export, root, err := readExport(e.Path.Base(), e.SettingNamed); err == nil {
			response.Terms = &linkv1.ExportTerms{Right: modelv1.Right(export.Right), Root: root.String()}
			for _, p := range export.Paths {
				response.Terms.Patterns = append(response.Terms.Patterns, p.String())
			}
		}
	}
	return response
}

// join redeems an invitation of another node and makes this node's side of the link.
func (l *links) join(ctx context.Context, arguments []model.Argument) ([]model.Argument, error) {
	g := argumentsOf(arguments)
	token, err := pki.ParseToken(g["token"].Text())
	if err != nil {
		return nil, err
	}
	if token.Recovery {
		return nil, &model.Error{Kind: model.KindInvalid, Detail: "this is a recovery token, not an invitation", Remedy: "use it with `banyan restore`, on the new machine"}
	}
	if err := token.CheckExpiry(l.node.cfg.Now()); err != nil {
		return nil, err
	}
	if token.Again {
		return l.joinAgain(ctx, token, g)
	}
	if token.Node == l.self.Node {
		return nil, &model.Error{Kind: model.KindInvalid, Node: l.self.Name, Detail: "this invitation was made here, for another node", Remedy: "run `banyan join` at the other node"}
	}
	role := roleConsumer
	if token.Inviter == pki.RoleConsumer {
		role = roleProvider
	}
	addresses := ""
	if !token.JoinDials {
		addresses = g.text("addresses", l.node.LinksAddress())
	}
	secret := token.Secret.Reveal()
	attempt := sha256.Sum256(append(append([]byte("attempt"), l.self.Node[:]...), secret...))
	if c, there, err := l.joinedBefore(ctx, attempt[:]); err != nil || there {
		return []model.Argument{
			{Name: "link", Value: model.String(c.Path.Base())}, {Name: "peer", Value: c.SettingNamed(settingPeerName)},
		}, err
	}
	// What can be refused here is refused before the invitation is used.
	if err := l.checkSecond(token.Node, role, model.Root); err != nil {
		return nil, err
	}
	if err := l.checkJoin(role, g); err != nil {
		return nil, err
	}
	proxy, settings, err := proxyGiven(g)
	if err != nil {
		return nil, err
	}
	request := &linkv1.RedeemRequest{
		Secret: secret, Name: l.self.Name, Roots: [][]byte{l.node.authority.Root().Raw}, Attempt: attempt[:], Addresses: splitList(addresses),
	}
	response, who, _, err := l.hub.Join(ctx, token, proxy, request)
	if err != nil {
		return nil, err
	}
	if err := model.CheckSegment(response.GetName()); err != nil {
		return nil, err
	}
	name := l.freeName(g.text("name", response.GetName()))
	path, err := linksPath.Child(name)
	if err != nil {
		return nil, err
	}
	commit := l.linkCommit(path, append(settings,
		store.Setting{Name: settingRole, Value: model.String(role)}, store.Setting{Name: settingDials, Value: model.Bool(token.JoinDials)},
		store.Setting{Name: settingAddresses, Value: model.String(strings.Join(token.Addresses, ","))},
		store.Setting{Name: settingPeer, Value: model.String(who.Node.String())}, store.Setting{Name: settingPeerName, Value: model.String(response.GetName())},
		store.Setting{Name: settingRoots, Value: model.Bytes(who.Root.Raw)}, store.Setting{Name: settingAttempt, Value: model.Bytes(attempt[:])},
	))
	if err := l.addSide(&commit, role, name, g); err != nil {
		return nil, err
	}
	if _, err := l.commits.Do(ctx, commit); err != nil {
		return nil, err
	}
	return []model.Argument{{Name: "link", Value: model.String(name)}, {Name: "peer", Value: model.String(response.GetName())}}, nil
}

// joinedBefore finds the link that this node made by the same invitation, where the answer was lost or somebody pastes it twice.
func (l *links) joinedBefore(ctx context.Context, attempt []byte) (tree.Context, bool, error) {
	for _, c := range directlyBelow(l.tree, linksPath) {
		if c.Schema.Kind != KindLink || c.SettingNamed(settingInvitedTill).Time() != 0 {
			continue
		}
		kept, err := l.store.Secret(ctx, c.ID, settingAttempt)
		if err != nil {
			return tree.Context{}, false, err
		}
		if subtle.ConstantTimeCompare(kept.Bytes(), attempt) == 1 {
			return c, true, nil
		}
	}
	return tree.Context{}, false, nil
}

func (l *links) checkJoin(role string, g given) error {
	trial := store.Commit{}
	name := g.text("name", "trial")
	path, err := linksPath.Child(name)
	if err != nil {
		return err
	}
	if _, there := l.tree.Lookup(path); there && g.text("name", "") != "" {
		return &model.Error{Kind: model.KindExists, Detail: "there is a link called " + name + " already", Remedy: "give another name"}
	}
	return l.addSide(&trial, role, name, g)
}

// freeName is name, or name with a number behind it where it is taken.
func (l *links) freeName(name string) string {
	free := name
	for n := 2; ; n++ {
		taken := false
		for _, folder := range []model.Path{linksPath, exportsPath, mountsPath} {
			if path, err := folder.Child(free); err == nil {
				_, there := l.tree.Lookup(path)
				taken = taken || there
			}
		}
		taken = taken || l.checkLeft(roleConsumer, free) != nil || l.checkLeft(roleProvider, free) != nil
		if !taken {
			return free
		}
		free = name + "-" + strconv.Itoa(n)
	}
}
