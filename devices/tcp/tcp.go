// Package tcp is the driver of ports that somebody has to listen at: whether a connection is taken, how long that lasts, and, as far as
// it is asked for, whether TLS works and whether the right words come back.
//
// It owns one short conversation for each poll. It speaks no protocol above that: http and dns have drivers of their own.
package tcp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"banyan/devices"
	"banyan/model"
)

// Kind is the driver's kind.
const Kind = "tcp"

// Driver is the driver.
type Driver struct{}

var _ devices.Discoverer = Driver{}

// Kind is "tcp".
func (Driver) Kind() string { return Kind }

// Schema declares the device.
func (Driver) Schema() *model.Schema { return schema }

// Open makes the device. Each poll is a connection of its own.
func (Driver) Open(settings devices.Settings) (devices.Device, error) {
	o, err := parse(settings)
	if err != nil {
		return nil, err
	}
	return &device{options: o}, nil
}

type device struct{ options options }

// Poll has one conversation and publishes as much of it as there was.
func (d *device) Poll(ctx context.Context, publish devices.Publisher) error {
	c := conversation{options: d.options}
	err := c.run(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	publish.Publish(c.updates(err == nil))
	return err
}

// Call refuses: there are no functions but the common ones.
func (d *device) Call(context.Context, int, []model.Argument, devices.Publisher) ([]model.Argument, error) {
	return nil, model.Errorf(model.KindUnsupported, "a tcp has no such function")
}

// Write refuses: nothing is writable.
func (d *device) Write(context.Context, int, model.Value, devices.Publisher) error {
	return model.Errorf(model.KindUnsupported, "a tcp has no writable variable")
}

// Close does nothing: between polls there is no connection.
func (d *device) Close() error { return nil }

// Discover connects to one port, which the hint address names: ":22".
func (Driver) Discover(ctx context.Context, at netip.Addr, hints devices.Settings) (devices.Found, bool, error) {
	var port uint16
	if _, err := fmt.Sscanf(hints["address"].Text(), ":%d", &port); err != nil || port == 0 {
		return devices.Found{}, false, devices.BadSetting("address", "it has to name the port to look for, like :22")
	}
	endpoint := devices.Endpoint{Host: at.String(), Port: port}
	c := conversation{options: options{endpoint: endpoint, wanted: wantedOpen}}
	if err := c.run(ctx); err != nil {
		return devices.Found{}, false, ctx.Err()
	}
	return devices.Found{
		Kind: Kind, Name: endpoint.String(), Description: fmt.Sprintf("takes connections at port %d", port),
		Settings: devices.Settings{"address": model.String(endpoint.String())},
	}, true, nil
}

// updates are what the conversation was like. After a success every variable is there; what was not asked for is said not to be set.
func (c *conversation) updates(all bool) []devices.Update {
	now := model.TimeOf(time.Now())
	var batch []devices.Update
	add := func(variable int, known bool, v model.Value) {
		switch {
		case known:
			batch = append(batch, devices.Update{Variable: variable, Value: v, Source: now})
		case all:
			none := model.Quality{Level: model.Uncertain, Reason: model.ReasonNotSet}
			batch = append(batch, devices.Update{Variable: variable, Quality: none, Source: now})
		}
	}
	add(variableOpen, true, model.Bool(c.open))
	add(variableConnectTime, c.open, model.Duration(c.connectTime))
	add(variableServerAddress, c.server != "", model.String(c.server))
	add(variableTLSTime, c.secured, model.Duration(c.tlsTime))
	add(variableResponseTime, c.received, model.Duration(c.responseTime))
	add(variableBanner, c.received, model.String(c.banner()))
	add(variableMatches, c.judged, model.Bool(c.matches))
	if all || c.certificate.Leaf != nil {
		batch = append(batch, devices.CertificateUpdates(firstCertificate, c.certificate, now)...)
	}
	return batch
}
