package main

import (
	"context"
	"os"

	"banyan/model"
	"banyan/server"

	"github.com/spf13/cobra"
)

func newProfiles(c *cli) *cobra.Command {
	where := "/devices"
	cmd := &cobra.Command{
		Use:   "profiles",
		Short: "Show the device profiles of a node, and check one",
		Long: `Show the device profiles that a node has: those that came with the program, and those that lie as NAME.yaml in the
folder "profiles" of the node's directory, where they are taken in while it runs.`,
		Example: "  banyan profiles\n  banyan profiles --at /sites/berlin/devices\n  banyan profiles check pump.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, err := parsePath(cmd, []string{where})
			if err != nil {
				return err
			}
			ctx, node, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			return c.showProfiles(ctx, node, at)
		},
	}
	cmd.Flags().StringVar(&where, "at", where, "the place of devices of the node that has them")
	cmd.AddCommand(newProfileCheck(c))
	return cmd
}

func (c *cli) showProfiles(ctx context.Context, node *client, at model.Path) error {
	address := model.Address{Path: at, Name: "profiles"}
	answer, err := node.call(ctx, address, named{})
	if err != nil {
		return err
	}
	if c.json {
		return c.printResults(address, answer)
	}
	list := tableOf(answer, "profiles")
	return list.print("name", "kind", "origin", "title", "problem").write(c.out)
}

type checkedJSON struct {
	Name   string   `json:"name"`
	Kind   string   `json:"kind"`
	Title  string   `json:"title,omitempty"`
	Points int      `json:"points"`
	Tables []string `json:"tables,omitempty"`
}

func newProfileCheck(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Say what is wrong in a device profile",
		Long: `Read a device profile as a node would, and print each problem with its line, its column, and what to do about it.
No node is needed.`,
		Example: "  banyan profiles check pump.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			source, err := os.ReadFile(args[0])
			if err != nil {
				return &model.Error{Kind: model.KindNotFound, Err: err, Remedy: "name a file like pump.yaml"}
			}
			p, err := server.CheckProfile(args[0], source)
			if err != nil {
				return &model.Error{Kind: model.KindInvalid, Detail: "the profile", Err: err}
			}
			form := checkedJSON{Name: p.Name, Kind: p.Kind, Title: p.Title, Points: len(p.Points)}
			for i := range p.Tables {
				form.Tables = append(form.Tables, p.Tables[i].Name)
			}
			if c.json {
				return c.printJSON(form)
			}
			return c.printf("%s is a profile for devices of the kind %s: %d points, %d tables\n", form.Name, form.Kind, form.Points, len(form.Tables))
		},
	}
}
