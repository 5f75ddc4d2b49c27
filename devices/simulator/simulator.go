// Package simulator is the driver of devices that exist in memory only: many points that move, a variable and a parameter of every
// type, and misbehaviour on demand. Tests, demonstrations and benchmarks use it as input.
//
// It owns what is simulated. It knows nothing of networks, and nothing that it does reaches outside of the process.
package simulator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"banyan/devices"
	"banyan/fault"
	"banyan/model"
)

// Kind is the driver's kind.
const Kind = "simulator"

// MaxPoints bounds the points of one device.
const MaxPoints = 1_000_000

// maxGroup is how many points one child context has at most, below the number of entries that a schema may have.
const maxGroup = 1000

// Driver is the driver.
type Driver struct{}

var _ devices.Driver = Driver{}

// Kind is "simulator".
func (Driver) Kind() string { return Kind }

// Schema declares the device; its points are in children.
func (Driver) Schema() *model.Schema { return schema }

// options are the settings in Go's types.
type options struct {
	points    int
	groupSize int
	mode      string
	step      float64
	period    time.Duration
	seed      int64
	rate      int64
	hang      bool
	failRatio float64
}

func parse(s devices.Settings) (options, error) {
	o := options{
		mode: s["mode"].Text(), step: s["step"].Float64(), period: s["period"].Duration(), seed: s["seed"].Int64(),
		rate: s["rate"].Int64(), hang: s["hang"].Bool(), failRatio: s["fail_ratio"].Float64(),
	}
	points, size := s["points"].Int64(), s["group_size"].Int64()
	switch {
	case points < 0 || points > MaxPoints:
		return o, devices.BadSetting("points", "%d is outside of 0 to %d", points, MaxPoints)
	case size < 1 || size > maxGroup:
		return o, devices.BadSetting("group_size", "%d is outside of 1 to %d", size, maxGroup)
	case o.mode != modeCounter && o.mode != modeSine && o.mode != modeRandom:
		return o, devices.BadSetting("mode", "%q is not a mode: use counter, sine or random", o.mode)
	case o.step != o.step || o.step-o.step != 0:
		return o, devices.BadSetting("step", "%v is not a finite number", o.step)
	case o.period < time.Millisecond:
		return o, devices.BadSetting("period", "%s is shorter than 1ms", o.period)
	case o.rate < -1 || o.rate > maxRate:
		return o, devices.BadSetting("rate", "%d is outside of 0 to %d, and not -1 for as fast as possible", o.rate, int64(maxRate))
	case !(o.failRatio >= 0 && o.failRatio <= 1):
		return o, devices.BadSetting("fail_ratio", "%v is outside of 0 to 1", o.failRatio)
	}
	o.points, o.groupSize = int(points), int(size)
	return o, nil
}

// Open makes a simulator. It is as fast for a million points as for one: they are made by the first poll.
func (Driver) Open(settings devices.Settings) (devices.Device, error) {
	o, err := parse(settings)
	if err != nil {
		return nil, err
	}
	return &device{
		options: o,
		points:  newPoints(o),
		faults:  rand.New(rand.NewPCG(uint64(o.seed), 1)),
	}, nil
}

type device struct {
	options options
	points  *points

	mu       sync.Mutex // guards what is below, and is held while that is published
	setpoint float64
	faults   *rand.Rand
}

var _ devices.Streamer = (*device)(nil)

// Poll publishes the device's own variables and, where nothing streams, moves all points by one step.
func (d *device) Poll(ctx context.Context, publish devices.Publisher) error {
	if d.options.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if err := d.mayFail(); err != nil {
		return err
	}
	children, err := d.points.children(publish)
	if err != nil {
		return err
	}
	if d.options.rate == 0 {
		for g, child := range children {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			d.points.publish(child, g*d.options.groupSize, d.points.sizeOf(g))
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	publish.Publish(d.own(model.TimeOf(fault.Now())))
	return nil
}

func (d *device) mayFail() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.faults.Float64() < d.options.failRatio {
		return model.Errorf(model.KindUnavailable, "a simulated failure, as fail_ratio asks for")
	}
	return nil
}

// Call runs reset, echo and sleep.
func (d *device) Call(ctx context.Context, function int, arguments []model.Argument, _ devices.Publisher) ([]model.Argument, error) {
	if d.options.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	switch function {
	case functionReset:
		d.points.reset()
		return nil, nil
	case functionEcho:
		return arguments, nil
	case functionSleep:
		timer := time.NewTimer(devices.Argument(arguments, "duration").Duration())
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, model.Errorf(model.KindInternal, "the simulator has no function %d", function)
}

// Write sets the setpoint.
func (d *device) Write(ctx context.Context, variable int, value model.Value, publish devices.Publisher) error {
	if d.options.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if variable != variableSetpoint {
		return model.Errorf(model.KindInternal, "the simulator cannot write variable %d", variable)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setpoint = value.Float64()
	publish.Publish([]devices.Update{{Variable: variableSetpoint, Value: value, Source: model.TimeOf(fault.Now())}})
	return nil
}

// Close does nothing: there is nothing to give back.
func (d *device) Close() error { return nil }

// children makes the contexts of the points, once for each publisher: a poll's and a stream's are different ones.
func (p *points) children(publish devices.Publisher) ([]devices.Publisher, error) {
	p.mu.Lock()
	known := p.pollChildren
	p.mu.Unlock()
	if known != nil {
		return known, nil
	}
	children, err := p.makeChildren(publish)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.pollChildren = children
	p.mu.Unlock()
	return children, nil
}

func (p *points) makeChildren(publish devices.Publisher) ([]devices.Publisher, error) {
	groups := (p.options.points + p.options.groupSize - 1) / p.options.groupSize
	children, segments := make([]devices.Publisher, groups), make([]string, groups)
	for g := range groups {
		segments[g] = fmt.Sprintf("group-%03d", g)
		first := g * p.options.groupSize
		label := fmt.Sprintf("Points %d to %d", first, first+p.sizeOf(g)-1)
		child, err := publish.Child(segments[g], label, p.schemaOf(g))
		if err != nil {
			return nil, fmt.Errorf("make %s: %w", segments[g], err)
		}
		children[g] = child
	}
	publish.Keep(segments)
	return children, nil
}
