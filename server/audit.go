package server

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"banyan/model"
	"banyan/store"

	"github.com/hashicorp/go-hclog"
)

// auditor writes what people did, and tried to do, into the audit log. What a commit does is told by a row in that commit; what a commit cannot do (a
// call, a value for a device, a request that is handed on) by a row before and one after it. What was refused is told as far as a flood lets it.
// What the node does by itself is nobody's act and is not told.
type auditor struct {
	commits *Commits
	store   *store.Store
	now     func() time.Time
	log     hclog.Logger
	flood   flood
	keep    atomic.Pointer[auditKeep]
}

func newAuditor(c *Commits, now func() time.Time, log hclog.Logger) *auditor {
	a := &auditor{commits: c, store: c.store, now: now, log: log, flood: flood{now: now}}
	a.keep.Store(&auditKeep{rows: defaultAuditRows, age: defaultAuditAge})
	return a
}

// auditKeep is how much of the log is kept.
type auditKeep struct {
	rows int64
	age  time.Duration
}

// auditEvery is how often counts are written and old rows are looked for; auditWait bounds how long a refusal waits for its row.
const (
	auditEvery = 10 * time.Second
	auditWait  = 2 * time.Second
)

// write commits rows, and returns when they are on disk.
func (a *auditor) write(ctx context.Context, rows ...store.Audit) error {
	_, err := a.commits.Do(ctx, store.Commit{Changes: auditChanges(rows...)})
	return err
}

func auditChanges(rows ...store.Audit) []store.Change {
	changes := make([]store.Change, len(rows))
	for i, r := range rows {
		changes[i] = r
	}
	return changes
}

// refused writes a row of what was refused, unless its source has caused too many of them, and never keeps the refusal from being told.
func (a *auditor) refused(ctx context.Context, row store.Audit) {
	if !a.flood.admit(sourceOf(&row)) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditWait)
	defer cancel()
	if err := a.write(ctx, row); err != nil {
		a.log.Warn("a refusal could not be recorded", "who", row.Who, "from", row.From, "operation", row.Operation, "path", row.Path, "error", err)
	}
}

// sourceOf is who causes a row: somebody at an address, whatever the port and the session are.
func sourceOf(row *store.Audit) string {
	from, _, _ := strings.Cut(row.From, ",")
	if host, _, err := net.SplitHostPort(from); err == nil {
		from = host
	}
	return row.Who + " from " + from
}

// Run writes counts and forgets old rows, until ctx ends.
func (a *auditor) Run(ctx context.Context) error {
	ticker := time.NewTicker(auditEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			a.tell(ctx)
			a.trim(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditWait)
			defer cancel()
			a.tell(last)
			return nil
		}
	}
}

// mostCounts bounds the rows that tell of counts at once: what is above is told in one.
const mostCounts = 100

// tell writes how many refusals were not written one by one.
func (a *auditor) tell(ctx context.Context) {
	var rows []store.Audit
	others := 0
	for _, l := range a.flood.drain() {
		if len(rows) >= mostCounts || l.source == "" {
			others += l.count
			continue
		}
		who, from, _ := strings.Cut(l.source, " from ")
		rows = append(rows, store.Audit{Who: who, From: from, Operation: "flood", What: fmt.Sprintf("%d more were refused and not recorded one by one", l.count), Outcome: outcomeRefused})
	}
	if others > 0 {
		rows = append(rows, store.Audit{Who: "others", Operation: "flood", What: fmt.Sprintf("%d more were refused and not recorded one by one", others), Outcome: outcomeRefused})
	}
	if len(rows) == 0 {
		return
	}
	if err := a.write(ctx, rows...); err != nil {
		a.log.Warn("refusals could not be recorded", "error", err)
	}
}

// trim forgets rows that are more, or older, than are kept: a bounded number at once, so that nobody waits long behind it.
func (a *auditor) trim(ctx context.Context) {
	for {
		through, err := a.surplus(ctx)
		if err == nil && through > 0 {
			_, err = a.commits.Do(ctx, store.Commit{Class: store.ClassEvents, Changes: []store.Change{store.TrimAudit{Through: through}}})
		}
		if err != nil {
			if ctx.Err() == nil {
				a.log.Error("the audit log could not be trimmed", "error", err)
			}
			return
		}
		if through == 0 {
			return
		}
	}
}

// surplus is the last row to forget now, 0 for none. Each time is a row of its own, so that a few rows too many stay until there are enough.
func (a *auditor) surplus(ctx context.Context) (uint64, error) {
	keep, head, trimmed := *a.keep.Load(), a.store.AuditHead().Seq, a.store.AuditTrimmed().Seq
	kept := head - trimmed
	through := uint64(0)
	if most := uint64(keep.rows); kept > most+most/100 {
		through = head - most
	}
	old, err := a.store.AuditBefore(ctx, model.TimeOf(a.now().Add(-keep.age)), store.MaxAuditTrim)
	if err != nil {
		return 0, err
	}
	through = max(through, old)
	// What makes a node worth investigating is the newest rows: some are kept however old they are.
	through = min(through, trimmed+store.MaxAuditTrim, head-min(head, leastAuditRows))
	if through <= trimmed+trimStep {
		return 0, nil
	}
	return through, nil
}

// trimStep is how many rows are trimmed at least.
const trimStep = 100
