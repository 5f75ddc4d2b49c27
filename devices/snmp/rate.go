package snmp

import (
	"math"
	"time"

	"banyan/model"
)

// leastRateSpan is the shortest time over which a rate is made: agents keep what they read of their system for a moment.
const leastRateSpan = time.Second

// counter is a counter as it was read before, and the rate up to then.
type counter struct {
	value   uint64
	at      *moment
	started bool
	rate    float64
	quality model.Quality
	rated   bool
	which   int // of the objects that can tell it
}

// The qualities of a rate that is none.
var (
	qualityFirst       = model.QualityNotRead                                             // nothing to compare with yet
	qualityUnsupported = model.Quality{Level: model.Bad, Reason: model.ReasonUnsupported} // the device has no such object
	qualityFailed      = model.Quality{Level: model.Bad, Reason: model.ReasonFailed}
	qualityRange       = model.Quality{Level: model.Uncertain, Reason: model.ReasonRange}
)

// next takes over a counter and says how much it rises in a second. Most is the highest rate that is to be expected, 0 where nobody knows. The rate is
// never negative: a counter of 32 bits that fell has wrapped, unless that would make a rate that cannot be; then, and for those of 64 bits, it was
// reset and the rate begins anew. One that rose is believed: loopback interfaces say 10 Mbit/s and carry a thousand times that.
func (c *counter) next(r reading, at *moment, most float64) (rate float64, quality model.Quality) {
	before := *c
	if before.started && before.at.life == at.life && at.wall.Sub(before.at.wall) < leastRateSpan {
		return c.last()
	}
	c.value, c.at, c.started, c.rated = r.number, at, true, false
	if !before.started || before.at.life != at.life {
		return c.last()
	}
	passed := at.since(before.at).Seconds()
	if !(passed > 0) {
		return c.last()
	}
	risen, ok := rise(r, before.value)
	rate = float64(risen) / passed
	if wrapped := r.number < before.value; !ok || wrapped && most > 0 && rate > 1.25*most {
		return c.last()
	}
	c.rate, c.quality, c.rated = rate, model.QualityGood, true
	if r.form == counter32 && most > 0 && most*passed > math.MaxUint32 {
		c.quality = qualityRange // it may have wrapped more than once
	}
	return c.last()
}

func (c *counter) last() (float64, model.Quality) {
	if !c.rated {
		return 0, qualityFirst
	}
	return c.rate, c.quality
}

// rise is by how much a counter rose, and whether it did: what fell by more than half of its range was reset, not wrapped.
func rise(r reading, before uint64) (uint64, bool) {
	if r.number >= before {
		return r.number - before, true
	}
	if r.form != counter32 {
		return 0, false
	}
	risen := uint64(uint32(r.number) - uint32(before))
	return risen, risen < 1<<31
}

// drop forgets what was read: the device says that the counter began anew.
func (c *counter) drop() { *c = counter{} }
