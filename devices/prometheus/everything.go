package prometheus

import (
	"context"
	"maps"
	"math"
	"slices"
	"unicode/utf8"

	"banyan/devices"
	"banyan/model"

	dto "github.com/prometheus/client_model/go"
)

// everything is the view without a profile: a folder for each metric, and a context for each series in it.
type everything struct {
	filter filter
	most   int

	rows    map[string]*devices.Rows   // by metric
	schemas map[string]*model.Schema   // by metric: what it is for stands in it
	before  map[string]counterReadings // by metric
	namer   devices.Namer
}

func newEverything(f filter, most int) *everything {
	return &everything{
		filter: f, most: most, rows: map[string]*devices.Rows{}, schemas: map[string]*model.Schema{}, before: map[string]counterReadings{},
	}
}

func (e *everything) take(
	ctx context.Context, publish devices.Publisher, families map[string]*dto.MetricFamily, now model.Time,
) ([]devices.Update, int, error) {
	room, leftOut := e.most, 0
	var keep []string
	shown := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(families)) {
		f := families[name]
		if !e.filter.takes(name) || len(f.GetMetric()) == 0 {
			continue
		}
		metrics := f.GetMetric()
		if len(metrics) > room {
			leftOut += len(metrics) - room
			metrics = metrics[:room]
		}
		if room -= len(metrics); len(metrics) == 0 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		shown[name] = true
		segment, err := e.family(publish, f, metrics, now)
		if err != nil {
			return nil, 0, err
		}
		keep = append(keep, segment)
	}
	for name := range e.rows {
		if !shown[name] {
			delete(e.rows, name)
			delete(e.schemas, name)
			delete(e.before, name)
		}
	}
	e.namer.Forget(func(name string) bool { return shown[name] })
	publish.Keep(keep)
	return nil, leftOut, nil
}

func (e *everything) family(publish devices.Publisher, f *dto.MetricFamily, metrics []*dto.Metric, now model.Time) (segment string, err error) {
	name := f.GetName()
	segment = e.namer.Segment(name)
	rows := e.rows[name]
	if rows == nil {
		rows = &devices.Rows{Segment: segment, Label: name}
		e.rows[name], e.schemas[name], e.before[name] = rows, schemaOf(f), counterReadings{}
	}
	list := make([]devices.Row, len(metrics))
	for i, m := range metrics {
		list[i] = devices.Row{Name: nameOf(m), Schema: e.schemas[name]}
		if list[i].Name == "" {
			list[i] = devices.Row{Name: "value", Label: name, Schema: e.schemas[name]}
		}
	}
	to, err := rows.Place(publish, list)
	if err != nil {
		return "", err
	}
	after := counterReadings{}
	for i, m := range metrics {
		to[i].Publish(e.readings(f, m, list[i].Name, after, now))
	}
	e.before[name] = after
	return segment, nil
}

// Variables of a series, by its shape.
const (
	seriesValue = 0
	seriesRate  = 1 // of a counter

	histogramSum = 1
	histogramP50 = 2
	histogramP90 = 3
	histogramP99 = 4
)

func schemaOf(f *dto.MetricFamily) *model.Schema {
	help := f.GetHelp()
	if help == "" {
		help = "It tells nothing about itself."
	}
	for len(help) > 500 {
		_, size := utf8.DecodeLastRuneInString(help[:500])
		help = help[:500-size]
	}
	number := func(name, description string) model.Variable {
		return model.Variable{Name: name, Type: model.TypeFloat64, Description: description}
	}
	s := &model.Schema{Kind: Kind + ".series", Description: help, Variables: []model.Variable{number("value", "As it was told.")}}
	switch shapeOfFamily(f) {
	case shapeCounter:
		s.Variables = append(s.Variables, model.Variable{Name: "rate", Type: model.TypeFloat64, Unit: "1/s", Description: "Its growth between the last two scrapes."})
	case shapeHistogram, shapeSummary:
		s.Variables = []model.Variable{number("count", "How many were observed."), number("sum", "Of what was observed.")}
		for _, q := range []string{"p50", "p90", "p99"} {
			s.Variables = append(s.Variables, number(q, "So much, or less, was "+q[1:]+" % of what was observed since the start."))
		}
	}
	return s
}

func (e *everything) readings(f *dto.MetricFamily, m *dto.Metric, name string, after counterReadings, now model.Time) []devices.Update {
	list := []devices.Update{reading(seriesValue, valueOf(m), now)}
	switch shapeOfFamily(f) {
	case shapeCounter:
		rate := after.rate(e.before[f.GetName()], name, valueOf(m), now)
		list = append(list, reading(seriesRate, rate, now))
	case shapeHistogram:
		h := m.GetHistogram()
		list = append(list, reading(histogramSum, h.GetSampleSum(), now))
		for i, q := range []float64{0.5, 0.9, 0.99} {
			list = append(list, reading(histogramP50+i, quantile(h, q), now))
		}
	case shapeSummary:
		list = append(list, reading(histogramSum, m.GetSummary().GetSampleSum(), now))
		list = append(list, summaryReadings(m.GetSummary(), now)...)
	}
	return list
}

func summaryReadings(s *dto.Summary, now model.Time) []devices.Update {
	var list []devices.Update
	for i, wanted := range []float64{0.5, 0.9, 0.99} {
		value := math.NaN()
		for _, q := range s.GetQuantile() {
			if q.GetQuantile() == wanted {
				value = q.GetValue()
			}
		}
		list = append(list, reading(histogramP50+i, value, now))
	}
	return list
}

// reading is a number that was told. NaN is what exporters tell for "not known", and what a quantile of nothing is.
func reading(variable int, v float64, now model.Time) devices.Update {
	u := devices.Update{Variable: variable, Value: model.Float64(v), Source: now}
	if math.IsNaN(v) {
		u.Value, u.Quality = model.Value{}, model.QualityNotRead
	}
	return u
}

// counterReadings are the counters of the scrape before.
type counterReadings map[string]counterReading

type counterReading struct {
	value float64
	at    model.Time
}

// rate notes a counter, and is its growth per second since before; NaN where there was none, or it was reset: what was counted between the last
// scrape and the reset is not known.
func (c counterReadings) rate(before counterReadings, name string, value float64, now model.Time) float64 {
	c[name] = counterReading{value, now}
	last, there := before[name]
	seconds := now.Std().Sub(last.at.Std()).Seconds()
	if !there || value < last.value || seconds <= 0 {
		return math.NaN()
	}
	return (value - last.value) / seconds
}
