package main

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
)

// mostListed bounds the tables of links, people and the like.
const mostListed = 10_000

// listing is a table of the contexts of some kinds directly below a path: the name and what some settings and variables are.
type listing struct {
	path    model.Path
	kinds   []string
	head    string
	columns []column
}

// column shows a setting or a variable. A time is shown as how long ago it was, or how far ahead it is.
type column struct {
	head, name string
	text       func(r reading, now time.Time) string // nil: value with unit
	whole      func(info *apiv1.ContextInfo) string  // in place of both: what several say together
}

// since shows a time as how long ago it was.
func since(r reading, now time.Time) string { return age(valueText(r.GetType(), r.GetValue()), now) }

// lag shows how long something took as people compare it: a nanosecond of a heartbeat tells nothing.
func lag(r reading, _ time.Time) string {
	text := valueText(r.GetType(), r.GetValue())
	if took, err := time.ParseDuration(text); err == nil {
		return took.Round(100 * time.Microsecond).String()
	}
	return text
}

// size shows bytes as people compare them.
func size(r reading, _ time.Time) string {
	if r.GetValue() == nil {
		return ""
	}
	n, err := strconv.ParseInt(valueText(r.GetType(), r.GetValue()), 10, 64)
	if err != nil {
		return ""
	}
	return bytesText(n)
}

// until shows a time as how far ahead it is.
func until(r reading, now time.Time) string {
	text := age(valueText(r.GetType(), r.GetValue()), now)
	if ahead, is := strings.CutPrefix(text, "-"); is {
		return "in " + ahead
	}
	if text != "" {
		text = "over"
	}
	return text
}

// command is the command that shows a listing.
func (l listing) command(c *cli, use, short, long, example string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Example: example, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			return l.show(ctx, c, at)
		},
	}
}

func (l listing) show(ctx context.Context, c *cli, at *client) error {
	infos, err := l.read(ctx, at)
	if err != nil {
		return err
	}
	if c.json {
		for _, info := range infos {
			if err := c.printJSON(l.form(info)); err != nil {
				return err
			}
		}
		return nil
	}
	t, now := &table{}, time.Now()
	heads := []string{l.head}
	for _, column := range l.columns {
		heads = append(heads, column.head)
	}
	t.add(heads...)
	for _, info := range infos {
		t.add(l.row(info, now)...)
	}
	return t.write(c.out)
}

// read asks for all contexts of the listing.
func (l listing) read(ctx context.Context, at *client) ([]*apiv1.ContextInfo, error) {
	entries, _, err := at.list(ctx, l.path, "", mostListed)
	if err != nil {
		return nil, err
	}
	var infos []*apiv1.ContextInfo
	for _, e := range entries {
		if !slices.Contains(l.kinds, e.GetKind()) {
			continue
		}
		path, err := model.ParsePath(e.GetPath())
		if err != nil {
			return nil, err
		}
		info, err := at.describe(ctx, path)
		if model.KindOf(err) == model.KindNotFound {
			continue // it went meanwhile
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func (l listing) row(info *apiv1.ContextInfo, now time.Time) []string {
	row := []string{info.GetPath()}
	if path, err := model.ParsePath(info.GetPath()); err == nil {
		row[0] = path.Base()
	}
	for _, column := range l.columns {
		r, there := readingOf(info, column.name)
		switch {
		case column.whole != nil:
			row = append(row, orDash(column.whole(info)))
		case !there || r.GetType() == model.TypeNone.String():
			row = append(row, "-")
		case column.text != nil:
			row = append(row, orDash(column.text(r, now)))
		default:
			row = append(row, orDash(r.short(60)))
		}
	}
	return row
}

// form is a context of the listing in JSON: its path, its kind, and its settings and variables by name, secrets left out.
func (l listing) form(info *apiv1.ContextInfo) any {
	values := map[string]json.RawMessage{}
	for _, r := range readingsOf(info) {
		values[r.GetName()] = valueJSON(r.GetType(), r.GetValue())
	}
	return struct {
		Path   string                     `json:"path"`
		Kind   string                     `json:"kind"`
		Label  string                     `json:"label,omitempty"`
		Values map[string]json.RawMessage `json:"values"` // in the order of names
	}{info.GetPath(), info.GetKind(), info.GetLabel(), values}
}

func readingsOf(info *apiv1.ContextInfo) []reading {
	var all []reading
	for _, s := range info.GetSettings() {
		if !s.GetSecret() {
			all = append(all, reading{s.GetReading()})
		}
	}
	for _, v := range info.GetVariables() {
		all = append(all, reading{v.GetReading()})
	}
	return all
}

func readingOf(info *apiv1.ContextInfo, name string) (reading, bool) {
	for _, r := range readingsOf(info) {
		if r.GetName() == name {
			return r, true
		}
	}
	return reading{}, false
}
