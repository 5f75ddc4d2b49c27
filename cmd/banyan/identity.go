package main

import (
	"strings"

	"banyan/model"

	"github.com/spf13/cobra"
)

func newIdentity(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "identity",
		Short: "Show how a node proves who it is",
		Long: `Show how a node proves who it is to others: its ID, which is for life, the root in use, which signs its certificates, and
until when. A node makes its next root by itself from DUE on, while another node that is linked vouches for its clock,
and its peers take it by themselves, also those that are away meanwhile, as long as the root that they know is valid.`,
		Example: `  banyan identity
  banyan identity rotate
  banyan identity --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			answer, err := at.call(ctx, model.Address{Path: model.MustPath("/system"), Name: "identity"}, named{})
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(struct {
					ID          string `json:"id"`
					Root        string `json:"root"`
					From        string `json:"from"`
					Until       string `json:"until"`
					Due         string `json:"due"`
					Successions string `json:"successions"`
					LinksUntil  string `json:"links_until"`
					Problem     string `json:"problem,omitempty"`
				}{
					result(answer, "id"), result(answer, "root"), result(answer, "from"), result(answer, "until"), result(answer, "due"),
					result(answer, "successions"), result(answer, "links_until"), result(answer, "problem"),
				})
			}
			rows := [][2]string{
				{"ID", result(answer, "id")}, {"ROOT", result(answer, "root")}, {"FROM", wholeSeconds(result(answer, "from"))},
				{"UNTIL", wholeSeconds(result(answer, "until"))}, {"DUE", wholeSeconds(result(answer, "due"))},
				{"BEFORE", result(answer, "successions") + " roots"}, {"LINKS", "certificate until " + wholeSeconds(result(answer, "links_until"))},
			}
			if problem := result(answer, "problem"); problem != "" {
				rows = append(rows, [2]string{"PROBLEM", problem})
			}
			for _, row := range rows {
				if err := c.printf("%s%s%s\n", row[0], strings.Repeat(" ", 9-len(row[0])), clean(row[1])); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.AddCommand(newRotate(c))
	return cmd
}

func newRotate(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate",
		Short: "Make a new root, which the present one signs for",
		Long: `Make a new root, for which the present one signs, and let all peers take it. The node keeps its ID, its links and its settings;
the key of the old root is removed. Links are made anew at once and come back within a second. People reach the API by the
ca.pem of before for some weeks more; give them the new one from the node's directory meanwhile.

This is not for a key that somebody may have stolen, since who has it can sign as well: there, rotate, and then renew each
link by "banyan invite --again LINK" at the other node and "banyan join TOKEN" here.`,
		Example: "  banyan identity rotate",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			answer, err := at.call(ctx, model.Address{Path: model.MustPath("/system"), Name: "rotate_root"}, named{})
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(struct {
					Root  string `json:"root"`
					Until string `json:"until"`
				}{result(answer, "root"), result(answer, "until")})
			}
			return c.printf("%s\n", clean("the root is "+result(answer, "root")+", until "+wholeSeconds(result(answer, "until"))))
		},
	}
}
