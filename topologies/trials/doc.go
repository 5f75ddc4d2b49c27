// Package trials tries the promises of the product on whole networks of real processes: killed, stopped, cut off and overrun. Everything in it is
// a test; TRIALS=full tries as hard as before a release, otherwise it takes a share of that.
//
// It owns no behaviour of the product and does not start networks by itself: that is package topologies.
package trials
