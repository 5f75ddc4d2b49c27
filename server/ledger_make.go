package server

import (
	"context"
	"crypto/subtle"
	"errors"

	"banyan/access"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/proto/modelv1"
	"banyan/store"

	protobuf "google.golang.org/protobuf/proto"
)

// make keeps a request of somebody who is logged in here, and waits a moment for its fate. It is judged first as if it were sent now.
func (l *ledger) make(ctx context.Context, who access.Principal, q *Request) (Response, error) {
	if known, there := l.row(q.ID); there {
		if known.Role != store.RoleMade || subtle.ConstantTimeCompare(known.Digest, q.digest(who)) != 1 {
			return Response{}, model.Errorf(model.KindInvalid, "the ID of this request was used for another one: each request has an ID of its own")
		}
		return l.answer(ctx, q)
	}
	if err := l.checkUntil(q); err != nil {
		return Response{}, err
	}
	if err := l.judge(ctx, who, q); err != nil {
		l.router.refused(ctx, who, q, err)
		return Response{}, err
	}
	row := l.rowOf(who, q, store.RoleMade, model.FatePending)
	var err error
	if row.Account, err = l.accountOf(ctx, who); err != nil {
		return Response{}, err
	}
	if row.Body, err = l.bodyOf(q); err != nil {
		return Response{}, err
	}
	if err := l.room(&row); err != nil {
		return Response{}, err
	}
	if err := l.put(ctx, row, l.router.auditRows(ctx, who, q, outcomeQueued+": sent until "+q.Until.String())...); err != nil {
		return Response{}, err
	}
	l.reached("made")
	l.mu.Lock()
	tend := l.tend
	l.mu.Unlock()
	if tend != nil {
		tend(q.ID)
	}
	return l.answer(ctx, q)
}

func (l *ledger) checkUntil(q *Request) error {
	now := model.TimeOf(l.now())
	switch {
	case q.Until <= now:
		return model.Errorf(model.KindInvalid, "until is over: it is %s now", now)
	case q.Until > now+model.Time(mostUntil):
		return model.Errorf(model.KindInvalid, "a request is kept for %s at most", mostUntil)
	}
	return nil
}

// judge decides on a request by all that this node knows, and does nothing.
func (l *ledger) judge(ctx context.Context, who access.Principal, q *Request) error {
	trial := *q
	trial.held = true
	_, err := l.router.judged(ctx, who, &trial)
	if errors.Is(err, errHeld) {
		q.Path = trial.Path // of a batch it is the mount point
		return nil
	}
	if err == nil {
		err = model.Errorf(model.KindInternal, "a request was done while it was judged")
	}
	return err
}

// bodyOf is what is asked for, sealed.
func (l *ledger) bodyOf(q *Request) ([]byte, error) {
	wire, err := requestWire(q, model.Root, sameValue)
	if err != nil {
		return nil, err
	}
	if c, there := l.tree.Lookup(q.Path); there && q.Op != OpCreate && q.Op != OpApply {
		wire.Target = proto.FromContextID(c.ID)
	}
	plain, err := protobuf.Marshal(wire)
	if err != nil {
		return nil, err
	}
	if len(plain) > store.MaxLedgerBytes {
		return nil, &model.Error{
			Kind: model.KindExhausted, Detail: "it is too large to be kept", Err: model.Errorf(model.KindExhausted, "%d bytes, at most %d are allowed", len(plain), store.MaxLedgerBytes),
			Remedy: "send it in several, or without until",
		}
	}
	return l.store.SealContent(q.ID, "body", plain)
}

