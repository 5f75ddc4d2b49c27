package prometheus

import (
	"math"
	"sort"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// shape is what sort of numbers a metric has.
type shapeOf uint8

const (
	shapeValue     shapeOf = iota // one number that goes up and down
	shapeCounter                  // one that only grows
	shapeHistogram                // buckets
	shapeSummary                  // quantiles
)

func shapeOfFamily(f *dto.MetricFamily) shapeOf {
	switch f.GetType() {
	case dto.MetricType_COUNTER:
		return shapeCounter
	case dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE_HISTOGRAM:
		return shapeHistogram
	case dto.MetricType_SUMMARY:
		return shapeSummary
	}
	return shapeValue
}

// valueOf is the number of a metric that has one: of histograms and summaries how often something happened.
func valueOf(m *dto.Metric) float64 {
	switch {
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Untyped != nil:
		return m.Untyped.GetValue()
	case m.Histogram != nil:
		return float64(m.Histogram.GetSampleCount())
	case m.Summary != nil:
		return float64(m.Summary.GetSampleCount())
	}
	return math.NaN()
}

// nameOf writes labels as Prometheus does, in order of their names.
func nameOf(m *dto.Metric) string {
	labels := m.GetLabel()
	parts := make([]string, len(labels))
	for i, l := range labels {
		parts[i] = l.GetName() + "=" + l.GetValue()
	}
	sort.Strings(parts)
	return strings.Join(parts, ",")
}

func labelOf(m *dto.Metric, name string) (string, bool) {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue(), true
		}
	}
	return "", false
}

// quantile estimates a quantile of a histogram as Prometheus' histogram_quantile does: linear within the bucket in which it lies. NaN where
// nothing was counted.
func quantile(h *dto.Histogram, q float64) float64 {
	buckets := h.GetBucket()
	total := float64(h.GetSampleCount())
	if len(buckets) == 0 || total == 0 {
		return math.NaN()
	}
	rank, low, below := q*total, 0.0, 0.0
	for _, b := range buckets {
		high, count := b.GetUpperBound(), float64(b.GetCumulativeCount())
		if count >= rank {
			if math.IsInf(high, 1) {
				return low
			}
			if count == below {
				return high
			}
			return low + (high-low)*(rank-below)/(count-below)
		}
		low, below = high, count
	}
	return low
}
