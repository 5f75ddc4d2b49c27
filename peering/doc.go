// Package peering is links between nodes: the two ends of a link as state machines (Provider, Consumer, Mirror), and around them the Hub that
// dials, accepts, reconnects and watches.
//
// It owns what is said over a link and in which order, heartbeats and what follows from them for freshness, and the staleness that a cut lays over a
// mount. It does not own who may link (package pki proves, the server's callbacks admit), what an export shows (package access, as a
// selection), what is done with a request (the server), nor where anything is kept (package store, behind Keeper).
//
// # Guarantees
//
// A mirror holds, for each context of the export, the latest state that its owner committed, in the order of the provider's change numbers. Samples of one
// variable never go backwards. Every sample arrives while the consumer keeps up; otherwise the latest of each variable does, and the number
// left out is told. What is behind a link is good only while the link is proved to work both ways and no lane stands still; it turns good again after
// everything that the first heartbeat told has been applied.
package peering
