package server

import (
	"context"
	"crypto/subtle"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/store"
)

// ownTime bounds what a request may take that goes on when whoever sent it is gone.
const ownTime = 10 * time.Minute

// own does a request that this node owns, once, or tells what became of it. It begins only when it names this life of the node as the one that has not
// done it; until then it is told which life that would be.
func (l *ledger) own(ctx context.Context, who access.Principal, q *Request) (Response, error) {
	if l.isDoing(q.ID) {
		return Response{Fate: model.FateStarted}, nil
	}
	idempotent := l.idempotent(q)
	if response, err, known := l.before(ctx, who, q, idempotent); known {
		return response, err
	}
	here := who.Link == ""
	switch {
	case !q.Owner.IsZero() && !l.store.RevisionChain().Holds(q.Owner):
		return Response{Fate: model.FateUnknown}, &model.Error{
			Kind: model.KindUnknownFate, Detail: l.router.node + " was put back to an earlier state after the request had been sent, and does not know what became of it",
			Remedy: "look what became of it, and send a new one",
		}
	case q.Until <= model.TimeOf(l.now()):
		return Response{Fate: model.FateExpired}, endError(model.FateExpired)
	case !here && (q.look || q.Owner.Epoch != l.store.Epoch()):
		if err := l.visible(who, q); err != nil {
			return Response{Fate: model.FateFailed}, err
		}
		return Response{Fate: model.FatePending, Owner: l.store.Revision()}, nil
	case here:
		if err := l.checkUntil(q); err != nil {
			return Response{}, err
		}
	}
	return l.do(ctx, who, q)
}

// do carries a request out. What came over a link goes on when the neighbour is gone.
func (l *ledger) do(ctx context.Context, who access.Principal, q *Request) (Response, error) {
	row := l.rowOf(who, q, store.RoleOwner, model.FateStarted)
	if known, there := l.row(q.ID); there {
		row.Made, row.Attempts = known.Made, known.Attempts
	}
	row.Attempts = max(row.Attempts, q.Attempt) + 1
	if who.Link == "" {
		var err error
		if row.Account, err = l.accountOf(ctx, who); err != nil {
			return Response{}, err
		}
	}
	if err := l.room(&row); err != nil {
		return Response{Fate: model.FatePending}, err
	}
	if !l.begin(q.ID) {
		return Response{Fate: model.FateStarted}, nil
	}
	defer l.end(q.ID)
	if who.Link != "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), ownTime)
		defer cancel()
	}
	q.kept = &row
	response, err := l.router.judged(ctx, who, q)
	response.Kept, response.Fate = q.ID, fateOf(err)
	if err != nil && !q.audited { // it was not begun
		l.router.refused(ctx, who, q, err)
		response.Fate = l.notBegun(ctx, &row, err)
	}
	l.reached("recorded")
	return response, err
}

// notBegun is the fate of what was not begun: it failed, unless the error says that it may be otherwise the next time. A refusal is kept only of what
// came over a link: who asks here is told.
func (l *ledger) notBegun(ctx context.Context, row *store.Ledger, err error) model.Fate {
	switch model.KindOf(err) {
	case model.KindUnavailable, model.KindTimeout, model.KindCanceled, model.KindInternal:
		return model.FatePending
	case model.KindUnknownFate:
		return model.FateUnknown
	}
	if row.Link != "" {
		row.Fate, row.Problem = model.FateFailed, problemBytes(err)
		if problem := l.put(ctx, *row); problem != nil {
			l.log.Warn("that a request was refused could not be kept", "request", idText(row.ID), "error", problem)
		}
	}
	return model.FateFailed
}

