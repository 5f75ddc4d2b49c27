package server

import (
	"context"
	"crypto/x509"
	"time"

	"banyan/model"
	"banyan/peering"
	"banyan/pki"
	"banyan/store"
)

// clockTolerance is how far another node's clock may be from this one's to vouch for it: as far as certificates reach back.
const clockTolerance = 5 * time.Minute

// succeed pins the root of a peer in place of the one that it succeeds. The older root is taken no more then, at no link with that node.
func (l *links) succeed(ctx context.Context, who pki.Peer) error {
	l.pinning.Lock()
	defer l.pinning.Unlock()
	if l.pinned(who.Node, who.Root) && !l.pinned(who.Node, who.Succeeds) {
		return nil // another connection was earlier
	}
	if !l.pinned(who.Node, who.Succeeds) {
		return pki.Refuse(pki.WrongFingerprint, "the root that it succeeds is not pinned any more")
	}
	row := store.Audit{
		Who: auditText("node " + who.Node.Short()), From: auditText(who.Address), Operation: "succeed",
		What:    "its root " + pki.Fingerprint(who.Root).Short() + " in place of " + pki.Fingerprint(who.Succeeds).Short() + ", which signed for it",
		Outcome: outcomeDone,
	}
	if err := l.pin(ctx, row, who.Node, who.Root); err != nil {
		return err
	}
	l.log.Info("the root of a node was succeeded", "node", who.Node.Short(), "root", pki.Fingerprint(who.Root).Short(), "before", pki.Fingerprint(who.Succeeds).Short())
	return nil
}

// pin makes a root the only one that is pinned for a node, at all links with it, those included that may not be used: what is pinned at one counts for
// the node.
func (l *links) pin(ctx context.Context, row store.Audit, node model.NodeID, root *x509.Certificate, more ...store.Change) error {
	commit := store.Commit{Changes: append([]store.Change{row}, more...)}
	for _, c := range directlyBelow(l.tree, linksPath) {
		if c.Schema.Kind != KindLink || c.SettingNamed(settingPeer).Text() != node.String() {
			continue
		}
		if row.Path == "" {
			row.Path = c.Path.String()
			commit.Changes[0] = row
		}
		commit.Changes = append(commit.Changes, store.Set{
			Target: store.ByID(c.ID), Settings: []store.Setting{{Name: settingRoots, Value: model.Bytes(root.Raw)}},
		})
	}
	if _, err := l.commits.Do(ctx, commit); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roots[node] = []*x509.Certificate{root} // the next connection may come before links are looked at again
	return nil
}

func (l *links) pinned(node model.NodeID, root *x509.Certificate) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, known := range l.roots[node] {
		if known.Equal(root) {
			return true
		}
	}
	return false
}

// Renewed lets links show certificates of the node's present root, and lets their peers see them at once.
func (l *links) Renewed() error {
	err := l.leaf.Renew()
	l.hub.Reconnect()
	return err
}

// ClocksAgree reports whether the node has links, and whether on one of them the clock at the other end agrees with this one's.
func (l *links) ClocksAgree() (linked, agree bool) {
	for _, c := range directlyBelow(l.tree, linksPath) {
		if c.Schema.Kind != KindLink || c.SettingNamed(settingPeer).Text() == "" || c.SettingNamed(settingRevoked).Bool() {
			continue
		}
		linked = true
		status, there := l.hub.Status(c.Path.Base())
		agree = agree || there && status.State == peering.StateUp && status.Skew.Abs() < clockTolerance
	}
	return linked, agree
}

// LeafUntil is when the certificate for links ends.
func (l *links) LeafUntil() time.Time { return l.leaf.Current().Leaf.NotAfter }
