// Package logging is the log of a program whose levels and form change while it runs: of all of it, and of single components.
//
// It owns which lines are written and in which form. It does not own what is said: everybody logs over hclog, with constant messages and data in
// pairs.
package logging