// before is what became of a request that was begun before, and whether it was.
func (l *ledger) before(ctx context.Context, who access.Principal, q *Request, idempotent bool) (Response, error, bool) { //nolint:revive // the error is the answer's
	known, there, err := l.store.Request(ctx, q.ID)
	switch {
	case err != nil:
		return Response{Fate: model.FatePending}, err, true
	case !there:
		return Response{}, nil, false
	case subtle.ConstantTimeCompare(known.Digest, q.digest(who)) != 1:
		return Response{Fate: model.FateUnknown}, model.Errorf(model.KindInvalid, "the ID of this request was used for another one: each request has an ID of its own"), true
	case !known.Done && idempotent:
		return Response{}, nil, false
	case !known.Done:
		return Response{Fate: model.FateUnknown}, unknownFate(), true
	}
	response := Response{Fate: model.FateDone, Kept: q.ID, Revision: known.Revision, Mirrored: true}
	var outcome linkv1.ExecuteResponse
	if q.Op == OpCreate || len(known.Result) == 0 {
		return response, nil, true
	}
	if err := proto.Unmarshal(known.Result, &outcome); err != nil {
		return response, nil, true // it is done; only what it answered is lost
	}
	if outcome.GetError() != nil {
		response.Fate = model.FateFailed
		return response, proto.ToError(outcome.GetError()), true
	}
	if l.visible(who, q) == nil { // whoever may not see it any more hears that it was done, and no more
		response.Results, _ = proto.ToArguments(outcome.GetResults())
	}
	return response, nil, true
}

// visible refuses whoever may not know of what a request is about.
func (l *ledger) visible(who access.Principal, q *Request) error {
	switch q.Op {
	case OpCreate:
		return l.router.mayCreate(who, q)
	case OpApply:
		return nil // each edit is judged when it is sent
	}
	_, err := l.router.look(who, q.Op.String(), q.address())
	return err
}

// idempotent reports whether a request may be done again when nobody knows whether it was.
func (l *ledger) idempotent(q *Request) bool {
	c, there := l.tree.Lookup(q.Path)
	if !there || q.Op != OpCall {
		return false
	}
	at := c.Schema.FunctionIndex(q.Name)
	return at >= 0 && c.Schema.Functions[at].Idempotent
}

func (l *ledger) isDoing(id store.RequestID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.doing[id]
}

// begin lets one of several that came at once do a request.
func (l *ledger) begin(id store.RequestID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.doing[id] {
		return false
	}
	l.doing[id] = true
	return true
}

func (l *ledger) end(id store.RequestID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.doing, id)
}

// with is the row of a request that goes with a commit of what it does, none for one that is not kept.
func (l *ledger) with(q *Request, fate model.Fate, err error) []store.Change {
	if q.kept == nil {
		return nil
	}
	row := *q.kept
	row.Fate, row.Since, row.Problem = fate, model.TimeOf(l.now()), problemBytes(err)
	return []store.Change{row}
}

// wrote shows what with gave, once it is committed.
func (l *ledger) wrote(changes []store.Change) {
	for _, c := range changes {
		if row, is := c.(store.Ledger); is {
			l.show(&row, nil)
		}
	}
}

// restarted ends what was begun in an earlier life and may not be done again: nobody knows how far it came.
func (l *ledger) restarted(ctx context.Context) error {
	l.mu.Lock()
	var begun []store.Ledger
	for _, k := range l.rows {
		if k.Role == store.RoleOwner && k.Fate == model.FateStarted && !l.doing[k.ID] {
			begun = append(begun, k.Ledger)
		}
	}
	l.mu.Unlock()
	for i := range begun {
		row := begun[i]
		path, _ := model.ParsePath(row.Path)
		if row.Operation == OpCall.String() && l.idempotent(&Request{Op: OpCall, Path: path, Name: row.Name}) {
			continue
		}
		row.Fate, row.Since, row.Problem = model.FateUnknown, model.TimeOf(l.now()), problemBytes(unknownFate())
		if err := l.put(ctx, row); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// stopAt is where a test stops a node that does a kept request.
func (r *Router) stopAt(q *Request, point string) {
	if q.kept != nil {
		r.ledger.reached(point)
	}
}
