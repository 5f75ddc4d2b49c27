package server

import (
	"context"

	"banyan/access"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/store"

	protobuf "google.golang.org/protobuf/proto"
)

// call runs a function of the controller.
func (r *Router) call(ctx context.Context, who access.Principal, q *Request) (Response, error) {
	c, err := r.look(who, q.Op.String(), q.address())
	if err != nil {
		return Response{}, err
	}
	at := c.Schema.FunctionIndex(q.Name)
	if at < 0 {
		return Response{}, access.NotFound(q.Op.String(), q.address())
	}
	f := &c.Schema.Functions[at]
	if err := r.may(who, q.Op, &c, q.Name, &entry{sort: model.EntryFunction, right: f.Right, local: f.Local, write: true}); err != nil {
		return Response{}, err
	}
	if err := checkFields(f.Parameters, q.Arguments); err != nil {
		return Response{}, err
	}
	if !own(&c) {
		return r.handOn(ctx, who, q, nil)
	}
	kind, err := r.controlled(&c)
	if err != nil {
		return Response{}, err
	}
	q.shows = kind.Shows[q.Name] || f.Right <= model.RightView
	run := func() ([]model.Argument, error) { return kind.Controller.Call(ctx, &c, q.Name, q.Arguments, who) }
	return r.once(ctx, who, q, f.Idempotent, kind.Confidential, run)
}

// checkFields checks that every argument is declared, given once and of its type, and that none is missing.
func checkFields(declared []model.Field, arguments []model.Argument) error {
	given := make(map[string]model.Value, len(arguments))
	for _, a := range arguments {
		if _, twice := given[a.Name]; twice {
			return model.Errorf(model.KindInvalid, "parameter %s is given twice", a.Name)
		}
		given[a.Name] = a.Value
	}
	for _, f := range declared {
		v := given[f.Name]
		delete(given, f.Name)
		if v.IsNone() && !f.Optional {
			return model.Errorf(model.KindInvalid, "parameter %s (%s) is missing", f.Name, f.Type)
		}
		if !v.IsNone() && v.Type() != f.Type {
			return model.Errorf(model.KindInvalid, "parameter %s is a %s, not a %s", f.Name, f.Type, v.Type())
		}
	}
	for name := range given {
		return model.Errorf(model.KindInvalid, "the function has no parameter %q", name)
	}
	return nil
}

// once runs what is not a commit, so that the same request is not carried out twice: that it was begun is on disk before, and how it ended
// after, both in the audit log too. What nobody can send again, or may be done twice, is not remembered. Of what is confidential only that it was done
// is.
func (r *Router) once(
	ctx context.Context, who access.Principal, q *Request, idempotent, confidential bool, run func() ([]model.Argument, error),
) (Response, error) {
	var results []model.Argument
	if q.kept == nil && (q.drawn || idempotent) {
		err := r.recorded(ctx, who, q, outcomeBegun, func() (err error) {
			results, err = run()
			return err
		})
		return Response{Results: results, Mirrored: true}, err
	}
	now, kept := model.TimeOf(r.now()), r.ledger.with(q, model.FateStarted, nil)
	begun, err := r.commits.Do(ctx, store.Commit{
		Time: now, Start: &store.RequestStart{ID: q.ID, Digest: q.digest(who), Expiry: max(now, q.Until) + model.Time(requestMemory)},
		Changes: append(r.auditRows(ctx, who, q, outcomeBegun), kept...),
	})
	switch {
	case err != nil:
		return Response{}, err
	case begun.Replayed && !begun.Done && q.kept != nil && idempotent: // it was begun in an earlier life
	case begun.Replayed && !begun.Done:
		return Response{}, unknownFate()
	case begun.Replayed:
		return replay(begun.Recorded)
	}
	q.audited = true
	r.ledger.wrote(kept)
	r.stopAt(q, "started")
	results, err = run()
	r.stopAt(q, "done")
	// How it ended is kept also when the caller is gone.
	ended := store.Commit{Changes: r.auditRows(ctx, who, q, endText(err))}
	if err == nil || !unknown(err) { // what is not known is not recorded as if it were
		ended.Done = &store.RequestDone{ID: q.ID, Result: recordedResult(results, err, confidential)}
	}
	kept = r.ledger.with(q, fateOf(err), err)
	ended.Changes = append(ended.Changes, kept...)
	problem := r.keep(ctx, ended)
	if problem == nil {
		r.ledger.wrote(kept)
	}
	if problem != nil && err == nil {
		err = &model.Error{Kind: model.KindUnknownFate, Detail: "it was done, but that could not be recorded", Err: problem}
	}
	return Response{Results: results, Mirrored: true}, err
}

// recordedResult is what is answered when the same request comes again.
func recordedResult(results []model.Argument, err error, confidential bool) []byte {
	outcome := &linkv1.ExecuteResponse{}
	switch {
	case err != nil:
		outcome.Error = proto.FromError(err)
	case confidential:
		outcome.Error = proto.FromError(model.Errorf(model.KindUnsupported, "it was done before, and its answer was told once"))
	default:
		outcome.Results = proto.FromArguments(results)
	}
	recorded, failed := protobuf.Marshal(outcome)
	if failed != nil || len(recorded) > store.MaxResultBytes {
		recorded, _ = protobuf.Marshal(&linkv1.ExecuteResponse{
			Error: proto.FromError(model.Errorf(model.KindExhausted, "it was done before, and its answer was too large to be kept")),
		})
	}
	return recorded
}

// fateOf is the fate of what was begun and ended with an error, or none.
func fateOf(err error) model.Fate {
	switch {
	case err == nil:
		return model.FateDone
	case unknown(err):
		return model.FateUnknown
	}
	return model.FateFailed
}

// unknown reports whether an error leaves open what was done.
func unknown(err error) bool {
	kind := model.KindOf(err)
	return kind == model.KindUnknownFate || kind == model.KindTimeout || kind == model.KindCanceled
}

// replay is the answer to a request that was carried out before.
func replay(recorded []byte) (Response, error) {
	var outcome linkv1.ExecuteResponse
	if err := proto.Unmarshal(recorded, &outcome); err != nil {
		return Response{}, model.Errorf(model.KindCorrupt, "the recorded answer is damaged: %w", err)
	}
	if outcome.GetError() != nil {
		return Response{}, proto.ToError(outcome.GetError())
	}
	results, err := proto.ToArguments(outcome.GetResults())
	return Response{Results: results, Mirrored: true}, err
}
