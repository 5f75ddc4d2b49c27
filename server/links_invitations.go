package server

import (
	"context"
	"time"

	"banyan/model"
	"banyan/store"
	"banyan/tree"
)

const (
	functionInvitations = "invitations"
	functionWithdraw    = "withdraw"

	// keepExpired is how long a link is kept that nobody has joined after its invitation has expired.
	keepExpired = 24 * time.Hour
)

var invitationFunctions = []model.Function{
	{Name: functionInvitations, Right: model.RightAdminister, Idempotent: true,
		Description: "The invitations that were made here: open ones, and for a day those that expired; of a link that was joined the one by which it was.",
		Results:     []model.Field{{Name: "invitations", Type: model.TypeTable, Description: "Each with its link, who made it, until when it holds and what became of it."}}},
	{Name: functionWithdraw, Right: model.RightAdminister, Local: true, Idempotent: true,
		Description: "Ends an invitation that nobody has used. The link that was made with it goes too; one that was there before stays.",
		Parameters:  []model.Field{{Name: "name", Type: model.TypeString, Description: "Of the link."}}},
}

// The states of an invitation.
const (
	invitationOpen    = "open"
	invitationUsed    = "used"
	invitationExpired = "expired"
)

// invitation is what became of the invitation to a link, empty where there is none.
func (l *links) invitation(ctx context.Context, c *tree.Context) (string, error) {
	until := c.SettingNamed(settingInvitedTill).Time()
	if c.Schema.Kind != KindLink || until == 0 {
		return "", nil
	}
	used, err := l.used(ctx, c)
	switch {
	case err != nil:
		return "", err
	case used:
		return invitationUsed, nil
	case model.TimeOf(l.node.cfg.Now()) > until:
		return invitationExpired, nil
	}
	return invitationOpen, nil
}

// listInvitations is the function invitations of /links.
func (l *links) listInvitations(ctx context.Context) ([]model.Argument, error) {
	t := &model.Table{Columns: []model.Column{
		{Name: "link", Type: model.TypeString}, {Name: "role", Type: model.TypeString}, {Name: "by", Type: model.TypeString}, {Name: "until", Type: model.TypeTime},
		{Name: "state", Type: model.TypeString}, {Name: "peer", Type: model.TypeString}, {Name: "again", Type: model.TypeBool},
	}}
	for _, c := range directlyBelow(l.tree, linksPath) {
		state, err := l.invitation(ctx, &c)
		if err != nil {
			return nil, err
		}
		if state == "" {
			continue
		}
		t.Rows = append(t.Rows, []model.Value{
			model.String(c.Path.Base()), c.SettingNamed(settingRole), model.String(c.SettingNamed(settingInvitedBy).Text()), c.SettingNamed(settingInvitedTill),
			model.String(state), model.String(c.SettingNamed(settingPeerName).Text()), model.Bool(state != invitationUsed && c.SettingNamed(settingPeer).Text() != ""),
		})
	}
	return []model.Argument{{Name: "invitations", Value: model.TableValue(t)}}, nil
}

// withdraw ends an invitation that nobody has used.
func (l *links) withdraw(ctx context.Context, g given) error {
	c, there := l.linkNamed(g.text("name", ""))
	if !there {
		return &model.Error{Kind: model.KindNotFound, Detail: "there is no link of that name", Remedy: "`banyan invitations` shows those that were made here"}
	}
	l.redeeming.Lock() // so that nobody joins meanwhile
	defer l.redeeming.Unlock()
	state, err := l.invitation(ctx, &c)
	switch {
	case err != nil:
		return err
	case state == "":
		return &model.Error{Kind: model.KindNotFound, Detail: "no invitation to link " + c.Path.Base() + " was made here"}
	case state == invitationUsed:
		return &model.Error{Kind: model.KindUnsupported, Detail: "the invitation was used: a node has joined", Remedy: "end the link with `banyan links revoke " + c.Path.Base() + "`"}
	}
	return l.endInvitation(ctx, &c)
}

// endInvitation removes a link that nobody has joined, with what was made with it, or takes the invitation from one that is there.
func (l *links) endInvitation(ctx context.Context, c *tree.Context, more ...store.Change) error {
	if c.SettingNamed(settingPeer).Text() != "" {
		_, err := l.commits.Do(ctx, store.Commit{Changes: append(more, store.Set{Target: store.ByID(c.ID), Expected: c.Version, Settings: []store.Setting{
			{Name: settingInvitation}, {Name: settingInvitedTill}, {Name: settingInvitedBy},
		}})})
		return err
	}
	changes := append(more, store.Remove{Target: store.ByID(c.ID), Expected: c.Version})
	for _, e := range exportsOf(l.tree, c.Path.Base()) {
		if to := exportedTo(e.SettingNamed); len(to) == 1 {
			changes = append(changes, store.Remove{Target: store.ByID(e.ID)})
		}
	}
	for _, m := range mountsOf(l.tree, c.Path.Base()) {
		changes = append(changes, store.Remove{Target: store.ByID(m.ID)})
	}
	_, err := l.commits.Do(ctx, store.Commit{Changes: changes})
	return err
}

// sweepInvitations removes what was made with invitations that expired a day ago and that nobody used.
func (l *links) sweepInvitations(ctx context.Context) {
	now := l.node.cfg.Now()
	for _, c := range directlyBelow(l.tree, linksPath) {
		until := c.SettingNamed(settingInvitedTill).Time()
		if c.Schema.Kind != KindLink || until == 0 || c.SettingNamed(settingPeer).Text() != "" || now.Sub(until.Std()) < keepExpired {
			continue
		}
		row := store.Audit{
			Who: "banyan", From: "the node itself", Operation: "remove", Path: c.Path.String(), What: "its invitation expired and nobody joined", Outcome: outcomeDone,
		}
		l.redeeming.Lock()
		err := l.endInvitation(ctx, &c, row)
		l.redeeming.Unlock()
		if err != nil {
			l.log.Warn("an invitation that expired was not removed", "link", c.Path.Base(), "error", err)
		}
	}
}
