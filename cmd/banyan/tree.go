package main

import (
	"context"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
)

func newTree(c *cli) *cobra.Command {
	w := &treeWalk{cli: c}
	cmd := &cobra.Command{
		Use:   "tree [PATH]",
		Short: "Show everything below a path as a tree",
		Long: `Show everything below a path as a tree, with how fresh it is: the worst quality of a context's variables, the age of
its newest value, and since when it is stale where a link to its owner is cut. With --json one object a line.`,
		Example: `  banyan tree
  banyan tree /regions/north --depth 3
  banyan tree /sites/berlin/devices --values`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.completePath,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := parsePath(cmd, args)
			if err != nil {
				return err
			}
			if w.limit < 1 || w.depth < 0 {
				return usagef(cmd, "--limit is at least 1, and --depth at least 0")
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			return w.show(ctx, at, path)
		},
	}
	cmd.Flags().IntVar(&w.depth, "depth", 0, "how many levels to show; 0 shows all")
	cmd.Flags().IntVar(&w.limit, "limit", 1000, "how many contexts to show at most")
	cmd.Flags().BoolVar(&w.values, "values", false, "show the variables of each context, too")
	return cmd
}

// treeWalk shows a tree from the top, depth first.
type treeWalk struct {
	cli    *cli
	depth  int
	limit  int
	values bool

	at    *client
	now   time.Time
	table table
	shown int
	cut   bool // there was more than limit
}

func (w *treeWalk) show(ctx context.Context, at *client, path model.Path) error {
	w.at, w.now = at, time.Now()
	w.table.add(append([]string{"PATH"}, freshHeads...)...)
	w.table.add(path.String())
	if err := w.below(ctx, path, "", 1); err != nil {
		return err
	}
	if !w.cli.json {
		if err := w.table.write(w.cli.out); err != nil {
			return err
		}
	}
	if w.cut {
		w.cli.note("There is more than %d contexts: raise --limit, lower --depth, or name a path", w.limit)
	}
	return nil
}

// below adds what is below a path. indent is what stands before the children's branches.
func (w *treeWalk) below(ctx context.Context, path model.Path, indent string, depth int) error {
	if w.shown >= w.limit {
		w.cut = true
		return nil
	}
	entries, more, err := w.at.list(ctx, path, "", w.limit-w.shown)
	if err != nil {
		if depth > 1 && model.KindOf(err) == model.KindNotFound {
			return nil // it went while the tree was being read
		}
		return err
	}
	for i, e := range entries {
		if w.shown >= w.limit {
			w.cut = true
			return nil
		}
		branch, inner := "├─ ", indent+"│  "
		if i == len(entries)-1 && !more {
			branch, inner = "└─ ", indent+"   "
		}
		child, err := model.ParsePath(e.GetPath())
		if err != nil {
			return err
		}
		w.shown++
		if err := w.entry(ctx, e, child, indent+branch, inner); err != nil {
			return err
		}
		if e.GetParent() && (w.depth == 0 || depth < w.depth) {
			if err := w.below(ctx, child, inner, depth+1); err != nil {
				return err
			}
		}
	}
	w.cut = w.cut || more
	return nil
}

// entry adds one context, and its variables where they are wanted.
func (w *treeWalk) entry(ctx context.Context, e *apiv1.Entry, path model.Path, before, inner string) error {
	if w.cli.json {
		if err := w.cli.printJSON(entryForm(e)); err != nil {
			return err
		}
	} else {
		w.table.add(append([]string{before + path.Base()}, freshColumns(e, w.now)...)...)
	}
	if !w.values || e.GetNewest() == "" && e.GetQuality() == "" {
		return nil
	}
	info, err := w.at.describe(ctx, path)
	if err != nil {
		if model.KindOf(err) == model.KindNotFound {
			return nil // it went while the tree was being read
		}
		return err
	}
	bar := "   "
	if e.GetParent() {
		bar = "│  "
	}
	for _, v := range info.GetVariables() {
		r := reading{v.GetReading()}
		if w.cli.json {
			if err := w.cli.printJSON(r); err != nil {
				return err
			}
			continue
		}
		w.table.add(inner+bar+":"+r.GetName(), r.short(30), "", qualityText(r.GetQuality(), r.GetReason()), r.newest(w.now), orDash(age(r.GetSince(), w.now)))
	}
	return nil
}
