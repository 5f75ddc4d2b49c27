package main

import (
	"context"
	"strings"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
)

// completionWait bounds how long a press of the tab key may take.
const completionWait = 2 * time.Second

func newCompletion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print the script that completes commands, paths and names",
		Long: `Print the script with which a shell completes commands, flags, and paths and names of the tree, which are asked of
the node. For bash it needs the package bash-completion.`,
		Example: `  source <(banyan completion bash)
  banyan completion zsh > "${fpath[1]}/_banyan"
  banyan completion fish | source`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			root, to := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(to, true)
			case "zsh":
				return root.GenZshCompletion(to)
			case "fish":
				return root.GenFishCompletion(to, true)
			default:
				return root.GenPowerShellCompletionWithDesc(to)
			}
		},
	}
}

// complete is what cobra asks for completions.
type complete = func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective)

// completeWords completes a flag that takes one of some words.
func completeWords(cmd *cobra.Command, flag string, words ...string) {
	// It fails only for a flag that the command does not have.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// completeFlags completes the global flags.
func (c *cli) completeFlags(root *cobra.Command) {
	_ = root.MarkPersistentFlagDirname("net") // the flag is there
	_ = root.RegisterFlagCompletionFunc("node", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		n, err := openNetwork(c.net)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return n.names(), cobra.ShellCompDirectiveNoFileComp
	})
	_ = root.RegisterFlagCompletionFunc("profile", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return profileNames(), cobra.ShellCompDirectiveNoFileComp
	})
}

// completing connects for a completion. Nobody reads what goes wrong, so that nothing is completed then.
func (c *cli) completing(ctx context.Context) (context.Context, *client, func(), bool) {
	c.timeout = completionWait
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, at, stop, err := c.connect(ctx)
	return ctx, at, stop, err == nil
}

// completePath completes the first argument as a path.
func (c *cli) completePath(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const without = cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, at, stop, ok := c.completing(cmd.Context())
	if !ok {
		return nil, without
	}
	defer stop()
	return at.pathsFor(ctx, typed), without
}

// pathsFor are the paths that begin with what was typed, one level further.
func (at *client) pathsFor(ctx context.Context, typed string) []cobra.Completion {
	above := model.Root
	if last := strings.LastIndexByte(typed, '/'); last > 0 {
		var err error
		if above, err = model.ParsePath(typed[:last]); err != nil {
			return nil
		}
	}
	entries, _, err := at.list(ctx, above, "", pageSize)
	if err != nil {
		return nil
	}
	var found []cobra.Completion
	for _, e := range entries {
		if strings.HasPrefix(e.GetPath(), typed) {
			found = append(found, cobra.CompletionWithDesc(e.GetPath(), clean(strings.TrimSpace(e.GetKind()+" "+e.GetLabel()))))
		}
	}
	return found
}

// nameKind is which names of a context a command takes.
type nameKind int

const (
	nameReadable nameKind = iota // settings and variables
	nameSettable                 // settings, and variables that can be written
	nameCallable                 // functions
)

// completeAddress completes PATH:NAME: paths until there is a colon, then names.
func (c *cli) completeAddress(kind nameKind) complete {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 && kind != nameReadable {
			return c.completeParameters(cmd, args, kind)
		}
		ctx, at, stop, ok := c.completing(cmd.Context())
		if !ok {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer stop()
		context, name, named := strings.Cut(typed, ":")
		if !named {
			found := at.pathsFor(ctx, typed)
			// A path that is typed whole goes on with its names.
			for _, one := range found {
				if text, _, _ := strings.Cut(one, "\t"); text == typed {
					found = append(found, at.namesFor(ctx, typed, "", kind)...)
				}
			}
			return found, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
		}
		return at.namesFor(ctx, context, name, kind), cobra.ShellCompDirectiveNoFileComp
	}
}

// namesFor are the names of a context that begin with what was typed, as addresses.
func (at *client) namesFor(ctx context.Context, context, typed string, kind nameKind) []cobra.Completion {
	path, err := model.ParsePath(context)
	if err != nil {
		return nil
	}
	info, err := at.describe(ctx, path)
	if err != nil {
		return nil
	}
	var found []cobra.Completion
	add := func(name, description string) {
		if strings.HasPrefix(name, typed) {
			found = append(found, cobra.CompletionWithDesc(path.String()+":"+name, clean(description)))
		}
	}
	if kind == nameCallable {
		for _, f := range info.GetFunctions() {
			add(f.GetName(), f.GetDescription())
		}
		return found
	}
	for _, s := range info.GetSettings() {
		add(s.GetReading().GetName(), s.GetDescription())
	}
	for _, v := range info.GetVariables() {
		if kind == nameReadable || v.GetWritable() {
			add(v.GetReading().GetName(), v.GetDescription())
		}
	}
	return found
}

// completeParameters completes NAME= of a function's parameters.
func (c *cli) completeParameters(cmd *cobra.Command, args []string, kind nameKind) ([]cobra.Completion, cobra.ShellCompDirective) {
	address, err := model.ParseAddress(args[0])
	if kind != nameCallable || err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, at, stop, ok := c.completing(cmd.Context())
	if !ok {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer stop()
	info, err := at.describe(ctx, address.Path)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var found []cobra.Completion
	for _, f := range info.GetFunctions() {
		if f.GetName() == address.Name {
			found = parameters(f)
		}
	}
	return found, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

func parameters(f *apiv1.FunctionInfo) []cobra.Completion {
	var found []cobra.Completion
	for _, p := range f.GetParameters() {
		found = append(found, cobra.CompletionWithDesc(p.GetName()+"=", clean(p.GetType()+": "+p.GetDescription())))
	}
	return found
}

// completeChild completes the name of a context directly below a path.
func (c *cli) completeChild(above model.Path) complete {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, at, stop, ok := c.completing(cmd.Context())
		if !ok {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer stop()
		entries, _, err := at.list(ctx, above, "", pageSize)
		var found []cobra.Completion
		for _, e := range entries {
			name := strings.TrimPrefix(e.GetPath(), above.String()+"/")
			if err == nil && strings.HasPrefix(name, typed) {
				found = append(found, cobra.CompletionWithDesc(name, clean(e.GetLabel())))
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}
