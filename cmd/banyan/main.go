// Command banyan is the one program of a banyan network: it runs a node and
// it is the command line with which people and scripts use one.
//
// It owns the command line: names and flags of commands, how results and
// errors are shown, and exit codes. It does not own what the commands do;
// that lives in the packages below, so that no feature exists on the command
// line only.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command line and returns the exit code of the process:
// 0 when the command succeeded and 1 when it did not. Results go to stdout,
// errors to stderr, so that a pipe carries results only.
func run(args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.Execute(); err != nil {
		_, _ = fmt.Fprintf(stderr, "banyan: %v\nRun 'banyan --help' to see what there is.\n", err)
		return 1
	}
	return 0
}

// newRoot assembles the command tree. Each command is a function of its own
// that returns a *cobra.Command, in a file named for it.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "banyan",
		Short: "Federated supervision: one context tree over many nodes",
		Long: "banyan runs and operates a network of supervision nodes. Every node owns its\n" +
			"part of one context tree and exports subtrees to the nodes above it.",
		Args:              cobra.NoArgs,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:      true, // a failed command shows its error, not a page of flags
		SilenceErrors:     true, // run prints the error, once, in one form
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.AddCommand(newVersion())
	return root
}
