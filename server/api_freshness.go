package server

import (
	"time"

	"banyan/model"
	"banyan/peering"
	"banyan/proto/apiv1"
	"banyan/proto/linkv1"
	"banyan/tree"
)

// Freshness is how fresh what is mounted at a path is.
func (l *links) Freshness(path model.Path, route tree.Route) ([]peering.HopFreshness, model.Time) {
	return l.hub.FreshnessOf(path, route)
}

// freshnessOf tells how fresh a context is, nothing of this node's own: that is true now.
func (a *api) freshnessOf(c *tree.Context) *apiv1.Freshness {
	if own(c) {
		return nil
	}
	hops, asOf := a.node.peers.Freshness(c.Path, c.Route)
	out := &apiv1.Freshness{AsOf: asOf.String()}
	for i := range hops {
		out.Hops = append(out.Hops, freshnessHop(&hops[i]))
	}
	return out
}

func freshnessHop(h *peering.HopFreshness) *apiv1.FreshnessHop {
	out := &apiv1.FreshnessHop{
		Path: h.Path.String(), From: h.From.Name, To: h.To.Name, State: string(h.State), Since: h.Since.String(), AsOf: h.AsOf.String(),
		Lag: rounded(h.Lag), Skew: rounded(h.Skew), Interval: h.Interval.String(),
	}
	if h.Interval < 0 {
		out.Interval = "never"
	}
	if h.State == peering.StateUnknown {
		out.Lag, out.Skew, out.Interval = "", "", ""
	}
	for _, lane := range h.Lanes {
		switch lane.Kind {
		case linkv1.LaneKind_LANE_KIND_CHANGES:
			out.ChangesBehind = rounded(lane.Behind)
		case linkv1.LaneKind_LANE_KIND_SAMPLES:
			out.SamplesBehind = rounded(lane.Behind)
		}
	}
	return out
}

// rounded is a duration with as many digits as anybody reads.
func rounded(d time.Duration) string {
	digits := time.Millisecond
	if d.Abs() < 10*time.Millisecond {
		digits = 10 * time.Microsecond
	}
	return d.Round(digits).String()
}

// trueAsOf is when a reading of another node's was known to be true: it cannot be newer than what it came over, nor than since when it is stale. It is not
// known while something on the way is not.
func trueAsOf(r *model.Reading, fresh *apiv1.Freshness) string {
	asOf := fresh.GetAsOf()
	if at, err := model.ParseTime(asOf); err == nil && r.Sample.Quality.Reason == model.ReasonStale && r.Since != 0 && r.Since < at {
		asOf = r.Since.String()
	}
	return asOf
}
