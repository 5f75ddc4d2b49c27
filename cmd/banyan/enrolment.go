package main

import (
	"strings"

	"banyan/model"

	"github.com/spf13/cobra"
)

// newNodes shows and revokes what hangs below a node.
func newNodes(c *cli) *cobra.Command {
	cmd := c.linksTable("nodes", "nodes", "Show the nodes below this one", `Show the nodes below this one: those that it mounts, and those behind them, with the way to each and how many
contexts come through it. LINE and SINCE are how the way to it is: of several links the nearest that is not up. What is
taken from behind a node is bounded by the settings enrol of its mount; "banyan mounts" names what is refused.`,
		"  banyan nodes\n  banyan nodes revoke berlin\n  banyan set /mounts/north:enrol_hops 0", "node", "link", "mount", "route", "contexts", "state", "line", "since", "id")
	cmd.AddCommand(
		c.linksDo("revoke ID|NAME", "revoked", "revoke_node", "node", "nodes", "node", "taken", "Take a node from nowhere below any more",
			"Take a node from nowhere below any more, however it comes. What is here of it goes within 10 s, and the nodes below are told.", "  banyan nodes revoke berlin"),
		c.linksDo("admit ID|NAME", "admitted", "admit_node", "node", "nodes", "node", "revoked", "Take a node again that was revoked", "Take a node again that was revoked.", "  banyan nodes admit berlin"),
	)
	return cmd
}

// newInvitations shows and withdraws invitations.
func newInvitations(c *cli) *cobra.Command {
	cmd := c.linksTable("invitations", "invitations", "Show the invitations that were made here", `Show the invitations that were made here: for which link, who made them, until when they hold, and what became of them. One that
expired is kept for a day, and then removed with the link that nobody joined.`,
		"  banyan invitations\n  banyan invitations revoke berlin", "link", "role", "by", "until", "state", "peer", "again")
	cmd.AddCommand(c.linksDo("revoke NAME", "revoked", "withdraw", "name", "invitations", "link", "open", "End an invitation that nobody has used",
		"End an invitation that nobody has used. The link that was made with it goes too.", "  banyan invitations revoke berlin"))
	return cmd
}

// linksTable is a command that shows the table that a function of /links answers.
func (c *cli) linksTable(use, function, short, long, example string, columns ...string) *cobra.Command {
	show := func(cmd *cobra.Command, _ []string) error {
		ctx, at, stop, err := c.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer stop()
		answer, err := at.call(ctx, model.Address{Path: linksPath, Name: function}, named{})
		if err != nil {
			return err
		}
		list := tableOf(answer, function)
		if !c.json {
			t := list.print(columns...)
			for _, row := range t.rows {
				for i := range row {
					row[i] = orDash(wholeSeconds(row[i]))
				}
			}
			return t.write(c.out)
		}
		for i := range list.rows {
			row := map[string]string{}
			for _, column := range columns {
				row[column] = list.cell(i, column)
			}
			if err := c.printJSON(row); err != nil {
				return err
			}
		}
		return nil
	}
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: cobra.NoArgs, RunE: show}
	cmd.AddCommand(&cobra.Command{Use: "list", Short: short, Long: long, Example: "  banyan " + use + " list", Args: cobra.NoArgs, RunE: show})
	return cmd
}

// linksDo is a command that calls a function of /links with one word, and says what is done in the past tense. It is completed by what
// another function of /links lists in a state.
func (c *cli) linksDo(use, past, function, parameter, lists, column, state, short, long, example string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Example: example, Args: cobra.ExactArgs(1),
		ValidArgsFunction: c.completeListed(lists, column, state),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			answer, err := at.call(ctx, model.Address{Path: linksPath, Name: function}, named{texts: texts(parameter, args[0])})
			if err != nil {
				return err
			}
			return c.printDone(past+" "+clean(args[0]), doneJSON{Mirrored: true, Via: answer.GetVia()})
		},
	}
}

// completeListed completes the first argument by a column of the table that a function of /links answers, of the rows in a state.
func (c *cli) completeListed(function, column, state string) complete {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		const no = cobra.ShellCompDirectiveNoFileComp
		if len(args) > 0 {
			return nil, no
		}
		ctx, at, stop, ok := c.completing(cmd.Context())
		if !ok {
			return nil, no
		}
		defer stop()
		answer, err := at.call(ctx, model.Address{Path: linksPath, Name: function}, named{})
		if err != nil {
			return nil, no
		}
		list := tableOf(answer, function)
		var found []cobra.Completion
		for i := range list.rows {
			one := list.cell(i, column)
			if one != "" && strings.HasPrefix(one, typed) && list.cell(i, "state") == state {
				found = append(found, clean(one))
			}
		}
		return found, no
	}
}
