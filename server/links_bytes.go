package server

import (
	"sync"
	"time"

	"banyan/model"
	"banyan/tree"
)

// Variables of what a link carries. Days are those of UTC.
const (
	variableBytesIn           = "bytes_in"
	variableBytesOut          = "bytes_out"
	variableBytesInYesterday  = "bytes_in_yesterday"
	variableBytesOutYesterday = "bytes_out_yesterday"
	variableBytesPerDay       = "bytes_per_day"
)

var bytesVariables = []model.Variable{
	{Name: variableBytesIn, Type: model.TypeInt64, Unit: "B", Description: "What came over it today, by UTC: TLS and its handshakes included, headers of TCP and IP not."},
	{Name: variableBytesOut, Type: model.TypeInt64, Unit: "B", Description: "What went over it today."},
	{Name: variableBytesInYesterday, Type: model.TypeInt64, Unit: "B", Description: "What came over it yesterday."},
	{Name: variableBytesOutYesterday, Type: model.TypeInt64, Unit: "B", Description: "What went over it yesterday."},
	{Name: variableBytesPerDay, Type: model.TypeInt64, Unit: "B", Description: "What it would carry both ways in a day that goes on like the last hour, or like the time since the start."},
}

// carried counts what links carry by the day. A day's count is kept as what was published last, which is saved with the last values of all variables:
// a crash forgets half a minute of it.
type carried struct {
	read func(link string) (in, out uint64) // since the start

	mu   sync.Mutex // guards days
	days map[string]*carriedDay
}

// carriedDay is the count of one link.
type carriedDay struct {
	day              model.Time // when it began
	in, out          uint64     // what read said last
	today, yesterday [2]uint64
	marks            []carriedMark // at most an hour old, but for the first
}

// carriedMark is how much had passed at a moment.
type carriedMark struct {
	at    model.Time
	total uint64
}

const (
	oneDay    = model.Time(24 * time.Hour)
	markEvery = model.Time(time.Minute)
	markKeep  = model.Time(time.Hour)
)

func newCarried(read func(string) (uint64, uint64)) *carried {
	return &carried{read: read, days: make(map[string]*carriedDay)}
}

// values are the variables of a link that say what it carries. The first time it goes on from what was published before the start.
func (c *carried) values(link *tree.Context, before func(name string) (model.Sample, bool), now model.Time) map[string]model.Value {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := link.Path.Base()
	d := c.days[name]
	if d == nil {
		d = &carriedDay{day: now - now%oneDay}
		d.restore(before)
		c.days[name] = d
	}
	in, out := c.read(name)
	d.count(in, out, now)
	return map[string]model.Value{
		variableBytesIn: bytesValue(d.today[0]), variableBytesOut: bytesValue(d.today[1]),
		variableBytesInYesterday: bytesValue(d.yesterday[0]), variableBytesOutYesterday: bytesValue(d.yesterday[1]),
		variableBytesPerDay: bytesValue(d.perDay(now)),
	}
}

// carriedValues are those of a link.
func (l *links) carriedValues(c *tree.Context) map[string]model.Value {
	return l.carried.values(c, func(name string) (model.Sample, bool) {
		r, there := l.tree.Read(model.Address{Path: c.Path, Name: name})
		return r.Sample, there
	}, model.TimeOf(l.node.cfg.Now()))
}

func bytesValue(n uint64) model.Value { return model.Int64(int64(n)) }

// restore takes up what was published in an earlier life: of the same day, or of the one before.
func (d *carriedDay) restore(before func(name string) (model.Sample, bool)) {
	for i, names := range [][2]string{{variableBytesIn, variableBytesInYesterday}, {variableBytesOut, variableBytesOutYesterday}} {
		today, there := before(names[0])
		if !there || today.Value.IsNone() {
			continue
		}
		switch yesterday, _ := before(names[1]); today.Source - today.Source%oneDay {
		case d.day:
			d.today[i] = uint64(max(0, today.Value.Int64()))
			if yesterday.Source >= d.day { // else it is of the day before that
				d.yesterday[i] = uint64(max(0, yesterday.Value.Int64()))
			}
		case d.day - oneDay:
			d.yesterday[i] = uint64(max(0, today.Value.Int64()))
		}
	}
}

// count adds what has passed since the last time.
func (d *carriedDay) count(in, out uint64, now model.Time) {
	for now >= d.day+oneDay {
		d.yesterday, d.today = d.today, [2]uint64{}
		d.day += oneDay
	}
	d.today[0] += in - d.in
	d.today[1] += out - d.out
	d.in, d.out = in, out
	if n := len(d.marks); n == 0 || now >= d.marks[n-1].at+markEvery {
		d.marks = append(d.marks, carriedMark{now, in + out})
	}
	for len(d.marks) > 1 && d.marks[1].at <= now-markKeep {
		d.marks = d.marks[1:]
	}
}

// perDay is what a day like the last hour would carry.
func (d *carriedDay) perDay(now model.Time) uint64 {
	first := d.marks[0]
	if now-first.at < markEvery {
		return 0 // nothing can be said yet
	}
	return uint64(float64(d.in+d.out-first.total) / float64(now-first.at) * float64(oneDay))
}
