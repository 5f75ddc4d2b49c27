package modbus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"banyan/devices"
	"banyan/model"
)

var (
	qualityRefused = model.Quality{Level: model.Bad, Reason: model.ReasonFailed}
)

// device is one device. Polls, calls and writes share the client, which lets one speak at a time; all else is of polls only.
type device struct {
	client *client
	shape  *model.Schema
	layout *layout

	requests, exceptions atomic.Int64

	spans []span
	rows  [][]devices.Publisher // of each table
	names [][]string            // their labels
}

// Shape is the schema with the profile's points.
func (d *device) Shape() *model.Schema { return d.shape }

// Poll reads everything that the profile names. What the device refuses is bad; where it refuses everything, the poll has failed.
func (d *device) Poll(ctx context.Context, publish devices.Publisher) error {
	found := make([][]devices.Update, 1+d.rowCount())
	refused, last := 0, error(nil)
	for i := 0; i < len(d.spans); i++ {
		s := &d.spans[i]
		data, err := d.read(ctx, s.area, s.first, s.count)
		var exception *Exception
		switch {
		case errors.As(err, &exception) && exception.kind() == model.KindUnavailable:
			return model.Errorf(model.KindUnavailable, "%w", err)
		case errors.As(err, &exception) && len(s.places) > 1:
			d.split(i)
			i--
			continue
		case exception != nil:
			refused, last = refused+1, err
		case err != nil:
			return err
		}
		d.take(s, data, model.TimeOf(time.Now()), found)
	}
	if refused == len(d.spans) && refused > 0 {
		return model.Errorf(model.KindInvalid, "the device refuses every register of the profile: %w", last)
	}
	return d.publish(publish, found)
}

// split puts a request of its own for each place of a span that the device refuses as a whole, for good: it will refuse it again.
func (d *device) split(at int) {
	whole := d.spans[at]
	parts := make([]span, 0, len(d.spans)+len(whole.places))
	parts = append(parts, d.spans[:at]...)
	for _, p := range whole.places {
		parts = append(parts, span{area: p.area, first: p.first, count: p.count, places: []place{p}})
	}
	d.spans = append(parts, d.spans[at+1:]...)
}

func (d *device) read(ctx context.Context, a area, first, count int) ([]byte, error) {
	d.requests.Add(1)
	data, err := d.client.read(ctx, a, uint16(first), uint16(count))
	return data, d.counted(err)
}

func (d *device) counted(err error) error {
	var exception *Exception
	if errors.As(err, &exception) {
		d.exceptions.Add(1)
	}
	return err
}

func (d *device) rowCount() int {
	rows := 0
	for i := range d.layout.tables {
		rows += d.layout.tables[i].count
	}
	return rows
}

// rowAt is where the readings of a place are collected: first the device's own, then table by table, row by row.
func (d *device) rowAt(p *place) int {
	if p.row == 0 {
		return 0
	}
	at := p.row
	for i := range p.table {
		at += d.layout.tables[i].count
	}
	return at
}

// take makes readings of the data of one span; of none where the device refused it.
func (d *device) take(s *span, data []byte, now model.Time, found [][]devices.Update) {
	for i := range s.places {
		p := &s.places[i]
		u := devices.Update{Variable: p.column, Source: now, Quality: qualityRefused}
		if p.row == 0 {
			u.Variable += variablesOwn
		}
		if data != nil {
			value, quality, err := p.value(s, data)
			if u.Value, u.Quality = value, quality; err != nil {
				u.Value, u.Quality = model.Value{}, model.Quality{Level: model.Bad, Reason: model.ReasonRange}
			}
		}
		found[d.rowAt(p)] = append(found[d.rowAt(p)], u)
	}
}

// value decodes a place out of the data of its span.
func (p *place) value(s *span, data []byte) (model.Value, model.Quality, error) {
	at := p.first - s.first
	if s.area.bits {
		return p.Convert(float64(data[at/8] >> (at % 8) & 1))
	}
	raw := data[2*at : 2*(at+p.count)]
	switch p.format.name {
	case "string":
		return model.String(text(arrange(raw, bytesOnly(p.order)))), model.QualityGood, nil
	case "bit":
		raw = arrange(raw, p.order)
		return p.Convert(float64((int(raw[0])<<8 | int(raw[1])) >> p.bit & 1))
	}
	if whole, i, fraction := p.format.number(arrange(raw, p.order)); whole {
		return p.ConvertInt(i)
	} else {
		return p.Convert(fraction)
	}
}

// bytesOnly keeps of an order what concerns a string: whether the bytes of each register are exchanged.
func bytesOnly(order string) string {
	if order == orderByteSwapped || order == orderLittle {
		return orderByteSwapped
	}
	return orderBig
}

// publish hands over what was read, rows into children of their own.
func (d *device) publish(publish devices.Publisher, found [][]devices.Update) error {
	now := model.TimeOf(time.Now())
	publish.Publish(append(found[0],
		devices.Update{Variable: variableRequests, Value: model.Int64(d.requests.Load()), Source: now},
		devices.Update{Variable: variableExceptions, Value: model.Int64(d.exceptions.Load()), Source: now}))
	rest := found[1:]
	var keep []string
	for t := range d.layout.tables {
		table := &d.layout.tables[t]
		if err := d.publishTable(publish, t, rest[:table.count]); err != nil {
			return err
		}
		rest = rest[table.count:]
		keep = append(keep, table.name)
	}
	publish.Keep(keep)
	return nil
}

