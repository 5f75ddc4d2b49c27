package mqtt

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"banyan/devices"
	"banyan/model"
)

// device is what is told over one broker.
type device struct {
	broker *broker
	shape  *model.Schema

	messages, refused, leftOut atomic.Int64

	mu   sync.Mutex // one at a time uses the view
	view view
}

var (
	_ devices.Streamer    = (*device)(nil)
	_ devices.Shaper      = (*device)(nil)
	_ devices.ChildWriter = (*device)(nil)
)

// view makes readings of messages. Its methods are called one at a time.
type view interface {
	// filters are what is subscribed to.
	filters() []string
	// begin is called when a connection is there, before its messages: publishers of the connection before are of no use any more, and what was
	// read may have changed meanwhile.
	begin(publish devices.Publisher)
	// take publishes what a message says.
	take(publish devices.Publisher, m message, tell func(send)) outcome
	// connected is called when messages can be sent, too.
	connected(tell func(send))
	// write is the message that sets a variable: of the device itself where at is empty, else of a child.
	write(at []string, variable string, index int, value model.Value) (send, error)
	// forget removes children that were not heard of.
	forget(publish devices.Publisher) error
}

// outcome is what became of a message.
type outcome uint8

const (
	taken outcome = iota
	refused
	leftOut
)

// send is a message to be sent.
type send struct {
	topic   string
	payload []byte
	qos     byte
	retain  bool
}

// Shape is the schema with the profile's points.
func (d *device) Shape() *model.Schema { return d.shape }

// Poll says whether the broker is there. Points are published when they are told, not here.
func (d *device) Poll(ctx context.Context, publish devices.Publisher) error {
	if err := d.broker.probe(ctx); err != nil {
		return err
	}
	now := model.TimeOf(time.Now())
	if v, ok := d.view.(*profiled); ok {
		d.mu.Lock()
		v.expired(publish, now)
		d.mu.Unlock()
	}
	publish.Publish([]devices.Update{
		{Variable: variableConnected, Value: model.Bool(d.broker.open() != nil), Source: now},
		{Variable: variableMessages, Value: model.Int64(d.messages.Load()), Source: now},
		{Variable: variableRefused, Value: model.Int64(d.refused.Load()), Source: now},
		{Variable: variableLeftOut, Value: model.Int64(d.leftOut.Load()), Source: now},
	})
	return nil
}

// Stream publishes what is told, until the connection or ctx ends.
func (d *device) Stream(ctx context.Context, publish devices.Publisher) error {
	return d.broker.run(ctx, d.view.filters(), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.view.begin(publish)
		publish.Publish([]devices.Update{{Variable: variableConnected, Value: model.Bool(true), Source: model.TimeOf(time.Now())}})
	}, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.view.connected(d.tell)
	}, func(m message) {
		d.messages.Add(1)
		d.mu.Lock()
		defer d.mu.Unlock()
		switch d.view.take(publish, m, d.tell) {
		case refused:
			d.refused.Add(1)
		case leftOut:
			d.leftOut.Add(1)
		}
	})
}

// Call publishes a message or removes what was not heard of.
func (d *device) Call(ctx context.Context, function int, arguments []model.Argument, publish devices.Publisher) ([]model.Argument, error) {
	switch function {
	case functionPublish:
		topic, payload := devices.Argument(arguments, "topic").Text(), devices.Argument(arguments, "payload").Text()
		if err := checkTopic(topic); err != nil {
			return nil, err
		}
		return nil, d.broker.publish(ctx, topic, []byte(payload), 1, devices.Argument(arguments, "retain").Bool())
	case functionForget:
		d.mu.Lock()
		defer d.mu.Unlock()
		return nil, d.view.forget(publish)
	}
	return nil, model.Errorf(model.KindUnsupported, "there is no such function")
}

// Write sends what sets a point, and returns when the broker has it. What comes of it is published when the device tells it.
func (d *device) Write(ctx context.Context, variable int, value model.Value, _ devices.Publisher) error {
	return d.send(ctx, nil, "", variable, value)
}

// WriteChild sends what sets a metric of a Sparkplug device.
func (d *device) WriteChild(ctx context.Context, at []string, variable string, value model.Value, _ devices.Publisher) error {
	return d.send(ctx, at, variable, 0, value)
}

func (d *device) send(ctx context.Context, at []string, variable string, index int, value model.Value) error {
	d.mu.Lock()
	m, err := d.view.write(at, variable, index, value)
	d.mu.Unlock()
	if err != nil {
		return err
	}
	return d.broker.publish(ctx, m.topic, m.payload, m.qos, m.retain)
}

// tell sends a message that nobody waits for.
func (d *device) tell(m send) {
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeWithin)
	defer cancel()
	_ = d.broker.publish(ctx, m.topic, m.payload, 0, false) // what was to come of it is asked for again
}

// Close does nothing: the connection ended with the stream.
func (d *device) Close() error { return nil }
