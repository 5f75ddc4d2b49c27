package mqtt

import (
	"math"
	"slices"
	"strings"

	"banyan/devices"
	"banyan/model"
)

// unit is an edge node or one of its devices, with the metrics of its birth.
type unit struct {
	name, segment string

	schema  *model.Schema // nil before the first birth
	metrics []birthMetric
	byName  map[string]int
	byAlias map[uint64]int
	last    []devices.Update // by variable

	to     devices.Publisher // of this connection
	placed *model.Schema     // that its context was made with
}

// birthMetric is a metric as a birth declared it; its variable is its index + 1.
type birthMetric struct {
	name     string
	alias    uint64
	hasAlias bool
	datatype uint32
}

const (
	unitOnline     = 0
	mostOfUnit     = 500
	maxDescription = 200
)

// Data types of metrics.
const (
	typeInt8     = 1
	typeInt64    = 4
	typeUInt8    = 5
	typeUInt64   = 8
	typeFloat    = 9
	typeDouble   = 10
	typeBoolean  = 11
	typeString   = 12
	typeDateTime = 13
	typeText     = 14
	typeUUID     = 15
	typeBytes    = 17
)

// valueType is the type of a variable for a data type; TypeNone for those that are not shown: data sets, templates, arrays.
func valueType(datatype uint32) model.Type {
	switch {
	case datatype >= typeInt8 && datatype <= typeUInt64:
		return model.TypeInt64
	case datatype == typeFloat || datatype == typeDouble:
		return model.TypeFloat64
	case datatype == typeBoolean:
		return model.TypeBool
	case datatype == typeString || datatype == typeText || datatype == typeUUID:
		return model.TypeString
	case datatype == typeDateTime:
		return model.TypeTime
	case datatype == typeBytes:
		return model.TypeBytes
	}
	return model.TypeNone
}

// born takes in which metrics there are, and answers how many of them are left out.
func (u *unit) born(p *payload) (left int) {
	var declared []birthMetric
	u.byName, u.byAlias = map[string]int{}, map[uint64]int{}
	for i := range p.metrics {
		m := &p.metrics[i]
		if m.name == "" || m.name == metricBirth || valueType(m.datatype) == model.TypeNone {
			continue
		}
		if _, twice := u.byName[m.name]; twice || len(declared) >= mostOfUnit {
			left++
			continue
		}
		declared = append(declared, birthMetric{m.name, m.alias, m.hasAlias, m.datatype})
		u.byName[m.name] = len(declared) - 1
		if m.hasAlias {
			u.byAlias[m.alias] = len(declared) - 1
		}
	}
	same := u.schema != nil && slices.EqualFunc(declared, u.metrics, func(a, b birthMetric) bool { return a.name == b.name && a.datatype == b.datatype })
	u.metrics = declared
	if !same {
		u.declare()
	}
	return left
}

// declare makes the schema of the metrics. Their names become names of variables; the true one is the description.
func (u *unit) declare() {
	s := &model.Schema{Kind: Kind + ".sparkplug", Description: "A Sparkplug B edge node, or a device of one, as its birth declared it.", Variables: []model.Variable{
		{Name: "online", Type: model.TypeBool, Description: "Whether it is there: false since its death was told."},
	}}
	taken := map[string]bool{"online": true}
	for i := range u.metrics {
		m := &u.metrics[i]
		description := m.name[:min(len(m.name), maxDescription)]
		s.Variables = append(s.Variables, model.Variable{
			Name: variableName(m.name, taken), Type: valueType(m.datatype), Description: strings.ToValidUTF8(description, "?"), Writable: true, Right: model.RightConfigure,
		})
	}
	u.schema = s
	u.last = make([]devices.Update, len(s.Variables))
	for i := range u.last {
		u.last[i] = devices.Update{Variable: i, Quality: model.QualityNotRead, Source: 1}
	}
}

// variableName makes a name of a variable of that of a metric, "Line 1/Speed" becomes Line_1.Speed.
func variableName(metric string, taken map[string]bool) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r == '/':
			return '.'
		case r < 0x80 && model.CheckSegment("x"+string(r)) == nil:
			return r
		}
		return '_'
	}, metric)
	const most = 100
	name = strings.Trim(name[:min(len(name), most)], ".")
	if name == "" {
		name = "metric"
	}
	unique := name
	for n := 2; taken[unique]; n++ {
		unique = name + "_" + string(rune('0'+n%10))
		if n >= 10 {
			unique = name + strings.Repeat("_", n)
		}
	}
	taken[unique] = true
	return unique
}

// tell publishes what a birth says of every metric.
func (u *unit) tell(online bool, p *payload, at model.Time) {
	u.last[unitOnline] = devices.Update{Variable: unitOnline, Value: model.Bool(online), Source: at}
	for i := range p.metrics {
		if index, known := u.byName[p.metrics[i].name]; known {
			u.last[index+1] = u.update(index, &p.metrics[i], p, at)
		}
	}
	u.to.Publish(u.last)
}

