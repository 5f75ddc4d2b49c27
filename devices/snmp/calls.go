package snmp

import (
	"context"
	"errors"
	"time"

	"banyan/devices"
	"banyan/model"
)

const walkRoot oid = ".1.3.6.1"

// Call runs walk, the only function.
func (d *device) Call(ctx context.Context, function int, arguments []model.Argument, _ devices.Publisher) ([]model.Argument, error) {
	if function != 0 {
		return nil, model.Errorf(model.KindUnsupported, "a device of SNMP has no such function")
	}
	root, limit := walkRoot, int64(defaultWalkLimit)
	if v := devices.Argument(arguments, "oid"); !v.IsNone() && v.Text() != "" {
		var err error
		if root, err = parseOID(v.Text()); err != nil {
			return nil, err
		}
	}
	if v := devices.Argument(arguments, "limit"); !v.IsNone() {
		if limit = v.Int64(); limit < 1 || limit > mostWalkLimit {
			return nil, model.Errorf(model.KindInvalid, "limit is %d, and can be 1 to %d", limit, mostWalkLimit)
		}
	}
	list := &listing{root: root, limit: int(limit), table: &model.Table{Columns: []model.Column{
		{Name: "oid", Type: model.TypeString}, {Name: "type", Type: model.TypeString}, {Name: "value", Type: model.TypeString},
	}}}
	if err := d.list(ctx, list); err != nil {
		return nil, err
	}
	return []model.Argument{
		{Name: "objects", Value: model.TableValue(list.table)}, {Name: "complete", Value: model.Bool(!list.full)},
	}, nil
}

// list walks, and asks for the object itself where nothing is below it.
func (d *device) list(ctx context.Context, list *listing) error {
	errs, err := d.session.walkColumns(ctx, []oid{list.root}, "", list)
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	if len(list.table.Rows) > 0 {
		return nil
	}
	answer := make([]reading, 1)
	if err := d.session.get(ctx, []oid{list.root}, answer); err != nil {
		return err
	}
	if answer[0].there() {
		list.add(list.root, answer[0])
	}
	return nil
}

// listing collects objects, as many as go into a table.
type listing struct {
	root  oid
	limit int
	bytes int
	full  bool
	table *model.Table
}

// maxListingBytes leaves room for what a table needs besides its texts.
const maxListingBytes = model.MaxValueBytes / 2

func (*listing) stamp(reading, time.Time) {}

func (l *listing) take(_ int, index string, r reading) bool {
	if len(l.table.Rows) == l.limit || l.bytes > maxListingBytes {
		l.full = true
		return false
	}
	l.add(l.root+oid("."+index), r)
	return true
}

func (l *listing) add(o oid, r reading) {
	const most = 4096 // of one value
	text := latin(r.plain())
	if len(text) > most {
		text = text[:most]
	}
	cells := []model.Value{model.String(o.String()), model.String(r.typeName()), model.String(text)}
	for _, c := range cells {
		l.bytes += c.Size()
	}
	l.table.Rows = append(l.table.Rows, cells)
}
