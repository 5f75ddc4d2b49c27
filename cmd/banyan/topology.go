package main

import (
	"context"

	"banyan/server"
	"banyan/topologies"

	"github.com/spf13/cobra"
)

func newTopology(c *cli) *cobra.Command {
	t := &topologyFlags{cli: c}
	cmd := &cobra.Command{
		Use:   "topology",
		Short: "Run a whole network from one file",
		Long: `Run a whole network of nodes, links, devices and people from one YAML file, as processes on this machine. "up" makes
DIR with everything that the network has: identities, data, passwords, logs. Two networks in two directories do
not disturb each other.`,
		Example: `  banyan topology check topologies/three-tier.yaml
  banyan topology up topologies/three-tier.yaml --dir D --detach
  banyan --net D --node hq tree
  banyan topology down --dir D`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(t.check(), t.up(), t.status(), t.start(), t.stop(), t.restart(), t.down())
	return cmd
}

// topologyFlags are flags of the commands of topology.
type topologyFlags struct {
	*cli
	dir    string
	detach bool
	keep   bool
}

// config is how networks are run.
func (t *topologyFlags) config(cmd *cobra.Command, detach bool) (topologies.Config, error) {
	dir := t.dir
	if dir == "" {
		dir = t.net
	}
	if dir == "" {
		return topologies.Config{}, usagef(cmd, "which network? Give --dir DIR")
	}
	progress := func(line string) { t.note("%s", clean(line)) }
	return topologies.Config{Dir: dir, Detach: detach, Progress: progress}, nil
}

// withDir adds --dir, and completes names of nodes.
func (t *topologyFlags) withDir(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&t.dir, "dir", "", "`DIR` of the network (default what --net says)")
	_ = cmd.MarkFlagDirname("dir") // the flag is there
	return cmd
}

func (t *topologyFlags) completeNodes(_ *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	dir := t.dir
	if dir == "" {
		dir = t.net
	}
	n, err := openNetwork(dir)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return n.names(), cobra.ShellCompDirectiveNoFileComp
}

func (t *topologyFlags) check() *cobra.Command {
	return &cobra.Command{
		Use:     "check FILE",
		Short:   "Check the file of a network",
		Long:    "Check the file of a network, and tell everything that is wrong with it: where it stands and what to do about it.",
		Example: "  banyan topology check topologies/three-tier.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			drivers, err := server.CheckingDrivers()
			if err != nil {
				return err
			}
			topology, err := topologies.ReadFile(args[0], drivers)
			if err != nil {
				return err
			}
			if t.json {
				return t.printJSON(struct {
					Network string   `json:"network"`
					Nodes   []string `json:"nodes"`
					Links   int      `json:"links"`
				}{topology.Name, topology.Names(), len(topology.Links)})
			}
			return t.printf("%s: network %s, %d nodes, %d links\n", clean(args[0]), clean(topology.Name), len(topology.Nodes), len(topology.Links))
		},
	}
}

func (t *topologyFlags) up() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up FILE",
		Short: "Start the network of a file, and join its links",
		Long: `Make the network in DIR what the file says: make the nodes that are missing, start those that do not run, join the
links, create devices and people. Done again it does only what is left to do. The nodes run until this command is
ended by Ctrl-C or SIGTERM; with --detach it ends when all is up, and "banyan topology down" ends the network.`,
		Example: `  banyan topology up topologies/three-tier.yaml --dir D
  banyan topology up topologies/three-tier.yaml --dir D --detach`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := t.config(cmd, t.detach)
			if err != nil {
				return err
			}
			n, err := topologies.Up(cmd.Context(), config, args[0])
			if err != nil {
				return err
			}
			defer n.Close()
			if err := t.printStatus(cmd.Context(), n); err != nil || t.detach {
				return err
			}
			t.note("The network runs until this command ends; press Ctrl-C. Its data stay in %s.", clean(config.Dir))
			<-cmd.Context().Done()
			return n.Stop(context.WithoutCancel(cmd.Context()))
		},
	}
	cmd.Flags().BoolVar(&t.detach, "detach", false, "end when all is up, and leave the network running")
	return t.withDir(cmd)
}

func (t *topologyFlags) printStatus(ctx context.Context, n *topologies.Network) error {
	status, err := n.Status(ctx)
	if err != nil {
		return err
	}
	if t.json {
		return t.printJSON(status)
	}
	return t.printf("%s", status)
}

// change is a command that does something to a network.
func (t *topologyFlags) change(cmd *cobra.Command, do func(ctx context.Context, n *topologies.Network, args []string) error) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		config, err := t.config(cmd, true) // what is started here goes on when this command ends
		if err != nil {
			return err
		}
		n, err := topologies.Open(config)
		if err != nil {
			return err
		}
		defer n.Close()
		return do(cmd.Context(), n, args)
	}
	if cmd.Args == nil {
		cmd.ValidArgsFunction = t.completeNodes
	}
	return t.withDir(cmd)
}

func (t *topologyFlags) status() *cobra.Command {
	return t.change(&cobra.Command{
		Use:     "status",
		Short:   "Show how the nodes and links of a network are",
		Long:    "Show the nodes of a network, their links and how these are, and in which files their administrators' passwords are.",
		Example: "  banyan topology status --dir D\n  banyan topology status --dir D --json",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, n *topologies.Network, _ []string) error { return t.printStatus(ctx, n) })
}

func (t *topologyFlags) start() *cobra.Command {
	return t.change(&cobra.Command{
		Use:     "start [NODE]...",
		Short:   "Start nodes of a network that do not run",
		Long:    "Start nodes of a network, all when none is named, and leave them running.",
		Example: "  banyan topology start --dir D\n  banyan topology start berlin --dir D",
	}, func(ctx context.Context, n *topologies.Network, args []string) error { return n.Start(ctx, args...) })
}

func (t *topologyFlags) stop() *cobra.Command {
	return t.change(&cobra.Command{
		Use:     "stop [NODE]...",
		Short:   "Stop nodes of a network; their data stay",
		Long:    "Stop nodes of a network, all when none is named. Their data stay for the next start.",
		Example: "  banyan topology stop berlin --dir D",
	}, func(ctx context.Context, n *topologies.Network, args []string) error { return n.Stop(ctx, args...) })
}

func (t *topologyFlags) restart() *cobra.Command {
	return t.change(&cobra.Command{
		Use:     "restart [NODE]...",
		Short:   "Stop nodes of a network and start them again",
		Long:    "Stop nodes of a network and start them again, all when none is named.",
		Example: "  banyan topology restart region-north --dir D",
	}, func(ctx context.Context, n *topologies.Network, args []string) error { return n.Restart(ctx, args...) })
}

func (t *topologyFlags) down() *cobra.Command {
	cmd := t.change(&cobra.Command{
		Use:     "down",
		Short:   "Stop a network and remove it",
		Long:    "Stop all nodes of a network and remove what was made for it; with --keep its data stay for another \"up\".",
		Example: "  banyan topology down --dir D\n  banyan topology down --dir D --keep",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, n *topologies.Network, _ []string) error { return n.Down(ctx, t.keep) })
	cmd.Flags().BoolVar(&t.keep, "keep", false, "leave the data where they are")
	return cmd
}
