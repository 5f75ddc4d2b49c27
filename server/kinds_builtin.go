package server

import (
	"context"
	"strings"

	"banyan/model"
	"banyan/pki"
	"banyan/store"
	"banyan/tree"
)

// nodes is the controller of the node's own context.
type nodes struct {
	passive
	calls map[string]systemCall
}

// Check reads the names for the certificate, and what is set for backups.
func (*nodes) Check(_ context.Context, p *Proposal) error {
	if p.Op == OpSet {
		if err := checkAudit(p); err != nil {
			return err
		}
		if err := checkLog(p); err != nil {
			return err
		}
	}
	if err := checkBackupSettings(p); err != nil {
		return err
	}
	if err := checkLimits(p); err != nil {
		return err
	}
	if v, given := p.Given(settingHosts); given && !v.IsNone() {
		for host := range strings.SplitSeq(v.Text(), ",") {
			if err := pki.CheckHost(strings.TrimSpace(host)); err != nil {
				return err
			}
		}
	}
	return nil
}

// addBuiltin adds the kinds that every node has.
func (n *Node) addBuiltin() error {
	user := &users{policies: n.policies, sessions: n.sessions, tokens: n.tokens}
	for _, k := range []struct {
		schema model.Schema
		kind   Kind
	}{
		{nodeSchema, Kind{Controller: &nodes{calls: n.systemCalls()}, Fixed: true, Shows: systemShows}},
		{folderSchema, Kind{Controller: folders{}}},
		{userSchema, Kind{Controller: user, Whole: true, Confidential: true}},
		{roleSchema, Kind{Controller: &roles{policies: n.policies}}},
		{foreignSchema, Kind{Controller: &foreigners{policies: n.policies}}},
		{tokenSchema, Kind{Controller: n.tokens}},
	} {
		if err := n.kinds.Add(k.schema, k.kind); err != nil {
			return err
		}
	}
	n.tokens.schema = n.kinds[KindToken].Schema
	return n.addDevicesKind()
}

// kindNow is the kind that an own context has in this version: what was a folder for what every node has may have got a kind of its own.
func kindNow(c *tree.Context) string {
	for _, place := range ownPlaces {
		if c.Path == place.path {
			return place.kind
		}
	}
	return c.Schema.Kind
}

// upgrade gives own contexts the schemas of this version, where another version made them.
func (n *Node) upgrade(ctx context.Context) error {
	var changes []store.Change
	put := map[string]bool{}
	for kind := range n.kinds {
		for _, c := range n.ownOf(kind) {
			now := kindNow(&c)
			schema := n.kinds[now].Schema
			if c.Schema.Hash == schema.Hash || n.devices.fits(&c, schema) {
				continue
			}
			if !put[now] {
				changes = append(changes, store.PutSchema{Schema: schema})
				put[now] = true
			}
			changes = append(changes, store.Rebind{Target: target(&c), Schema: schema.Hash})
			if one := c.SettingNamed(settingLink); now == KindExport && one.Text() != "" {
				changes = append(changes, store.Set{Target: target(&c), Settings: []store.Setting{{Name: settingLinks, Value: one}}})
			}
		}
	}
	for len(changes) > 0 {
		some := changes[:min(len(changes), 5000)]
		if _, err := n.commits.Do(ctx, store.Commit{Class: store.ClassSettings, Changes: some}); err != nil {
			return err
		}
		changes = changes[len(some):]
	}
	return nil
}
