package server

import (
	"context"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/store"
)

// recordWait bounds how long the end of a request waits to be recorded, after its caller may have gone.
const recordWait = 2 * time.Second

// auditRows are the changes by which a commit tells of a request; none where there is nothing to tell.
func (r *Router) auditRows(ctx context.Context, who access.Principal, q *Request, outcome string) []store.Change {
	switch {
	case q.shows:
		return nil
	case q.Op != OpApply || outcome != outcomeDone || q.audited: // of a batch that is handed on, what each edit did is told by the owner
		return auditChanges(r.auditRow(ctx, who, q, outcome))
	}
	rows := make([]store.Change, len(q.Edits))
	for i := range q.Edits {
		edit := q.Edits[i].request(q.ID)
		rows[i] = r.auditRow(ctx, who, &edit, outcome)
	}
	return rows
}

// request is an edit as if it were a request of its own, for a row of the audit log.
func (e *Edit) request(id [16]byte) Request {
	return Request{ID: id, Op: e.Op, Path: e.Path, Kind: e.Kind, Arguments: e.Settings, Below: e.Below}
}

// recorded does what is none of a commit's effects: the audit log has it before, as begun or forwarded, and its end after. Where the first row cannot
// be written, nothing is done. What was forwarded for a neighbour is the business of the node where it came from, and of its owner.
func (r *Router) recorded(ctx context.Context, who access.Principal, q *Request, as string, do func() error) error {
	rows := r.auditRows(ctx, who, q, as)
	if len(rows) == 0 || as == outcomeForwarded && who.Link != "" {
		return do()
	}
	if _, err := r.commits.Do(ctx, store.Commit{Changes: rows}); err != nil {
		return err
	}
	q.audited = true
	err := do()
	problem := r.keep(ctx, store.Commit{Changes: r.auditRows(ctx, who, q, endText(err))})
	if problem != nil && err == nil {
		err = &model.Error{Kind: model.KindUnknownFate, Detail: "it was done, but that could not be recorded", Err: problem}
	}
	return err
}

// keep makes a commit about something that has happened, whether or not its caller is still there.
func (r *Router) keep(ctx context.Context, c store.Commit) error {
	if len(c.Changes) == 0 && c.Done == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWait)
	defer cancel()
	_, err := r.commits.Do(ctx, c)
	return err
}

func endText(err error) string {
	if err == nil {
		return outcomeDone
	}
	return failedText(err)
}

// refused records a request that was not carried out since somebody may not do that. What is hidden and what is absent are recorded alike, so that
// they take as long.
func (r *Router) refused(ctx context.Context, who access.Principal, q *Request, err error) {
	kind := model.KindOf(err)
	if q.audited || q.shows || kind != model.KindDenied && kind != model.KindNotFound {
		return
	}
	r.audit.refused(ctx, r.auditRow(ctx, who, q, failedText(err)))
}
