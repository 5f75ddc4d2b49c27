package devices

import "banyan/model"

// FolderSchema is that of a context which only holds what a device has found.
var FolderSchema = &model.Schema{Kind: "folder", Description: "Holds other contexts."}

// Row is one thing of many that a device has: a disk, an interface, a row of a table.
type Row struct {
	Name   string // by which it is known from one poll to the next; its segment is made of it
	Label  string // what people call it; the name where it is empty
	Schema *model.Schema
}

// Rows keeps a folder of children in step with a list of things that come and go. A thing keeps its context as long as it is on the list, also through
// restarts; one that comes later does not get the context of one that has gone. Rows is for polls only, and as long as the device that has it.
type Rows struct {
	Segment, Label string // of the folder

	folder Publisher
	namer  Namer
	placed map[string]placedRow
	begun  bool
}

type placedRow struct {
	Row
	to Publisher
}

// Place makes what is missing and removes what is not on the list, and returns where each row publishes, in the order of the list. Names that
// come twice are one row.
func (r *Rows) Place(publish Publisher, rows []Row) ([]Publisher, error) {
	if r.folder == nil {
		folder, err := publish.Child(r.Segment, r.Label, FolderSchema)
		if err != nil {
			return nil, err
		}
		r.folder, r.placed = folder, map[string]placedRow{}
	}
	segments := r.clear(rows)
	to := make([]Publisher, len(rows))
	for i, row := range rows {
		if row.Label == "" {
			row.Label = row.Name
		}
		known, there := r.placed[row.Name]
		if !there || known.Label != row.Label || known.Schema != row.Schema {
			child, err := r.folder.Child(segments[i], row.Label, row.Schema)
			if err != nil {
				return nil, err
			}
			known = placedRow{row, child}
			r.placed[row.Name] = known
		}
		to[i] = known.to
	}
	return to, nil
}

// clear removes the children of what is not here any more, before a new thing comes to a segment that was another's, and gives each row its segment.
func (r *Rows) clear(rows []Row) (segments []string) {
	here := make(map[string]bool, len(rows))
	for _, row := range rows {
		here[row.Name] = true
	}
	gone := false
	for name := range r.placed {
		if !here[name] {
			delete(r.placed, name)
			gone = true
		}
	}
	r.namer.Forget(func(name string) bool { return here[name] })
	segments = make([]string, len(rows))
	var stay []string // the first time all, since they may be there from a former life; then those that were here before
	for i, row := range rows {
		segments[i] = r.namer.Segment(row.Name)
		if _, placed := r.placed[row.Name]; placed || !r.begun {
			stay = append(stay, segments[i])
		}
	}
	if gone || !r.begun {
		r.folder.Keep(stay)
	}
	r.begun = true
	return segments
}

// SegmentOf is the path segment of a row that was placed under this name.
func (r *Rows) SegmentOf(name string) string { return r.namer.Segment(name) }
