// Package modbus is the driver of devices that speak Modbus TCP: meters, controllers, inverters. Which registers a device has, what they mean and which
// of them can be written stands in a device profile.
//
// It owns the protocol (client.go, frame.go), how registers become numbers (format.go), the keys that it adds to profiles (profile.go), and how
// registers are read together (plan.go). It does not own what types, units and scales mean: package profiles does.
package modbus
