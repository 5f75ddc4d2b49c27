package main

import (
	"slices"
	"strings"

	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/server"

	"github.com/spf13/cobra"
)

func newExports(c *cli) *cobra.Command {
	list := listing{exportsPath, []string{server.KindExport}, "EXPORT", []column{
		{head: "LINKS", name: "links"}, {head: "PATHS", name: "paths"}, {head: "RIGHT", name: "right"}, {head: "ROOT", name: "root"},
		{head: "SHOWN", whole: shownText},
	}}
	cmd := list.command(c, "exports", "Show what is shown to other nodes, and up to which right",
		"Show what a node shows to others over its links, and up to which right they may act on it. An export is for\nthe links that it names; one link may have several. It is changed like everything else, with\n\"banyan set /exports/NAME:paths ...\", and taken back with \"banyan remove /exports/NAME\": what the other node has of it\nis deleted there. SHOWN is how much of each context under PATHS.",
		"  banyan exports\n  banyan exports add alerts --link hq,ops --path '/devices/**'\n  banyan exports preview north\n  banyan set /exports/north:right operate")
	cmd.AddCommand(newExportAdd(c), newPreview(c))
	return cmd
}

// shownText says in words how much of what its paths select an export shows: in one column, since most exports differ from the whole in one thing.
func shownText(info *apiv1.ContextInfo) string {
	of := func(name string) string {
		r, there := readingOf(info, name)
		if !there || r.GetType() == model.TypeNone.String() {
			return ""
		}
		return valueText(r.GetType(), r.GetValue())
	}
	preset := strings.ReplaceAll(of("preset"), "-", " ")
	if preset == "custom" {
		preset = ""
	}
	parts := []string{preset}
	for _, part := range []struct{ before, name, usual string }{
		{"only ", "shows", "settings,variables,functions"}, {"events from ", "events", "debug"}, {"only kinds ", "kinds", ""}, {"no kinds ", "except_kinds", ""}, {"without ", "hide", ""},
	} {
		switch value := of(part.name); {
		case value == "" || value == part.usual:
		case value == "none" && part.name == "shows":
			parts = append(parts, "no settings, variables, functions")
		case value == "none" && part.name == "events":
			parts = append(parts, "no events")
		default:
			parts = append(parts, part.before+value)
		}
	}
	for _, name := range []string{"secrets", "people"} {
		if of(name) == "true" {
			parts = append(parts, "with "+name)
		}
	}
	if parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" }); len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, "; ")
}

func newExportAdd(c *cli) *cobra.Command {
	var links, paths, kinds, except, shows, hide []string
	var right, root, label, preset, events string
	var secrets, people bool
	cmd := &cobra.Command{
		Use:   "add NAME --link LINK",
		Short: "Show another part of this node over a link",
		Long: `Show another part of this node over one or more of its links, beside what is shown over them already. The other node mounts
it by its name, with "banyan mounts add". What it may do there is what all exports for its link together allow.`,
		Example: `  banyan exports add pumps --link hq --path '/devices/pumps/**' --root /devices --right operate
  banyan exports add alerts --link hq,ops --preset alerts-only
  banyan exports add values --link hq --path '/devices/**' --show variables --events warning --hide host:name`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(links) == 0 {
				return usagef(cmd, "--link LINK says over which link it is shown; \"banyan links\" lists them")
			}
			given := texts("links", strings.Join(links, ","), "paths", strings.Join(paths, ","), "right", right, "root", root,
				"kinds", strings.Join(kinds, ","), "except_kinds", strings.Join(except, ","),
				"preset", preset, "shows", strings.Join(shows, ","), "events", events, "hide", strings.Join(hide, ","))
			for name, set := range map[string]bool{"secrets": secrets, "people": people} {
				if set {
					given[name] = "true"
				}
			}
			return c.createBelow(cmd, exportsPath, args[0], server.KindExport, label, given)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&links, "link", nil, "`LINK` over which it is shown; several with commas")
	flags.StringSliceVar(&paths, "path", nil, "`PATTERNS` of what is shown (default /**)")
	flags.StringVar(&right, "right", "", "the highest right that is granted (default view)")
	flags.StringVar(&root, "root", "", "the `PATH` that the other node sees as the root (default /)")
	flags.StringSliceVar(&kinds, "kind", nil, "only contexts of these `KINDS`")
	flags.StringSliceVar(&except, "except-kind", nil, "no contexts of these `KINDS`")
	flags.StringVar(&preset, "preset", "", "whole-tree, alerts-only or custom (the default): what the other flags say")
	flags.StringSliceVar(&shows, "show", nil, "settings, variables, functions: what of each context is shown, or none (default all)")
	flags.StringVar(&events, "events", "", "the `SEVERITY` from which up events are shown, or none (default debug)")
	flags.StringSliceVar(&hide, "hide", nil, "settings, variables, functions and events that are left out, `NAMES` or KIND:NAME")
	flags.BoolVar(&secrets, "secrets", false, "let secret settings be known of and written")
	flags.BoolVar(&people, "people", false, "show users and roles")
	flags.StringVar(&label, "label", "", "what people read, in any script")
	completeWords(cmd, "right", rightNames...)
	completeWords(cmd, "preset", "whole-tree", "alerts-only", "custom")
	completeWords(cmd, "show", "settings", "variables", "functions", "none")
	completeWords(cmd, "events", "debug", "info", "notice", "warning", "error", "critical", "none")
	c.completeLinks(cmd)
	return cmd
}

// createBelow creates a context of a name in a folder.
func (c *cli) createBelow(cmd *cobra.Command, folder model.Path, name, kind, label string, given map[string]string) error {
	path, err := folder.Child(name)
	if err != nil {
		return usagef(cmd, "%v", err)
	}
	ctx, at, stop, err := c.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer stop()
	done, err := ask(ctx, at, "create", model.Address{Path: path}, at.trees.Create, &apiv1.CreateRequest{
		Path: path.String(), Kind: kind, Label: label, Texts: given,
	})
	if err != nil {
		return err
	}
	return c.printDone("created "+path.String(), doneJSON{done.GetId(), done.GetRevision(), done.GetMirrored(), done.GetVia()})
}

// completeLinks completes --link.
func (c *cli) completeLinks(cmd *cobra.Command) {
	_ = cmd.RegisterFlagCompletionFunc("link", func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return c.completeChild(linksPath)(cmd, nil, typed)
	})
}
