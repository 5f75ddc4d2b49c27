package host

import (
	"context"
	"slices"

	"banyan/devices"
	"banyan/model"
)

// found is one sort of things that a host has: a folder with one child for each.
type found struct {
	segment, label string
	schema         *model.Schema
	read           func(ctx context.Context) ([]thing, error)

	folder   devices.Publisher
	namer    devices.Namer
	children map[string]devices.Publisher // by true name
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
		return model.Errorf(model.KindInternal, "%s cannot be read: %w", f.segment, err)
	}
	slices.SortFunc(things, func(a, b thing) int { return compareNames(a.name, b.name) })
	things = things[:min(len(things), maxThings)]
	if f.folder == nil {
		if f.folder, err = publish.Child(f.segment, f.label, folderSchema); err != nil {
			return err
		}
		f.children = map[string]devices.Publisher{}
	}
	segments := f.place(things)
	for i, t := range things {
		child := f.children[t.name]
		if child == nil {
			if child, err = f.folder.Child(segments[i], t.name, f.schema); err != nil {
				return err
			}
			f.children[t.name] = child
		}
		child.Publish(t.batch)
	}
	return nil
}

// place removes the children of what is not here any more and gives each thing its segment.
func (f *found) place(things []thing) (segments []string) {
	here := make(map[string]bool, len(things))
	for _, t := range things {
		here[t.name] = true
	}
	gone := false
	for name := range f.children {
		if !here[name] {
			delete(f.children, name)
			gone = true
		}
	}
	f.namer.Forget(func(name string) bool { return here[name] })
	segments = make([]string, len(things))
	var stay []string // the first time all, since they may be there from a former life; then those that were here before
	for i, t := range things {
		segments[i] = f.namer.Segment(t.name)
		if f.children[t.name] != nil || len(f.children) == 0 && !gone {
			stay = append(stay, segments[i])
		}
	}
	if gone || len(f.children) == 0 {
		f.folder.Keep(stay) // before a new thing comes to a segment that was another's
	}
	return segments
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
