package store

import (
	"database/sql"
	"errors"
	"fmt"

	"banyan/model"
)

// Failure is an error of the database itself, not of a commit: what stands in the file is not known until it is read again. With Full the
// disk had no room, and nothing was written.
type Failure struct {
	Doing string
	Full  bool
	Err   error
}

func (f *Failure) Error() string {
	if f.Full {
		return fmt.Sprintf("node.db: %s: the disk is full: %v", f.Doing, f.Err)
	}
	return fmt.Sprintf("node.db: %s: %v", f.Doing, f.Err)
}

// Unwrap is the cause.
func (f *Failure) Unwrap() error { return f.Err }

// failure makes a Failure of an error of SQLite. An error of fsync is never "full": pages that were not written count as written after it.
func failure(doing string, err error) error {
	if err == nil {
		return nil
	}
	var already *Failure
	if errors.As(err, &already) {
		return err
	}
	return &Failure{doing, IsFull(err), err}
}

// Transaction is a group of commits that becomes durable at once. Apply each, then Commit; or Rollback.
type Transaction struct {
	store *Store
	ended bool
	counters
	chains chains
	now    model.Revision // of the commit being applied
	time   model.Time     // of it
	ops    []op
	given  []*Result // by commit: where its Change is put
}

// Begin begins a transaction. It waits for the one before to end.
func (s *Store) Begin() (*Transaction, error) {
	s.writing.Lock()
	t := &Transaction{store: s, counters: s.state.counters, chains: s.state.chains}
	err := s.logFits()
	if err == nil {
		err = failure("beginning a transaction", t.step("begin", "BEGIN IMMEDIATE"))
	}
	if err != nil {
		s.writing.Unlock()
		return nil, err
	}
	return t, nil
}

// Rollback undoes what was applied. After Commit it does nothing.
func (t *Transaction) Rollback() {
	if t.ended {
		return
	}
	t.ended = true
	// Where SQLite has rolled back by itself this is an error, and means the same.
	_ = t.store.writer.exec("ROLLBACK")
	t.store.writing.Unlock()
}

// Apply does a commit, or refuses it with an error of package model, in which case nothing of it is done and the transaction goes on. With
// a *Failure the transaction must be rolled back. The Result is complete once Commit has returned; until then it has no Change.
func (t *Transaction) Apply(c *Commit) (*Result, error) {
	if _, err := c.Validate(); err != nil {
		return nil, err
	}
	if err := t.exec("SAVEPOINT one"); err != nil {
		return nil, err
	}
	before, chainsBefore, opsBefore := t.counters, t.chains, len(t.ops)
	result, err := t.apply(c)
	if err != nil {
		var failed *Failure
		if errors.As(err, &failed) {
			return nil, err
		}
		t.counters, t.chains, t.ops = before, chainsBefore, t.ops[:opsBefore]
		if failed := errors.Join(t.exec("ROLLBACK TO one"), t.exec("RELEASE one")); failed != nil {
			return nil, failed
		}
		return nil, err
	}
	t.given = append(t.given, result)
	for i := opsBefore; i < len(t.ops); i++ {
		t.ops[i].of = result
	}
	return result, t.exec("RELEASE one")
}

func (t *Transaction) apply(c *Commit) (*Result, error) {
	if c.Start != nil {
		known, err := t.knownRequest(c.Start)
		if err != nil || known != nil {
			return known, err
		}
	}
	for i := range c.Conditions {
		if err := t.holds(&c.Conditions[i]); err != nil {
			return nil, err
		}
	}
	// An epoch begins with the commit that opens it, so that this commit's own revision belongs to it.
	for _, change := range c.Changes {
		if open, ok := change.(OpenEpoch); ok {
			if err := t.openEpoch(open); err != nil {
				return nil, err
			}
		}
	}
	t.revision++
	t.now, t.time = model.Revision{Epoch: t.chains.revision.Last().Epoch, Number: t.revision}, c.Time
	if c.Start != nil {
		if err := t.startRequest(c.Start, c.Time); err != nil {
			return nil, err
		}
	}
	for _, change := range c.Changes {
		if err := t.do(change); err != nil {
			return nil, err
		}
	}
	result := &Result{Revision: t.now}
	if c.Done != nil {
		result.Done, result.Recorded = true, c.Done.Result
		if err := t.endRequest(c.Done); err != nil {
			return nil, err
		}
	}
	return result, nil
}

