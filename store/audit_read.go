package store

import (
	"context"
	"database/sql"
	"slices"

	"banyan/model"
)

// AuditQuery says which rows of the audit log are wanted. What is empty restricts nothing.
type AuditQuery struct {
	After, Before uint64     // rows between these two, which are not among them
	Since, Until  model.Time // of the row; Until is not among them
	Who           string     // the person as the row has it, or the name alone: "alice" finds "alice@hq, as told by north" too
	Operation     string
	Path          model.Path // at and below it
	Outcome       string     // how the outcome begins: "refused", "failed"
	Limit         int        // the most rows, 1 to MaxAuditRows
	Oldest        bool       // the first rows that fit, not the last ones
}

// MaxAuditRows bounds the rows of one answer.
const MaxAuditRows = 1_000

const auditColumns = "seq, time, epoch, revision, who, origin, operation, path, name, what, decision, outcome, request, hash"

// Audit finds rows of the audit log, the newest last. more says that there are others that fit: older ones, and with Oldest newer ones.
func (s *Store) Audit(ctx context.Context, q AuditQuery) (found []AuditRow, more bool, err error) {
	if q.Limit < 1 || q.Limit > MaxAuditRows {
		return nil, false, model.Errorf(model.KindInvalid, "1 to %d rows can be read at once", MaxAuditRows)
	}
	where, arguments := "seq > ?1 AND (?2 = 0 OR seq < ?2)", []any{q.After, q.Before}
	and := func(condition string, values ...any) {
		where += " AND " + condition
		arguments = append(arguments, values...)
	}
	if q.Since != 0 {
		and("time >= ?", int64(q.Since))
	}
	if q.Until != 0 {
		and("time < ?", int64(q.Until))
	}
	if q.Who != "" {
		and("(who = ? OR substr(who, 1, ?) = ?)", q.Who, len(q.Who)+1, q.Who+"@")
	}
	if q.Operation != "" {
		and("operation = ?", q.Operation)
	}
	if q.Outcome != "" {
		and("substr(outcome, 1, ?) = ?", len(q.Outcome), q.Outcome)
	}
	if !q.Path.IsRoot() {
		from, to := beneath(q.Path)
		and("(path = ? OR path > ? AND path < ?)", q.Path.String(), from, to)
	}
	order := " ORDER BY seq DESC LIMIT ?"
	if q.Oldest {
		order = " ORDER BY seq LIMIT ?"
	}
	arguments = append(arguments, q.Limit+1)
	found, err = s.auditRows(ctx, "SELECT "+auditColumns+" FROM audit WHERE "+where+order, arguments...)
	if more = len(found) > q.Limit; more {
		found = found[:q.Limit]
	}
	if !q.Oldest {
		slices.Reverse(found)
	}
	return found, more, err
}

