package server

import (
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// storageMetrics collects how much room the node's files take, and the limits of the process that its own collector does not tell.
type storageMetrics struct{ node *Node }

var _ prometheus.Collector = (*storageMetrics)(nil)

var (
	metricStore       = describe("store_bytes", "How much room the node's files take, by what they hold: settings, their log, last values, mirrors.", "file")
	metricDiskFree    = describe("disk_free_bytes", "How much room the node's disk has left.")
	metricDiskSize    = describe("disk_size_bytes", "How large the node's disk is.")
	metricDiskInodes  = describe("disk_free_inodes", "How many files there is room for on the node's disk.")
	metricDiskFull    = describe("disk_full", "1 while the disk is full, so that nothing can be kept.")
	metricConnections = describe("api_connections", "Connections to the API that are open.")
	metricCeilings    = describe("limit", "How much there may be: contexts, devices, connections to the API.", "of")
	metricMemoryLimit = describe("memory_limit_bytes", "How much memory the program keeps below.")
)

// Describe names the metrics.
func (m *storageMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{metricStore, metricDiskFree, metricDiskSize, metricDiskInodes, metricDiskFull, metricMemoryLimit, metricConnections, metricCeilings} {
		to <- d
	}
}

// Collect measures.
func (m *storageMetrics) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	s := m.node.storage()
	for file, size := range map[string]int64{"settings": s.database, "settings_log": s.log, "values": s.values, "mirrors": s.mirrors} {
		gauge(metricStore, float64(size), file)
	}
	gauge(metricDiskFree, float64(s.free))
	gauge(metricDiskSize, float64(s.size))
	if s.inodes >= 0 {
		gauge(metricDiskInodes, float64(s.inodes))
	}
	full := 0.0
	if s.fullSince != 0 {
		full = 1
	}
	gauge(metricDiskFull, full)
	gauge(metricConnections, float64(m.node.doors[DoorAPI].Stats().Inside))
	most := &m.node.cfg.Ceilings
	for of, limit := range map[string]int{"contexts": most.Contexts, "devices": most.Devices, "connections": most.Connections} {
		gauge(metricCeilings, float64(limit), of)
	}
	if limit := debug.SetMemoryLimit(-1); limit < 1<<62 {
		gauge(metricMemoryLimit, float64(limit))
	}
}