// kept is the request of a row, as it is to be sent now.
func (l *ledger) request(ctx context.Context, row *store.Ledger) (Request, error) {
	sealed, _, _, err := l.store.LedgerContent(ctx, row.ID)
	if err != nil {
		return Request{}, err
	}
	plain, err := l.store.OpenContent(row.ID, "body", sealed)
	if err != nil {
		return Request{}, model.Errorf(model.KindCorrupt, "what was asked for can no longer be read: %w", err)
	}
	var wire linkv1.ExecuteRequest
	if err := proto.Unmarshal(plain, &wire); err != nil {
		return Request{}, err
	}
	q, err := readRequest(&wire, model.Root, sameValue)
	if err == nil && wire.GetTarget() != nil {
		err = l.stillMeant(&q, wire.GetTarget())
	}
	q.ID, q.Until, q.Owner, q.Attempt = row.ID, row.Until, row.Owner, row.Attempts
	return q, err
}

// stillMeant refuses a request where another context has come to be at its path since it was made: another node may have been mounted there.
func (l *ledger) stillMeant(q *Request, target *modelv1.ContextId) error {
	id, err := proto.ToContextID(target)
	if err != nil {
		return err
	}
	if c, there := l.tree.Lookup(q.Path); there && c.ID != id {
		return &model.Error{
			Kind: model.KindConflict, Op: q.Op.String(), Path: q.Path, Name: q.Name, Detail: "another context is there than when it was asked for",
			Remedy: "look what is there now, and ask again",
		}
	}
	return nil
}

func sameValue(v model.Value) model.Value { return v }

// answer waits a moment for the fate of a request, or not at all.
func (l *ledger) answer(ctx context.Context, q *Request) (Response, error) {
	wait := answerWait
	if q.Async {
		wait = 0
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	k, ended := l.await(ctx, q.ID)
	if !ended {
		return Response{Fate: k.Fate, Kept: q.ID}, nil
	}
	response, err := l.outcome(context.WithoutCancel(ctx), &k)
	if err == nil && !response.Revision.IsZero() {
		mirrored, cancel := context.WithTimeout(context.WithoutCancel(ctx), mirrorWait)
		defer cancel()
		response.Mirrored = l.router.pulse.until(mirrored, func() bool { return l.router.reached(q.Path, response.Revision) })
	}
	return response, err
}

// outcome is what became of a request that has ended.
func (l *ledger) outcome(ctx context.Context, k *kept) (Response, error) {
	response := Response{Fate: k.Fate, Kept: k.ID, Via: k.Via, Mirrored: true}
	if k.Fate != model.FateDone {
		if problem := problemOfRow(&k.Ledger); problem != nil {
			return response, problem
		}
		return response, endError(k.Fate)
	}
	_, sealed, _, err := l.store.LedgerContent(ctx, k.ID)
	if err != nil || len(sealed) == 0 {
		return response, err
	}
	plain, err := l.store.OpenContent(k.ID, "result", sealed)
	if err != nil {
		return response, err
	}
	var wire linkv1.ExecuteResponse
	if err := proto.Unmarshal(plain, &wire); err != nil {
		return response, err
	}
	response.Revision = proto.ToPosition(wire.GetRevision())
	response.Results, err = proto.ToArguments(wire.GetResults())
	return response, err
}

// endError says what an end means that nothing else explains.
func endError(fate model.Fate) error {
	switch fate {
	case model.FateExpired:
		return &model.Error{Kind: model.KindTimeout, Detail: "its time was over before it could be done, and it is not done"}
	case model.FateUnknown:
		return unknownFate()
	}
	return model.Errorf(model.KindUnavailable, "it was not done")
}

// resultOf is what a request gave, sealed; what is too large to be kept is left out.
func (l *ledger) resultOf(id store.RequestID, r *Response) []byte {
	plain, err := protobuf.Marshal(&linkv1.ExecuteResponse{Revision: proto.FromPosition(r.Revision), Results: proto.FromArguments(r.Results)})
	if err != nil || len(plain) == 0 || len(plain) > store.MaxLedgerBytes {
		return nil
	}
	sealed, err := l.store.SealContent(id, "result", plain)
	if err != nil {
		return nil
	}
	return sealed
}