func (s *Store) auditRows(ctx context.Context, query string, arguments ...any) ([]AuditRow, error) {
	rows, err := s.reader.QueryContext(ctx, query, arguments...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	chains := s.published.Load()
	var found []AuditRow
	for rows.Next() {
		var r AuditRow
		var at, epoch int64
		var request, hash sql.RawBytes
		err := rows.Scan(&r.Seq, &at, &epoch, &r.Revision.Number, &r.Who, &r.From, &r.Operation, &r.Path, &r.Name, &r.What, &r.Decision, &r.Outcome, &request, &hash)
		if err != nil {
			return nil, err
		}
		r.Time, r.Revision.Epoch = model.Time(at), chains.epochOf(uint64(epoch))
		if len(request) == len(r.Request) {
			copy(r.Request[:], request)
		}
		if len(hash) == len(r.Hash) { // a damaged one matches nothing
			copy(r.Hash[:], hash)
		}
		found = append(found, r)
	}
	return found, rows.Err()
}

// AuditReport says whether the audit log is whole.
type AuditReport struct {
	First, Last uint64    // rows that were looked at
	Head        AuditHead // of the last one
	Broken      uint64    // the row at which the chain does not hold; 0 where it does
	Problem     string    // what is wrong with it
}

// verifyChunk is how many rows are read at once: between the chunks the write-ahead log can be moved into the file.
const verifyChunk = 5_000

// VerifyAudit walks the audit log from its beginning, or from where it was trimmed to, and says where the chain breaks. remembered is a head that
// somebody kept elsewhere, zero for none: without one, a log whose end was cut off together with the counter, or that was written anew as a whole,
// looks whole. An error says that it could not be read; that it is not whole is no error.
func (s *Store) VerifyAudit(ctx context.Context, remembered AuditHead) (AuditReport, error) {
	for {
		report, again, err := s.verifyAudit(ctx, remembered)
		if err != nil || !again {
			return report, err
		}
	}
}

// verifyAudit is one walk; again says that rows were trimmed under it.
func (s *Store) verifyAudit(ctx context.Context, remembered AuditHead) (report AuditReport, again bool, err error) {
	before, err := s.auditEnds(ctx)
	if err != nil {
		return report, false, err
	}
	v := auditVerifier{report: AuditReport{First: before.trimmed.Seq + 1}, last: before.trimmed, remembered: remembered}
	if v.last.Seq == 0 {
		v.last.Hash = beginAudit(s.cfg.Node)
	}
	for full := true; full && v.report.Broken == 0; {
		rows, err := s.auditRows(ctx, "SELECT "+auditColumns+" FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2", v.last.Seq, verifyChunk)
		if err != nil {
			return v.report, false, err
		}
		for i := range rows {
			if v.take(&rows[i]); v.report.Broken != 0 {
				break
			}
		}
		full = len(rows) == verifyChunk
	}
	// A row and the counter that knows of it come in one commit, so that whatever was read above is known of now.
	after, err := s.auditEnds(ctx)
	if err != nil {
		return report, false, err
	}
	v.end(before, after)
	if v.report.Broken != 0 && after.trimmed.Seq > before.trimmed.Seq {
		return v.report, true, nil
	}
	v.report.Head, v.report.Last = v.last, v.last.Seq
	return v.report, false, nil
}

// auditEnds are those that stand in the file.
func (s *Store) auditEnds(ctx context.Context) (auditEnds, error) {
	var ends auditEnds
	var head, trimmed []byte
	row := s.reader.QueryRowContext(ctx, "SELECT audit, audit_hash, audit_trimmed, audit_trimmed_hash FROM counters WHERE key = 1")
	err := row.Scan(&ends.head.Seq, &head, &ends.trimmed.Seq, &trimmed)
	copy(ends.head.Hash[:], head)
	copy(ends.trimmed.Hash[:], trimmed)
	return ends, err
}

// auditVerifier follows the chain row by row.
type auditVerifier struct {
	report     AuditReport
	last       AuditHead // the last row that holds
	trim       string    // what the last row about trimming says
	remembered AuditHead
}

func (v *auditVerifier) broken(seq uint64, problem string) {
	if v.report.Broken == 0 {
		v.report.Broken, v.report.Problem = seq, problem
	}
}

func (v *auditVerifier) take(r *AuditRow) {
	want := r.hashAfter(v.last.Hash)
	switch {
	case r.Seq != v.last.Seq+1:
		v.broken(v.last.Seq+1, "the row is missing")
	case want != r.Hash:
		v.broken(r.Seq, "what the row says, or what stands before it, is not what it was when it was written")
	case v.remembered.Seq == r.Seq && v.remembered.Hash != r.Hash:
		v.broken(r.Seq, "the row is not the one that was remembered: the log was written anew, or put back from a copy")
	default:
		v.last = AuditHead{r.Seq, r.Hash}
		if r.Operation == OperationTrim {
			v.trim = r.What
		}
	}
}

// end judges what the rows alone do not show: whether the first and the last one are where the counters said before and after the walk.
func (v *auditVerifier) end(before, after auditEnds) {
	trimmed := v.trim == trimText(before.trimmed) || v.trim == trimText(after.trimmed)
	for _, ends := range []auditEnds{before, after} {
		if v.last.Seq == ends.head.Seq && v.last.Seq > 0 && v.last.Hash != ends.head.Hash {
			v.broken(v.last.Seq, "the last row is not the one that was written last")
		}
	}
	switch {
	case v.last.Seq < before.head.Seq:
		v.broken(v.last.Seq+1, "the rows from here to the end are missing")
	case v.last.Seq > after.head.Seq:
		v.broken(after.head.Seq+1, "the row was not written by the node")
	case before.trimmed.Seq > 0 && !trimmed:
		v.broken(v.report.First, "rows before this one are missing, and no row says that they were trimmed")
	case v.remembered.Seq > v.last.Seq:
		v.broken(v.last.Seq+1, "a later row was remembered: the end of the log was cut off, or put back from a copy")
	}
}

// AuditBefore is the number of the last row that was written before a time, among the first most ones and behind no younger one; 0 where the first row
// is not that old.
func (s *Store) AuditBefore(ctx context.Context, before model.Time, most int) (uint64, error) {
	var last uint64
	// The first row that is younger ends it; where there is none among the first ones, their last one does.
	err := s.reader.QueryRowContext(ctx, `WITH first AS (SELECT seq, time FROM audit ORDER BY seq LIMIT ?2)
		SELECT coalesce((SELECT min(seq) - 1 FROM first WHERE time >= ?1), (SELECT max(seq) FROM first), 0)`, int64(before), most).Scan(&last)
	if err != nil || last <= s.AuditTrimmed().Seq {
		return 0, err
	}
	return last, nil
}
