package snmp

import (
	"time"
)

// Ticks of sysUpTime, hundredths of a second, after which it begins at 0 again: 497 days.
const tickWrap = 1 << 32

// minSlack is how far a device's clock may be off what ours says before that means something.
const minSlack = 30 * time.Second

// clock follows a device's uptime over its wraps and notices restarts.
type clock struct {
	known    bool
	ticks    uint64    // uptime in hundredths of a second, wraps counted
	seen     time.Time // by our clock
	boots    int64     // snmpEngineBoots; 0 where the device tells none
	restarts int64
	boot     time.Time // when the device, or its agent, started
}

// moment is an instant by both clocks. Counters of different lives are not compared.
type moment struct {
	wall  time.Time
	ticks uint64
	timed bool // ticks is known
	life  int64
}

// observe takes over an uptime. Engine time, in seconds, and engine boots are of SNMP-FRAMEWORK-MIB; 0 where the device does not tell
// them. It reports whether the device was restarted since it was seen last.
func (c *clock) observe(low uint32, engineTime, engineBoots int64, wall time.Time) (restarted bool) {
	ticks := uint64(low)
	switch {
	case !c.known:
		ticks += wrapsIn(low, engineTime)
	case engineBoots > 0 && c.boots > 0 && engineBoots != c.boots, c.isBack(low, wall):
		restarted = true
		c.restarts++
		ticks += wrapsIn(low, engineTime)
	default:
		ticks = c.extend(low)
	}
	c.known, c.ticks, c.seen, c.boots = true, ticks, wall, engineBoots
	if boot := wall.Add(-tickDuration(ticks)); restarted || boot.Sub(c.boot).Abs() > 2*time.Second {
		c.boot = boot // else it would tremble with each poll
	}
	return restarted
}

// isBack reports whether an uptime is behind what it has to be by now. A clock that stands still is no restart, and one
// that wraps is none either.
func (c *clock) isBack(low uint32, wall time.Time) bool {
	if low == uint32(c.ticks) {
		return false
	}
	passed := wall.Sub(c.seen)
	behind := passed - tickDuration(c.extend(low)-c.ticks)
	if uint32(c.ticks) > low { // wrapped, or began anew: a wrap must come when it is due
		return behind.Abs() > max(minSlack, passed/4)
	}
	return behind > max(minSlack, passed/4)
}

// extend is the uptime with its wraps, next after the one seen last.
func (c *clock) extend(low uint32) uint64 {
	return c.ticks + uint64(low-uint32(c.ticks))
}

// at is an instant in the middle of a poll.
func (c *clock) at(r reading, wall time.Time) *moment {
	m := &moment{wall: wall, life: c.restarts}
	if r.form == ticks && c.known {
		m.ticks, m.timed = c.extend(uint32(r.number)), true
	}
	return m
}

// wrapsIn is how much the uptime has wrapped already, by the time of the engine, which lasts 68 years, where both began together.
func wrapsIn(low uint32, engineTime int64) uint64 {
	if engineTime <= 0 || engineTime >= 1<<31 {
		return 0
	}
	engine := uint64(engineTime) * 100
	whole := (engine - uint64(low) + tickWrap/2) / tickWrap * tickWrap
	if engine < uint64(low) {
		return 0
	}
	if off := int64(engine - uint64(low) - whole); off < -1000 || off > 1000 {
		return 0
	}
	return whole
}

func tickDuration(ticks uint64) time.Duration {
	return time.Duration(min(ticks, 1<<62/uint64(10*time.Millisecond))) * 10 * time.Millisecond
}

// since is the time between two instants, by the device's clock where that can be believed: it belongs to the counters, and our own
// clock adds the time of the way.
func (m *moment) since(before *moment) time.Duration {
	wall := m.wall.Sub(before.wall)
	if !m.timed || !before.timed || m.ticks < before.ticks {
		return wall
	}
	own := tickDuration(m.ticks - before.ticks)
	if (own - wall).Abs() > max(wall/4, min(wall/2, 2*time.Second)) {
		return wall
	}
	return own
}
