// Package ping is the driver of hosts that have to answer ICMP echo requests: loss, round trip and jitter for each poll.
//
// It owns the one socket for each family over which a node sends all of its pings, and the matching of what comes back. It does not
// decide who is down: that is the device's state, and its parent's.
package ping

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"banyan/devices"
	"banyan/model"
)

// Kind is the driver's kind.
const Kind = "ping"

// resolveEvery is how long an address of a name is used before the resolver is asked again.
const resolveEvery = time.Minute

// Driver is the driver. All devices of one Driver share its sockets, which are open only while there are devices that have been polled.
type Driver struct{ pool *pool }

var _ devices.Discoverer = Driver{}

// New makes a driver. A node has one.
func New() Driver { return Driver{pool: newPool()} }

// Kind is "ping".
func (Driver) Kind() string { return Kind }

// Schema declares the device.
func (Driver) Schema() *model.Schema { return schema }

// Open makes the device. The socket is opened, or shared, by its first poll.
func (d Driver) Open(settings devices.Settings) (devices.Device, error) {
	o, err := parse(settings)
	if err != nil {
		return nil, err
	}
	if d.pool == nil {
		return nil, model.Errorf(model.KindInternal, "the driver was not made by New")
	}
	return &device{options: o, pool: d.pool}, nil
}

type device struct {
	options options
	pool    *pool
	tally   tally // the pool's mu guards it

	mu       sync.Mutex // guards what is below
	held     [2]bool    // which sockets of the pool
	before   *round     // the last poll's
	address  netip.Addr
	resolved time.Time
}

// Poll sends a round of pings. It fails when none of them is answered.
func (d *device) Poll(ctx context.Context, publish devices.Publisher) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, err := d.resolve(ctx)
	if err != nil {
		return err
	}
	r := &round{
		target: at, six: at.Is6(), count: d.options.probes, size: d.options.size, spacing: d.options.spacing, wait: d.options.wait,
		tally: &d.tally, news: make(chan struct{}, 1),
	}
	if err := d.hold(r.six); err != nil {
		return err
	}
	if d.before != nil {
		d.pool.forget(d.before)
	}
	d.before = r
	err = r.run(ctx, d.pool)
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	f := r.figure(d.pool)
	publish.Publish(f.updates(at, model.TimeOf(time.Now())))
	if f.received == 0 {
		d.resolved = time.Time{} // the name may mean another host by now
	}
	return f.verdict(at, d.options.wait, err)
}

func (d *device) hold(six bool) error {
	if d.held[slot(six)] {
		return nil
	}
	err := d.pool.hold(six)
	d.held[slot(six)] = err == nil
	return err
}

// resolve is the address to ping. When a name cannot be resolved any more, its last address is used on.
func (d *device) resolve(ctx context.Context) (netip.Addr, error) {
	if at, err := netip.ParseAddr(d.options.host); err == nil {
		return at.Unmap(), nil
	}
	if d.address.IsValid() && time.Since(d.resolved) < resolveEvery {
		return d.address, nil
	}
	all, err := net.DefaultResolver.LookupNetIP(ctx, d.options.network, d.options.host)
	if err == nil && len(all) == 0 {
		err = &net.DNSError{Name: d.options.host, IsNotFound: true}
	}
	if err == nil {
		err = usable(all[0], d.options.network)
	}
	if err != nil {
		if d.address.IsValid() && ctx.Err() == nil {
			return d.address, nil
		}
		return netip.Addr{}, devices.NetworkError("resolving "+d.options.host, err)
	}
	d.address, d.resolved = all[0].Unmap(), time.Now()
	return d.address, nil
}

