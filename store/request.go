package store

import (
	"context"
	"crypto/subtle"
	"database/sql"

	"banyan/model"
)

// Request is what is remembered of a request.
type Request struct {
	ID       RequestID
	Digest   []byte
	Started  model.Time
	Expiry   model.Time
	Done     bool // else it was begun, and how it ended is not known
	Result   []byte
	Revision model.Revision // of the commit that ended it
}

const requestColumns = "digest, started, expiry, done, result, revision_epoch, revision"

func (r *Request) scan(row interface{ Scan(...any) error }, chains *chains) error {
	var epoch, revision sql.NullInt64
	if err := row.Scan(&r.Digest, &r.Started, &r.Expiry, &r.Done, &r.Result, &epoch, &revision); err != nil {
		return err
	}
	if revision.Valid {
		r.Revision = model.Revision{Epoch: chains.epochOf(uint64(epoch.Int64)), Number: uint64(revision.Int64)}
	}
	return nil
}

func (t *Transaction) request(id RequestID) (*Request, error) {
	var found *Request
	err := t.query(func(rows *sql.Rows) error {
		found = &Request{ID: id}
		return found.scan(rows, &t.chains)
	}, "SELECT "+requestColumns+" FROM requests WHERE id = ?1", id[:])
	return found, err
}

// knownRequest is the outcome of a request that was started before, nil for a new one.
func (t *Transaction) knownRequest(start *RequestStart) (*Result, error) {
	known, err := t.request(start.ID)
	if err != nil || known == nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(known.Digest, start.Digest) != 1 {
		return nil, model.Errorf(model.KindInvalid, "the ID of this request was used for another one: each request has an ID of its own")
	}
	return &Result{Revision: known.Revision, Replayed: true, Done: known.Done, Recorded: known.Result}, nil
}

func (t *Transaction) startRequest(start *RequestStart, now model.Time) error {
	return t.exec("INSERT INTO requests (id, digest, started, expiry, done) VALUES (?1, ?2, ?3, ?4, 0)",
		start.ID[:], start.Digest, int64(now), int64(start.Expiry))
}

func (t *Transaction) endRequest(done *RequestDone) error {
	known, err := t.request(done.ID)
	switch {
	case err != nil:
		return err
	case known == nil:
		return model.Errorf(model.KindNotFound, "no such request was begun, or it was forgotten after its expiry")
	case known.Done:
		return model.Errorf(model.KindExists, "how this request ended is recorded already")
	}
	return t.exec("UPDATE requests SET done = 1, result = ?1, revision_epoch = ?2, revision = ?3 WHERE id = ?4",
		done.Result, t.now.Epoch.Ordinal, t.now.Number, done.ID[:])
}

// ExpiredRequests counts those that may be forgotten.
func (s *Store) ExpiredRequests(ctx context.Context, now model.Time) (count int, err error) {
	err = s.reader.QueryRowContext(ctx, "SELECT count(*) FROM requests WHERE expiry < ?1", int64(now)).Scan(&count)
	return count, err
}

// Request is what is remembered of a request, false where nothing is. It sees what is on disk.
func (s *Store) Request(ctx context.Context, id RequestID) (Request, bool, error) {
	r := Request{ID: id}
	switch err := r.scan(s.reader.QueryRowContext(ctx, "SELECT "+requestColumns+" FROM requests WHERE id = ?1", id[:]), s.published.Load()); {
	case err == sql.ErrNoRows: //nolint:errorlint // Scan returns it unwrapped
		return Request{}, false, nil
	case err != nil:
		return Request{}, false, err
	}
	return r, true, nil
}
