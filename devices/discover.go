package devices

import (
	"context"
	"net/netip"
)

// Discoverer is a driver that can tell whether something that it knows is at an address.
type Discoverer interface {
	Driver

	// Discover asks at an address, and answers false where nothing answers, or something else does. It sends few packets, ends with
	// ctx, and may run for many addresses at once. Hints are settings of the kind that are the same for all addresses, such
	// as a community; not all have to be there. They can be secret: no error and no log repeats them. An error means that asking at
	// this address made no sense or could not be done here, as when a hint is wrong.
	Discover(ctx context.Context, at netip.Addr, hints Settings) (Found, bool, error)
}

// Found is something that a driver found at an address: what creating a device of it would need.
type Found struct {
	Kind        string   // of the driver
	Profile     string   // the profile that fits best; empty for none
	Name        string   // what it calls itself, or its address: the label of the device
	Description string   // one line about it
	Settings    Settings // its address and what was found out, without the hints
}
