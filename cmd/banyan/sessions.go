package main

import (
	"context"
	"strconv"

	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
)

func number(n int64) string { return strconv.FormatInt(n, 10) }

func newSessions(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "Show who is logged in, and end sessions",
		Long: `Show where you are logged in at a node; "banyan who --all" shows everybody. A session that is ended is ended everywhere
within a second, and what it watches with it. A token is ended by removing its context.`,
		Example: "  banyan sessions\n  banyan sessions end 1f0c23aa9b1d\n  banyan sessions end --user alice",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.listSessions(cmd, "") },
	}
	var user string
	list := &cobra.Command{
		Use: "list", Short: "Show who is logged in", Long: "Show where you are logged in at a node, or somebody else with --user.",
		Example: "  banyan sessions list\n  banyan sessions list --user alice", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.listSessions(cmd, user) },
	}
	list.Flags().StringVar(&user, "user", "", "whose sessions (default your own)")
	cmd.AddCommand(list, newSessionEnd(c))
	return cmd
}

func (c *cli) listSessions(cmd *cobra.Command, user string) error {
	ctx, at, stop, err := c.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer stop()
	if user != "" {
		return c.showSessions(ctx, at, user)
	}
	who, err := at.who(ctx, &apiv1.WhoRequest{})
	if err != nil {
		return err
	}
	return c.printSessions(who.GetSessions())
}

// showSessions asks the node for the sessions of a user, of everybody where none is named.
func (c *cli) showSessions(ctx context.Context, at *client, user string) error {
	answer, err := at.system(ctx, "sessions", texts("user", user))
	if err != nil {
		return err
	}
	rows := tableOf(answer, "sessions")
	var sessions []*apiv1.Session
	for i := range rows.rows {
		cell := func(name string) string { return rows.cell(i, name) }
		streams, _ := strconv.ParseInt(cell("streams"), 10, 64)
		sessions = append(sessions, &apiv1.Session{
			Id: cell("id"), User: cell("user"), From: cell("from"), Since: cell("since"), Used: cell("used"), Expires: cell("expires"), Kind: cell("kind"), Streams: streams,
		})
	}
	return c.printSessions(sessions)
}

func (c *cli) printSessions(sessions []*apiv1.Session) error {
	if !c.json {
		return c.sessionTable(sessions).write(c.out)
	}
	for _, form := range sessionForms(sessions) {
		if err := c.printJSON(form); err != nil {
			return err
		}
	}
	return nil
}

func newSessionEnd(c *cli) *cobra.Command {
	var user string
	var all bool
	cmd := &cobra.Command{
		Use:   "end [SESSION]",
		Short: "End a session, or all of a user",
		Long: `End one session by its ID, all of your own with --all, or all of another user with --user. Your own you may always end; those of
others take the right to administer the node.`,
		Example: "  banyan sessions end 1f0c23aa9b1d\n  banyan sessions end --all\n  banyan sessions end --user alice",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 == (all || user != "") || all && user != "" {
				return usagef(cmd, "give the ID of a session, or --all, or --user")
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			ended, err := at.endSessions(ctx, args, user)
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(struct {
					Ended int64 `json:"ended"`
				}{ended})
			}
			return c.printf("sessions ended: %d\n", ended)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "end all of your own, this one included")
	cmd.Flags().StringVar(&user, "user", "", "end all of this user")
	return cmd
}

// endSessions ends one session, all of a user, or all of who asks.
func (at *client) endSessions(ctx context.Context, ids []string, user string) (int64, error) {
	if user != "" {
		answer, err := at.system(ctx, "end_sessions", texts("user", user))
		if err != nil {
			return 0, err
		}
		return strconv.ParseInt(result(answer, "ended"), 10, 64)
	}
	if len(ids) == 0 {
		answer, err := ask(ctx, at, "sessions end", model.Address{}, at.session.Logout, &apiv1.LogoutRequest{All: true})
		return answer.GetEnded(), err
	}
	who, err := at.who(ctx, &apiv1.WhoRequest{})
	if err != nil {
		return 0, err
	}
	for _, s := range who.GetSessions() {
		if s.GetId() == ids[0] {
			answer, err := ask(ctx, at, "sessions end", model.Address{}, at.session.Logout, &apiv1.LogoutRequest{Session: ids[0]})
			return answer.GetEnded(), err
		}
	}
	_, err = at.system(ctx, "end_session", texts("id", ids[0]))
	return 1, err
}
