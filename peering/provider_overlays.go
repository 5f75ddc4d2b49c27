package peering

import (
	"banyan/follow"
	"banyan/proto/linkv1"
	"banyan/tree"
)

func (p *Provider) nextOverlays() (Out, bool) {
	stale, changes, samples, changed := p.follower.Overlays()
	if !changed {
		return Out{}, false
	}
	// The consumer must pass a position that lies behind this follower before it is told samples of after it.
	at := p.follower.SamplesThrough()
	numbers, passed, err := p.cfg.Marks.before(stale, p.through, at, p.reached)
	if err != nil {
		p.failed = err
		return Out{}, false
	}
	for i := range stale {
		if stale[i].Before <= at {
			p.passAt = max(p.passAt, stale[i].Before)
		}
		stale[i].Before = numbers[i]
	}
	p.pass = max(p.pass, passed)
	p.urged, p.reach = samples, p.cfg.Marks.ahead(samples)
	// What is not shown does not move the head: it would never be reached.
	return Out{Frame: p.overlaysFrame(stale, min(changes, p.cfg.View.Head()), p.reach)}, true
}

// overlaysFrame tells what is stale. Of a hop over which nothing came that is shown it says only that it lies behind this node.
func (p *Provider) overlaysFrame(stale []follow.Stale, changes, samples uint64) *linkv1.ProviderFrame {
	o := &linkv1.Overlays{Changes: changes, Samples: samples}
	for _, s := range stale {
		if s.Hop == "" {
			s.Hop, s.Nodes = "behind "+p.cfg.Name, tree.Ends{1: p.cfg.Node}
		}
		wire := &linkv1.Stale{Path: s.Path.String(), Since: int64(s.Since), Hop: s.Hop, Before: s.Before}
		if p.version >= 2 {
			wire.Nodes = writeEnds(s.Nodes)
		}
		o.Stale = append(o.Stale, wire)
	}
	return &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Overlays{Overlays: o}}
}
