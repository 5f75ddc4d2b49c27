package server

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metricsHandler serves Prometheus. It tells how the node is, so that it is for whoever may see the node.
func (n *Node) metricsHandler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &nodeMetrics{n}, &deviceMetrics{n.devices},
		&storageMetrics{n}, &linkMetrics{n.peers}, &doorMetrics{n},
	)
	registry.MustRegister(n.counts.collectors()...)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// nodeMetrics collects what the parts count.
type nodeMetrics struct{ node *Node }

var _ prometheus.Collector = (*nodeMetrics)(nil)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("banyan_"+name, help, labels, nil)
}

var (
	metricContexts   = describe("contexts", "Contexts in the tree, mounted ones included.")
	metricIdentities = describe("identities", "Different contexts in the tree: one that is mounted twice is one.")
	metricSamples    = describe("samples_published_total", "Samples published since the start, those of other nodes included.")
	metricCommits    = describe("commits_confirmed_total", "Commits confirmed since the start.")
	metricStreams    = describe("streams", "Streams of the API that watch or follow.")
	metricSessions   = describe("sessions", "People who are logged in.")
	metricRefused    = describe("api_refused_total", "Requests and streams of the API that were refused because their caller had too many.")
	metricHealthy    = describe("healthy", "1 while the node can confirm something.")
)

// Describe names the metrics.
func (m *nodeMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		metricContexts, metricIdentities, metricSamples, metricCommits, metricStreams, metricSessions, metricRefused,
		metricHealthy,
	} {
		to <- d
	}
}

// Collect reads them.
func (m *nodeMetrics) Collect(to chan<- prometheus.Metric) {
	n := m.node
	gauge := func(d *prometheus.Desc, v float64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	counter := func(d *prometheus.Desc, v float64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	contexts, identities := n.tree.Count()
	gauge(metricContexts, float64(contexts))
	gauge(metricIdentities, float64(identities))
	counter(metricSamples, float64(n.tree.Head()))
	counter(metricCommits, float64(n.commits.done.Load()))
	gauge(metricStreams, float64(n.api.streams.Load()))
	gauge(metricSessions, float64(n.sessions.count()))
	counter(metricRefused, float64(n.limits.refused.Load()))
	healthy := 0.0
	if n.healthy() {
		healthy = 1
	}
	gauge(metricHealthy, healthy)
}
