package server

import (
	"testing"
	"time"

	"banyan/model"
	"banyan/tree"
)

// What a link carries counts by the day, goes on over restarts, and is projected from the last hour.
func TestCarriedByTheDay(t *testing.T) {
	var in, out uint64
	published := make(map[string]model.Sample)
	before := func(name string) (model.Sample, bool) {
		s, there := published[name]
		return s, there
	}
	link := &tree.Context{Path: model.MustPath("/links/berlin")}
	var c *carried
	start := func() {
		in, out = 0, 0
		c = newCarried(func(string) (uint64, uint64) { return in, out })
	}
	now := model.TimeOf(time.Date(2031, 5, 6, 22, 0, 0, 0, time.UTC))
	look := func() map[string]int64 {
		got := make(map[string]int64)
		for name, v := range c.values(link, before, now) {
			if old, there := published[name]; !there || !old.Value.Equal(v) {
				published[name] = model.Sample{Value: v, Source: now}
			}
			got[name] = v.Int64()
		}
		return got
	}
	check := func(what string, want map[string]int64) {
		t.Helper()
		got := look()
		for name, v := range want {
			if got[name] != v {
				t.Errorf("%s: %s is %d, not %d", what, name, got[name], v)
			}
		}
	}
	pass := func(d time.Duration, perMinute uint64) {
		for ; d > 0; d -= time.Minute {
			now += model.Time(time.Minute)
			in, out = in+perMinute, out+2*perMinute
			look()
		}
	}
	start()
	check("at first", map[string]int64{variableBytesIn: 0, variableBytesPerDay: 0})
	pass(30*time.Minute, 1000)
	check("after half an hour", map[string]int64{variableBytesIn: 30_000, variableBytesOut: 60_000, variableBytesPerDay: 3000 * 60 * 24})
	start()
	pass(60*time.Minute, 10)
	check("after a restart", map[string]int64{variableBytesIn: 30_600, variableBytesOut: 61_200, variableBytesPerDay: 30 * 60 * 24, variableBytesInYesterday: 0})
	pass(60*time.Minute, 100)
	check("the next day", map[string]int64{
		variableBytesIn: 30*100 + 100, variableBytesInYesterday: 30_600 + 29*100, variableBytesOutYesterday: 61_200 + 29*200, variableBytesPerDay: 300 * 60 * 24,
	})
	start()
	check("started anew then", map[string]int64{variableBytesIn: 3100, variableBytesInYesterday: 33_500, variableBytesOutYesterday: 67_000})
	now += model.Time(24 * time.Hour)
	start()
	check("started the day after", map[string]int64{variableBytesIn: 0, variableBytesInYesterday: 3100})
	now += model.Time(72 * time.Hour)
	start()
	check("started days later", map[string]int64{variableBytesIn: 0, variableBytesInYesterday: 0, variableBytesOutYesterday: 0})
}
