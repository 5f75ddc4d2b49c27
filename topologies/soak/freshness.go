package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/topologies"
)

const (
	// aside is how far two clocks of one machine may seem apart: as links measure it, by half of a heartbeat's way. For each further hop there are two
	// heartbeats, by which an age is let drift before it is told anew.
	aside    = time.Second
	drifting = 4 * time.Second
	// goodFor is how old something may be that is called good: two heartbeats, and a second, and one more for each further hop; beyond that, what a
	// busy machine takes.
	goodFor   = 5 * time.Second
	busyTakes = 3 * time.Second
)

// newsTakes is how long it may take until what is said of hops is as new as what is good: as_of travels with heartbeats, and what is good again does so at once.
const newsTakes = 4 * time.Second

// watchFreshness looks through one view after the other, whatever happens, whether what is said of a value's age is true. That is judged by the books: a value
// that was known to be replaced at one time was not true at any time after.
func (w *world) watchFreshness(ctx context.Context) {
	for at := 0; ctx.Err() == nil; at = (at + 1) % len(w.views) {
		v := w.views[at]
		if v.owner == v.at {
			continue
		}
		most := newsTakes + time.Duration(2*len(v.route))*time.Second
		for since := time.Now(); w.lies(ctx, v) && ctx.Err() == nil; wait(ctx, 500*time.Millisecond) {
			if time.Since(since) > most {
				w.books.fail(oldIsGood, "%s%s was good at %s for %s, though it is not known how it is now: %s", v.prefix, setDevice, w.members[v.at].name,
					time.Since(since).Round(time.Millisecond), w.members[v.at].hops(ctx, v.prefix+setDevice))
				break
			}
		}
		wait(ctx, 100*time.Millisecond)
	}
}

const oldIsGood = "E6 old values are not called good"

// lies reports whether a view says that something is good that is older than it may be, and records what is untrue.
func (w *world) lies(ctx context.Context, v view) bool {
	began := time.Now()
	asked, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r, err := w.members[v.at].get(asked, v.prefix+setDevice+":seed")
	if err != nil {
		return false
	}
	w.books.note("ages looked at")
	asOf, err := model.ParseTime(r.GetAsOf())
	if err != nil {
		return false
	}
	value, err := strconv.ParseInt(r.GetValue().GetStringValue(), 10, 64)
	if err != nil {
		return false
	}
	if replaced, is := w.books.written[v.owner].passed(value); is && asOf.Std().Sub(replaced) > aside+time.Duration(len(v.route)-1)*drifting {
		w.books.fail("an age is never understated", "%s%s:seed is %d at %s, true as of %s, though the owner confirmed a newer one at %s", v.prefix, setDevice, value,
			w.members[v.at].name, r.GetAsOf(), replaced.UTC().Format(time.RFC3339Nano))
	}
	old := goodFor + busyTakes + time.Duration(len(v.route)-1)*time.Second
	return r.GetQuality() == "good" && began.Sub(asOf.Std()) > old
}

// hops is how fresh a node says that something is, hop by hop.
func (m *member) hops(ctx context.Context, path string) string {
	info, err := ask(ctx, m, func(c *topologies.Client) func(context.Context, *apiv1.DescribeRequest) (*apiv1.ContextInfo, error) {
		return c.Tree.Describe
	},
		&apiv1.DescribeRequest{Path: path})
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("at %s, as of %s, stale since %q at %q;", time.Now().UTC().Format(time.RFC3339Nano), info.GetFreshness().GetAsOf(), info.GetStale(), info.GetHop())
	for _, h := range info.GetFreshness().GetHops() {
		text += fmt.Sprintf(" %s to %s: %s since %s, as of %s, lag %s, changes behind %s, samples behind %s;", h.GetFrom(), h.GetTo(), h.GetState(), h.GetSince(), h.GetAsOf(), h.GetLag(),
			h.GetChangesBehind(), h.GetSamplesBehind())
	}
	return text
}