func (d *device) publishTable(publish devices.Publisher, t int, rows [][]devices.Update) error {
	table := &d.layout.tables[t]
	if d.rows == nil {
		d.rows, d.names = make([][]devices.Publisher, len(d.layout.tables)), make([][]string, len(d.layout.tables))
	}
	fresh := d.rows[t] == nil
	if fresh {
		d.rows[t], d.names[t] = make([]devices.Publisher, table.count), make([]string, table.count)
	}
	folder, err := publish.Child(table.name, table.title, devices.FolderSchema)
	if err != nil {
		return err
	}
	segments := make([]string, table.count)
	for i, row := range rows {
		segments[i] = strings.ReplaceAll(table.row, "#", strconv.Itoa(i+1))
		if label := table.labelOf(row, segments[i]); d.rows[t][i] == nil || d.names[t][i] != label {
			if d.rows[t][i], err = folder.Child(segments[i], label, d.layout.schemas[t]); err != nil {
				return err
			}
			d.names[t][i] = label
		}
		d.rows[t][i].Publish(row)
	}
	if fresh {
		folder.Keep(segments)
	}
	return nil
}

// labelOf is the true name of a row: the value of its label column, where there is one.
func (t *tableLayout) labelOf(row []devices.Update, otherwise string) string {
	for _, u := range row {
		if t.columns[u.Variable].Name == t.label && u.Value.Type() == model.TypeString && u.Value.Text() != "" {
			return u.Value.Text()
		}
	}
	return otherwise
}

// Call reads registers as they are.
func (d *device) Call(ctx context.Context, function int, arguments []model.Argument, _ devices.Publisher) ([]model.Argument, error) {
	if function != functionRead {
		return nil, model.Errorf(model.KindUnsupported, "a Modbus device has no such function")
	}
	name := devices.Argument(arguments, "area").Text()
	if name == "" {
		name = "holding"
	}
	a, known := areas[name]
	first, count := devices.Argument(arguments, "register").Int64(), devices.Argument(arguments, "count").Int64()
	if devices.Argument(arguments, "count").IsNone() {
		count = 1
	}
	switch {
	case !known:
		return nil, model.Errorf(model.KindInvalid, "there is no area %.40q: write coil, discrete, holding or input", name)
	case first < 0 || count < 1 || count > mostRegisters || first+count > 1<<16:
		return nil, model.Errorf(model.KindInvalid, "registers %d and %d on cannot be read: 1 to 125 of 0 to 65535 can", first, count)
	}
	data, err := d.read(ctx, a, int(first), int(count))
	if err != nil {
		return nil, kinded(err)
	}
	values := model.Table{Columns: []model.Column{
		{Name: "register", Type: model.TypeInt64}, {Name: "value", Type: model.TypeInt64}, {Name: "hex", Type: model.TypeString},
	}}
	for i := range int(count) {
		v := 0
		if a.bits {
			v = int(data[i/8] >> (i % 8) & 1)
		} else {
			v = int(data[2*i])<<8 | int(data[2*i+1])
		}
		values.Rows = append(values.Rows, []model.Value{model.Int64(first + int64(i)), model.Int64(int64(v)), model.String(fmt.Sprintf("%04x", v))})
	}
	return []model.Argument{{Name: "values", Value: model.TableValue(&values)}}, nil
}

// Write sets a point, reads it back, and publishes what the device has then.
func (d *device) Write(ctx context.Context, variable int, value model.Value, publish devices.Publisher) error {
	at := variable - variablesOwn
	if at < 0 || at >= len(d.layout.points) || !d.layout.points[at].Writable {
		return model.Errorf(model.KindUnsupported, "this cannot be written")
	}
	p := d.layout.points[at]
	raw, err := p.Raw(value)
	if err != nil {
		return err
	}
	d.requests.Add(2)
	if p.area.bits {
		err = d.client.writeCoil(ctx, uint16(p.first), raw != 0)
	} else {
		var registers []byte
		if registers, err = p.format.encode(raw); err != nil {
			return err
		}
		err = d.client.writeRegisters(ctx, uint16(p.first), arrange(registers, p.order))
	}
	if err != nil {
		return kinded(d.counted(err))
	}
	return d.readBack(ctx, at, publish)
}

// readBack publishes what the device made of a write.
func (d *device) readBack(ctx context.Context, at int, publish devices.Publisher) error {
	p := d.layout.points[at]
	data, err := d.client.read(ctx, p.area, uint16(p.first), uint16(p.count))
	if err != nil {
		return kinded(d.counted(err))
	}
	one := span{area: p.area, first: p.first, count: p.count, places: []place{{point: p, column: at, first: p.first}}}
	found := make([][]devices.Update, 1)
	d.take(&one, data, model.TimeOf(time.Now()), found)
	publish.Publish(found[0])
	return nil
}

// kinded gives an exception the kind of what it means.
func kinded(err error) error {
	var exception *Exception
	if errors.As(err, &exception) {
		return model.Errorf(exception.kind(), "the device answers: %w", err)
	}
	return err
}

// Close ends the connection.
func (d *device) Close() error {
	d.client.close()
	return nil
}
