package main

import (
	"encoding/json"
	"strconv"
	"strings"

	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
)

func newPreview(c *cli) *cobra.Command {
	var link, below string
	var limit int
	cmd := &cobra.Command{
		Use:   "preview NAME",
		Short: "Show exactly what another node sees by an export",
		Long: `Show exactly what another node sees by an export: the contexts with the paths that it sees, the highest right on each, what is shown
of each kind, and what is left out and why. It is worked out by what is sent. Contexts that the other node has given you stand under
what is left out, since it takes nothing of its own back. An export may be for several links: --link says for whom it is shown.`,
		Example:           "  banyan exports preview north\n  banyan exports preview north --below /devices --limit 50",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeChild(exportsPath),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := exportsPath.Child(args[0])
			if err != nil {
				return usagef(cmd, "%v", err)
			}
			if limit < 0 {
				return usagef(cmd, "--limit is at least 0")
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			values := texts("link", link, "below", below)
			values["limit"] = strconv.Itoa(limit)
			answer, err := at.call(ctx, model.Address{Path: path, Name: "preview"}, named{texts: values})
			if err != nil {
				return err
			}
			return c.printPreview(answer)
		},
	}
	cmd.Flags().StringVar(&link, "link", "", "`NAME` of the link for whose node it is shown")
	cmd.Flags().StringVar(&below, "below", "", "only at and below this `PATH`, as the other node sees it")
	cmd.Flags().IntVar(&limit, "limit", 1000, "how many contexts to list at most; all are counted")
	c.completeLinks(cmd)
	return cmd
}

func (c *cli) printPreview(answer *apiv1.CallResponse) error {
	contexts, kinds, leftOut := tableOf(answer, "contexts"), tableOf(answer, "kinds"), tableOf(answer, "left_out")
	if c.json {
		return c.printPreviewJSON(answer, &contexts, &kinds, &leftOut)
	}
	events := "events from " + result(answer, "events") + " up"
	if result(answer, "events") == "none" {
		events = "no events"
	}
	leaves := "are"
	if result(answer, "omitted") == "1" {
		leaves = "is"
	}
	err := c.printf("%s sees %s of what is at and below %s, with the right to %s at most, and %s. %s %s left out.\n\n",
		clean(result(answer, "peer")), contextsText(result(answer, "shown")), clean(result(answer, "root")), result(answer, "right"), events,
		contextsText(result(answer, "omitted")), leaves)
	if err != nil {
		return err
	}
	if err := contexts.print("path", "kind", "right", "label").write(c.out); err != nil {
		return err
	}
	if result(answer, "more") == "true" {
		if err := c.printf("... and more: give --below or a greater --limit\n"); err != nil {
			return err
		}
	}
	return c.printPreviewTables(&kinds, &leftOut)
}

func contextsText(count string) string {
	if count == "1" {
		return "1 context"
	}
	return count + " contexts"
}

func (c *cli) printPreviewTables(kinds, leftOut *resultTable) error {
	byKind := &table{}
	byKind.add("KIND", "CONTEXTS", "SETTINGS", "VARIABLES", "FUNCTIONS", "EVENTS", "HIDDEN")
	for i := range kinds.rows {
		row := []string{kinds.cell(i, "kind"), kinds.cell(i, "contexts")}
		for _, sort := range []string{"settings", "variables", "functions", "events"} {
			row = append(row, strconv.Itoa(len(listed(kinds.cell(i, sort)))))
		}
		byKind.add(append(row, kinds.cell(i, "hidden"))...)
	}
	why := &table{}
	why.add("LEFT OUT", "CONTEXTS", "LIKE")
	for i := range leftOut.rows {
		why.add(leftOut.cell(i, "why"), leftOut.cell(i, "contexts"), leftOut.cell(i, "example"))
	}
	for _, t := range []struct {
		rows  int
		table *table
	}{{len(kinds.rows), byKind}, {len(leftOut.rows), why}} {
		if t.rows == 0 {
			continue
		}
		if err := c.printf("\n"); err != nil {
			return err
		}
		if err := t.table.write(c.out); err != nil {
			return err
		}
	}
	return nil
}

func listed(text string) []string {
	if text == "" {
		return []string{}
	}
	return strings.Split(text, ",")
}

func (c *cli) printPreviewJSON(answer *apiv1.CallResponse, contexts, kinds, leftOut *resultTable) error {
	type context struct {
		Path    string `json:"path"`
		Kind    string `json:"kind"`
		Label   string `json:"label,omitempty"`
		Right   string `json:"right"`
		OwnPath string `json:"own_path"`
	}
	type kind struct {
		Kind      string      `json:"kind"`
		Contexts  json.Number `json:"contexts"`
		Settings  []string    `json:"settings"`
		Variables []string    `json:"variables"`
		Functions []string    `json:"functions"`
		Events    []string    `json:"events"`
		Hidden    string      `json:"hidden,omitempty"`
	}
	type omission struct {
		Why      string      `json:"why"`
		Contexts json.Number `json:"contexts"`
		Example  string      `json:"example,omitempty"`
	}
	out := struct {
		Peer     string      `json:"peer"`
		Right    string      `json:"right"`
		Root     string      `json:"root"`
		Events   string      `json:"events"`
		Shown    json.Number `json:"shown"`
		Omitted  json.Number `json:"omitted"`
		More     bool        `json:"more"`
		Contexts []context   `json:"contexts"`
		Kinds    []kind      `json:"kinds"`
		LeftOut  []omission  `json:"left_out"`
	}{
		result(answer, "peer"), result(answer, "right"), result(answer, "root"), result(answer, "events"), json.Number(result(answer, "shown")),
		json.Number(result(answer, "omitted")), result(answer, "more") == "true", []context{}, []kind{}, []omission{},
	}
	for i := range contexts.rows {
		cell := func(name string) string { return contexts.cell(i, name) }
		out.Contexts = append(out.Contexts, context{cell("path"), cell("kind"), cell("label"), cell("right"), cell("own_path")})
	}
	for i := range kinds.rows {
		cell := func(name string) string { return kinds.cell(i, name) }
		out.Kinds = append(out.Kinds, kind{
			cell("kind"), json.Number(cell("contexts")), listed(cell("settings")), listed(cell("variables")), listed(cell("functions")), listed(cell("events")), cell("hidden"),
		})
	}
	for i := range leftOut.rows {
		cell := func(name string) string { return leftOut.cell(i, name) }
		out.LeftOut = append(out.LeftOut, omission{cell("why"), json.Number(cell("contexts")), cell("example")})
	}
	return c.printJSON(out)
}
