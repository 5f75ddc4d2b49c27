package mqtt

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"banyan/devices"
	"banyan/model"
)

// profiled is the view of a profile.
type profiled struct {
	layout *layout
	most   int

	last []devices.Update // of points, by index; without a source time where nothing was told
	rows map[string]*row  // by table and name
	to   devices.Publisher
}

// row is a row of a table, made when something is told of it.
type row struct {
	table   int
	name    string
	segment string
	label   string
	to      devices.Publisher // of this connection
	last    []devices.Update
}

func newProfiled(l *layout, most int) *profiled {
	return &profiled{layout: l, most: most, last: make([]devices.Update, len(l.points)), rows: map[string]*row{}}
}

// filters are the topics of all points, each once.
func (v *profiled) filters() []string {
	var list []string
	add := func(p *point) {
		if f := p.topic.filter(); !slices.Contains(list, f) {
			list = append(list, f)
		}
	}
	for _, p := range v.layout.points {
		add(p)
	}
	for i := range v.layout.tables {
		for _, c := range v.layout.tables[i].columns {
			add(c)
		}
	}
	return list
}

// begin publishes what was told before as stale: it may have changed while there was no connection.
func (v *profiled) begin(publish devices.Publisher) {
	v.to = publish
	var known []devices.Update
	for _, u := range v.last {
		if u.Source != 0 {
			known = append(known, u)
		}
	}
	if len(known) > 0 {
		publish.Publish(marked(known, model.QualityStale))
	}
	for _, r := range v.rows {
		r.to = nil
		if v.place(r) == nil {
			r.publish(marked(r.last, model.QualityStale))
		}
	}
}

// publish leaves out what was never told.
func (r *row) publish(readings []devices.Update) {
	told := slices.DeleteFunc(slices.Clone(readings), func(u devices.Update) bool { return u.Source == 0 })
	if len(told) > 0 {
		r.to.Publish(told)
	}
}

func (v *profiled) take(publish devices.Publisher, m message, _ func(send)) outcome {
	content := &content{payload: m.payload}
	result := taken
	var own []devices.Update
	for i, p := range v.layout.points {
		if _, fits := p.topic.match(m.topic); !fits {
			continue
		}
		u, ok := p.reading(content, variablesOwn+i, m.at)
		if !ok {
			result = refused
		}
		v.last[i] = u
		own = append(own, u)
	}
	if len(own) > 0 {
		publish.Publish(own)
	}
	for t := range v.layout.tables {
		result = max(result, v.takeRow(t, content, m))
	}
	return result
}

func (v *profiled) takeRow(t int, content *content, m message) outcome {
	table := &v.layout.tables[t]
	result := taken
	for c, p := range table.columns {
		name, fits := p.topic.match(m.topic)
		if !fits {
			continue
		}
		key := table.name + "\x00" + name
		r := v.rows[key]
		if r == nil {
			if len(v.rows) >= v.most {
				return leftOut
			}
			r = &row{table: t, name: name, label: name, last: make([]devices.Update, len(table.columns))}
			v.rows[key] = r
		}
		u, ok := p.reading(content, c, m.at)
		if !ok {
			result = refused
		}
		r.last[c] = u
		if p.Name == table.label && u.Value.Type() == model.TypeString && u.Value.Text() != "" && r.label != u.Value.Text() {
			r.label, r.to = u.Value.Text(), nil
		}
		if v.place(r) != nil {
			return refused
		}
		r.to.Publish([]devices.Update{u})
	}
	return result
}

// place makes the context of a row.
func (v *profiled) place(r *row) error {
	if r.to != nil {
		return nil
	}
	table := &v.layout.tables[r.table]
	folder, err := v.to.Child(table.name, table.title, devices.FolderSchema)
	if err != nil {
		return err
	}
	if r.segment == "" {
		var namer devices.Namer
		for _, other := range v.rows { // those of the table keep theirs
			if other != r && other.table == r.table && other.segment != "" {
				namer.Segment(other.name)
			}
		}
		r.segment = namer.Segment(r.name)
	}
	label := r.label
	if label == "" {
		label = r.segment
	}
	r.to, err = folder.Child(r.segment, label, table.schema)
	return err
}

// content is a payload, parsed as JSON once at most.
type content struct {
	payload []byte
	parsed  bool
	value   any
	err     error
}

func (c *content) json() (any, error) {
	if !c.parsed {
		decoder := json.NewDecoder(bytes.NewReader(c.payload))
		decoder.UseNumber()
		c.err = decoder.Decode(&c.value)
		c.parsed = true
	}
	return c.value, c.err
}

// reading is what a payload says of a point; false where it cannot be understood.
func (p *point) reading(c *content, variable int, at model.Time) (devices.Update, bool) {
	u := devices.Update{Variable: variable, Source: at, Quality: model.Quality{Level: model.Bad, Reason: model.ReasonFailed}}
	text, found := p.find(c)
	if !found {
		return u, false
	}
	value, quality, err := p.parse(text, c.payload)
	if err != nil {
		return u, false
	}
	u.Value, u.Quality = value, quality
	return u, true
}

