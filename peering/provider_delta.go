package peering

import (
	"banyan/fault"
	"banyan/follow"
	"banyan/model"
	"banyan/proto/linkv1"
)

// chunkEntries bounds how many contexts are looked at for one delta.
const chunkEntries = 512

// shownChanges are the next changes of which the consumer is told something. What changes where it is shown nothing makes no frame: only the end of the
// first listing is told always, whether there was something or not.
func (p *Provider) shownChanges() (follow.Changes, bool) {
	for {
		changes, some := p.follower.Changes(chunkEntries)
		p.anew = p.anew || changes.Anew
		switch {
		case p.follower.Lost():
			p.failed = model.Errorf(model.KindUnavailable, "so much was removed at once that a comparison is needed")
			return changes, false
		case !some && p.listing:
			at := max(1, p.follower.ShownThrough())
			return follow.Changes{Through: at, Head: at}, true
		case !some:
			return changes, false
		case len(changes.Entries)+len(changes.Gone) > 0, p.listing && changes.Through >= changes.Head:
			if changes.Through >= changes.Head || !p.listing {
				changes.Through = max(1, changes.Last)
				changes.Head = changes.Through
			}
			return changes, true
		}
	}
}

// nextDelta tells the next changes, schemas before the contexts that have them.
func (p *Provider) nextDelta(now model.Time) (Out, bool) {
	if len(p.pending.Entries) == 0 && len(p.pending.Gone) == 0 && p.pending.Through == 0 {
		if !p.bulk && p.follower.Acknowledged() < p.bulkThrough {
			return Out{}, false // what is on its way on the bulk stream must not be overtaken
		}
		changes, some := p.shownChanges()
		if !some {
			return Out{}, false
		}
		p.pending = changes
		if p.listing && changes.Through < changes.Head && p.asked == 0 {
			p.bulk, p.asked = true, now
			p.queue = append(p.queue, &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_WantBulk{WantBulk: &linkv1.WantBulk{}}})
			return p.next(now)
		}
		if out, some := p.nextOverlays(); some {
			return out, true // something is shown now below a path that is stale
		}
	}
	sent := p.schemas[0]
	if p.bulk {
		sent = p.schemas[1]
	}
	b := newDeltaBuilder()
	b.delta.Head = p.pending.Head
	for len(p.pending.Gone) > 0 && b.bytes < maxChunkBytes {
		if !fault.Planted(fault.RemovalLost) {
			gone := p.pending.Gone[0]
			gone.Withdrawn = gone.Withdrawn && p.version >= 2
			b.remove(&gone)
		}
		p.pending.Gone = p.pending.Gone[1:]
	}
	for len(p.pending.Entries) > 0 && b.bytes < maxChunkBytes {
		e := &p.pending.Entries[0]
		if !sent[e.Schema.Hash] {
			if len(b.delta.Definitions)+len(b.delta.Removals) > 0 {
				return Out{Frame: deltaFrame(b), Bulk: p.bulk}, true
			}
			sent[e.Schema.Hash] = true
			body := &linkv1.SchemaBody{Hash: e.Schema.Hash[:], Body: []byte(e.Schema.Raw)}
			return Out{Frame: &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Schema{Schema: body}}, Bulk: p.bulk}, true
		}
		b.define(e)
		p.pending.Entries = p.pending.Entries[1:]
	}
	out := Out{Frame: deltaFrame(b), Bulk: p.bulk}
	if len(p.pending.Entries) == 0 && len(p.pending.Gone) == 0 {
		b.delta.Through = p.pending.Through
		if p.anew && p.version >= 2 {
			p.anew, b.delta.Anew = false, true
			clear(p.schemas[0])
			clear(p.schemas[1])
		}
		if p.bulk {
			p.bulkThrough = p.pending.Through
		}
		if p.pending.Through >= p.pending.Head {
			p.listing, p.bulk = false, false
		}
		p.pending = follow.Changes{}
	}
	return out, true
}

func deltaFrame(b *deltaBuilder) *linkv1.ProviderFrame {
	return &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Delta{Delta: b.delta}}
}
