package mqtt

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"banyan/model"
	"banyan/profiles"

	"github.com/theory/jsonpath"
)

// Keys that this driver adds to profiles.
type (
	optionKeys struct {
		Prefix string `profile:"prefix"` // before all topics
	}
	pointKeys struct {
		Topic  string        `profile:"topic,required"`
		Path   string        `profile:"path"`    // JSONPath (RFC 9535) into the payload; without one the payload is the value
		Expire time.Duration `profile:"expire"`  // how long a value holds when nothing new is told
		Set    string        `profile:"set"`     // topic that sets it
		Write  string        `profile:"payload"` // what is sent: ${value} as text, ${json} as JSON
		QoS    int64         `profile:"qos"`
		Retain bool          `profile:"retain"`
	}
)

const (
	textPlace = "${value}"
	jsonPlace = "${json}"
)

// layout is what a profile means to this driver.
type layout struct {
	points []*point
	tables []tableLayout
}

type tableLayout struct {
	name, title, label string
	schema             *model.Schema
	columns            []*point
}

type point struct {
	*profiles.Point
	keys  pointKeys
	topic pattern
	path  *jsonpath.Path
}

// Check reads the keys of MQTT in a profile.
func Check(p *profiles.Profile) {
	var o optionKeys
	p.Options.Decode(&o)
	l := &layout{}
	for i := range p.Points {
		made := checkPoint(&p.Points[i], &o)
		if made.topic.open > 0 {
			p.Points[i].Source.Fault("topic", "write the level out, or make it a column of a table", "levels in braces are for tables")
		}
		l.points = append(l.points, made)
	}
	for i := range p.Tables {
		l.tables = append(l.tables, checkTable(&p.Tables[i], &o))
	}
	for i := range p.Tables {
		l.tables[i].schema = p.Tables[i].Schema(Kind)
	}
	p.Driver = l
}

func checkTable(t *profiles.Table, o *optionKeys) tableLayout {
	var none struct{}
	t.Source.Decode(&none)
	made := tableLayout{name: t.Name, title: t.Title, label: t.Label}
	for i := range t.Columns {
		c := checkPoint(&t.Columns[i], o)
		if c.keys.Topic != "" && c.topic.open == 0 {
			c.Source.Fault("topic", "put the level that tells rows apart in braces, like {sensor}", "the topic is the same for all rows")
		}
		if c.Writable && !slices.Equal(openLevels(c.keys.Set), openLevels(o.Prefix+c.keys.Topic)) && c.keys.Set != "" {
			c.Source.Fault("set", "use the names in braces that the topic has", "the topic that sets it does not name the row")
		}
		made.columns = append(made.columns, c)
	}
	return made
}

// openLevels are the levels in braces of a topic.
func openLevels(topic string) []string {
	var open []string
	for level := range strings.SplitSeq(topic, "/") {
		if strings.HasPrefix(level, "{") && strings.HasSuffix(level, "}") {
			open = append(open, level)
		}
	}
	return open
}

func checkPoint(p *profiles.Point, o *optionKeys) *point {
	made := &point{Point: p, keys: pointKeys{QoS: 1, Write: textPlace}}
	if !p.Source.Decode(&made.keys) {
		return made
	}
	k := &made.keys
	var err error
	if made.topic, err = parsePattern(o.Prefix + k.Topic); err != nil || strings.ContainsAny(k.Topic, "+#") {
		p.Source.Fault("topic", "write a topic, like plant/press/temperature", "%.80q is no topic", o.Prefix+k.Topic)
	}
	if k.Path != "" {
		if made.path, err = jsonpath.Parse(k.Path); err != nil {
			p.Source.Fault("path", "write a JSONPath, like $.temperature or $.values[0]", "%v", err)
		}
	}
	if p.Type == model.TypeNone {
		p.Type = model.TypeFloat64
	}
	switch {
	case p.Rate:
		p.Source.Fault("rate", "leave it out", "this driver makes no rates")
	case p.Type == model.TypeBytes && k.Path != "", p.Type == model.TypeTime && k.Path == "":
		p.Source.Fault("type", "leave path out for bytes, and give one for times", "this cannot be read as %s", p.Type)
	case k.QoS < 0 || k.QoS > 1:
		p.Source.Fault("qos", "write 0 or 1", "quality of service is %d", k.QoS)
	case k.Expire < 0:
		p.Source.Fault("expire", "write a duration, like 10m", "it is negative")
	case p.Writable != (k.Set != ""):
		p.Source.Fault("set", "give both writable: true and set: TOPIC, or none", "what can be written needs a topic that sets it")
	}
	made.checkWrite()
	return made
}

func (p *point) checkWrite() {
	k := &p.keys
	if k.Set == "" {
		return
	}
	if _, err := parsePattern(k.Set); err != nil || strings.ContainsAny(k.Set, "+#") {
		p.Source.Fault("set", "write a topic", "%.80q is no topic", k.Set)
	}
	trial := strings.ReplaceAll(strings.ReplaceAll(k.Write, jsonPlace, "0"), textPlace, "0")
	switch {
	case !strings.Contains(k.Write, textPlace) && !strings.Contains(k.Write, jsonPlace):
		p.Source.Fault("payload", "put ${value} or ${json} where the value is to stand", "the payload does not hold the value")
	case strings.HasPrefix(strings.TrimSpace(k.Write), "{") && !json.Valid([]byte(trial)):
		p.Source.Fault("payload", "write {\"name\": ${json}}", "the payload is no JSON")
	}
}
