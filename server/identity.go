package server

import (
	"context"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/pki"
	"banyan/store"
)

const (
	functionIdentity   = "identity"
	functionRotateRoot = "rotate_root"
)

var identityFunctions = []model.Function{{
	Name: functionIdentity, Right: model.RightAdminister, Idempotent: true,
	Description: "Tells how the node proves who it is: its ID, its root and its certificates.",
	Results: []model.Field{
		{Name: "id", Type: model.TypeString, Description: "For life: the fingerprint of its first root."},
		{Name: "root", Type: model.TypeString, Description: "Fingerprint of the root in use."},
		{Name: "from", Type: model.TypeTime, Description: "When that root began."},
		{Name: "until", Type: model.TypeTime, Description: "When it ends."},
		{Name: "due", Type: model.TypeTime, Description: "From when on the node makes the next one by itself."},
		{Name: "successions", Type: model.TypeInt64, Description: "How many roots it had before, as far as they are known."},
		{Name: "links_until", Type: model.TypeTime, Description: "When its certificate for links ends; it is renewed at two thirds of its life."},
		{Name: "problem", Type: model.TypeString, Description: "What is wrong with it, empty where nothing is."},
	},
}, {
	Name: functionRotateRoot, Right: model.RightAdminister, Local: true,
	Description: "Makes a new root, for which the present one signs, and lets the peers take it. The ID stays. Not for a key that was stolen: that needs new invitations.",
	Results: []model.Field{
		{Name: "root", Type: model.TypeString, Description: "Fingerprint of the new root."},
		{Name: "until", Type: model.TypeTime, Description: "When it ends."},
	},
}}

// rootCheck is how often it is looked whether the root is due, where its life is long.
const rootCheck = time.Minute

// identityKept is what the node knows of its clock: it makes a new root by itself only while another node vouched for the time, and nothing has set the
// clock since. A root from the future would be refused by all peers, and the one before is gone.
type identityKept struct {
	agreed    time.Time // when a linked node's clock last agreed, by the node's clock
	agreedRun time.Time // the same moment by the clock that only ever runs
}

