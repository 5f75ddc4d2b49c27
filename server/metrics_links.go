package server

import (
	"github.com/prometheus/client_golang/prometheus"
)

// linkMetrics collects what passes over links. Links are not told apart: their names are people's.
type linkMetrics struct{ peers Peers }

var _ prometheus.Collector = (*linkMetrics)(nil)

var (
	metricLinks       = describe("links", "Links by state.", "state")
	metricLinkFeeds   = describe("link_feeds", "What links carry, by state: mounts, and exports that are mounted elsewhere.", "state")
	metricLinkLag     = describe("link_lag_seconds", "How long the newest heartbeat took both ways, on the link where it took longest.")
	metricLinkBytes   = describe("link_bytes_total", "Bytes that passed over links, before encryption.", "direction")
	metricLinkWire    = describe("link_wire_bytes_total", "Bytes that passed over the connections of links, with TLS and its handshakes.", "direction")
	metricLinkHeld    = describe("link_samples_withheld_total", "Samples that consumers did not want as often as they came.")
	metricLinkUps     = describe("link_connects_total", "How often a link came up.")
	metricLinkDowns   = describe("link_failures_total", "How often a link lost its connection or could not get one.")
	metricRehearsals  = describe("link_rehearsals", "Links on which an outage is rehearsed now.")
	metricLinkMounted = describe("link_contexts", "Contexts that are mounted.")
)

// Describe names the metrics.
func (m *linkMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{metricLinks, metricLinkFeeds, metricLinkLag, metricLinkBytes, metricLinkWire, metricLinkHeld, metricLinkUps, metricLinkDowns, metricLinkMounted, metricRehearsals} {
		to <- d
	}
}

// Collect reads them.
func (m *linkMetrics) Collect(to chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, sort prometheus.ValueType, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, sort, v, labels...)
	}
	links, feeds := m.peers.LinkStates()
	for state, count := range links {
		tell(metricLinks, prometheus.GaugeValue, float64(count), state)
	}
	for state, count := range feeds {
		tell(metricLinkFeeds, prometheus.GaugeValue, float64(count), state)
	}
	t := m.peers.Traffic()
	tell(metricLinkLag, prometheus.GaugeValue, t.Lag.Seconds())
	tell(metricLinkBytes, prometheus.CounterValue, float64(t.Received), "received")
	tell(metricLinkBytes, prometheus.CounterValue, float64(t.Sent), "sent")
	tell(metricLinkWire, prometheus.CounterValue, float64(t.WireReceived), "received")
	tell(metricLinkWire, prometheus.CounterValue, float64(t.WireSent), "sent")
	tell(metricLinkHeld, prometheus.CounterValue, float64(t.Withheld))
	tell(metricLinkUps, prometheus.CounterValue, float64(t.Ups))
	tell(metricLinkDowns, prometheus.CounterValue, float64(t.Failures))
	tell(metricLinkMounted, prometheus.GaugeValue, float64(t.Contexts))
	tell(metricRehearsals, prometheus.GaugeValue, float64(m.peers.Rehearsals()))
}
