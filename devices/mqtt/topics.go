package mqtt

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"banyan/devices"
	"banyan/model"
)

// topics is the view without a profile: a context for each level of a topic, with what was told there.
type topics struct {
	wanted []string
	most   int

	told      int
	roots     map[string]*level
	rootNamer devices.Namer
	folder
}

// folder is where a view keeps its contexts, below the device.
type folder struct {
	to devices.Publisher // of this connection; nil before it is asked for
}

const topicsFolder = "topics"

func (f *folder) place(publish devices.Publisher) (devices.Publisher, error) {
	var err error
	if f.to == nil {
		f.to, err = publish.Child(topicsFolder, "Topics", devices.FolderSchema)
	}
	return f.to, err
}

// level is one level of topics.
type level struct {
	name    string
	segment string
	told    bool
	to      devices.Publisher // of this connection
	below   map[string]*level
	namer   devices.Namer
	last    []devices.Update
}

// The variables of a topic.
const (
	topicText = iota
	topicNumber
	topicRetained
)

var topicSchema = &model.Schema{
	Kind: Kind + ".topic", Description: "A topic; the label is its last level.",
	Variables: []model.Variable{
		topicText:     {Name: "text", Type: model.TypeString, Description: "What was told, as it is; of long ones the first 16 KiB."},
		topicNumber:   {Name: "number", Type: model.TypeFloat64, Description: "The same as a number, where it is one."},
		topicRetained: {Name: "retained", Type: model.TypeBool, Description: "Whether the broker had kept it from before."},
	},
}

func newTopics(text string, most int) (*topics, error) {
	t := &topics{most: most, roots: map[string]*level{}}
	for f := range strings.SplitSeq(text, ",") {
		f = strings.TrimSpace(f)
		if err := checkFilter(f); err != nil {
			return nil, devices.BadSetting("topics", "%v", err)
		}
		if t.wanted = append(t.wanted, f); len(t.wanted) > maxFilters {
			return nil, devices.BadSetting("topics", "more than %d filters are given", maxFilters)
		}
	}
	return t, nil
}

func (t *topics) filters() []string { return t.wanted }

// begin publishes what was told before as stale: it may have changed while there was no connection. What the broker kept comes anew at once.
func (t *topics) begin(publish devices.Publisher) {
	t.folder = folder{}
	for _, l := range t.roots {
		l.renew()
	}
	if to, err := t.place(publish); err == nil {
		for _, l := range t.roots {
			l.stale(to)
		}
	}
}

func (l *level) renew() {
	l.to = nil
	for _, below := range l.below {
		below.renew()
	}
}

func (l *level) stale(above devices.Publisher) {
	to, err := l.place(above)
	if err != nil {
		return
	}
	if l.told {
		to.Publish(marked(l.last, model.QualityStale))
	}
	for _, below := range l.below {
		below.stale(to)
	}
}

// marked are readings with another quality.
func marked(readings []devices.Update, q model.Quality) []devices.Update {
	list := make([]devices.Update, len(readings))
	for i, u := range readings {
		if list[i] = u; u.Quality.Level < q.Level {
			list[i].Quality = q
		}
	}
	return list
}

const maxLevels = 32 // deeper topics are refused: a path has at most 64 segments

func (t *topics) take(publish devices.Publisher, m message, _ func(send)) outcome {
	names := strings.Split(m.topic, "/")
	if len(names) > maxLevels {
		return refused
	}
	at, err := t.place(publish)
	if err != nil {
		return refused
	}
	l, known := t.find(names)
	if !known {
		return leftOut
	}
	for i := range l {
		if at, err = l[i].place(at); err != nil {
			return refused
		}
	}
	last := l[len(l)-1]
	if !last.told {
		t.told++
		last.told = true
		// What was a place on the way becomes a topic.
		last.to = nil
		above := t.to
		if len(l) > 1 {
			above = l[len(l)-2].to
		}
		if at, err = last.place(above); err != nil {
			return refused
		}
	}
	last.last = readings(m)
	at.Publish(last.last)
	return taken
}

// find is the way to a topic, made where there is room for it.
func (t *topics) find(names []string) (way []*level, ok bool) {
	below, namer := t.roots, &t.rootNamer
	for _, name := range names {
		next := below[name]
		if next == nil {
			if t.told >= t.most {
				return nil, false
			}
			next = &level{name: name, segment: namer.Segment(name), below: map[string]*level{}}
			below[name] = next
		}
		way = append(way, next)
		below, namer = next.below, &next.namer
	}
	return way, way[len(way)-1].told || t.told < t.most
}

func (l *level) place(above devices.Publisher) (devices.Publisher, error) {
	if l.to != nil {
		return l.to, nil
	}
	schema, label := devices.FolderSchema, l.name
	if l.told {
		schema = topicSchema
	}
	if label == "" {
		label = "(empty)"
	}
	var err error
	l.to, err = above.Child(l.segment, label, schema)
	return l.to, err
}

func readings(m message) []devices.Update {
	text := shown(m.payload)
	number := devices.Update{Variable: topicNumber, Source: m.at, Quality: model.QualityNotRead}
	if f, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
		number.Value, number.Quality = model.Float64(f), model.QualityGood
	}
	return []devices.Update{
		{Variable: topicText, Value: model.String(text), Source: m.at}, number, {Variable: topicRetained, Value: model.Bool(m.retained), Source: m.at},
	}
}

// shown is a payload as text, of a long one the beginning.
func shown(payload []byte) string {
	if len(payload) > maxTextBytes {
		end := maxTextBytes
		for end > 0 && !utf8.RuneStart(payload[end]) {
			end--
		}
		payload = payload[:end]
	}
	return strings.ToValidUTF8(string(payload), "\uFFFD")
}

func (t *topics) write(at []string, _ string, _ int, _ model.Value) (send, error) {
	if len(at) > 0 {
		return send{}, model.Errorf(model.KindNotFound, "there is nothing to be written")
	}
	return send{}, model.Errorf(model.KindUnsupported, "topics are written by publish, or by points of a profile")
}

// forget keeps the first level of what was told.
func (t *topics) forget(publish devices.Publisher) error {
	to, err := t.reach(publish)
	if err != nil {
		return err
	}
	keep(to, t.roots)
	return nil
}

// reach is the folder for a call, which has a publisher of its own.
func (t *topics) reach(publish devices.Publisher) (devices.Publisher, error) {
	return publish.Child(topicsFolder, "Topics", devices.FolderSchema)
}

func keep(at devices.Publisher, levels map[string]*level) {
	var segments []string
	for _, l := range levels {
		segments = append(segments, l.segment)
		schema := devices.FolderSchema
		if l.told {
			schema = topicSchema
		}
		if below, err := at.Child(l.segment, l.name, schema); err == nil {
			keep(below, l.below)
		}
	}
	at.Keep(segments)
}

func (t *topics) connected(func(send)) {}
