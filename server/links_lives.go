package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"banyan/model"
	"banyan/peering"
	"banyan/pki"
	"banyan/store"
	"banyan/tree"
)

// Names of what a consumer's link knows of the lives of its provider.
const (
	settingPeerRestores = "peer_restores"
	settingPeerLeft     = "peer_left"
	variableClone       = "clone"
	functionReadmit     = "readmit"
)

var lifeSettings = []model.Setting{
	{Name: settingPeerRestores, Type: model.TypeString, Right: model.RightAdminister, Local: true,
		Description: "Of a consumer: the restores that the other node had gone through when it was last taken. One that lacks them is one that was replaced. Noted by the node; readmit forgets it."},
	{Name: settingPeerLeft, Type: model.TypeString, Right: model.RightAdminister, Local: true,
		Description: "Of a consumer: lives of the other node that were given up for another branch, and are not taken again. Noted by the node; readmit forgets it."},
}

var lifeVariables = []model.Variable{{
	Name: variableClone, Type: model.TypeString, Description: "Of a consumer: the newest of several nodes with the other one's ID that was refused, from where, when and why.",
}}

var readmitFunction = model.Function{
	Name: functionReadmit, Right: model.RightAdminister, Local: true, Idempotent: true,
	Description: "Of a consumer: forgets which lives of the other node were given up; the one that connects next is taken.",
}

const (
	// forkPatience is how long a life must not have been heard of before one that forks off from it is taken without a restore: a snapshot of a
	// machine that was put back comes after the machine, a copy beside it.
	forkPatience = 30 * time.Second
	mostLeft     = 16
	// readmitFor is how long after readmit any life is taken.
	readmitFor = 15 * time.Minute
)

// verdict is what is to become of a life that answers.
type lifeVerdict struct {
	refused string        // why it is not taken; empty where it is
	left    []model.Epoch // lives that are given up for it
	note    bool          // the restores that it went through are to be remembered
}

// judgeLife decides on a life that answers on a new connection. restores are those that the provider had gone through when it was last taken, left the
// lives that were given up.
//
// A life that goes on from the known one is taken: a start after a start. So is one that was restored from the known one, or from one before it, when
// the known one is not linked any more. One that the known one was restored from is not; and of two that forked without a restore the known
// one stays while it is heard of, and the one that was given up does not come back.
func judgeLife(m *peering.Meeting, restores []peering.RestoreID, left []model.Epoch, now time.Time) lifeVerdict {
	told := m.Told.Restores
	for _, begin := range m.Told.Chain {
		if slices.Contains(left, begin.Epoch) {
			return lifeVerdict{refused: fmt.Sprintf("another life of it was taken after epoch %s", begin.Epoch)}
		}
	}
	newer := len(told) > len(restores) && slices.Equal(told[:len(restores)], restores)
	known := m.Known.Last().Epoch
	onward := known.IsZero() || m.Told.Chain.Index(known) >= 0
	switch {
	case !newer && !slices.Equal(told, restores):
		if len(restores) > 0 && len(told) < len(restores) {
			return lifeVerdict{refused: "it was replaced by one that was restored from a backup"}
		}
		return lifeVerdict{refused: "it was restored from a backup apart from the one that was taken"}
	case newer && m.Live && m.Told.Chain.Last().Epoch != known:
		return lifeVerdict{refused: "it was restored from a backup, and the node that it is to replace is still linked"}
	case newer && !onward:
		return lifeVerdict{note: true, left: []model.Epoch{known}}
	case newer || onward:
		return lifeVerdict{note: newer}
	case m.Live || now.Sub(m.Heard.Std()) < forkPatience:
		return lifeVerdict{refused: "it forks off from one that is linked, or was a moment ago"}
	}
	return lifeVerdict{left: []model.Epoch{known}}
}

