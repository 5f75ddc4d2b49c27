// Package snmp is the driver of devices that speak SNMP: versions 1, 2c and 3, any object or table that a profile names, and the system
// group and the interfaces of every device, with rates.
//
// It owns how such a device is asked (limits, bulk, what to do with broken agents), how its answers become values, how counters become
// rates, and how a device finds the profile that fits it. The wire form and the cryptography of version 3 are gosnmp's. It does not own
// profiles, which are handed in, nor when a device is polled.
package snmp
