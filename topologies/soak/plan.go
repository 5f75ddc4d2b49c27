package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// plan is a network that a seed makes: nodes in tiers, each of which shows itself to one or two of those before it. The first one is the top.
type plan struct {
	names []string
	edges []edge
}

// edge is a link: what the provider has hangs at /from/PROVIDER of the consumer.
type edge struct {
	provider, consumer int
	consumerDials      bool
}

const (
	leastNodes = 4
	mostNodes  = 8
	// secondWay is how likely a node has two ways up, which makes a diamond wherever the two meet again.
	secondWay = 0.4
)

func newPlan(random *rand.Rand) *plan {
	p := &plan{names: make([]string, leastNodes+random.IntN(mostNodes-leastNodes+1))}
	for i := range p.names {
		for p.names[i] == "" || slices.Contains(p.names[:i], p.names[i]) {
			p.names[i] = placeName(random)
		}
		if i == 0 {
			continue
		}
		first := random.IntN(i)
		p.edges = append(p.edges, edge{i, first, random.IntN(2) == 0})
		if second := random.IntN(i); second != first && random.Float64() < secondWay {
			p.edges = append(p.edges, edge{i, second, random.IntN(2) == 0})
		}
	}
	return p
}

func placeName(random *rand.Rand) string {
	syllables := []string{"al", "ber", "dor", "el", "fur", "gen", "hof", "in", "kel", "lin", "mar", "nau", "ost", "ren", "sel", "tal", "ur", "wil"}
	name := ""
	for range 2 + random.IntN(2) {
		name += syllables[random.IntN(len(syllables))]
	}
	return name
}

// view is a place from which a node's tree is seen: at itself, or at a node above, by a route of links, the first of which is the node's own.
type view struct {
	owner, at int
	prefix    string
	route     []int // of edges
}

// views are all places from which all nodes are seen.
func (p *plan) views() []view {
	var all []view
	for owner := range p.names {
		frontier := []view{{owner: owner, at: owner}}
		for len(frontier) > 0 {
			v := frontier[0]
			frontier, all = frontier[1:], append(all, v)
			for i, e := range p.edges {
				if e.provider == v.at {
					frontier = append(frontier, view{owner, e.consumer, "/from/" + p.names[e.provider] + v.prefix, append(slices.Clone(v.route), i)})
				}
			}
		}
	}
	return all
}

func (p *plan) String() string {
	var b strings.Builder
	for i, name := range p.names {
		var up []string
		for _, e := range p.edges {
			if e.provider == i {
				up = append(up, p.names[e.consumer])
			}
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(name)
		if len(up) > 0 {
			fmt.Fprintf(&b, " shows itself to %s", strings.Join(up, " and "))
		}
	}
	return b.String()
}

// topology is the plan as a file: the nodes with their devices. Links are made by hand, since each goes through a relay.
func (p *plan) topology() string {
	var b strings.Builder
	b.WriteString("network: soak\nnodes:\n")
	for _, name := range p.names {
		fmt.Fprintf(&b, "  %s:\n    devices:\n      %s: {kind: simulator, points: 20, poll_interval: 1s}\n", name, movingDevice)
		fmt.Fprintf(&b, "      %s: {kind: simulator, poll_interval: 1h}\n      %s: {kind: simulator, poll_interval: 1h}\n", setDevice, otherDevice)
	}
	return b.String()
}

// Devices of every node.
const (
	movingDevice  = "/devices/moving"  // whose points move
	setDevice     = "/devices/written" // whose seed is set to ever greater numbers
	otherDevice   = "/devices/other"   // that is hidden and shown
	counterDevice = "/devices/counter" // whose functions are counted outside of the node
)
