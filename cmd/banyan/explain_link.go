package main

import (
	"banyan/doctor"
	"banyan/model"

	"github.com/spf13/cobra"
)

func newExplainLink(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "link NAME",
		Short: "Say what is wrong with a link, and what to do",
		Long: `Look what is wrong with a link, step by step, and say what to do: settings, clocks, names, connections, proxy, certificates, what the
other end says, versions, what is shown and mounted, what the other end knows. The first line is the verdict. It takes 20 s at most and
disturbs nothing. A link that the other node dials is best looked at there. The exit code is 1 when something is wrong.`,
		Example:           "  banyan explain link hq\n  banyan explain link hq --json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeChild(linksPath),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := linksPath.Child(args[0])
			if err != nil {
				return usagef(cmd, "%v", err)
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			answer, err := at.call(ctx, model.Address{Path: path, Name: "explain"}, named{})
			if err != nil {
				return err
			}
			rows := tableOf(answer, "checks")
			var found []doctor.Finding
			for i := range rows.rows {
				found = append(found, doctor.Finding{
					Check: rows.cell(i, "check"), State: doctor.State(rows.cell(i, "state")), Detail: rows.cell(i, "detail"), Remedy: rows.cell(i, "remedy"),
				})
			}
			return c.printDiagnosis(result(answer, "ok") == "true", result(answer, "verdict"), result(answer, "state"), found)
		},
	}
}

var marks = map[doctor.State]string{doctor.OK: "+", doctor.Skipped: "-", doctor.Unknown: "?", doctor.Warning: "!", doctor.Failed: "X"}

// printDiagnosis prints the verdict, and below it what was looked at, with a mark each.
func (c *cli) printDiagnosis(ok bool, verdict, state string, found []doctor.Finding) error {
	if c.json {
		form := struct {
			OK      bool          `json:"ok"`
			Verdict string        `json:"verdict"`
			State   string        `json:"state"`
			Checks  []findingJSON `json:"checks"`
		}{ok, verdict, state, []findingJSON{}}
		for _, f := range found {
			form.Checks = append(form.Checks, findingJSON{f.Check, string(f.State), f.Detail, f.Remedy})
		}
		if err := c.printJSON(form); err != nil {
			return err
		}
	} else {
		if err := c.printf("%s\n", clean(verdict)); err != nil {
			return err
		}
		t := &table{}
		for _, f := range found {
			mark, known := marks[f.State]
			if !known {
				mark = "?"
			}
			t.add(mark, f.Check, f.Detail)
		}
		if err := t.write(c.out); err != nil {
			return err
		}
	}
	if !ok {
		return endedWith{code: exitFailed}
	}
	return nil
}
