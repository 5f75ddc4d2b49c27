package server

import (
	"context"
	"encoding/hex"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/store"
	"banyan/tree"
)

// Settings of the node about its audit log, with their bounds.
const (
	settingAuditRows = "audit_keep_rows"
	settingAuditAge  = "audit_keep"

	defaultAuditRows = 1_000_000
	leastAuditRows   = 1_000
	mostAuditRows    = 100_000_000
	defaultAuditAge  = 400 * 24 * time.Hour
	leastAuditAge    = 24 * time.Hour
	mostAuditAge     = 100 * 365 * 24 * time.Hour
)

// Functions of the node about its audit log.
const (
	functionAudit       = "audit"
	functionVerifyAudit = "verify_audit"
)

var auditSettings = []model.Setting{
	{Name: settingAuditRows, Type: model.TypeInt64, Right: model.RightAdminister, Local: true, Default: model.Int64(defaultAuditRows),
		Description: "How many rows the audit log keeps, 1000 to 100000000; a row takes about 400 bytes."},
	{Name: settingAuditAge, Type: model.TypeDuration, Right: model.RightAdminister, Local: true, Default: model.Duration(defaultAuditAge),
		Description: "How long the audit log keeps a row, 24h to 876000h. The newest 1000 are kept however old they are."},
}

var auditFunctions = []model.Function{
	{
		Name: functionAudit, Right: model.RightAdminister, Local: true, Idempotent: true,
		Description: "Rows of the audit log, the newest last: the last ones that fit, or with after the first ones behind that row.",
		Parameters: []model.Field{
			{Name: "after", Type: model.TypeInt64, Optional: true, Description: "Only rows behind this number."},
			{Name: "before", Type: model.TypeInt64, Optional: true, Description: "Only rows before this number."},
			{Name: "limit", Type: model.TypeInt64, Optional: true, Description: "The most rows, 1 to 1000, by default 100."},
			{Name: "who", Type: model.TypeString, Optional: true, Description: "alice, which finds alice@hq too, or all of what a row says."},
			{Name: "operation", Type: model.TypeString, Optional: true, Description: "set, call, create, remove, login, ..."},
			{Name: "path", Type: model.TypeString, Optional: true, Description: "At and below this path."},
			{Name: "outcome", Type: model.TypeString, Optional: true, Description: "How the outcome begins: done, begun, forwarded, refused, failed, unknown."},
			{Name: "since", Type: model.TypeTime, Optional: true, Description: "Only rows from then on."},
			{Name: "until", Type: model.TypeTime, Optional: true, Description: "Only rows before then."},
		},
		Results: []model.Field{
			{Name: "rows", Type: model.TypeTable, Description: "Of the log."},
			{Name: "more", Type: model.TypeBool, Description: "Whether others fit that did not come along."},
			{Name: "head", Type: model.TypeString, Description: "The last row of the log, NUMBER:HASH."},
		},
	},
	{
		Name: functionVerifyAudit, Right: model.RightAdminister, Local: true, Idempotent: true,
		Description: "Walks the chain of the audit log and says where it does not hold.",
		Parameters: []model.Field{
			{Name: "head", Type: model.TypeString, Optional: true, Description: "A head that was remembered elsewhere, NUMBER:HASH: only with it is found that the end was cut off or all was written anew."},
		},
		Results: []model.Field{
			{Name: "whole", Type: model.TypeBool, Description: "Whether the chain holds."},
			{Name: "first", Type: model.TypeInt64, Description: "The first row that is kept."},
			{Name: "head", Type: model.TypeString, Description: "The last row that holds, NUMBER:HASH."},
			{Name: "broken", Type: model.TypeInt64, Optional: true, Description: "The row at which it does not hold."},
			{Name: "problem", Type: model.TypeString, Optional: true, Description: "What is wrong there."},
		},
	},
}

// checkAudit refuses to keep less than the least, or more than a disk holds.
func checkAudit(p *Proposal) error {
	if rows := p.After(settingAuditRows).Int64(); rows < leastAuditRows || rows > mostAuditRows {
		return model.Errorf(model.KindInvalid, "%s is between %d and %d, not %d", settingAuditRows, leastAuditRows, mostAuditRows, rows)
	}
	if age := p.After(settingAuditAge).Duration(); age < leastAuditAge || age > mostAuditAge {
		return model.Errorf(model.KindInvalid, "%s is between %s and %s, not %s", settingAuditAge, leastAuditAge, mostAuditAge, age)
	}
	return nil
}

