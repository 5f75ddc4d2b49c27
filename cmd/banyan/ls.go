package main

import (
	"context"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
)

// pageSize is how many entries one request asks for; the API gives no more at once.
const pageSize = 1000

// entryJSON is an entry in JSON, with the keys of the API in the order of the API.
type entryJSON struct {
	Path    string   `json:"path"`
	Kind    string   `json:"kind,omitempty"`
	Label   string   `json:"label,omitempty"`
	Parent  bool     `json:"parent,omitempty"`
	Via     []string `json:"via,omitempty"`
	Stale   string   `json:"stale,omitempty"`
	Newest  string   `json:"newest,omitempty"`
	Quality string   `json:"quality,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	State   string   `json:"state,omitempty"`
}

func entryForm(e *apiv1.Entry) entryJSON {
	return entryJSON{
		e.GetPath(), e.GetKind(), e.GetLabel(), e.GetParent(), e.GetVia(), e.GetStale(), e.GetNewest(), e.GetQuality(), e.GetReason(), e.GetState(),
	}
}

func newLs(c *cli) *cobra.Command {
	var after string
	var limit int
	cmd := &cobra.Command{
		Use:   "ls [PATH]",
		Short: "List what lies directly below a path",
		Long: `List what lies directly below a path, with how fresh it is: the worst quality of its variables, the age of its
newest value, and since when it is stale where a link to its owner is cut. With --json one object a line.`,
		Example: `  banyan ls
  banyan ls /regions/north/sites/berlin/devices
  banyan ls /sites --after berlin --limit 100`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.completePath,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := parsePath(cmd, args)
			if err != nil {
				return err
			}
			if limit < 1 {
				return usagef(cmd, "--limit is at least 1")
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			entries, more, err := at.list(ctx, path, after, limit)
			if err != nil {
				return err
			}
			if err := c.printEntries(entries); err != nil {
				return err
			}
			if len(entries) == 0 && !c.json {
				c.note("Nothing is below %s; `banyan get %s` shows what it is.", path, path)
			}
			if more && len(entries) > 0 {
				last, _ := model.ParsePath(entries[len(entries)-1].GetPath())
				c.note("There are more: go on with --after %s", clean(last.Base()))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&after, "after", "", "go on after the entry of this name")
	cmd.Flags().IntVar(&limit, "limit", 1000, "how many entries to show at most")
	return cmd
}

// list asks for up to limit entries below a path, page by page, and tells whether there are more.
func (at *client) list(ctx context.Context, path model.Path, after string, limit int) ([]*apiv1.Entry, bool, error) {
	var entries []*apiv1.Entry
	for {
		page, err := ask(ctx, at, "ls", model.Address{Path: path}, at.trees.List, &apiv1.ListRequest{
			Path: path.String(), After: after, Limit: int32(min(limit-len(entries), pageSize)),
		})
		if err != nil {
			return nil, false, err
		}
		entries = append(entries, page.GetEntries()...)
		if !page.GetMore() || len(page.GetEntries()) == 0 || len(entries) >= limit {
			return entries, page.GetMore(), nil
		}
		last, err := model.ParsePath(entries[len(entries)-1].GetPath())
		if err != nil {
			return nil, false, err
		}
		after = last.Base()
	}
}

// freshHeads are the heads of the columns of freshColumns.
var freshHeads = []string{"KIND", "STATE", "QUALITY", "NEWEST", "STALE", "LABEL"}

// freshColumns show an entry beside its name: NEWEST is the age of the newest value, STALE how long it has been stale.
func freshColumns(e *apiv1.Entry, now time.Time) []string {
	quality := qualityText(e.GetQuality(), e.GetReason())
	return []string{
		orDash(e.GetKind()), orDash(e.GetState()), orDash(quality), orDash(age(e.GetNewest(), now)), orDash(age(e.GetStale(), now)), e.GetLabel(),
	}
}

func (c *cli) printEntries(entries []*apiv1.Entry) error {
	if c.json {
		for _, e := range entries {
			if err := c.printJSON(entryForm(e)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(entries) == 0 {
		return nil
	}
	now, t := time.Now(), &table{}
	t.add(append([]string{"NAME"}, freshHeads...)...)
	for _, e := range entries {
		name := e.GetPath()
		if path, err := model.ParsePath(name); err == nil && !path.IsRoot() {
			name = path.Base()
		}
		if e.GetParent() {
			name += "/"
		}
		t.add(append([]string{name}, freshColumns(e, now)...)...)
	}
	return t.write(c.out)
}
