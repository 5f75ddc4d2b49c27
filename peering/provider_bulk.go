package peering

import (
	"time"

	"banyan/model"
	"banyan/proto/linkv1"
)

// AskBulk asks for the bulk connection on behalf of something that goes over it beside the listing, and says whether the session is that far.
func (p *Provider) AskBulk() bool {
	if p.follower == nil || p.failed != nil {
		return false
	}
	p.queue = append(p.queue, &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_WantBulk{WantBulk: &linkv1.WantBulk{}}})
	return true
}

// HoldBulk says whether a frame for the bulk stream waits to be taken: no other is made meanwhile.
func (p *Provider) HoldBulk(hold bool, now model.Time) {
	p.taken = p.taken || p.held && !hold
	p.held, p.bulkMoved = hold, now
}

// ImpatientForBulk reports whether the bulk stream was asked for longer than patience ago and has not taken anything. A stream that has, and then does
// not move for much longer, ends the session.
func (p *Provider) ImpatientForBulk(now model.Time, patience time.Duration) bool {
	if p.taken && p.onBulk() && time.Duration(now-p.bulkMoved) > 6*patience {
		p.BulkEnded()
	}
	return p.held && !p.taken && time.Duration(now-p.asked) > patience
}

// onBulk reports whether something that was given to the bulk stream may not have arrived.
func (p *Provider) onBulk() bool {
	return p.taken && (p.bulk || p.held || p.follower.Acknowledged() < p.bulkThrough)
}

// BulkEnded says that the bulk stream has broken. What it had taken may be lost, so that the session must go on from what was acknowledged, in a new one.
func (p *Provider) BulkEnded() {
	if p.follower != nil && p.onBulk() {
		p.failed = model.Errorf(model.KindUnavailable, "the bulk connection broke while a listing was on it")
	}
}

// GiveUpBulk lets the listing take the urgent stream, the frame that waits first. Nothing may have been taken by the bulk stream.
func (p *Provider) GiveUpBulk() {
	p.bulk, p.held, p.bulkThrough = false, false, 0
	p.schemas[0] = make(map[model.SchemaHash]bool)
}
