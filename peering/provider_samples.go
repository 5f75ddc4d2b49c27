package peering

import (
	"encoding/binary"

	"banyan/follow"
	"banyan/proto"
	"banyan/proto/linkv1"
)

// passed tells that everything before a position was told, and nothing else.
func (p *Provider) passed(number uint64, err error) (Out, bool) {
	if err != nil {
		p.failed = err
		return Out{}, false
	}
	p.reached = max(p.reached, number)
	return Out{Raw: proto.AppendLiveSamples(nil, nil, number, 0)}, true
}

// nextSettled tells how far what the consumer acknowledged was taken in and followed by its latest samples: from there it may go on another time.
func (p *Provider) nextSettled() (Out, bool) {
	settled := p.follower.Settled()
	if settled <= p.settled || p.batch != nil {
		return Out{}, false
	}
	p.settled = settled
	return Out{Frame: &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Beat{Beat: &linkv1.Beat{
		Lanes: []*linkv1.Lane{{Kind: linkv1.LaneKind_LANE_KIND_CHANGES, Applied: settled}},
	}}}}, true
}

// nextSamples tells the next samples, bindings before the samples that need them.
func (p *Provider) nextSamples() (Out, bool) {
	if p.pass > 0 && p.batch == nil {
		number := p.pass
		p.pass, p.through = 0, max(p.through, p.passAt)
		return p.passed(number, nil)
	}
	for p.batch == nil {
		batch, some := p.follower.Samples()
		if !some {
			if p.reach == 0 || p.follower.SamplesThrough() < p.urged {
				return Out{}, false
			}
			number := p.reach
			p.reach, p.through = 0, max(p.through, p.urged)
			return p.passed(number, nil)
		}
		if batch.Samples > 0 || batch.Stop {
			p.told = batch
			p.batch = &p.told
		}
	}
	if list := p.cfg.View.Bindings(p.bindings, chunkBindings); len(list) > 0 {
		frame, told := bindingsFrame(p.bindings, list)
		p.bindings += told
		return Out{Frame: &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Bindings{Bindings: frame}}}, true
	}
	batch := p.told
	p.batch, p.told = nil, follow.Batch{}
	number, err := p.cfg.Marks.through(batch.Through, batch.Stop)
	if err != nil {
		return p.passed(0, err)
	}
	p.through, p.reached = max(p.through, batch.Through), max(p.reached, number)
	out := Out{Raw: proto.AppendLiveHead(p.head(), len(batch.Encoded), number, uint64(batch.Conflated)), Batch: batch.Encoded}
	out.Last = p.reach == 0 && len(p.queue) == 0 && p.follower.Through() && p.follower.Settled() <= p.settled
	return out, true
}

// liveHead is what stands at most before the batch in a frame of samples: three tags and four numbers.
const liveHead = 3 + 2*binary.MaxVarintLen32 + 2*binary.MaxVarintLen64 + 1

// head is memory for what stands before a batch. It is not used again, as nobody says when it was sent, but it is made for several at a time.
func (p *Provider) head() []byte {
	if cap(p.heads)-len(p.heads) < liveHead {
		p.heads = make([]byte, 0, 16*liveHead)
	}
	at := len(p.heads)
	p.heads = p.heads[:at+liveHead]
	return p.heads[at:at:len(p.heads)]
}