// find is the text of a point: the payload, or what the path selects in it.
func (p *point) find(c *content) (string, bool) {
	if p.path == nil {
		return strings.TrimSpace(shown(c.payload)), true
	}
	parsed, err := c.json()
	if err != nil {
		return "", false
	}
	nodes := p.path.Select(parsed)
	if len(nodes) == 0 {
		return "", false
	}
	switch v := nodes[0].(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	case nil:
		return "", false
	}
	encoded, err := json.Marshal(nodes[0])
	return string(encoded[:min(len(encoded), maxTextBytes)]), err == nil
}

var truths = map[string]bool{
	"true": true, "on": true, "1": true, "yes": true, "open": true, "online": true,
	"false": false, "off": false, "0": false, "no": false, "closed": false, "offline": false,
}

// parse makes a value of a text.
func (p *point) parse(text string, payload []byte) (model.Value, model.Quality, error) {
	switch p.Type {
	case model.TypeBytes:
		return model.Bytes(payload), model.QualityGood, nil
	case model.TypeBool:
		if truth, known := truths[strings.ToLower(text)]; known {
			return model.Bool(truth), model.QualityGood, nil
		}
	case model.TypeString:
		if p.Values == nil {
			return model.String(text), model.QualityGood, nil
		}
	case model.TypeTime:
		v, err := model.ParseText(model.TypeTime, text)
		return v, model.QualityGood, err
	}
	if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
		return p.ConvertInt(whole)
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(number, 0) {
		return model.Value{}, model.QualityGood, model.Errorf(model.KindInvalid, "%.80q is no number", text)
	}
	return p.Convert(number)
}

// write is the message that sets a point.
func (v *profiled) write(at []string, variable string, index int, value model.Value) (send, error) {
	if len(at) == 0 {
		i := index - variablesOwn
		if i < 0 || i >= len(v.layout.points) || !v.layout.points[i].Writable {
			return send{}, model.Errorf(model.KindUnsupported, "this cannot be written")
		}
		return v.layout.points[i].write(value, "")
	}
	for _, r := range v.rows {
		table := &v.layout.tables[r.table]
		if len(at) != 2 || at[0] != table.name || at[1] != r.segment {
			continue
		}
		for _, p := range table.columns {
			if p.Name == variable && p.Writable {
				return p.write(value, r.name)
			}
		}
	}
	return send{}, model.Errorf(model.KindNotFound, "there is nothing to be written")
}

func (p *point) write(value model.Value, row string) (send, error) {
	text, encoded, err := p.texts(value)
	if err != nil {
		return send{}, err
	}
	payload := strings.ReplaceAll(strings.ReplaceAll(p.keys.Write, jsonPlace, encoded), textPlace, text)
	topic := p.keys.Set
	if row != "" {
		names := strings.Split(row, "/")
		for i, open := range openLevels(topic) {
			if i < len(names) {
				topic = strings.Replace(topic, open, names[i], 1)
			}
		}
	}
	return send{topic: topic, payload: []byte(payload), qos: byte(p.keys.QoS), retain: p.keys.Retain}, nil
}

// texts are a value as text and as JSON, in the numbers of the device.
func (p *point) texts(value model.Value) (text, encoded string, err error) {
	switch {
	case value.Type() == model.TypeBool:
		text = strconv.FormatBool(value.Bool())
		return text, text, nil
	case value.Type() == model.TypeString && p.Values == nil:
		quoted, err := json.Marshal(value.Text())
		return value.Text(), string(quoted), err
	case value.Type() == model.TypeInt64 && p.Scale == 1 && p.Offset == 0:
		if _, err := p.Raw(value); err != nil {
			return "", "", err
		}
		text = strconv.FormatInt(value.Int64(), 10)
		return text, text, nil
	}
	raw, err := p.Raw(value)
	if err != nil {
		return "", "", err
	}
	text = strconv.FormatFloat(raw, 'f', -1, 64)
	return text, text, nil
}

// forget keeps the rows that were told.
func (v *profiled) forget(publish devices.Publisher) error {
	for t := range v.layout.tables {
		table := &v.layout.tables[t]
		folder, err := publish.Child(table.name, table.title, devices.FolderSchema)
		if err != nil {
			return err
		}
		var segments []string
		for _, r := range v.rows {
			if r.table == t {
				segments = append(segments, r.segment)
			}
		}
		folder.Keep(segments)
	}
	return nil
}

// expired publishes as stale what was not told for longer than it holds.
func (v *profiled) expired(publish devices.Publisher, now model.Time) {
	var old []devices.Update
	for i, p := range v.layout.points {
		if u := &v.last[i]; p.expires(u, now) {
			u.Quality = model.QualityStale
			old = append(old, *u)
		}
	}
	if len(old) > 0 {
		publish.Publish(old)
	}
	for _, r := range v.rows {
		for c, p := range v.layout.tables[r.table].columns {
			if u := &r.last[c]; r.to != nil && p.expires(u, now) {
				u.Quality = model.QualityStale
				r.to.Publish([]devices.Update{*u})
			}
		}
	}
}

func (p *point) expires(u *devices.Update, now model.Time) bool {
	return p.keys.Expire > 0 && u.Source != 0 && u.Quality.Level == model.Good && now.Std().Sub(u.Source.Std()) > p.keys.Expire
}

func (v *profiled) connected(func(send)) {}
