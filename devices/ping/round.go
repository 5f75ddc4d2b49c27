package ping

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"
)

// round is the pings of one poll. What is below probes is guarded by the pool's mu.
type round struct {
	target  netip.Addr
	six     bool
	count   int
	size    int
	spacing time.Duration
	wait    time.Duration // for each answer
	tally   *tally        // of the device
	news    chan struct{} // capacity 1: a probe was answered, or reported lost

	probes []*probe // that were sent
}

// tally counts over the life of a device; the pool's mu guards it.
type tally struct {
	duplicates int64
	late       int64
}

// run sends the pings and waits for what becomes of them. The error says that some could not be sent; nil does not say that any
// was answered.
func (r *round) run(ctx context.Context, p *pool) error {
	began := time.Now()
	var failed error
	for i := range r.count {
		if err := sleep(ctx, time.Until(began.Add(time.Duration(i)*r.spacing))); err != nil {
			break
		}
		if err := p.launch(ctx, r); err != nil && ctx.Err() == nil {
			failed = err
			break // the route or the firewall of this machine will say the same for the others
		}
	}
	r.await(ctx, p)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range r.probes {
		one.over = true
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		r.leaveOutUndecided()
	}
	return failed
}

// await returns when all probes are done, or the last one was waited for long enough.
func (r *round) await(ctx context.Context, p *pool) {
	for {
		p.mu.Lock()
		waiting := slices.ContainsFunc(r.probes, func(o *probe) bool { return !o.done })
		var until time.Time
		for _, o := range r.probes {
			if end := o.sent.Add(r.wait); !o.done && end.After(until) {
				until = end
			}
		}
		p.mu.Unlock()
		left := time.Until(until)
		if !waiting || left <= 0 {
			return
		}
		timer := time.NewTimer(left)
		select {
		case <-r.news:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// leaveOutUndecided marks what was sent so late that there was no time for an answer: it was neither lost nor received. The first one always
// counts. The caller holds the pool's mu.
func (r *round) leaveOutUndecided() {
	now := time.Now()
	for i, o := range r.probes {
		o.undecided = i > 0 && !o.done && now.Sub(o.sent) < r.wait
	}
}

// figures are what a round gives.
type figures struct {
	sent, received             int
	loss                       float64 // percent
	last, least, average, most time.Duration
	jitter                     time.Duration
	pairs                      int // that jitter was computed from
	hops                       int // of the last answer
	reason                     string
	duplicates, late           int64
}

// figure computes them. Jitter is the mean of the absolute differences between the round trips of probes that follow each other: the delay
// variation of consecutive packets after RFC 3393, with round trips instead of one-way delays. Unlike the smoothing of RFC 3550, 6.4.1,
// which looks back over some sixteen packets, it depends on the window of this poll alone.
func (r *round) figure(p *pool) figures {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := figures{duplicates: r.tally.duplicates, late: r.tally.late}
	var sum, differences time.Duration
	var before *probe
	for _, o := range r.probes {
		if o.undecided {
			continue
		}
		f.sent++
		if !o.inTime() {
			if o.reason != "" {
				f.reason = o.reason
			}
			before = nil
			continue
		}
		if f.received == 0 || o.rtt < f.least {
			f.least = o.rtt
		}
		f.received++
		f.last, f.most, f.hops = o.rtt, max(f.most, o.rtt), o.hops
		sum += o.rtt
		if before != nil {
			differences += (o.rtt - before.rtt).Abs()
			f.pairs++
		}
		before = o
	}
	if f.sent > 0 {
		f.loss = 100 * float64(f.sent-f.received) / float64(f.sent)
	}
	if f.received > 0 {
		f.average = sum / time.Duration(f.received)
	}
	if f.pairs > 0 {
		f.jitter = differences / time.Duration(f.pairs)
	}
	return f
}

// inTime reports whether the answer came while it was waited for. The caller holds the pool's mu.
func (o *probe) inTime() bool { return o.came && !o.late }
