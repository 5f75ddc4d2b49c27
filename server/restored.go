package server

import (
	"context"

	"banyan/model"
	"banyan/store"
)

// restored does what is to be done at the first start after the node was restored from a backup: it says so, in the log and in the audit log, and ends
// invitations that the backup holds. Each of them may have been used after the backup was made, and an invitation works once.
func (n *Node) restored(ctx context.Context) error {
	r, just := n.store.JustRestored()
	if !just {
		return nil
	}
	n.log.Warn("this node was restored from a backup: what was confirmed after the backup is not here, what was revoked after it holds again",
		"backup", r.Backup, "restored", r.Time, "restore", r.ID, "epoch", n.store.Epoch())
	commit := store.Commit{Changes: []store.Change{store.Audit{
		Who: "banyan restore", From: "this host", Operation: "restore", Path: systemPath.String(),
		What: "restored at " + r.Time.String() + " from the backup of " + r.Backup.String(), Outcome: "done",
	}}}
	now := model.TimeOf(n.cfg.Now())
	for _, c := range directlyBelow(n.tree, linksPath) {
		if c.SettingNamed(settingInvitedTill).Time() > now {
			commit.Changes = append(commit.Changes, store.Set{
				Target: store.ByID(c.ID), Settings: []store.Setting{{Name: settingInvitedTill, Value: model.Instant(now)}},
			})
		}
	}
	_, err := n.commits.Do(ctx, commit)
	return err
}
