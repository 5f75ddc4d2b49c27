package server

import (
	"context"
	"io"
	"sync"
	"time"

	"banyan/backup"
	"banyan/model"
	"banyan/peering"
	"banyan/pki"
	"banyan/store"
	"banyan/tree"
)

const (
	functionRecover = "recover"
	// mostRecoverTries bounds how often a token may be shown: each time its holder may try an answer, or take the backup anew.
	mostRecoverTries = 5
)

var recoverFunction = model.Function{
	Name: functionRecover, Right: model.RightAdminister, Local: true,
	Description: "Of a consumer: makes a token with which the backup that is kept here of the other node is handed out, once, to who has its recovery key.",
	Parameters: []model.Field{
		{Name: "addresses", Type: model.TypeString, Optional: true, Description: "Where this node is reached, host:port separated by commas; by default where it listens."},
	},
	Results: []model.Field{
		{Name: "token", Type: model.TypeString, Secret: true, Description: "For `banyan restore` on the new machine. It is shown once."},
		{Name: "expires", Type: model.TypeTime, Description: "When it ends."},
		{Name: "made", Type: model.TypeTime, Description: "When the backup was made."},
		{Name: "revision", Type: model.TypeString, Description: "The last one in it."},
		{Name: "recipient", Type: model.TypeString, Description: "Whose key opens it."},
	},
}

// recoveries are the recovery tokens that are open, one for each link. They live as long as this process: a quarter of an hour at most.
type recoveries struct {
	mu   sync.Mutex // guards open
	open map[string]*openRecovery
}

type openRecovery struct {
	link    string
	hash    pki.SecretHash
	expires time.Time
	tries   int
}

// recoverToken is the function recover of a link.
func (l *links) recoverToken(at *tree.Context, g given) ([]model.Argument, error) {
	_, peer, ok := l.provider(at.Path.Base())
	switch {
	case !ok:
		return nil, model.Errorf(model.KindUnsupported, "on this link the node is not the consumer: it keeps no backup of the other one")
	case at.SettingNamed(settingRevoked).Bool():
		return nil, model.Errorf(model.KindUnsupported, "the link was revoked")
	}
	kept, there := l.shelf.of(peer)
	if !there {
		return nil, &model.Error{
			Kind: model.KindNotFound, Detail: "no backup of the other node is kept here",
			Remedy: "restore it from a file that `banyan backup` made, or make it anew and invite it",
		}
	}
	addresses := g.text("addresses", l.node.LinksAddress())
	if err := checkAddresses(addresses); err != nil {
		return nil, err
	}
	now := l.node.cfg.Now()
	token, err := pki.NewToken(pki.Token{
		Addresses: splitList(addresses), Node: l.self.Node, Inviter: pki.RoleConsumer, JoinDials: true, Recovery: true, Expires: now.Add(pki.TokenLifetime),
	}, now)
	if err != nil {
		return nil, err
	}
	l.recoveries.mu.Lock()
	l.recoveries.open[at.Path.Base()] = &openRecovery{link: at.Path.Base(), hash: token.Secret.Hash(), expires: token.Expires}
	l.recoveries.mu.Unlock()
	return []model.Argument{
		{Name: "token", Value: model.String(token.Reveal())}, {Name: "expires", Value: model.Instant(model.TimeOf(token.Expires))},
		{Name: "made", Value: model.Instant(kept.Made)}, {Name: "revision", Value: model.String(kept.Revision.String())},
		{Name: "recipient", Value: model.String(kept.Recipient)},
	}, nil
}

// any reports whether a token is open.
func (r *recoveries) any(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.open {
		if now.Before(o.expires) {
			return true
		}
	}
	return false
}

