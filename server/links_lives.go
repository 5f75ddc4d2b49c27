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

// Names of what a link knows of the lives of the other node.
const (
	settingPeerEpoch    = "peer_epoch"
	settingPeerRestores = "peer_restores"
	settingPeerLeft     = "peer_left"
	variableClone       = "clone"
	variableRolledBack  = "rolled_back"
	functionReadmit     = "readmit"
)

var lifeSettings = []model.Setting{
	{Name: settingPeerEpoch, Type: model.TypeString, Right: model.RightAdminister, Local: true,
		Description: "Of a provider: the life of the other node that was last taken. Noted by the node; readmit forgets it."},
	{Name: settingPeerRestores, Type: model.TypeString, Right: model.RightAdminister, Local: true,
		Description: "The restores that the other node had gone through when it was last taken. One that lacks them is one that was replaced. Noted by the node; readmit forgets it."},
	{Name: settingPeerLeft, Type: model.TypeString, Right: model.RightAdminister, Local: true,
		Description: "Lives of the other node that were given up for another branch, and are not taken again. Noted by the node; readmit forgets it."},
}

var lifeVariables = []model.Variable{{
	Name: variableClone, Type: model.TypeString, Description: "The newest of several nodes with the other one's ID: from where it came, when, and why it was refused.",
}, {
	Name: variableRolledBack, Type: model.TypeString, Description: "When the other node last came back with an older history, and what became of it.",
}}

var readmitFunction = model.Function{
	Name: functionReadmit, Right: model.RightAdminister, Local: true, Idempotent: true,
	Description: "Forgets which lives of the other node were given up; the one that connects next is taken.",
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

// judgeLife decides on a life that is there on a new connection. restores are those that the other node had gone through when it was last taken, left the
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

// meet judges the life of the other node of a link, and notes what follows.
func (l *links) meet(ctx context.Context, m peering.Meeting) error {
	c, ok := l.linkNamed(m.Link)
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
		if m.Told.Chain.Last().Epoch == m.Known.Last().Epoch || roleOf(&c) == pki.RoleConsumer {
			return nil // what is mirrored says which life it is of
		}
		return l.noteEpoch(ctx, &c, m.Told.Chain.Last().Epoch)
	}
	l.log.Warn("the other node of a link comes back with another history: what it does not know any more is compared",
		"link", m.Link, "address", m.Address, "epoch", m.Told.Chain.Last().Epoch, "before", m.Known.Last().Epoch, "restores", len(m.Told.Restores))
	if len(verdict.left) > 0 {
		l.publishValues(&c, map[string]model.Value{variableRolledBack: model.String(rolledBack(&c, &m, now))})
	}
	return l.noteLife(ctx, &c, &m, append(left, verdict.left...))
}

// rolledBack says of a life that does not know the one before what is done with what that one told.
func rolledBack(c *tree.Context, m *peering.Meeting, now time.Time) string {
	became := "what it tells is compared with what is mounted here"
	if roleOf(c) == pki.RoleProvider {
		became = "it compares what it has of this node"
	}
	return fmt.Sprintf("%s at %s came back at %s with an older history: it does not know its epoch %s any more; %s",
		c.SettingNamed(settingPeerName).Text(), m.Address, model.TimeOf(now.Truncate(time.Second)), m.Known.Last().Epoch, became)
}

// noteEpoch remembers which life of a consumer was taken. That of a provider stands with what is mirrored of it.
func (l *links) noteEpoch(ctx context.Context, c *tree.Context, epoch model.Epoch) error {
	_, err := l.commits.Do(ctx, store.Commit{Changes: []store.Change{store.Set{
		Target: store.ByID(c.ID), Settings: []store.Setting{{Name: settingPeerEpoch, Value: model.String(epoch.String())}},
	}}})
	return err
}

// knownLife is the life of a consumer that was last taken, as far as it is noted.
func knownLife(c *tree.Context) model.Chain {
	epoch, err := model.ParseEpoch(c.SettingNamed(settingPeerEpoch).Text())
	if err != nil || epoch.IsZero() || roleOf(c) != pki.RoleProvider {
		return nil
	}
	return model.Chain{{Epoch: epoch, First: 1}}
}

// twins shows that two nodes with one ID take turns at a link.
func (l *links) twins(link, address, other string) {
	c, ok := l.linkNamed(link)
	if !ok {
		return
	}
	l.log.Warn("two nodes with one ID take turns at a link", "link", link, "address", address, "other", other)
	l.publishValues(&c, map[string]model.Value{variableClone: model.String(fmt.Sprintf("clone: two nodes with the ID of %s take turns, last at %s from %s and %s: stop one of them",
		c.SettingNamed(settingPeerName).Text(), model.TimeOf(l.node.cfg.Now().Truncate(time.Second)), address, other))})
}

// linkNamed is the link of a name.
func (l *links) linkNamed(name string) (tree.Context, bool) {
	path, err := linksPath.Child(name)
	if err != nil {
		return tree.Context{}, false
	}
	c, there := l.tree.Lookup(path)
	return c, there && c.Schema.Kind == KindLink
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
			{Name: settingPeerEpoch, Value: model.String(m.Told.Chain.Last().Epoch.String())},
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

// readmit forgets which lives of the other node were given up.
func (l *links) readmit(ctx context.Context, at *tree.Context) error {
	l.mu.Lock()
	l.readmitted[at.Path.Base()] = l.node.cfg.Now().Add(readmitFor)
	l.mu.Unlock()
	l.publishValues(at, map[string]model.Value{variableClone: model.String("")})
	_, err := l.commits.Do(ctx, store.Commit{Changes: []store.Change{store.Set{Target: store.ByID(at.ID), Settings: []store.Setting{
		{Name: settingPeerRestores, Value: model.Value{}}, {Name: settingPeerLeft, Value: model.Value{}}, {Name: settingPeerEpoch, Value: model.Value{}},
	}}}})
	return err
}
