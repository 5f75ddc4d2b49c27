// Package dns is the driver of name servers that have to answer a query: in time, with the right code, and with the right records.
//
// It owns one query for each poll, which it asks the server that it is told. It does not resolve: no other server is asked, no cache is
// kept, and signatures are not verified.
package dns

import (
	"context"
	"errors"
	"net/netip"

	"banyan/devices"
	"banyan/model"
)

// Kind is the driver's kind.
const Kind = "dns"

// Driver is the driver.
type Driver struct{}

var _ devices.Discoverer = Driver{}

// Kind is "dns".
func (Driver) Kind() string { return Kind }

// Schema declares the device.
func (Driver) Schema() *model.Schema { return schema }

// Open makes the device. Each poll is a query of its own.
func (Driver) Open(settings devices.Settings) (devices.Device, error) {
	o, err := parse(settings)
	if err != nil {
		return nil, err
	}
	return &device{options: o}, nil
}

type device struct{ options options }

// Poll asks once and publishes as much as came of it.
func (d *device) Poll(ctx context.Context, publish devices.Publisher) error {
	q := query{options: &d.options}
	err := q.run(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	publish.Publish(q.updates(err == nil))
	return err
}

// Call refuses: there are no functions but the common ones.
func (d *device) Call(context.Context, int, []model.Argument, devices.Publisher) ([]model.Argument, error) {
	return nil, model.Errorf(model.KindUnsupported, "a dns has no such function")
}

// Write refuses: nothing is writable.
func (d *device) Write(context.Context, int, model.Value, devices.Publisher) error {
	return model.Errorf(model.KindUnsupported, "a dns has no writable variable")
}

// Close does nothing: between polls there is no connection.
func (d *device) Close() error { return nil }

// Discover asks an address over udp, at port 53 or the one of the hint server (":5353"), for the servers of the root, or for what the hints name and type
// name. Whoever answers is a name server, whatever the answer is.
func (d Driver) Discover(ctx context.Context, at netip.Addr, hints devices.Settings) (devices.Found, bool, error) {
	server := at.Unmap().String()
	if port := hints["server"].Text(); port != "" {
		server = netip.AddrPortFrom(at.Unmap(), 0).String()
		server = server[:len(server)-len(":0")] + port
	}
	found := devices.Settings{"server": model.String(server), "name": model.String("."), "type": model.String("NS")}
	for _, name := range []string{"name", "type"} {
		if hint := hints[name]; !hint.IsNone() {
			found[name] = hint
		}
	}
	resolved, err := devices.Resolve(devices.Complete(schema), found)
	if err != nil {
		return devices.Found{}, false, err
	}
	o, err := parse(resolved)
	if err != nil {
		return devices.Found{}, false, err
	}
	q := query{options: &o}
	if _ = q.run(ctx); q.answer == nil {
		return devices.Found{}, false, ctx.Err()
	}
	return devices.Found{Kind: Kind, Name: server, Description: "answers DNS queries, this one with " + q.rcode(), Settings: found}, true, nil
}
