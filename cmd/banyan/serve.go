package main

import (
	"context"
	"path/filepath"
	"sync"

	"banyan/server"

	"github.com/spf13/cobra"
)

func newServe(c *cli) *cobra.Command {
	var config, dir string
	cmd := &cobra.Command{
		Use:   "serve --config FILE | serve --dir DIR",
		Short: "Run a node",
		Long: `Run a node in the foreground until SIGTERM or SIGINT, which stop it cleanly within ten seconds; a second start goes on
where it stopped. --dir DIR is short for --config DIR/node.yaml, which "banyan init" writes. The log goes to
standard error.`,
		Example: `  banyan serve --dir /var/lib/banyan
  banyan serve --config /etc/banyan/node.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (config == "") == (dir == "") {
				return usagef(cmd, "give --config FILE or --dir DIR, and one of them only")
			}
			if dir != "" {
				config = filepath.Join(dir, configName)
			}
			file, err := server.LoadFile(config)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), file)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration file of the node")
	cmd.Flags().StringVar(&dir, "dir", "", "directory that banyan init made")
	return cmd
}

// serve runs a node, and tells the service manager how it is.
func serve(ctx context.Context, file server.File) error {
	file.Ceilings.KeepMemory()
	log := server.NewLogger(file.Log, file.Name)
	service := managerOf()
	tell := func(state ...string) {
		if err := service.tell(state...); err != nil {
			log.Warn("the service manager is not told how the node is", "error", err)
		}
	}
	node, err := server.New(ctx, server.Config{File: file, Version: version, Logger: log, Serving: func() { tell("READY=1", "STATUS=serving") }})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { tell("STOPPING=1", "STATUS=stopping") })()
	living, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { service.live(living, node.Alive) })
	work.Go(func() { server.KeepThrift(living) })
	err = node.Run(ctx)
	stop()
	work.Wait()
	return err
}