// verdict is nil when at least one ping was answered; else it says why none was.
func (f *figures) verdict(at netip.Addr, wait time.Duration, failed error) error {
	switch {
	case f.received > 0:
		return nil
	case f.reason != "":
		return model.Errorf(model.KindUnavailable, "%s: %s", at, f.reason)
	case failed != nil:
		return devices.NetworkError("pinging "+at.String(), failed)
	case f.sent == 0:
		return model.Errorf(model.KindTimeout, "no ping could be sent to %s in time: this node sends too many", at)
	}
	return model.Errorf(model.KindTimeout, "no answer from %s to %d pings within %s", at, f.sent, wait)
}

// updates are the figures as variables. Without an answer nothing is said about round trips, which keep what they were.
func (f *figures) updates(at netip.Addr, now model.Time) []devices.Update {
	batch := []devices.Update{
		{Variable: variableLoss, Value: model.Float64(f.loss), Source: now},
		{Variable: variableSent, Value: model.Int64(int64(f.sent)), Source: now},
		{Variable: variableReceived, Value: model.Int64(int64(f.received)), Source: now},
		{Variable: variableDuplicates, Value: model.Int64(f.duplicates), Source: now},
		{Variable: variableLate, Value: model.Int64(f.late), Source: now},
		{Variable: variableUnreachable, Value: model.String(f.reason), Source: now},
		{Variable: variableAddress, Value: model.String(at.String()), Source: now},
	}
	if f.received == 0 {
		return batch
	}
	jitter := devices.Update{Variable: variableJitter, Value: model.Duration(f.jitter), Source: now}
	if f.pairs == 0 {
		jitter.Value, jitter.Quality = model.Value{}, model.QualityNotRead // one answer says nothing about differences
	}
	return append(batch, jitter,
		devices.Update{Variable: variableLast, Value: model.Duration(f.last), Source: now},
		devices.Update{Variable: variableLeast, Value: model.Duration(f.least), Source: now},
		devices.Update{Variable: variableAverage, Value: model.Duration(f.average), Source: now},
		devices.Update{Variable: variableMost, Value: model.Duration(f.most), Source: now},
		devices.Update{Variable: variableTTL, Value: model.Int64(int64(f.hops)), Source: now},
	)
}

// Call refuses: there are no functions but the common ones.
func (d *device) Call(context.Context, int, []model.Argument, devices.Publisher) ([]model.Argument, error) {
	return nil, model.Errorf(model.KindUnsupported, "a ping has no such function")
}

// Write refuses: nothing is writable.
func (d *device) Write(context.Context, int, model.Value, devices.Publisher) error {
	return model.Errorf(model.KindUnsupported, "a ping has no writable variable")
}

// Close lets go of the pool.
func (d *device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.before != nil {
		d.pool.forget(d.before)
		d.before = nil
	}
	var errs []error
	for family, held := range d.held {
		if held {
			d.held[family] = false
			errs = append(errs, d.pool.release(family == 1))
		}
	}
	return errors.Join(errs...)
}

// Discover pings an address twice.
func (d Driver) Discover(ctx context.Context, at netip.Addr, _ devices.Settings) (devices.Found, bool, error) {
	at = at.Unmap()
	if err := usable(at, "ip"); err != nil {
		return devices.Found{}, false, err
	}
	if err := d.pool.hold(at.Is6()); err != nil {
		return devices.Found{}, false, err
	}
	r := &round{target: at, six: at.Is6(), count: 2, size: 56, spacing: 100 * time.Millisecond, wait: time.Second, tally: &tally{}, news: make(chan struct{}, 1)}
	err := r.run(ctx, d.pool)
	d.pool.forget(r)
	f := r.figure(d.pool)
	err = errors.Join(err, d.pool.release(at.Is6()))
	if f.received == 0 {
		if ctx.Err() == nil && err != nil {
			return devices.Found{}, false, nil // no route there: nobody who could be found
		}
		return devices.Found{}, false, ctx.Err()
	}
	return devices.Found{
		Kind: Kind, Name: at.String(), Description: fmt.Sprintf("answers pings, in %s", f.average),
		Settings: devices.Settings{"host": model.String(at.String())},
	}, true, nil
}