func (t *Transaction) do(change Change) error {
	switch c := change.(type) {
	case PutSchema:
		return t.putSchema(c.Schema)
	case Create:
		return at(t.create(&c), "create", c.Path)
	case Set:
		return at(t.set(&c), "set", c.Target.Path)
	case Move:
		return at(t.move(&c), "move", c.Target.Path)
	case Rebind:
		return at(t.rebind(&c), "rebind", c.Target.Path)
	case Remove:
		return at(t.remove(&c), "remove", c.Target.Path)
	case Trim:
		return t.trim(&c)
	case Audit:
		return t.writeAudit(&c)
	case TrimAudit:
		return t.trimAudit(c)
	case Ledger:
		return t.writeLedger(&c)
	case ForgetLedger:
		return t.forgetLedger(&c)
	case OpenEpoch:
		return nil // done before
	}
	return model.Errorf(model.KindInvalid, "a commit cannot do %T", change)
}

// holds checks a condition.
func (t *Transaction) holds(c *Condition) error {
	row, err := t.find(c.Target)
	switch {
	case model.KindOf(err) == model.KindNotFound && c.Absent:
		return nil
	case model.KindOf(err) == model.KindNotFound:
		return conflict(c.Target, "is not there")
	case err != nil:
		return err
	case c.Absent:
		return conflict(c.Target, "is there")
	}
	return row.expect(c.Revision)
}

func conflict(t Target, what string) error {
	return &model.Error{Kind: model.KindConflict, Path: t.Path, Detail: t.text() + " " + what}
}

// exec runs a statement; its error is a Failure.
func (t *Transaction) exec(query string, arguments ...any) error {
	return failure("writing", t.step("write", query, arguments...))
}

func (t *Transaction) step(name, query string, arguments ...any) error {
	if err := t.store.cfg.Fault(name); err != nil {
		return err
	}
	return t.store.writer.exec(query, arguments...)
}

// query calls scan for each row that a statement returns.
func (t *Transaction) query(scan func(*sql.Rows) error, query string, arguments ...any) error {
	return failure("reading", t.store.writer.query(scan, query, arguments...))
}

// Changes is how many change numbers Commit needs.
func (t *Transaction) Changes() int { return len(t.ops) }

// Commit writes the change numbers, which begin at first, and makes everything durable. It returns what to show in the live tree. After
// an error nothing may be shown and no number of these is given again: the caller rolls back, and unless the error is a Failure with
// Full it ends.
func (t *Transaction) Commit(first uint64) (Shown, error) {
	if len(t.ops) > 0 && first <= t.change {
		return Shown{}, model.Errorf(model.KindInternal, "change number %d was given before: the greatest is %d", first, t.change)
	}
	shown, err := t.number(first)
	if err != nil {
		return Shown{}, err
	}
	err = t.exec(`UPDATE counters SET revision = ?1, change = ?2, context = ?3, horizon = ?4, audit = ?5, audit_hash = ?6, audit_trimmed = ?7,
		audit_trimmed_hash = ?8 WHERE key = 1`, t.revision, t.change, t.context, t.horizon, t.audit.Seq, t.audit.Hash[:], t.audited.Seq, t.audited.Hash[:])
	if err != nil {
		return Shown{}, err
	}
	if err := t.step("commit", "COMMIT"); err != nil {
		return Shown{}, t.failedCommit(err)
	}
	s := t.store
	s.state.counters, s.state.chains = t.counters, t.chains
	s.publish()
	t.ended = true
	s.writing.Unlock()
	return shown, nil
}

// failedCommit is the Failure of a COMMIT.
func (t *Transaction) failedCommit(err error) error {
	if !isIndexFull(err) {
		return failure("committing", err)
	}
	_ = t.store.writer.exec("ROLLBACK") // where SQLite has rolled back by itself this is an error, and means the same
	if problem := t.store.writer.void(); problem != nil {
		return &Failure{Doing: "committing", Err: errors.Join(err, problem)} // a restart finds it, or not
	}
	return failure("committing", err)
}

// publish lets others see the epoch, the chains and the ends of the audit log.
func (s *Store) publish() {
	s.auditHead.Store(&auditEnds{s.state.audit, s.state.audited})
	s.newest.Store(&model.Revision{Epoch: s.state.chains.revision.Last().Epoch, Number: s.state.revision})
	last := s.state.chains.context.Last()
	if now := s.epoch.Load(); now != nil && *now == last.Epoch {
		return
	}
	published := s.state.chains.clone()
	s.published.Store(&published)
	s.nextContext.Store(max(s.state.context, last.First-1))
	s.epoch.Store(&last.Epoch)
}