// observe takes over what the settings say.
func (a *auditor) observe(changed []tree.Context, _ []tree.Tombstone) {
	for i := range changed {
		if c := &changed[i]; c.Path == systemPath && c.Schema.SettingIndex(settingAuditRows) >= 0 {
			a.keep.Store(&auditKeep{c.SettingNamed(settingAuditRows).Int64(), c.SettingNamed(settingAuditAge).Duration()})
		}
	}
}

var auditTable = []model.Column{
	{Name: "seq", Type: model.TypeInt64}, {Name: "time", Type: model.TypeTime}, {Name: "who", Type: model.TypeString}, {Name: "from", Type: model.TypeString},
	{Name: "operation", Type: model.TypeString}, {Name: "path", Type: model.TypeString}, {Name: "name", Type: model.TypeString},
	{Name: "what", Type: model.TypeString}, {Name: "decision", Type: model.TypeString}, {Name: "outcome", Type: model.TypeString},
	{Name: "request", Type: model.TypeString}, {Name: "revision", Type: model.TypeString}, {Name: "hash", Type: model.TypeString},
}

// mostAuditAnswer bounds the rows of an answer, so that their table is a value: a row has at most 8 KiB.
const mostAuditAnswer = 500_000

// read answers the function audit.
func (a *auditor) read(ctx context.Context, _ access.Principal, g given) ([]model.Argument, error) {
	q := store.AuditQuery{
		After: uint64(max(0, g["after"].Int64())), Before: uint64(max(0, g["before"].Int64())), Since: g["since"].Time(), Until: g["until"].Time(),
		Who: g.text("who", ""), Operation: g.text("operation", ""), Outcome: g.text("outcome", ""), Limit: 100, Oldest: !g["after"].IsNone(),
	}
	if !g["limit"].IsNone() {
		q.Limit = int(min(max(g["limit"].Int64(), 0), store.MaxAuditRows+1))
	}
	if text := g.text("path", ""); text != "" {
		var err error
		if q.Path, err = model.ParsePath(text); err != nil {
			return nil, err
		}
	}
	rows, more, err := a.store.Audit(ctx, q)
	if err != nil {
		return nil, err
	}
	table := &model.Table{Columns: auditTable}
	size := 0
	for i := range rows {
		at := i
		if !q.Oldest {
			at = len(rows) - 1 - i // the newest ones are wanted most
		}
		row := auditCells(&rows[at])
		for _, cell := range row {
			size += cell.Size()
		}
		if size > mostAuditAnswer {
			more = true
			break
		}
		table.Rows = append(table.Rows, row)
	}
	if !q.Oldest {
		for i, j := 0, len(table.Rows)-1; i < j; i, j = i+1, j-1 {
			table.Rows[i], table.Rows[j] = table.Rows[j], table.Rows[i]
		}
	}
	return []model.Argument{
		{Name: "rows", Value: model.TableValue(table)}, {Name: "more", Value: model.Bool(more)}, {Name: "head", Value: model.String(a.store.AuditHead().String())},
	}, nil
}

func auditCells(r *store.AuditRow) []model.Value {
	request := ""
	if r.Request != (store.RequestID{}) {
		request = hex.EncodeToString(r.Request[:])
	}
	cells := []model.Value{model.Int64(int64(r.Seq)), model.Instant(r.Time)}
	for _, text := range []string{
		r.Who, r.From, r.Operation, r.Path, r.Name, r.What, r.Decision, r.Outcome, request, r.Revision.String(), hex.EncodeToString(r.Hash[:]),
	} {
		cells = append(cells, model.String(text))
	}
	return cells
}

// verify answers the function verify_audit.
func (a *auditor) verify(ctx context.Context, _ access.Principal, g given) ([]model.Argument, error) {
	var remembered store.AuditHead
	if text := g.text("head", ""); text != "" {
		var err error
		if remembered, err = store.ParseAuditHead(text); err != nil {
			return nil, err
		}
	}
	report, err := a.store.VerifyAudit(ctx, remembered)
	if err != nil {
		return nil, err
	}
	results := []model.Argument{
		{Name: "whole", Value: model.Bool(report.Broken == 0)}, {Name: "first", Value: model.Int64(int64(report.First))},
		{Name: "head", Value: model.String(report.Head.String())},
	}
	if report.Broken != 0 {
		a.log.Error("the audit log is not whole", "row", report.Broken, "problem", report.Problem)
		results = append(results, model.Argument{Name: "broken", Value: model.Int64(int64(report.Broken))}, model.Argument{Name: "problem", Value: model.String(report.Problem)})
	}
	return results, nil
}
