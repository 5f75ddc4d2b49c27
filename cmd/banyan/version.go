package main

import (
	"runtime"

	"github.com/spf13/cobra"
)

// version is set by the linker (see the Makefile): the nearest tag and the
// commit, ending in "-dirty" when the build had changes that no commit holds.
// A build that did not go through the Makefile says "devel".
var version = "devel"

// versionInfo is what "banyan version --json" prints.
type versionInfo struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"` // operating system/architecture
}

func newVersion(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the version of this program",
		Example: "  banyan version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info := versionInfo{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			if c.json {
				return c.printJSON(info)
			}
			return c.printf("banyan %s (%s, %s)\n", info.Version, info.Go, info.Platform)
		},
	}
}
