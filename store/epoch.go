package store

import (
	"context"
	"slices"

	"banyan/model"
)

// chains are the epochs with their first numbers in each sequence.
type chains struct{ revision, change, context model.Chain }

// epochOf is the epoch with that ordinal: within one file there is one.
func (c *chains) epochOf(ordinal uint64) model.Epoch {
	for i := len(c.revision) - 1; i >= 0; i-- {
		if c.revision[i].Epoch.Ordinal == ordinal {
			return c.revision[i].Epoch
		}
	}
	return model.Epoch{}
}

func (s *Store) loadState(ctx context.Context) error {
	st := &s.state
	var head, trimmed []byte
	row := s.writer.conn.QueryRowContext(ctx,
		"SELECT revision, change, context, horizon, audit, audit_hash, audit_trimmed, audit_trimmed_hash FROM counters WHERE key = 1")
	err := row.Scan(&st.revision, &st.change, &st.context, &st.horizon, &st.audit.Seq, &head, &st.audited.Seq, &trimmed)
	if err != nil {
		return err
	}
	if st.audit.Seq == 0 {
		st.audit.Hash = beginAudit(s.cfg.Node)
	} else {
		copy(st.audit.Hash[:], head)
	}
	copy(st.audited.Hash[:], trimmed)
	// Whatever somebody put behind the last row stays there to be seen, and new ones come behind it.
	var last uint64
	if err := s.writer.conn.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM audit").Scan(&last); err != nil {
		return err
	}
	st.audit.Seq = max(st.audit.Seq, last)
	rows, err := s.writer.conn.QueryContext(ctx, "SELECT ordinal, random, first_revision, first_change, first_context FROM epochs ORDER BY ordinal")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var ordinal, random int64
		var revision, change, number uint64
		if err := rows.Scan(&ordinal, &random, &revision, &change, &number); err != nil {
			return err
		}
		st.chains.add(model.Epoch{Ordinal: uint64(ordinal), Random: uint64(random)}, revision, change, number)
	}
	return rows.Err()
}

func (c *chains) add(e model.Epoch, revision, change, number uint64) {
	c.revision = append(c.revision, model.Begin{Epoch: e, First: revision})
	c.change = append(c.change, model.Begin{Epoch: e, First: change})
	c.context = append(c.context, model.Begin{Epoch: e, First: number})
}

// beginEpoch draws this life's epoch and makes it durable, by a commit like any other.
func (s *Store) beginEpoch() error {
	last := s.state.chains.revision.Last().Epoch.Ordinal
	greatest, lost := s.mirrors.numbers(last)
	open := OpenEpoch{Epoch: model.Epoch{Ordinal: last + 1, Random: s.cfg.Random()}, LeastChange: greatest + 1, LostFrom: lost}
	tx, err := s.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.Apply(&Commit{Class: ClassPeople, Time: s.cfg.Now(), Changes: []Change{open}}); err != nil {
		return err
	}
	if _, err := tx.Commit(0); err != nil {
		return err
	}
	s.firstChange = s.state.change + 1
	s.log.Info("epoch begun", "epoch", open.Epoch, "revision", s.state.chains.revision.Last().First, "change", s.firstChange)
	return nil
}

// openEpoch applies OpenEpoch.
func (t *Transaction) openEpoch(c OpenEpoch) error {
	if last := t.chains.revision.Last().Epoch; c.Epoch.Ordinal <= last.Ordinal {
		return model.Errorf(model.KindConflict, "epoch %s does not follow %s", c.Epoch, last)
	}
	// Numbers of this transaction so far belong to the epoch before. Its change numbers are given when it ends, so an epoch begins
	// only where there are none.
	if len(t.ops) > 0 {
		return model.Errorf(model.KindInvalid, "an epoch begins in a transaction of its own")
	}
	t.change = max(t.change, c.LeastChange-min(c.LeastChange, 1))
	// What the chain says of change numbers begins where they are the same for everybody, which is earlier than the first new one where
	// some were told and lost: whoever heard of those compares.
	firstChange := t.change + 1
	if c.LostFrom != 0 {
		firstChange = min(firstChange, max(c.LostFrom, t.chains.change.Last().First))
	}
	next := t.chains.clone()
	next.add(c.Epoch, t.revision+1, firstChange, t.context+1)
	t.chains = next
	return t.exec("INSERT INTO epochs (ordinal, random, first_revision, first_change, first_context) VALUES (?1, ?2, ?3, ?4, ?5)",
		int64(c.Epoch.Ordinal), int64(c.Epoch.Random), t.revision+1, firstChange, t.context+1)
}

// clone is a copy that add does not share.
func (c *chains) clone() chains {
	return chains{slices.Clone(c.revision), slices.Clone(c.change), slices.Clone(c.context)}
}

// Epoch is this life.
func (s *Store) Epoch() model.Epoch { return *s.epoch.Load() }

// Revision is that of the newest commit.
func (s *Store) Revision() model.Revision { return *s.newest.Load() }

// RevisionChain and ChangeChain are the epochs of this node with their first numbers, this one last.
func (s *Store) RevisionChain() model.Chain { return slices.Clone(s.published.Load().revision) }

// ChangeChain is RevisionChain for change numbers.
func (s *Store) ChangeChain() model.Chain { return slices.Clone(s.published.Load().change) }

// FirstChange is the first change number that this epoch gives, for tree.Config.
func (s *Store) FirstChange() uint64 { return s.firstChange }

// NewID draws the ID of a context to be created. It is never drawn again, whether or not the context comes to be.
func (s *Store) NewID() model.ContextID {
	return model.ContextID{Node: s.cfg.Node, Epoch: s.Epoch(), Number: s.nextContext.Add(1)}
}
