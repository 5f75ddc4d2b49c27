package server

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"

	"banyan/access"
	"banyan/model"
	"banyan/store"
)

// pass hands a request of a neighbour on, and keeps that it was here and what its owner said of it. It goes on when the neighbour is gone, so that
// this node hears the answer.
func (l *ledger) pass(ctx context.Context, who access.Principal, q *Request) (Response, error) {
	known, there := l.row(q.ID)
	if there && (known.Role != store.RolePassed || known.Link != who.Link) {
		return Response{}, model.Errorf(model.KindInvalid, "the ID of this request was used for another one: each request has an ID of its own")
	}
	if q.look {
		h, response := l.carry(ctx, who, q)
		if there {
			l.heardOf(ctx, known.Ledger, h)
		}
		return l.onward(h, response, true)
	}
	if err := l.judge(ctx, who, q); err != nil {
		if err = l.perhaps(err, &heard{}, q); !refuses(err) {
			return Response{Fate: model.FatePending}, err
		}
		l.router.refused(ctx, who, q, err)
		return Response{}, err
	}
	row := l.rowOf(who, q, store.RolePassed, model.FateSent)
	if there {
		row.Made, row.Attempts, row.Via = known.Made, known.Attempts, known.Via
	}
	row.Attempts++
	if err := l.room(&row); err != nil {
		return Response{Fate: model.FatePending}, err
	}
	if err := l.put(ctx, row); err != nil {
		return Response{Fate: model.FatePending}, err
	}
	l.reached("passed")
	h, response := l.carry(context.WithoutCancel(ctx), who, q)
	l.heardOf(ctx, row, h)
	return l.onward(h, response, false)
}

// heardOf keeps what was heard of a request that passed.
func (l *ledger) heardOf(ctx context.Context, row store.Ledger, h *heard) {
	fate := h.fate
	switch {
	case fate == model.FateNone && h.err == nil:
		fate = model.FateDone
	case fate == model.FateNone && !h.handed:
		fate = model.FatePending
	case fate == model.FateNone && refuses(h.err) && !h.broken:
		fate = model.FateFailed
	case fate == model.FateNone:
		fate = model.FateSent
	}
	now, there := l.row(row.ID)
	if there && (now.Fate.Ended() && !fate.Ended() || now.Fate == fate) || fate == model.FatePending && h.owner.IsZero() && h.handed {
		return // nothing new, or what could not be asked
	}
	row.Fate, row.Since, row.Problem = fate, model.TimeOf(l.now()), nil
	if fate.Ended() && fate != model.FateDone {
		row.Problem = problemBytes(h.err)
	}
	if len(h.via) > 0 {
		row.Via = h.via
	}
	if err := l.put(ctx, row); err != nil {
		l.log.Warn("the fate of a request that passed could not be kept", "request", idText(row.ID), "fate", fate, "error", err)
	}
}

// onward is what the node before is told: its fate where it is known, else whether it left this node.
func (l *ledger) onward(h *heard, r Response, look bool) (Response, error) {
	r.Fate, r.Owner = h.fate, h.owner
	switch {
	case r.Fate != model.FateNone || h.err == nil:
	case h.broken && look && model.KindOf(h.err) == model.KindUnsupported:
		r.old = true
	case !h.handed && refuses(h.err):
	case !h.handed || look:
		r.Fate = model.FatePending
	case !refuses(h.err):
		r.Fate = model.FateSent
	}
	return r, h.err
}

// accountOf is whose a request is, and by whose rights it is sent again: the user's, or those of the token by which it was asked for. It is told by IDs:
// somebody who gets the name of a user that was removed is somebody else.
func (l *ledger) accountOf(ctx context.Context, who access.Principal) (string, error) {
	c, enabled := enabledUser(l.tree, who.Chain.Person.Name)
	if !enabled {
		return "", model.Errorf(model.KindDenied, "denied by %s: there is no user %s", l.router.node, who.Chain.Person.Name)
	}
	if token := callerOf(ctx).token; token != nil {
		return c.ID.String() + " " + token.id.String(), nil
	}
	return c.ID.String(), nil
}

// isOf reports whether a request is of the user who has this name now.
func (l *ledger) isOf(row *store.Ledger, name string) bool {
	user, _, _ := strings.Cut(row.Account, " ")
	c, enabled := enabledUser(l.tree, name)
	return row.Link == "" && row.Person == name && enabled && c.ID.String() == user
}

// principalOf is who made a request, as they are now.
func (l *ledger) principalOf(ctx context.Context, row *store.Ledger) (access.Principal, error) {
	who := principal(row.Person, l.router.node)
	c, enabled := enabledUser(l.tree, row.Person)
	if !enabled {
		return who, model.Errorf(model.KindDenied, "denied by %s: the user %s is not there any more, or not enabled", l.router.node, row.Person)
	}
	user, by, byToken := strings.Cut(row.Account, " ")
	if c.ID.String() == user && !byToken {
		return who, nil
	}
	if id, err := model.ParseContextID(by); err == nil && c.ID.String() == user {
		if token := l.tokens.byID(ctx, id); token != nil && token.user == row.Person && model.TimeOf(l.now()) < token.expires {
			who.Scope = token.scope
			return who, nil
		}
	}
	return who, model.Errorf(model.KindDenied, "denied by %s: the user or the token by which it was asked for is not there any more", l.router.node)
}

// asError is any error as one of the model.
func asError(err error) *model.Error {
	var e *model.Error
	if errors.As(err, &e) {
		return e
	}
	return &model.Error{Kind: model.KindOf(err), Err: err}
}

func idText(id store.RequestID) string { return hex.EncodeToString(id[:]) }
