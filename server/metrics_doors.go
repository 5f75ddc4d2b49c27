package server

import (
	"github.com/prometheus/client_golang/prometheus"
)

// doorMetrics collects who stands at the doors of a node, and who was sent away.
type doorMetrics struct{ node *Node }

var _ prometheus.Collector = (*doorMetrics)(nil)

var (
	metricDoorConns = describe("door_connections", "Open connections that were accepted, by listener, and by whether the other end has proved who it is.", "listener", "proved")
	metricDoorsShut = describe("door_refused_total",
		"Connections that were closed before the other end had proved who it is: crowded (another one of many from its address came), late (its time was over), full (as many are open as may be).",
		"listener", "reason")
	metricPaced = describe("frames_paced_total", "How often a connection was read later, since its source sent too many frames of HTTP/2.")
)

// Describe names the metrics.
func (m *doorMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{metricDoorConns, metricDoorsShut, metricPaced} {
		to <- d
	}
}

// Collect reads them.
func (m *doorMetrics) Collect(to chan<- prometheus.Metric) {
	for _, d := range Doors {
		now := m.node.doors[d.Name].Stats()
		for proved, count := range map[string]int{"no": now.Standing, "yes": now.Inside} {
			to <- prometheus.MustNewConstMetric(metricDoorConns, prometheus.GaugeValue, float64(count), d.Name, proved)
		}
		for reason, count := range map[string]uint64{"crowded": now.Crowded, "late": now.Late, "full": now.Full} {
			to <- prometheus.MustNewConstMetric(metricDoorsShut, prometheus.CounterValue, float64(count), d.Name, reason)
		}
	}
	to <- prometheus.MustNewConstMetric(metricPaced, prometheus.CounterValue, float64(m.node.frames.Paced()))
}
