package main

import (
	"banyan/server"

	"github.com/spf13/cobra"
)

func newMounts(c *cli) *cobra.Command {
	list := listing{mountsPath, []string{server.KindMount}, "MOUNT", []column{
		{head: "LINK", name: "link"}, {head: "EXPORT", name: "export"}, {head: "PATH", name: "path"}, {head: "STATE", name: "state"},
		{head: "SINCE", name: "since", text: since}, {head: "CONTEXTS", name: "contexts"}, {head: "WANTED", name: "wanted"},
		{head: "DETAIL", name: "detail"},
	}}
	cmd := list.command(c, "mounts", "Show where the trees of other nodes hang",
		"Show where the trees of other nodes hang in a node's own. EXPORT is the name of what is mounted\nat the other node, where it shows several. Of a loop, DETAIL names the nodes that it goes through.\nWANTED is at which interval samples are asked for now: as the mount is set, and live where somebody looks.\nA mount is taken away with \"banyan remove /mounts/NAME\", and what hangs there is deleted.",
		"  banyan mounts\n  banyan mounts add berlin-alerts --link berlin --export alerts --at /alerts/berlin\n  banyan set /mounts/berlin:interval 10m")
	cmd.AddCommand(newMountAdd(c))
	return cmd
}

func newMountAdd(c *cli) *cobra.Command {
	var link, export, at, label string
	cmd := &cobra.Command{
		Use:   "add NAME --link LINK --at PATH",
		Short: "Mount another part of what a node shows",
		Long: `Mount another part of what the node at the other end of a link shows, beside what is mounted of it already. --export is
the name that it has there; without one it is what the link was made with.`,
		Example:           "  banyan mounts add berlin-alerts --link berlin --export alerts --at /alerts/berlin",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case link == "":
				return usagef(cmd, "--link LINK says of which link; \"banyan links\" lists them")
			case at == "":
				return usagef(cmd, "--at PATH says where it is to hang")
			}
			return c.createBelow(cmd, mountsPath, args[0], server.KindMount, label, texts("link", link, "export", export, "path", at))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&link, "link", "", "`LINK` to the node whose tree it is")
	flags.StringVar(&export, "export", "", "`NAME` of what is mounted at the other node")
	flags.StringVar(&at, "at", "", "the `PATH` where it is to hang; nothing of this node may lie there")
	flags.StringVar(&label, "label", "", "what people read, in any script")
	c.completeLinks(cmd)
	return cmd
}
