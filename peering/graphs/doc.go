// Package graphs tries peering on random graphs of nodes: chains, trees, loops, diamonds, several exports from one node to another, nodes that are
// provider and consumer to each other. All of it is tests.
//
// It owns a small model of who is entitled to what (model_test.go, which imports nothing but the standard library), a world in one goroutine made of the
// real trees, views, selections and state machines, and the walks through both. It does not own what is only of one link: peering's own simulation tries that.
package graphs
