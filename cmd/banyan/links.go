package main

import (
	"banyan/model"
	"banyan/server"

	"github.com/spf13/cobra"
)

var (
	linksPath   = model.MustPath("/links")
	exportsPath = model.MustPath("/exports")
	mountsPath  = model.MustPath("/mounts")
)

func newLinks(c *cli) *cobra.Command {
	list := listing{linksPath, []string{server.KindLink}, "LINK", []column{
		{head: "PEER", name: "peer_name"}, {head: "ROLE", name: "role"}, {head: "DIALS", name: "dials"}, {head: "STATE", name: "state"},
		{head: "SINCE", name: "since", text: since}, {head: "LAG", name: "lag", text: lag},
		{head: "IN", name: "bytes_in", text: size}, {head: "OUT", name: "bytes_out", text: size}, {head: "PER DAY", name: "bytes_per_day", text: size},
		{head: "ADDRESS", name: "address"}, {head: "REHEARSAL", name: "rehearsal"}, {head: "DETAIL", name: "detail"},
	}}
	cmd := list.command(c, "links", "Show the links to other nodes",
		"Show the links of a node to other nodes. ROLE is this node's part: a consumer sees the other's tree, a provider shows\nits own. DIALS says whether this node opens the connections; LAG is how long a heartbeat takes both ways.\n"+
			"IN and OUT are what passed today, by UTC, with TLS; PER DAY is what both would be in a day that goes on like the last hour.\n"+
			"REHEARSAL is the outage that somebody rehearses on it now. On a link that costs by the byte, have a mount tell less\nwhile nobody looks, and heartbeats come seldom.",
		"  banyan links\n  banyan set /mounts/berlin:interval 10m\n  banyan set /links/berlin:beat 1m\n  banyan links revoke berlin")
	cmd.AddCommand(newRevoke(c))
	return cmd
}

func newRevoke(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "revoke NAME",
		Short:             "End a link for good",
		Long:              "End a link for good: its connections end at once, and the other node is refused from then on.",
		Example:           "  banyan links revoke berlin",
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
			address := model.Address{Path: path, Name: "revoke"}
			answer, err := at.call(ctx, address, named{})
			if err != nil {
				return err
			}
			return c.printDone("revoked "+path.String(), doneJSON{Mirrored: true, Via: answer.GetVia()})
		},
	}
}
