// Package exec is the driver of what a program on this machine can find out: each poll runs it once, and reads what it prints.
//
// It owns the contract with the program: which one may run, with what, for how long, and what its output has to look like. It is no shell and no
// sandbox: the program has the rights of the node.
package exec

import (
	"context"
	"errors"
	"time"

	"banyan/devices"
	"banyan/model"
)

// Kind is the driver's kind.
const Kind = "exec"

// concurrency is how many programs of a node run at once: they are heavier than packets, and an administrator's machine is not to
// notice them.
const concurrency = 8

// Driver is the driver. Its devices share the places in which programs run.
type Driver struct {
	dir    string // absolute; empty where nothing runs
	places chan struct{}
}

var _ devices.Driver = Driver{}

// New makes a driver whose programs lie in dir, or below. With an empty dir settings can be checked, and nothing runs.
func New(dir string) Driver {
	return Driver{dir: absolute(dir), places: make(chan struct{}, concurrency)}
}

// Kind is "exec".
func (Driver) Kind() string { return Kind }

// Schema declares the device; the points are added by its settings.
func (Driver) Schema() *model.Schema { return schema }

// Open makes the device. Whether the program may run is looked at each time before it does: the file can change.
func (d Driver) Open(settings devices.Settings) (devices.Device, error) {
	o, err := parse(settings, d.dir)
	if err != nil {
		return nil, err
	}
	return &device{options: o, driver: d, shape: shapeOf(o.points)}, nil
}

type device struct {
	options options
	driver  Driver
	shape   *model.Schema
}

var _ devices.Shaper = (*device)(nil)

// Shape is the base and the points.
func (d *device) Shape() *model.Schema { return d.shape }

// Poll runs the program once and publishes the points that it prints as it should, even where others are wrong.
func (d *device) Poll(ctx context.Context, publish devices.Publisher) error {
	select {
	case d.driver.places <- struct{}{}:
		defer func() { <-d.driver.places }()
	case <-ctx.Done():
		return model.Errorf(model.KindTimeout, "it had not its turn: %d programs of this node run already", concurrency)
	}
	if err := d.options.mayRun(d.driver.dir); err != nil {
		return err
	}
	r, err := run(ctx, &d.options)
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	now := model.TimeOf(time.Now())
	if r.ended {
		publish.Publish([]devices.Update{{Variable: variableExitCode, Value: model.Int64(int64(r.code)), Source: now}})
	}
	if err != nil {
		return err
	}
	values, err := read(r.output, d.options.points)
	publish.Publish(d.options.updates(values, now))
	return err
}

// updates are the values that were read. A point that the program says it does not know is bad, without a value.
func (o *options) updates(values map[string]model.Value, now model.Time) []devices.Update {
	var batch []devices.Update
	for i, p := range o.points {
		v, printed := values[p.name]
		if !printed {
			continue
		}
		u := devices.Update{Variable: firstPoint + i, Value: v, Source: now}
		if v.IsNone() {
			u.Quality = model.Quality{Level: model.Bad, Reason: model.ReasonFailed}
		}
		batch = append(batch, u)
	}
	return batch
}

// Call refuses: there are no functions but the common ones.
func (d *device) Call(context.Context, int, []model.Argument, devices.Publisher) ([]model.Argument, error) {
	return nil, model.Errorf(model.KindUnsupported, "an exec has no such function")
}

// Write refuses: nothing is writable.
func (d *device) Write(context.Context, int, model.Value, devices.Publisher) error {
	return model.Errorf(model.KindUnsupported, "an exec has no writable variable")
}

// Close does nothing: between polls nothing runs.
func (d *device) Close() error { return nil }
