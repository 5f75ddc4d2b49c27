package main

import (
	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
)

func newCreate(c *cli) *cobra.Command {
	var flags namedFlags
	var label string
	var keep keeping
	cmd := &cobra.Command{
		Use:   "create PATH KIND [NAME=VALUE]...",
		Short: "Create a context",
		Long: `Create a context of a kind at a path, at the node that owns the place. NAME=VALUE gives settings, read by their
types; NAME:=JSON gives the JSON form. What is not given has its default.`,
		Example: `  banyan create /devices/sim simulator points=100 poll_interval=1s
  banyan create /sites/berlin/devices/hall folder --label "Hall 3"
  banyan create /roles/viewers role --values '{"rules":{"columns":[{"name":"pattern","type":"string"},{"name":"right","type":"string"}],"rows":[["/**","view"]]}}'`,
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: c.completePath,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := parsePath(cmd, args)
			if err == nil {
				err = keep.check(cmd)
			}
			if err != nil {
				return err
			}
			given, err := flags.read(c, cmd, args[2:])
			if err != nil {
				return err
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			done, err := ask(ctx, at, "create", model.Address{Path: path}, at.trees.Create, &apiv1.CreateRequest{
				Path: path.String(), Kind: args[1], Label: label, Texts: given.texts, Settings: given.values, Until: keep.until,
			})
			if err != nil {
				return err
			}
			if ended, err := c.settled(cmd.Context(), at, &keep, done.GetRequest()); !ended || err != nil {
				return err
			}
			return c.printDone("created "+path.String(), doneJSON{done.GetId(), done.GetRevision(), done.GetMirrored(), done.GetVia()})
		},
	}
	flags.register(cmd)
	keep.register(cmd)
	cmd.Flags().StringVar(&label, "label", "", "what people read, in any script")
	return cmd
}
