// Package devices is the driver half of the world's input: what a driver is, and the manager that runs the devices of one node.
//
// It owns the contract between a driver and the node (Driver, Device, Publisher), the settings, variables and functions that all
// devices have in common, and the scheduling of polls: when, how many at a time, how long at most, and what happens to the
// quality of values when a device does not answer. Each driver is a folder of its own below this one, with a README.md, a
// sample.yaml and test cases under testdata; devicetest holds the suite that all of them pass.
//
// It does not own contexts, settings or samples: what is wanted comes in through Manager.Reconcile, what was read goes out
// through a Sink, and both are handed in. It decides no rights, and knows no path beyond what messages name.
package devices
