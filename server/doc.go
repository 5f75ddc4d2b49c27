// Package server is one node, composed: it opens what is stored, loads the live tree, hands the packages below to each other, listens, serves
// the API for people and programs, and stops within ten seconds.
//
// It owns the wiring, the kinds of contexts that every node has, who is logged in, the one way that every set, call, creation and removal takes
// (Router), and the handlers that turn messages of the API into the model's words and back. It does not own what a commit does (store), when
// it counts (failover), who may do what (access), how a device is polled (devices), or what a link says (peering).
//
// # What callers may rely on
//
// What was answered as done is on disk, and the tree of the node that owns it shows it. What is absent and what is hidden from who asks are
// the same bytes. A secret is never in an answer.
package server
