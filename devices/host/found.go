package host

import (
	"context"
	"slices"

	"banyan/devices"
	"banyan/model"
)

// found is one sort of things that a host has: a folder with one child for each.
type found struct {
	devices.Rows
	schema *model.Schema
	read   func(ctx context.Context) ([]thing, error)
}

// maxThings bounds how many disks, and how many interfaces, are shown: a container host can have thousands of interfaces.
const maxThings = 1000

// thing is a disk or an interface, as it was read.
type thing struct {
	name  string
	batch batch
}

func (f *found) poll(ctx context.Context, publish devices.Publisher) error {
	things, err := f.read(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return model.Errorf(model.KindInternal, "%s cannot be read: %w", f.Segment, err)
	}
	slices.SortFunc(things, func(a, b thing) int { return compareNames(a.name, b.name) })
	things = things[:min(len(things), maxThings)]
	rows := make([]devices.Row, len(things))
	for i, t := range things {
		rows[i] = devices.Row{Name: t.name, Schema: f.schema}
	}
	children, err := f.Place(publish, rows)
	if err != nil {
		return err
	}
	for i, t := range things {
		children[i].Publish(t.batch)
	}
	return nil
}

// compareNames puts shorter names first, so that eth2 stands before eth10 and / before /var.
func compareNames(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}
