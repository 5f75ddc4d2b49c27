package peering

import (
	"fmt"
	"time"

	"banyan/fault"
	"banyan/follow"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
)

// welcome decides from where to tell: on the same history a delta, beyond a fork a comparison of everything.
func (p *Provider) welcome(hello *linkv1.Hello, now model.Time) error {
	if p.hello != nil {
		return model.Errorf(model.KindInvalid, "received a second hello")
	}
	p.hello, p.version = hello, min(protocolVersion, hello.GetVersion())
	p.beats.slow(hello.GetBeatMilliseconds())
	if err := p.interest(hello.GetInterest(), now); err != nil {
		return err
	}
	chain, err := proto.ToChain(hello.GetChain())
	if err != nil {
		return err
	}
	if hello.GetSamples() > mostMarked {
		return model.Errorf(model.KindInvalid, "the consumer says that it has samples that nobody told it")
	}
	resume := linkv1.Resume_RESUME_DELTA
	newest := max(hello.GetChanges(), hello.GetNewest())
	common := chain.Common(newest, p.cfg.Chain)
	p.from = hello.GetChanges()
	switch {
	case newest == 0:
	case hello.GetView() != p.cfg.View.ID && !fault.Planted(fault.ResumeAcrossViews) || p.from+1 < p.cfg.Tree.Horizon() || common < newest,
		newest > p.cfg.Tree.ChangeHead():
		// Beyond a fork also what the two have in common is compared: the consumer may have forgotten some of it on the way that was given up. One that has
		// more than there is was told it by this process, before the machine was put back to an earlier moment of it.
		p.from, resume = 0, linkv1.Resume_RESUME_COMPARE
	}
	if fault.Planted(fault.ResumeFromZero) {
		p.from = 0
	}
	if fault.Planted(fault.ResumeSkipsOne) && p.from > 0 {
		p.from++
	}
	same := proto.ToEpoch(hello.GetEpoch()) == p.cfg.Epoch && hello.GetView() == p.cfg.View.ID
	if same && int(hello.GetBindings()) <= p.cfg.View.Bound() {
		p.bindings = int(hello.GetBindings())
	}
	p.queue = append(p.queue, &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Welcome{Welcome: &linkv1.Welcome{
		Version: p.version, Node: p.cfg.Node[:], Name: p.cfg.Name, Epoch: proto.FromEpoch(p.cfg.Epoch),
		View: p.cfg.View.ID, Chain: proto.FromChain(p.cfg.Chain), From: p.from, Resume: resume,
		Bindings: uint32(p.bindings), BeatMilliseconds: uint32(p.beats.interval / time.Millisecond),
	}}})
	if resume == linkv1.Resume_RESUME_COMPARE {
		p.known = make(map[model.Path]follow.Known)
		return nil
	}
	p.begin(now)
	return nil
}

// begin starts to follow. Within the same epoch samples go on where the consumer stopped; after a restart of ours it is told everything that was
// published since. One that has contexts and does not know how far it has their samples is told the latest of each variable; one that has nothing is
// told the latest of each context with its definition.
func (p *Provider) begin(now model.Time) {
	start := follow.Start{Changes: p.from, Known: p.known, Wake: p.cfg.Wake}
	same := proto.ToEpoch(p.hello.GetEpoch()) == p.cfg.Epoch
	switch {
	case max(p.hello.GetChanges(), p.hello.GetNewest()) == 0:
	case p.hello.GetSamples() == 0, same && (p.known != nil || p.hello.GetView() != p.cfg.View.ID):
		start.Conflate = true
	case same:
		position, known := p.cfg.Marks.resume(p.hello.GetSamples())
		start.Samples, start.Conflate = position, !known
		p.through = position
		if known {
			p.reached = p.hello.GetSamples()
		}
	}
	if p.through == 0 {
		p.cfg.Marks.again()
	}
	p.follower = p.cfg.View.NewFollower(start)
	p.follower.SetInterest(p.wanted, now)
	p.settled = p.follower.Settled()
	p.listing = true
}

// moreKnown is how many contexts a consumer may have to be compared beyond those that there are.
const moreKnown = 100_000

// compare takes what the consumer has beyond the common history.
func (p *Provider) compare(known *linkv1.Known, now model.Time) error {
	if p.known == nil || p.follower != nil {
		return model.Errorf(model.KindInvalid, "received a comparison that was not asked for")
	}
	origins, err := readOrigins(known.GetOrigins())
	if err != nil {
		return err
	}
	same := proto.ToEpoch(p.hello.GetEpoch()) == p.cfg.Epoch
	for _, c := range known.GetContexts() {
		id, err := origins.id(c.GetOrigin(), c.GetNumber())
		if err != nil {
			return err
		}
		version, err := origins.version(c.GetVersionEpoch(), c.GetVersion())
		if err != nil {
			return err
		}
		path, err := model.ParsePath(c.GetPath())
		if err != nil {
			return err
		}
		k := follow.Known{ID: id, Version: version, Content: c.GetContent()}
		if same { // numbers of an epoch that has ended may have been given to others, and its values are stale anyway
			k.Change = c.GetChange()
		}
		p.known[path] = k
	}
	if there, _ := p.cfg.Tree.Count(); len(p.known) > there+moreKnown {
		return &model.Error{
			Kind: model.KindExhausted, Detail: fmt.Sprintf("the consumer has %d contexts to be compared more than there are", len(p.known)-there),
			Remedy: "remove the mount there and make it anew",
		}
	}
	if known.GetLast() {
		p.begin(now)
		p.known = nil
	}
	return nil
}