// keepRoot succeeds the root when it is due, until ctx ends.
func (n *Node) keepRoot(ctx context.Context) error {
	var kept identityKept
	ticker := time.NewTicker(max(100*time.Millisecond, min(rootCheck, n.cfg.Certificates.Root/20)))
	defer ticker.Stop()
	for {
		if err := n.lookAtRoot(ctx, &kept); err != nil {
			n.log.Error("the node's root is not succeeded", "valid_until", n.authority.Root().NotAfter, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (n *Node) lookAtRoot(ctx context.Context, kept *identityKept) error {
	now := n.cfg.Now()
	linked, agree := n.peers.ClocksAgree()
	if agree {
		kept.agreed, kept.agreedRun = now, time.Now()
	}
	switch {
	case now.Before(n.authority.DueAt(n.cfg.Certificates.Root)) || n.authority.IsProvisional():
		return nil
	case !linked || kept.holds(now):
		return n.succeedRoot(ctx, "banyan", "the node itself, since it was due")
	case now.After(n.authority.Root().NotAfter):
		if err := n.rescueRoot(now); err != nil {
			return err
		}
		return n.showCertificates()
	}
	return nil
}

// holds reports whether the clock goes on as it did when another node's agreed with it.
func (k *identityKept) holds(now time.Time) bool {
	return !k.agreed.IsZero() && (now.Sub(k.agreed)-time.Since(k.agreedRun)).Abs() < clockTolerance
}

// rescueRoot lets a node whose root has expired by its clock be reached by people, who can repair it. Its peers take none of its certificates.
func (n *Node) rescueRoot(now time.Time) error {
	n.log.Error("this node's root has expired, or its clock is wrong: other nodes do not take it", "valid_until", n.authority.Root().NotAfter,
		"remedy", "look at the clock; `banyan invite --again LINK` at each other node, and `banyan join TOKEN` here")
	return n.authority.Provisional(now, n.cfg.Certificates.Root)
}

// succeedRoot makes the next root, and lets everybody see it. The API shows a certificate of the old one for as long as one lives, so that people have
// time for the new ca.pem.
func (n *Node) succeedRoot(ctx context.Context, who, why string) error {
	row := store.Audit{
		Who: auditText(who), From: auditText(why), Operation: "succeed", Path: systemPath.String(), What: "the node's root " + pki.Fingerprint(n.authority.Root()).Short(), Outcome: "begun",
	}
	if err := n.audit.write(ctx, row); err != nil {
		return err
	}
	now := n.cfg.Now()
	if api := n.ownLeaf(); api != nil && now.Before(n.authority.Root().NotAfter) && !n.authority.IsProvisional() {
		if err := api.Renew(); err != nil {
			n.log.Warn("the API's certificate could not be renewed before the root is succeeded", "error", err)
		}
	}
	var err error
	if n.authority.IsProvisional() {
		err = n.authority.Confirm()
	} else {
		err = n.authority.Rotate(now, n.cfg.Certificates.Root)
	}
	if err != nil {
		return err
	}
	n.log.Info("this node's root was succeeded", "root", pki.Fingerprint(n.authority.Root()).Short(), "valid_until", n.authority.Root().NotAfter, "by", who)
	return n.peers.Renewed()
}

// showCertificates lets people and peers see certificates of the present root.
func (n *Node) showCertificates() error {
	if api := n.ownLeaf(); api != nil {
		if err := api.Renew(); err != nil {
			return err
		}
	}
	return n.peers.Renewed()
}

// ownLeaf is the API's certificate where the node's root signs it.
func (n *Node) ownLeaf() *pki.Leaf {
	if of := n.certifier.Load(); of != nil {
		leaf, _ := (*of).(*pki.Leaf)
		return leaf
	}
	return nil
}

// rotateRoot is the function rotate_root of /system. Whoever has the root's key speaks for the node to all its peers.
func (n *Node) rotateRoot(ctx context.Context, by access.Principal, _ given) ([]model.Argument, error) {
	everything := []access.Rule{{Pattern: model.Everything, Right: model.RightAdminister}}
	if err := n.policies.Decider().CanGrant(by, everything); err != nil {
		return nil, err
	}
	if err := n.succeedRoot(ctx, by.Chain.String(), "somebody asked for it"); err != nil {
		return nil, err
	}
	root := n.authority.Root()
	return []model.Argument{
		{Name: "root", Value: model.String(pki.Fingerprint(root).String())}, {Name: "until", Value: model.Instant(model.TimeOf(root.NotAfter))},
	}, nil
}

// identity is the function identity of /system.
func (n *Node) identity(context.Context, access.Principal, given) ([]model.Argument, error) {
	root, now := n.authority.Root(), n.cfg.Now()
	problem := ""
	switch {
	case n.authority.IsProvisional():
		problem = "its root has expired, or its clock is wrong: what is shown is a provisional one, which no other node takes"
	case now.After(root.NotAfter), now.Before(root.NotBefore):
		problem = "its root is not valid by this machine's clock"
	case now.After(n.authority.DueAt(n.cfg.Certificates.Root)):
		problem = "its root is due to be succeeded, and no linked node vouches for this one's clock"
	}
	return []model.Argument{
		{Name: "id", Value: model.String(n.ID().String())}, {Name: "root", Value: model.String(pki.Fingerprint(root).String())},
		{Name: "from", Value: model.Instant(model.TimeOf(root.NotBefore))}, {Name: "until", Value: model.Instant(model.TimeOf(root.NotAfter))},
		{Name: "due", Value: model.Instant(model.TimeOf(n.authority.DueAt(n.cfg.Certificates.Root)))},
		{Name: "successions", Value: model.Int64(int64(n.authority.Successions()))},
		{Name: "links_until", Value: model.Instant(model.TimeOf(n.peers.LeafUntil()))}, {Name: "problem", Value: model.String(problem)},
	}, nil
}
