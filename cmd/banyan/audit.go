package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/yamlfile"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/structpb"
)

// auditFlags restrict what is shown of the audit log.
type auditFlags struct {
	who, operation, path, outcome, since, until string
	limit                                       int64
	after, before                               int64
	wide                                        bool
}

// What is told of in the log: the operations, and how they came out.
var (
	auditOperations = []string{"set", "call", "create", "remove", "apply", "login", "logout", "token", "join", "fetch", "trim", "flood"}
	auditOutcomes   = []string{"done", "begun", "forwarded", "refused", "failed", "unknown", "queued", "expired"}
)

// mostWhat is how wide the column of values may be: --json has them whole.
const mostWhat = 60

func newAudit(c *cli) *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who did what at a node, and prove that the log is whole",
		Long: `Show the audit log of a node, the newest last: who set, called, created and removed what, who was refused, who logged in. What was
asked for over a link names who asked, and whose word that is. --since and --until take an instant like 2026-01-02T15:04:05Z or a length of
time like 2h or 7d, which means so long ago. The table cuts long values, --json does not.`,
		Example: "  banyan audit\n  banyan audit --who alice --since 24h\n  banyan audit --path /devices/plc-7 --operation set\n  banyan audit verify",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := f.texts(time.Now()); err != nil {
				return usagef(cmd, "%v", err)
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			return c.showAudit(ctx, at, &f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.who, "who", "", "only this person: alice, which finds alice@hq too")
	flags.StringVar(&f.operation, "operation", "", "only this: "+strings.Join(auditOperations, ", "))
	flags.StringVar(&f.path, "path", "", "only at and below this path")
	flags.StringVar(&f.outcome, "outcome", "", "only what came out so: "+strings.Join(auditOutcomes, ", "))
	flags.StringVar(&f.since, "since", "", "only from then on")
	flags.StringVar(&f.until, "until", "", "only before then")
	flags.Int64Var(&f.limit, "limit", 100, "the most rows")
	flags.Int64Var(&f.after, "after", 0, "only rows behind this number, the first ones of them")
	flags.Int64Var(&f.before, "before", 0, "only rows before this number")
	flags.BoolVar(&f.wide, "decisions", false, "show by which rule it was decided, and from where it came, too")
	completeWords(cmd, "operation", auditOperations...)
	completeWords(cmd, "outcome", auditOutcomes...)
	cmd.AddCommand(newAuditVerify(c))
	return cmd
}

// texts are the arguments of the function.
func (f *auditFlags) texts(now time.Time) (map[string]string, error) {
	given := texts("who", f.who, "operation", f.operation, "path", f.path, "outcome", f.outcome, "limit", number(f.limit))
	for name, n := range map[string]int64{"after": f.after, "before": f.before} {
		if n > 0 {
			given[name] = number(n)
		}
	}
	if f.operation != "" && !slices.Contains(auditOperations, f.operation) {
		return nil, fmt.Errorf("--operation: nothing is told as %q (%s)", f.operation, yamlfile.DidYouMean(f.operation, auditOperations))
	}
	if f.outcome != "" && !slices.Contains(auditOutcomes, f.outcome) {
		return nil, fmt.Errorf("--outcome: nothing comes out as %q (%s)", f.outcome, yamlfile.DidYouMean(f.outcome, auditOutcomes))
	}
	for name, text := range map[string]string{"since": f.since, "until": f.until} {
		if text == "" {
			continue
		}
		if ago, err := parseDays(text); err == nil {
			text = model.TimeOf(now.Add(-ago)).String()
		} else if _, err := model.ParseTime(text); err != nil {
			return nil, fmt.Errorf("--%s: %q is neither an instant like 2026-01-02T15:04:05Z nor a length of time like 2h or 7d", name, text)
		}
		given[name] = text
	}
	return given, nil
}

func (c *cli) showAudit(ctx context.Context, at *client, f *auditFlags) error {
	given, err := f.texts(time.Now())
	if err != nil {
		return err
	}
	answer, err := at.system(ctx, "audit", given)
	if err != nil {
		return err
	}
	rows := tableOf(answer, "rows")
	if c.json {
		return c.printRows(&rows)
	}
	t := &table{}
	heads := []string{"ROW", "TIME", "WHO", "DID", "TO", "WHAT", "OUTCOME"}
	if f.wide {
		heads = append(heads, "FROM", "DECISION")
	}
	t.add(heads...)
	for i := range rows.rows {
		cell := func(name string) string { return rows.cell(i, name) }
		to := cell("path")
		if cell("name") != "" {
			to += ":" + cell("name")
		}
		cells := []string{cell("seq"), wholeSeconds(cell("time")), orDash(cell("who")), cell("operation"), orDash(to), orDash(cut(cell("what"), mostWhat)), cell("outcome")}
		if f.wide {
			cells = append(cells, orDash(cell("from")), orDash(cell("decision")))
		}
		t.add(cells...)
	}
	if err := t.write(c.out); err != nil {
		return err
	}
	if result(answer, "more") == "true" {
		c.note("There are more: --limit, --before and --after show others.")
	}
	return nil
}

// printRows prints each row of a table as one object, by the names of its columns.
func (c *cli) printRows(rows *resultTable) error {
	for _, row := range rows.rows {
		form := map[string]json.RawMessage{}
		for i, cell := range row.GetListValue().GetValues() {
			if _, none := cell.GetKind().(*structpb.Value_NullValue); i < len(rows.names) && !none {
				form[rows.names[i]] = valueJSON(rows.types[i], cell)
			}
		}
		if err := c.printJSON(form); err != nil {
			return err
		}
	}
	return nil
}

func newAuditVerify(c *cli) *cobra.Command {
	var head string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Walk the audit log, and say where it is not whole",
		Long: `Walk the audit log of a node: each row holds the one before it, so that one that was changed, taken out or put in is found. That the
end was cut off, or all was written anew, is found only by whoever remembers a head: --head takes one as "banyan audit verify" prints it and
as the variable /system:audit_head has it, at the node itself and wherever it is mounted. The exit code is 1 where the log is not whole.`,
		Example: "  banyan audit verify\n  banyan audit verify --head 4711:9f2c...",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			answer, err := at.system(ctx, "verify_audit", texts("head", head))
			if err != nil {
				return err
			}
			return c.printVerified(answer)
		},
	}
	cmd.Flags().StringVar(&head, "head", "", "a head that was remembered, NUMBER:HASH")
	return cmd
}

func (c *cli) printVerified(answer *apiv1.CallResponse) error {
	whole := result(answer, "whole") == "true"
	last, _, _ := strings.Cut(result(answer, "head"), ":")
	var err error
	switch {
	case c.json:
		first, _ := strconv.ParseInt(result(answer, "first"), 10, 64)
		broken, _ := strconv.ParseInt(result(answer, "broken"), 10, 64)
		err = c.printJSON(struct {
			Whole   bool   `json:"whole"`
			First   int64  `json:"first"`
			Head    string `json:"head"`
			Broken  int64  `json:"broken,omitempty"`
			Problem string `json:"problem,omitempty"`
		}{whole, first, result(answer, "head"), broken, result(answer, "problem")})
	case whole:
		err = c.printf("whole from row %s to row %s\nhead %s\n", clean(result(answer, "first")), clean(last), clean(result(answer, "head")))
	default:
		err = c.printf("broken at row %s: %s\n", clean(result(answer, "broken")), clean(result(answer, "problem")))
	}
	if err == nil && !whole {
		return endedWith{code: exitFailed}
	}
	return err
}
