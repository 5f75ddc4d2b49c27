package peering

import (
	"slices"
	"time"

	"banyan/model"
	"banyan/proto/linkv1"
)

// beats is the heartbeat of one end of a link. Each beat has a number that the other end echoes at once. The link is up only while the
// newest of our beats that was echoed was sent less than two intervals ago: that proves both ways, where a beat that is received
// proves only one.
type beats struct {
	interval time.Duration
	clock    func() model.Time // what this node's clock shows, which can be set; nil where it is the time that is measured by
	next     uint64            // number of the next beat
	sent     []sentBeat        // not yet echoed, oldest first
	echoed   model.Time        // when the newest echoed beat was sent; 0 before the first
	lag      time.Duration     // of the newest echo
	heard    uint64            // newest number of the other end's beats
	heardAt  model.Time
	skew     time.Duration // how far the other end's clock is ahead of this one's, as of the newest beat
	due      model.Time
	lanes    map[linkv1.LaneKind]*lane
}

type sentBeat struct {
	number uint64
	at     model.Time
}

// lane is how far one stream within the link has come. It is stalled when it has not moved towards the head that was told two
// intervals ago.
type lane struct {
	head    uint64 // newest that was told
	applied uint64
	target  uint64     // head that was told when watching began
	since   model.Time // when watching began, or the lane last moved
	told    []toldHead // that are not applied, the oldest first
}

// toldHead is a head with when it was told.
type toldHead struct {
	head uint64
	at   model.Time
}

// mostToldHeads bounds how many are remembered of a lane: with more, the time that is told of the newest ones is a little too long.
const mostToldHeads = 64

// mostBeat is how far apart heartbeats may be: a cut is noticed after two.
const mostBeat = 5 * time.Minute

// slow makes heartbeats at least as far apart as the other end wants them.
func (b *beats) slow(milliseconds uint32) {
	b.interval = max(b.interval, min(mostBeat, time.Duration(milliseconds)*time.Millisecond))
}

func newBeats(interval time.Duration) *beats {
	return &beats{interval: interval, next: 1, lanes: make(map[linkv1.LaneKind]*lane)}
}

// shown is what this node's clock shows. All else goes by the time that is measured by, which runs on evenly when the clock is set: otherwise a link
// would go down, or stay up, because of that.
func (b *beats) shown(now model.Time) model.Time {
	if b.clock == nil {
		return now
	}
	return b.clock()
}

// up reports whether the link is proved to work both ways.
func (b *beats) up(now model.Time) bool {
	return b.echoed != 0 && time.Duration(now-b.echoed) < 2*b.interval
}

// downAt is when the link stops being up unless another echo comes.
func (b *beats) downAt() model.Time { return b.echoed + model.Time(2*b.interval) }

// tick returns a beat when one is due.
func (b *beats) tick(now model.Time) *linkv1.Beat {
	if now < b.due {
		return nil
	}
	b.due = now + model.Time(b.interval)
	beat := &linkv1.Beat{Number: b.next, Echo: b.heard, Clock: int64(b.shown(now))}
	b.sent = append(b.sent, sentBeat{b.next, now})
	if len(b.sent) > 64 {
		b.sent = b.sent[1:]
	}
	b.next++
	return beat
}

// receive takes in the other end's beat and returns the echo that it is owed, if any.
func (b *beats) receive(beat *linkv1.Beat, now model.Time) *linkv1.Beat {
	for len(b.sent) > 0 && b.sent[0].number <= beat.GetEcho() {
		if b.sent[0].number == beat.GetEcho() {
			b.echoed = b.sent[0].at
			b.lag = time.Duration(now - b.echoed)
		}
		b.sent = b.sent[1:]
	}
	if beat.GetNumber() <= b.heard {
		return nil
	}
	b.heard, b.heardAt = beat.GetNumber(), b.shown(now)
	if beat.GetClock() != 0 {
		b.skew = time.Duration(model.Time(beat.GetClock())-b.shown(now)) + b.lag/2 // it was on its way for half of a round, more or less
	}
	return &linkv1.Beat{Echo: b.heard, Clock: int64(b.shown(now))}
}

// known reports whether there is such a lane: of those that the other end makes up nothing is kept.
func known(kind linkv1.LaneKind) bool {
	return kind == linkv1.LaneKind_LANE_KIND_CHANGES || kind == linkv1.LaneKind_LANE_KIND_SAMPLES
}

// told notes a head that a lane is to reach.
func (b *beats) told(kind linkv1.LaneKind, head uint64, now model.Time) {
	if !known(kind) {
		return
	}
	l := b.lanes[kind]
	if l == nil {
		l = &lane{}
		b.lanes[kind] = l
	}
	l.head = max(l.head, head)
	if l.applied < head && (len(l.told) == 0 || l.told[len(l.told)-1].head < head) && len(l.told) < mostToldHeads {
		l.told = append(l.told, toldHead{head, now})
	}
	if l.applied >= l.target {
		l.target, l.since = l.head, now
	}
}

// moved notes how far a lane has come.
func (b *beats) moved(kind linkv1.LaneKind, applied uint64, now model.Time) {
	l := b.lanes[kind]
	if l == nil {
		l = &lane{}
		b.lanes[kind] = l
	}
	if applied > l.applied {
		l.applied, l.since = applied, now
		l.told = slices.DeleteFunc(l.told, func(t toldHead) bool { return t.head <= applied })
		if l.applied >= l.target {
			l.target = l.head
		}
	}
}

// behind is for how long something is missing in each lane: since it was told. A lane in which nothing is missing is left out.
func (b *beats) behind(now model.Time) (lags []LaneLag) {
	for _, kind := range []linkv1.LaneKind{linkv1.LaneKind_LANE_KIND_CHANGES, linkv1.LaneKind_LANE_KIND_SAMPLES} {
		if l := b.lanes[kind]; l != nil && len(l.told) > 0 {
			lags = append(lags, LaneLag{kind, time.Duration(now - l.told[0].at)})
		}
	}
	return lags
}

// rests is until when nothing is due and no lane can be stalled.
func (b *beats) rests() model.Time {
	until := b.due
	for _, l := range b.lanes {
		if l.applied < l.target {
			until = min(until, l.since+model.Time(2*b.interval))
		}
	}
	return until
}

// stalled names a lane that does not move although there is something to come. Samples wait for the definitions before them: as long as changes
// move, samples need not.
func (b *beats) stalled(now model.Time) (linkv1.LaneKind, bool) {
	for _, kind := range []linkv1.LaneKind{linkv1.LaneKind_LANE_KIND_CHANGES, linkv1.LaneKind_LANE_KIND_SAMPLES} {
		l := b.lanes[kind]
		if l == nil || l.applied >= l.target {
			continue
		}
		if time.Duration(now-l.since) >= 2*b.interval {
			return kind, true
		}
		if kind == linkv1.LaneKind_LANE_KIND_CHANGES {
			break
		}
	}
	return 0, false
}