// meet judges the life that answers for a link's provider, and notes what follows.
func (l *links) meet(ctx context.Context, m peering.Meeting) error {
	c, _, ok := l.provider(m.Link)
	if !ok {
		return model.Errorf(model.KindUnavailable, "the link is gone")
	}
	now := l.node.cfg.Now()
	l.mu.RLock()
	readmitted := now.Before(l.readmitted[m.Link])
	l.mu.RUnlock()
	restores, left := readLives(&c)
	verdict := judgeLife(&m, restores, left, now)
	if verdict.refused != "" && readmitted {
		verdict = lifeVerdict{note: true}
		if known := m.Known.Last().Epoch; !known.IsZero() && m.Told.Chain.Index(known) < 0 {
			verdict.left = []model.Epoch{known}
		}
	}
	if verdict.refused != "" {
		return l.refuseClone(&c, &m, verdict.refused, now)
	}
	if readmitted {
		l.mu.Lock()
		delete(l.readmitted, m.Link)
		l.mu.Unlock()
	}
	if !verdict.note && len(verdict.left) == 0 {
		return nil
	}
	l.log.Warn("the other node of a link comes back with another history: what it does not know any more is compared",
		"link", m.Link, "address", m.Address, "epoch", m.Told.Chain.Last().Epoch, "before", m.Known.Last().Epoch, "restores", len(m.Told.Restores))
	return l.noteLife(ctx, &c, &m, append(left, verdict.left...))
}

// refuseClone refuses a life and shows it on the link.
func (l *links) refuseClone(c *tree.Context, m *peering.Meeting, why string, now time.Time) error {
	text := fmt.Sprintf("clone: a node with the ID of %s at %s was refused at %s: %s", c.SettingNamed(settingPeerName).Text(), m.Address, model.TimeOf(now.Truncate(time.Second)), why)
	l.publishValues(c, map[string]model.Value{variableClone: model.String(text)})
	return pki.Refuse(pki.Cloned, "clone: "+why)
}

// noteLife remembers how the life that is taken came to be.
func (l *links) noteLife(ctx context.Context, c *tree.Context, m *peering.Meeting, left []model.Epoch) error {
	var ids, epochs []string
	for _, id := range m.Told.Restores {
		ids = append(ids, store.RestoreID(id).String())
	}
	for _, e := range left[max(0, len(left)-mostLeft):] {
		epochs = append(epochs, e.String())
	}
	_, err := l.commits.Do(ctx, store.Commit{Changes: []store.Change{
		store.Audit{Who: auditText("node " + c.SettingNamed(settingPeer).Text()[:12]), From: auditText(m.Address), Operation: "take", Path: c.Path.String(),
			What: "another life: epoch " + m.Told.Chain.Last().Epoch.String(), Outcome: outcomeDone},
		store.Set{Target: store.ByID(c.ID), Settings: []store.Setting{
			{Name: settingPeerRestores, Value: model.String(strings.Join(ids, ","))}, {Name: settingPeerLeft, Value: model.String(strings.Join(epochs, ","))},
		}},
	}})
	return err
}

// readLives reads what a link remembers of its provider's lives.
func readLives(c *tree.Context) (restores []peering.RestoreID, left []model.Epoch) {
	for _, text := range splitList(c.SettingNamed(settingPeerRestores).Text()) {
		var id store.RestoreID
		if id.UnmarshalText([]byte(text)) == nil {
			restores = append(restores, peering.RestoreID(id))
		}
	}
	for _, text := range splitList(c.SettingNamed(settingPeerLeft).Text()) {
		if e, err := model.ParseEpoch(text); err == nil {
			left = append(left, e)
		}
	}
	return restores, left
}

// readmit forgets which lives of a provider were given up.
func (l *links) readmit(ctx context.Context, at *tree.Context) error {
	if roleOf(at) != pki.RoleConsumer {
		return model.Errorf(model.KindUnsupported, "on this link the node is not the consumer")
	}
	l.mu.Lock()
	l.readmitted[at.Path.Base()] = l.node.cfg.Now().Add(readmitFor)
	l.mu.Unlock()
	l.publishValues(at, map[string]model.Value{variableClone: model.String("")})
	_, err := l.commits.Do(ctx, store.Commit{Changes: []store.Change{store.Set{Target: store.ByID(at.ID), Settings: []store.Setting{
		{Name: settingPeerRestores, Value: model.Value{}}, {Name: settingPeerLeft, Value: model.Value{}},
	}}}})
	return err
}
