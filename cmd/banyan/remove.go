package main

import (
	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
)

func newRemove(c *cli) *cobra.Command {
	var below bool
	var expected string
	var keep keeping
	cmd := &cobra.Command{
		Use:   "remove PATH",
		Short: "Remove a context",
		Long:  `Remove a context, at the node that owns it. One that has others below it is only removed together with them.`,
		Example: `  banyan remove /devices/sim
  banyan remove /devices/hall --below`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completePath,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := parsePath(cmd, args)
			if err == nil {
				err = keep.check(cmd)
			}
			if err != nil {
				return err
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			done, err := ask(ctx, at, "remove", model.Address{Path: path}, at.trees.Remove, &apiv1.RemoveRequest{
				Path: path.String(), Expected: expected, Below: below, Until: keep.until,
			})
			if err != nil {
				return err
			}
			if ended, err := c.settled(cmd.Context(), at, &keep, done.GetRequest()); !ended || err != nil {
				return err
			}
			return c.printDone("removed "+path.String(), doneJSON{Mirrored: done.GetMirrored(), Via: done.GetVia()})
		},
	}
	keep.register(cmd)
	cmd.Flags().BoolVar(&below, "below", false, "remove everything below it, too")
	cmd.Flags().StringVar(&expected, "expected", "", "do it only if this is the current revision")
	return cmd
}
