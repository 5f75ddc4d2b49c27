// Command banyan is the one program of a banyan network: it runs a node and
// it is the command line with which people and scripts use one.
//
// It owns the command line: names and flags of commands, how results and
// errors are shown, and exit codes. It does not own what the commands do;
// that lives in the packages below and is reached through the API that every
// program can use, so that no feature exists on the command line only.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup ignores it, and means that
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// cli is one run of the command line: what the global flags say, and where results and errors go.
type cli struct {
	in      io.Reader
	out     io.Writer // results only, so that they can be piped
	errs    io.Writer // errors, explanations and questions
	began   time.Time // --timeout counts from here
	parsed  bool      // flags and arguments were in order; what fails before that is a mistake in the command line
	net     string
	node    string
	user    string
	profile string
	json    bool
	timeout time.Duration // 0: none
}

// run executes one command line and returns the exit code of the process.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	c := &cli{in: in, out: out, errs: errs, began: time.Now()}
	root := newRoot(c)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if !c.parsed {
		err = usageError{err.Error(), cmd.CommandPath()}
	}
	if ended, is := err.(endedWith); is { //nolint:errorlint // commands return it bare
		if ended.err != nil {
			report(errs, ended.err)
		}
		return ended.code
	}
	return report(errs, err)
}

const rootHelp = `banyan runs and operates a network of supervision nodes. Every node owns its part of one context tree and
exports subtrees to the nodes above it. PATH names a context (/sites/berlin/plc-7); PATH:NAME names a
setting, a variable or a function of it.

Which node a command speaks to:
  --net DIR --node NAME   a node of the network that "banyan topology up" made in DIR
  --profile NAME          a node where "banyan login" was; the profile "default" needs no flag

Exit codes:
  0  done
  1  failed
  2  the command line is wrong
  3  denied, or not logged in
  4  nothing is there, or nothing that you may see
  5  not reachable, or not within --timeout: what was asked for may have been done
  6  with --until: the node keeps it, and it is not done yet

Environment:
  BANYAN_NET, BANYAN_NODE, BANYAN_USER, BANYAN_PROFILE   stand for the flags of these names
  BANYAN_CONFIG                                          folder of the profiles, in place of ~/.config/banyan`

const rootExample = `  banyan demo
  banyan --net D --node hq tree
  banyan --net D --node hq get /regions/north/sites/berlin/devices/local:cpu_percent
  banyan login https://hq.example:8443 --ca ca.pem --name alice
  banyan set /devices/local:poll_interval 2s`

// newRoot assembles the command tree. Each command is a function of its own that returns a *cobra.Command, in a file named for it.
func newRoot(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use:     "banyan",
		Short:   "Federated supervision: one context tree over many nodes",
		Long:    rootHelp,
		Example: rootExample,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if c.timeout < 0 {
				return fmt.Errorf("--timeout %s is negative", c.timeout)
			}
			c.parsed = true
			if cmd.Flags().Changed("profile") && !cmd.Flags().Changed("net") {
				c.net, c.node, c.user = "", "", "" // what is typed outweighs the environment
			}
			return nil
		},
		SilenceUsage:      true, // a failed command shows its error, not a page of flags
		SilenceErrors:     true, // run prints the error, once, in one form
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&c.net, "net", os.Getenv("BANYAN_NET"), "a network's `DIR`, made by banyan topology up")
	flags.StringVar(&c.node, "node", os.Getenv("BANYAN_NODE"), "the `NAME` of the node of that network to speak to")
	flags.StringVar(&c.user, "user", os.Getenv("BANYAN_USER"), "the `NAME` as whom to act there (default admin)")
	flags.StringVar(&c.profile, "profile", os.Getenv("BANYAN_PROFILE"), "the `NAME` of a profile, made by banyan login (default \"default\")")
	flags.BoolVar(&c.json, "json", false, "print JSON: one object, or one a line")
	flags.DurationVar(&c.timeout, "timeout", 30*time.Second, "how long to wait for the answer; 0 waits as long as it takes")
	for _, name := range []string{"net", "node", "user", "profile"} {
		flags.Lookup(name).DefValue = "" // help tells what is built in, not what the environment says
	}
	root.SetFlagErrorFunc(explainFlag)
	c.completeFlags(root)
	root.AddGroup(
		&cobra.Group{ID: groupTree, Title: "The tree:"}, &cobra.Group{ID: groupPeople, Title: "Links and people:"},
		&cobra.Group{ID: groupNodes, Title: "Nodes and networks:"},
	)
	root.SetHelpCommandGroupID(groupNodes)
	add := func(group string, commands ...*cobra.Command) {
		for _, command := range commands {
			command.GroupID = group
			root.AddCommand(command)
		}
	}
	add(groupTree, newTree(c), newLs(c), newGet(c), newFreshness(c), newSet(c), newCall(c), newCreate(c), newRemove(c), newWatch(c), newRequests(c), newDiscover(c), newProfiles(c))
	add(groupTree, newExport(c), newDiff(c), newApply(c))
	add(groupPeople, newLinks(c), newInvite(c), newJoin(c), newInvitations(c), newNodes(c), newExports(c), newMounts(c), newUsers(c), newTokens(c), newLogin(c), newLogout(c))
	add(groupPeople, newWho(c), newSessions(c), newExplain(c), newRehearse(c), newAudit(c))
	add(groupNodes, newDemo(c), newTopology(c), newInit(c), newServe(c), newDoctor(c), newIdentity(c), newBackup(c), newRestore(c), newRecovery(c), newRecover(c), newVersion(c), newCompletion())
	explainArguments(root)
	return root
}

const (
	groupTree   = "tree"
	groupPeople = "people"
	groupNodes  = "nodes"
)
