package topologies

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"banyan/devices"
	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/server"
)

// branch is a context of a living tree, or a place on the way to some.
type branch struct {
	segment   string
	kind      string
	variables []*apiv1.Reading
	below     []*branch
}

// grow reads everything below a path that has values.
func grow(ctx context.Context, c *Client, path model.Path, entry *apiv1.Entry) (*branch, error) {
	b := &branch{segment: path.Base(), kind: entry.GetKind()}
	if b.kind != "" {
		info, there, err := c.there(ctx, path)
		if err != nil {
			return nil, err
		}
		if !there {
			return b, nil // removed in the meantime
		}
		for _, v := range info.GetVariables() {
			if r := v.GetReading(); r.GetTime() != "" || r.GetValue() != nil {
				b.variables = append(b.variables, r)
			}
		}
	}
	const most = 1000
	for after := ""; entry.GetParent(); {
		list, err := ask(ctx, c, c.Tree.List, &apiv1.ListRequest{Path: path.String(), After: after, Limit: most})
		if model.KindOf(err) == model.KindNotFound {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
		for _, e := range list.GetEntries() {
			at, err := model.ParsePath(e.GetPath())
			if err != nil {
				return nil, err
			}
			inside, err := grow(ctx, c, at, e)
			if err != nil {
				return nil, err
			}
			if len(inside.variables) > 0 || len(inside.below) > 0 {
				b.below = append(b.below, inside)
			}
			after = at.Base()
		}
		if !list.GetMore() {
			break
		}
	}
	return b, nil
}

// detail is how much of a tree is shown.
type detail struct {
	variables int  // of a context at most
	outside   bool // and what nodes say of themselves, their links and mounts
	inside    bool // and what lies inside devices
}

// onPaper is what is shown where there is no terminal.
var onPaper = detail{variables: 6, inside: true}

// details are tried from the first until the tree has room.
var details = []detail{{8, true, true}, {6, true, true}, {4, true, true}, {4, false, true}, {4, false, false}, {3, false, false}, {2, false, false}, {1, false, false}}

// prune is the tree without what is not to be shown, nor places on the way to it.
func (d detail) prune(b *branch) *branch {
	pruned := *b
	pruned.below = nil
	device := false
	for _, r := range b.variables {
		device = device || r.GetName() == devices.VariablePolls
	}
	if !d.outside && (b.kind == server.KindNode || b.kind == server.KindMount || b.kind == server.KindLink) {
		pruned.variables = nil
	}
	for _, inside := range b.below {
		if device && !d.inside {
			continue
		}
		if inside = d.prune(inside); len(inside.variables) > 0 || len(inside.below) > 0 {
			pruned.below = append(pruned.below, inside)
		}
	}
	return &pruned
}

// unread reports whether a device is there that was not polled yet.
func (b *branch) unread() bool {
	for _, r := range b.variables {
		if r.GetReason() == model.ReasonNotRead.String() {
			return true
		}
	}
	return slices.ContainsFunc(b.below, (*branch).unread)
}

// row is a line of a living tree.
type row struct {
	indent  int
	name    string
	value   string
	quality string // good, uncertain/stale, bad/no-response; empty of a heading
	age     string
	source  string
}

// fold turns a tree into rows, with so many variables of a context at most. What is left out is counted.
func fold(b *branch, indent, most int, now time.Time) []row {
	var rows []row
	variables := slices.Clone(b.variables)
	slices.SortStableFunc(variables, func(x, y *apiv1.Reading) int { return cmp.Compare(rank(x), rank(y)) })
	for i, r := range variables {
		if i == most && len(variables) > most+1 {
			rows = append(rows, row{indent: indent, name: fmt.Sprintf("and %d more", len(variables)-most)})
			break
		}
		rows = append(rows, rowOfReading(r, indent, now))
	}
	for _, inside := range b.below {
		name := inside.segment
		for len(inside.variables) == 0 && len(inside.below) == 1 { // a place on the way stands on the same line
			inside = inside.below[0]
			name += "/" + inside.segment
		}
		heading := row{indent: indent, name: name}
		if inside.kind != "" {
			heading.value = "(" + strings.Map(printable, inside.kind) + ")"
		}
		rows = append(append(rows, heading), fold(inside, indent+1, most, now)...)
	}
	return rows
}

// rank puts what people look for first before what a device says of itself.
func rank(r *apiv1.Reading) int {
	switch {
	case r.GetName() == "cpu_percent":
		return 0
	case r.GetUnit() == "%":
		return 1
	case strings.HasPrefix(r.GetName(), "all_"):
		return 3
	}
	return 2
}

func rowOfReading(r *apiv1.Reading, indent int, now time.Time) row {
	quality := r.GetQuality()
	if r.GetReason() != "" {
		quality += "/" + r.GetReason()
	}
	const most = 28
	v := valueOf(r)
	value := strings.Map(printable, v.String())
	if v.Type() == model.TypeFloat64 {
		value = strconv.FormatFloat(v.Float64(), 'g', 6, 64) // people look at it, programs use the API
	}
	value = cut(value, most)
	if r.GetUnit() != "" {
		value += " " + strings.Map(printable, r.GetUnit())
	}
	row := row{indent: indent, name: r.GetName(), value: value, quality: quality}
	if at, err := model.ParseTime(r.GetTime()); err == nil && at != 0 {
		row.age = seconds(now.Sub(at.Std()))
		row.source = at.Std().UTC().Format("15:04:05.000Z")
	}
	return row
}

// seconds is an age with the tenths that people see moving.
func seconds(d time.Duration) string {
	d = max(d, 0) // a clock may be a little ahead
	if d < 10*time.Second {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return short(d)
}
