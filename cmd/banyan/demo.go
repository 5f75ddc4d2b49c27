package main

import (
	"os"
	"time"

	"banyan/topologies"

	"github.com/spf13/cobra"
)

func newDemo(c *cli) *cobra.Command {
	var dir, file string
	var every time.Duration
	var refreshes int
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start a network of three tiers and show its living tree",
		Long: `Start a network of four nodes on three tiers on this machine, and show the tree of the top one as it lives: what the probes
at the bottom measure, with the age of each value. Ctrl-C ends it and leaves nothing behind. Without a terminal it
shows the tree five times and ends. With --dir the network's data stay there, and other commands can join in with
--net DIR.`,
		Example: `  banyan demo
  banyan demo --dir D                    # and elsewhere: banyan --net D --node hq tree
  banyan demo --file my-network.yaml --node hq`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every < 0 || refreshes < 0 {
				return usagef(cmd, "--every and --refreshes are not negative")
			}
			return topologies.Demo(cmd.Context(), topologies.DemoConfig{
				Config: topologies.Config{Dir: dir, Progress: func(line string) { c.note("%s", clean(line)) }},
				File:   file, Program: os.Args[0], Node: c.node, Out: c.out, Every: every, Refreshes: refreshes,
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&dir, "dir", "", "`DIR` of the network, which stays (default a temporary one)")
	flags.StringVar(&file, "file", "", "another `FILE` than the three tiers")
	flags.DurationVar(&every, "every", time.Second, "time between two looks")
	flags.IntVar(&refreshes, "refreshes", 5, "how often to look where there is no terminal")
	_ = cmd.MarkFlagDirname("dir") // the flags are there
	_ = cmd.MarkFlagFilename("file", "yaml", "yml")
	return cmd
}
