package main

import (
	"banyan/backup"
	"banyan/model"

	"github.com/spf13/cobra"
)

func newRecovery(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "recovery",
		Short: "The recovery key, which opens a node's backups",
		Long: `The recovery key opens a node's backups. The node has its public half only: backups can be made by it and not be opened.
Keep the key where the node's end does not reach it.`,
		Example: "  banyan recovery renew",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRecoveryRenew(c))
	return cmd
}

func newRecoveryRenew(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "renew",
		Short: "Draw a new recovery key",
		Long: `Draw a recovery key, let the node seal its backups to it from now on, and print it once, alone on standard output. It is
drawn here and never sent to the node. Backups that were made before need the key of then.`,
		Example: "  banyan recovery renew > berlin.key",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := backup.NewKey()
			if err != nil {
				return err
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			if _, err := at.call(ctx, model.Address{Path: systemPath, Name: "set_recovery"}, named{texts: texts("recipient", key.Recipient())}); err != nil {
				return err
			}
			if c.json {
				return c.printJSON(struct {
					Key       string `json:"recovery_key"`
					Recipient string `json:"recovery_recipient"`
				}{key.Reveal(), key.Recipient()})
			}
			c.note("Backups are sealed to %s from now on. This key opens them; it is shown once and kept nowhere. Keep it apart from the node:", key.Recipient())
			return c.printf("%s\n", key.Reveal())
		},
	}
}
