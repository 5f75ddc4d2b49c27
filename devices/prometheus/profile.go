package prometheus

import (
	"context"
	"maps"
	"math"
	"slices"
	"strings"

	"banyan/devices"
	"banyan/model"
	"banyan/profiles"

	dto "github.com/prometheus/client_model/go"
)

// Keys that this driver adds to profiles.
type (
	pointKeys struct {
		Metric   string            `profile:"metric,required"`
		Labels   map[string]string `profile:"labels"`   // that a series must have
		Label    string            `profile:"label"`    // the value of this label is wanted, rather than the number
		Quantile float64           `profile:"quantile"` // of a histogram or a summary
		Field    string            `profile:"field"`    // sum or count of a histogram or a summary
		Sum      bool              `profile:"sum"`      // the sum of all series that fit; else there must be one
	}
	tableKeys struct {
		By []string `profile:"by,required"` // labels whose values name a row
	}
)

// plan is what a profile means to this driver.
type plan struct {
	points []*point
	tables []tablePlan
}

type tablePlan struct {
	name, title, label string
	by                 []string
	schema             *model.Schema
	columns            []*point
}

type point struct {
	*profiles.Point
	keys pointKeys
}

// Check reads the keys of Prometheus in a profile.
func Check(p *profiles.Profile) {
	var none struct{}
	p.Options.Decode(&none)
	l := &plan{}
	for i := range p.Points {
		l.points = append(l.points, checkPoint(&p.Points[i]))
	}
	for i := range p.Tables {
		t := &p.Tables[i]
		var k tableKeys
		if t.Source.Decode(&k) && len(k.By) == 0 {
			t.Source.Fault("by", "name the labels that tell rows apart", "it names no label")
		}
		made := tablePlan{name: t.Name, title: t.Title, label: t.Label, by: k.By}
		for j := range t.Columns {
			made.columns = append(made.columns, checkPoint(&t.Columns[j]))
		}
		l.tables = append(l.tables, made)
	}
	for i := range p.Tables {
		l.tables[i].schema = p.Tables[i].Schema(Kind)
	}
	p.Driver = l
}

func checkPoint(p *profiles.Point) *point {
	made := &point{Point: p}
	if !p.Source.Decode(&made.keys) {
		return made
	}
	k := &made.keys
	if p.Type == model.TypeNone {
		p.Type = model.TypeFloat64
		if k.Label != "" {
			p.Type = model.TypeString
		}
	}
	switch {
	case p.Writable:
		p.Source.Fault("writable", "leave it out", "metrics cannot be written")
	case k.Label != "" && p.Type != model.TypeString:
		p.Source.Fault("label", "leave type out", "a label is a string")
	case k.Quantile < 0 || k.Quantile > 1:
		p.Source.Fault("quantile", "write a number from 0 to 1, like 0.99", "%v is no quantile", k.Quantile)
	case k.Field != "" && k.Field != "sum" && k.Field != "count":
		p.Source.Fault("field", "write sum or count", "there is no field %.40q", k.Field)
	}
	return made
}

// profiled is the view of a profile.
type profiled struct {
	plan   *plan
	rows   []*devices.Rows
	before counterReadings
}

func newProfiled(p *plan) *profiled {
	v := &profiled{plan: p, before: counterReadings{}}
	for i := range p.tables {
		v.rows = append(v.rows, &devices.Rows{Segment: p.tables[i].name, Label: p.tables[i].title})
	}
	return v
}

func (v *profiled) take(
	ctx context.Context, publish devices.Publisher, families map[string]*dto.MetricFamily, now model.Time,
) ([]devices.Update, int, error) {
	after := counterReadings{}
	var own []devices.Update
	for i, p := range v.plan.points {
		found := fitting(families[p.keys.Metric], p.keys.Labels)
		own = append(own, v.reading(p, found, variablesOwn+i, p.Name, after, now))
	}
	var keep []string
	for i := range v.plan.tables {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		if err := v.table(publish, i, families, after, now); err != nil {
			return nil, 0, err
		}
		keep = append(keep, v.plan.tables[i].name)
	}
	publish.Keep(keep)
	v.before = after
	return own, 0, nil
}