// data publishes what changed; false where a metric is not one of the birth.
func (u *unit) data(p *payload, at model.Time) bool {
	if u.to == nil {
		return false
	}
	known := true
	var batch []devices.Update
	for i := range p.metrics {
		m := &p.metrics[i]
		if m.historical {
			continue // it is not the latest value
		}
		index, ok := u.find(m)
		if !ok {
			known = known && m.name == metricBirth
			continue
		}
		u.last[index+1] = u.update(index, m, p, at)
		batch = append(batch, u.last[index+1])
	}
	if len(batch) > 0 {
		u.to.Publish(batch)
	}
	return known
}

func (u *unit) find(m *metric) (int, bool) {
	if m.name != "" {
		index, ok := u.byName[m.name]
		return index, ok
	}
	index, ok := u.byAlias[m.alias]
	return index, ok && m.hasAlias
}

// update is the reading of a metric; its source time is what the device says.
func (u *unit) update(index int, m *metric, p *payload, at model.Time) devices.Update {
	update := devices.Update{Variable: index + 1, Source: at}
	for _, milliseconds := range []uint64{p.timestamp, m.timestamp} {
		if milliseconds > 0 && milliseconds < math.MaxInt64/1_000_000 {
			update.Source = model.Time(milliseconds * 1_000_000)
		}
	}
	if m.null {
		update.Quality = model.QualityNotRead
		return update
	}
	value, ok := u.metrics[index].value(m)
	if !ok {
		update.Quality = model.Quality{Level: model.Bad, Reason: model.ReasonRange}
		return update
	}
	update.Value = value
	return update
}

// value is what a metric says, by the data type of its birth.
func (b *birthMetric) value(m *metric) (model.Value, bool) {
	whole := m.kind == kindInt || m.kind == kindLong
	switch t := valueType(b.datatype); {
	case t == model.TypeInt64 && whole && b.datatype < typeInt64: // signed, two's complement in 32 bits
		return model.Int64(int64(int32(uint32(m.bits)))), true
	case t == model.TypeInt64 && whole:
		return model.Int64(int64(m.bits)), b.datatype == typeInt64 || m.bits <= math.MaxInt64
	case t == model.TypeFloat64 && (m.kind == kindFloat || m.kind == kindDouble || whole):
		v := m.number()
		return model.Float64(v), !math.IsNaN(v)
	case t == model.TypeBool && m.kind == kindBool:
		return model.Bool(m.bits != 0), true
	case t == model.TypeString && m.kind == kindString && len(m.text) <= maxTextBytes:
		return model.String(strings.ToValidUTF8(m.text, "\uFFFD")), true
	case t == model.TypeTime && whole && m.bits < math.MaxInt64/1_000_000:
		return model.Instant(model.Time(m.bits * 1_000_000)), true
	case t == model.TypeBytes && m.kind == kindBytes && len(m.text) <= maxTextBytes:
		return model.Bytes([]byte(m.text)), true
	}
	return model.Value{}, false
}

// command is the metric that sets a variable.
func (u *unit) command(variable string, value model.Value) (metric, error) {
	at := u.schema.VariableIndex(variable) - 1
	if at < 0 || at >= len(u.metrics) {
		return metric{}, model.Errorf(model.KindNotFound, "there is no metric %.80q", variable)
	}
	b := &u.metrics[at]
	m := metric{name: b.name, alias: b.alias, hasAlias: b.hasAlias, datatype: b.datatype}
	switch value.Type() {
	case model.TypeBool:
		m.kind = kindBool
		if value.Bool() {
			m.bits = 1
		}
	case model.TypeInt64:
		low, high := limitsOf(b.datatype)
		if i := value.Int64(); i < low || i > high {
			return m, model.Errorf(model.KindInvalid, "%d is outside of %d to %d", i, low, high)
		}
		m.kind, m.bits = kindInt, uint64(uint32(value.Int64()))
		if b.datatype == typeInt64 || b.datatype == typeUInt64 || b.datatype == typeUInt64-1 {
			m.kind, m.bits = kindLong, uint64(value.Int64())
		}
	case model.TypeFloat64:
		m.kind, m.bits = kindDouble, math.Float64bits(value.Float64())
		if b.datatype == typeFloat {
			m.kind, m.bits = kindFloat, uint64(math.Float32bits(float32(value.Float64())))
		}
	case model.TypeString:
		m.kind, m.text = kindString, value.Text()
	case model.TypeTime:
		m.kind, m.bits = kindLong, uint64(max(0, int64(value.Time()))/1_000_000)
	case model.TypeBytes:
		m.kind, m.text = kindBytes, string(value.Bytes())
	default:
		return m, model.Errorf(model.KindUnsupported, "a %s cannot be written", value.Type())
	}
	return m, nil
}

// limitsOf are the least and the greatest number of a whole data type.
func limitsOf(datatype uint32) (low, high int64) {
	switch {
	case datatype < typeInt64:
		bits := 8 << (datatype - typeInt8)
		return -1 << (bits - 1), 1<<(bits-1) - 1
	case datatype == typeInt64:
		return math.MinInt64, math.MaxInt64
	case datatype < typeUInt64:
		return 0, 1<<(8<<(datatype-typeUInt8)) - 1
	}
	return 0, math.MaxInt64
}
