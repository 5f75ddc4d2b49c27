package server

import (
	"context"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/peering"
	"banyan/store"
	"banyan/tree"
)

// Peers is what the node needs of its links: links is the one implementation.
type Peers interface {
	Forwarder
	// AddKinds adds the kinds of links, exports and mounts with their controllers.
	AddKinds(kinds Kinds) error
	// Mounts are the mirrors to load, found among own contexts before there is a tree. It is called once, before anything else.
	Mounts(own []tree.Put) []store.Mount
	// Grants are what this node granted, by link, as the tree says now. Whoever changes what it answers calls policies.Changed.
	Grants() map[string]*access.Grant
	// Observe hears of own contexts that changed. It is called once with everything before Run.
	Observe(changed []tree.Context, removed []tree.Tombstone)
	// Run works until ctx ends.
	Run(ctx context.Context) error
	// Explain asks the nodes on the way to a mounted context what they would decide.
	Explain(ctx context.Context, who access.Principal, at model.Address, need model.Right, route tree.Route) []explainedHop
	// Freshness is how fresh what is mounted at a path is, hop by hop, and since when all of it is known to be true; 0 where that is not known.
	Freshness(path model.Path, route tree.Route) ([]peering.HopFreshness, model.Time)
	// Renewed shows peers certificates of the node's present root. LeafUntil is when the one in use ends.
	Renewed() error
	LeafUntil() time.Time
	// ClocksAgree reports whether there are links, and whether on one of them the clock at the other end agrees with this node's.
	ClocksAgree() (linked, agree bool)
	// Look wants the samples of contexts, and of what is at and below some paths, as they come until end is called.
	Look(at, below []model.Path) (end func())
	// LinkStates counts links by state, and the mounts and exports that they carry, for metrics.
	LinkStates() (links, feeds map[string]int)
	// Rehearsals counts the outages that are rehearsed on links now, for metrics.
	Rehearsals() int
	// Traffic is what passed over links, for metrics.
	Traffic() peering.Traffic
}