// fitting are the series of a metric that have all the labels.
func fitting(f *dto.MetricFamily, labels map[string]string) []*dto.Metric {
	var found []*dto.Metric
	for _, m := range f.GetMetric() {
		fits := true
		for name, want := range labels {
			got, there := labelOf(m, name)
			fits = fits && there && got == want
		}
		if fits {
			found = append(found, m)
		}
	}
	return found
}

var qualityMissing = model.Quality{Level: model.Bad, Reason: model.ReasonNotRead}

// reading is a point's value out of the series that fit it. A point that is not told, or that several series fit, has none.
func (v *profiled) reading(p *point, found []*dto.Metric, variable int, name string, after counterReadings, now model.Time) devices.Update {
	u := devices.Update{Variable: variable, Source: now, Quality: qualityMissing}
	if len(found) == 0 || len(found) > 1 && !p.keys.Sum {
		return u
	}
	if p.keys.Label != "" {
		if text, there := labelOf(found[0], p.keys.Label); there {
			u.Value, u.Quality = model.String(text), model.QualityGood
		}
		return u
	}
	number := 0.0
	for _, m := range found {
		number += p.number(m)
	}
	if p.Rate {
		number = after.rate(v.before, name, number, now)
	}
	if math.IsNaN(number) {
		u.Quality = model.QualityNotRead
		return u
	}
	var err error
	if u.Value, u.Quality, err = p.Convert(number); err != nil {
		u.Value, u.Quality = model.Value{}, model.Quality{Level: model.Bad, Reason: model.ReasonRange}
	}
	return u
}

// number is what a point wants of a series.
func (p *point) number(m *dto.Metric) float64 {
	h, s := m.GetHistogram(), m.GetSummary()
	switch {
	case p.keys.Quantile > 0 && h != nil:
		return quantile(h, p.keys.Quantile)
	case p.keys.Quantile > 0 && s != nil:
		for _, q := range s.GetQuantile() {
			if q.GetQuantile() == p.keys.Quantile {
				return q.GetValue()
			}
		}
		return math.NaN()
	case p.keys.Field == "sum" && h != nil:
		return h.GetSampleSum()
	case p.keys.Field == "sum" && s != nil:
		return s.GetSampleSum()
	}
	return valueOf(m)
}

// table makes rows of the series of all its columns: those with the same values of the labels are one.
func (v *profiled) table(publish devices.Publisher, at int, families map[string]*dto.MetricFamily, after counterReadings, now model.Time) error {
	t := &v.plan.tables[at]
	cells := map[string][][]*dto.Metric{}
	for c, p := range t.columns {
		for _, m := range fitting(families[p.keys.Metric], p.keys.Labels) {
			name, ok := t.rowOf(m)
			if !ok || cells[name] == nil && len(cells) >= maxSeries {
				continue
			}
			if cells[name] == nil {
				cells[name] = make([][]*dto.Metric, len(t.columns))
			}
			cells[name][c] = append(cells[name][c], m)
		}
	}
	var rows []devices.Row
	var readings [][]devices.Update
	for _, name := range slices.Sorted(maps.Keys(cells)) {
		row := devices.Row{Name: name, Schema: t.schema}
		list := make([]devices.Update, len(t.columns))
		for c, p := range t.columns {
			list[c] = v.reading(p, cells[name][c], c, t.name+"\x00"+name+"\x00"+p.Name, after, now)
			if p.Name == t.label && list[c].Value.Type() == model.TypeString {
				row.Label = list[c].Value.Text()
			}
		}
		rows, readings = append(rows, row), append(readings, list)
	}
	to, err := v.rows[at].Place(publish, rows)
	if err != nil {
		return err
	}
	for i := range to {
		to[i].Publish(readings[i])
	}
	return nil
}

// rowOf is the name of the row that a series belongs to.
func (t *tablePlan) rowOf(m *dto.Metric) (string, bool) {
	values := make([]string, len(t.by))
	for i, label := range t.by {
		value, there := labelOf(m, label)
		if !there {
			return "", false
		}
		values[i] = value
	}
	return strings.Join(values, ","), true
}
