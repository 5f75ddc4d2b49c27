package server

import (
	"context"
	"time"

	"banyan/devices"
	"banyan/model"

	"github.com/prometheus/client_golang/prometheus"
)

// deviceMetrics collects how the devices are and how punctually they are polled.
type deviceMetrics struct{ hub *deviceHub }

var _ prometheus.Collector = (*deviceMetrics)(nil)

var (
	metricDevices   = describe("devices", "Devices by state.", "state")
	metricPolls     = describe("device_polls_total", "Polls done by the devices that run now.")
	metricHanging   = describe("device_calls_hanging", "Calls into drivers that were left behind and have not returned.")
	metricPunctual  = describe("device_polls_begun_total", "Regular polls that were begun since the start, of devices that answered the poll before (ok) or not (silent).", "devices")
	metricLateP99   = describe("device_poll_late_p99_seconds", "99 of 100 regular polls since the start began no later than this after they were due.", "devices")
	metricLateMax   = describe("device_poll_late_max_seconds", "How late the latest regular poll since the start began.", "devices")
	metricLateShare = describe("device_poll_late_share_max", "The greatest part of its interval by which a regular poll began late since the start.", "devices")
	metricDiscovery = describe("device_discovery_running", "1 while a discovery runs.")
)

// Describe names the metrics.
func (m *deviceMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		metricDevices, metricPolls, metricHanging, metricPunctual, metricLateP99, metricLateMax, metricLateShare, metricDiscovery,
	} {
		to <- d
	}
}

// Collect reads them.
func (m *deviceMetrics) Collect(to chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, sort prometheus.ValueType, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, sort, v, labels...)
	}
	stats := m.hub.manager.Stats()
	for state, count := range stats.States {
		tell(metricDevices, prometheus.GaugeValue, float64(count), state)
	}
	tell(metricPolls, prometheus.CounterValue, float64(stats.Polls))
	tell(metricHanging, prometheus.GaugeValue, float64(stats.Hanging))
	for label, late := range map[string]devices.Lateness{"ok": stats.Late, "silent": stats.LateSuspects} {
		tell(metricPunctual, prometheus.CounterValue, float64(late.Polls), label)
		tell(metricLateP99, prometheus.GaugeValue, late.P99.Seconds(), label)
		tell(metricLateMax, prometheus.GaugeValue, late.Max.Seconds(), label)
		tell(metricLateShare, prometheus.GaugeValue, late.Share, label)
	}
	running := 0.0
	if m.hub.discovery.runs() {
		running = 1
	}
	tell(metricDiscovery, prometheus.GaugeValue, running)
}

// measureEvery is how often the place of devices says how they are.
const measureEvery = 2 * time.Second

// measure publishes how the devices are, until ctx ends.
func (h *deviceHub) measure(ctx context.Context) {
	ticker := time.NewTicker(measureEvery)
	defer ticker.Stop()
	for {
		stats := h.manager.Stats()
		healthy := stats.States[devices.StateOK]
		silent := stats.States[devices.StateNoResponse] + stats.States[devices.StateSuspended]
		h.publish(variableDevices, model.Int64(int64(stats.Devices)), model.Int64(int64(healthy)), model.Int64(int64(silent)),
			model.Int64(stats.Late.Polls), model.Duration(stats.Late.P99), model.Duration(stats.Late.Max), model.Float64(stats.Late.Share))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