// show finds the token that a secret is of, and counts the try. All are compared, whichever fits.
func (r *recoveries) show(secret []byte, now time.Time) (*openRecovery, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found *openRecovery
	for _, o := range r.open {
		if o.hash.Matches(secret) {
			found = o
		}
	}
	switch {
	case found == nil:
		return nil, pki.Refuse(pki.InvitationForeign, "the token was not made here, was used, or another one was made since")
	case !now.Before(found.expires):
		delete(r.open, found.link)
		return nil, pki.Refuse(pki.InvitationExpired, "the token expired at "+model.TimeOf(found.expires).String())
	}
	if found.tries++; found.tries > mostRecoverTries {
		delete(r.open, found.link)
		return nil, pki.Refuse(pki.InvitationUsed, "the token was tried too often")
	}
	return found, nil
}

// use ends a token.
func (r *recoveries) use(o *openRecovery) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[o.link] != o {
		return pki.Refuse(pki.InvitationUsed, "the token was used already")
	}
	delete(r.open, o.link)
	return nil
}

// handOut answers who has a token for a backup, and notes who was refused and why.
func (l *links) handOut(ctx context.Context, candidate pki.Peer, secret []byte) (peering.Recovery, error) {
	try, err := l.beginRecovery(ctx, candidate, secret)
	if err != nil {
		l.node.audit.refused(ctx, recoverRow("", candidate, failedText(err)))
		return nil, err
	}
	return try, nil
}

func (l *links) beginRecovery(ctx context.Context, candidate pki.Peer, secret []byte) (*recoveryTry, error) {
	o, err := l.recoveries.show(secret, l.node.cfg.Now())
	if err != nil {
		return nil, err
	}
	_, peer, ok := l.provider(o.link)
	if !ok {
		return nil, pki.Refuse(pki.InvitationForeign, "the link that the token was made for is gone")
	}
	kept, there := l.shelf.of(peer)
	if !there {
		return nil, model.Errorf(model.KindNotFound, "no backup of that node is kept here")
	}
	challenge, err := backup.NewChallenge(kept.Recipient, l.self.Node, candidate.Node)
	if err != nil {
		return nil, err
	}
	return &recoveryTry{links: l, ctx: ctx, token: o, candidate: candidate, kept: kept, challenge: challenge}, nil
}

func recoverRow(link string, candidate pki.Peer, outcome string) store.Audit {
	row := store.Audit{
		Who: auditText("somebody new, by the certificate " + candidate.Node.Short()), From: auditText(candidate.Address), Operation: "recover", Outcome: auditText(outcome),
	}
	if path, err := linksPath.Child(link); err == nil {
		row.Path = path.String()
	}
	return row
}

// recoveryTry is one try to get a kept backup.
type recoveryTry struct {
	links     *links
	ctx       context.Context //nolint:containedctx // of the one request that it is
	token     *openRecovery
	candidate pki.Peer
	kept      backup.Kept
	challenge backup.Challenge
}

// Challenge is the question.
func (t *recoveryTry) Challenge() []byte { return t.challenge.Sealed }

// Answered hands the backup out to who has the key.
func (t *recoveryTry) Answered(answer []byte) (io.ReadCloser, int64, []byte, error) {
	if !t.challenge.Matches(answer) {
		err := &model.Error{Kind: model.KindDenied, Detail: "the recovery key is not the one that opens this backup", Remedy: "give the key of " + t.kept.Recipient}
		t.links.node.audit.refused(t.ctx, recoverRow(t.token.link, t.candidate, failedText(err)))
		return nil, 0, nil, err
	}
	if err := t.links.node.audit.write(t.ctx, recoverRow(t.token.link, t.candidate, "handed out: the backup of "+t.kept.Made.String())); err != nil {
		return nil, 0, nil, err
	}
	file, err := t.links.shelf.shelf.Open(t.kept)
	return file, t.kept.Size, t.kept.Sum[:], err
}

// Kept uses the token up.
func (t *recoveryTry) Kept() error {
	if err := t.links.recoveries.use(t.token); err != nil {
		return err
	}
	t.links.log.Warn("a kept backup was handed out to who has its recovery key", "link", t.token.link, "address", t.candidate.Address, "made", t.kept.Made)
	return nil
}
