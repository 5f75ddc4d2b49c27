package snmp

import (
	"context"
	"strings"
	"sync"
	"time"

	"banyan/devices"
	"banyan/model"
	"banyan/profiles"
)

// Profiles is where the driver finds types of devices.
type Profiles interface {
	Profile(kind, name string) (*profiles.Profile, error)
	All(kind string) []*profiles.Profile
}

// Driver is the driver.
type Driver struct {
	// Profiles are the types of devices that are known; nil means that there are none.
	Profiles Profiles
}

var (
	_ devices.Driver      = Driver{}
	_ devices.Discoverer  = Driver{}
	_ devices.Shaper      = (*device)(nil)
	_ devices.ChildWriter = (*device)(nil)
)

// Kind is "snmp".
func (Driver) Kind() string { return Kind }

// Schema declares what every device has; its profile adds to that, and tables are in children.
func (Driver) Schema() *model.Schema { return driverSchema }

// SecretsGoBy names the settings by which secrets find their way.
func (Driver) SecretsGoBy() []string {
	return []string{"address", "version", "auth_protocol", "priv_protocol"}
}

// Open makes the device. Nothing is sent before the first poll.
func (dr Driver) Open(settings devices.Settings) (devices.Device, error) {
	to, err := targetOf(settings)
	if err != nil {
		return nil, err
	}
	d := &device{driver: dr, lookups: map[oid]map[string]reading{}}
	if d.filter, err = parseFilter(settings["interfaces"].Text()); err != nil {
		return nil, err
	}
	for _, n := range []struct {
		name        string
		least, most int64
	}{{"max_rows", 1, mostMaxRows}, {"max_oids", 1, maxOIDs}, {"max_repetitions", 0, maxRepetitions}} {
		if v := settings[n.name].Int64(); v < n.least || v > n.most {
			return nil, devices.BadSetting(n.name, "it is %d, and can be %d to %d", v, n.least, n.most)
		}
	}
	d.maxRows = int(settings["max_rows"].Int64())
	d.session = newSession(to, int(settings["max_oids"].Int64()), int(settings["max_repetitions"].Int64()))
	name := settings["profile"].Text()
	if name == "" {
		return d, nil
	}
	if dr.Profiles == nil {
		return nil, devices.BadSetting("profile", "there are no profiles")
	}
	p, err := dr.named(name)
	if err != nil {
		return nil, &model.Error{Kind: model.KindInvalid, Name: "profile", Err: err}
	}
	made, err := newPlan(p, dr.named)
	if err != nil {
		return nil, &model.Error{Kind: model.KindInvalid, Name: "profile", Err: err}
	}
	d.fixed = true
	d.use(made)
	return d, nil
}

func (dr Driver) named(name string) (*profiles.Profile, error) {
	return dr.Profiles.Profile(Kind, name)
}

// device is one opened device.
type device struct {
	driver  Driver
	session *session
	filter  filter
	maxRows int
	fixed   bool // the settings name the profile

	// What follows is for polls, of which there is one at a time.
	polls    int64
	clock    clock
	answers  []reading
	counters []counter // of points, by variable
	tables   []*tableState
	lookups  map[oid]map[string]reading // columns of other tables, for the poll that is under way
	objectID string                     // by which the profile was chosen

	mu     sync.Mutex // guards what is below
	plan   *plan      // nil until it is known
	places map[string]map[string]place
}

// place is where a child's values come from, for writing.
type place struct {
	table *tablePlan
	index string
	label string
}

// Shape is what the plan reads; nil until the device was asked which profile fits it.
func (d *device) Shape() *model.Schema {
	if p := d.planned(); p != nil {
		return p.schema
	}
	return nil
}

func (d *device) planned() *plan {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.plan
}

// use makes a plan the device's.
func (d *device) use(p *plan) {
	d.mu.Lock()
	d.plan, d.places = p, map[string]map[string]place{}
	d.mu.Unlock()
	d.answers = make([]reading, len(p.objects))
	d.counters = make([]counter, len(p.points))
	d.tables = nil
	for _, t := range p.tables {
		if !t.usage || !d.filter.none() {
			d.tables = append(d.tables, newTable(t, &d.clock, d.maxRows))
		}
	}
}

// Poll reads the objects and then the tables. What the device does not have, or fails at, is published as bad and named in problems; the poll
// fails when the device does not answer.
func (d *device) Poll(ctx context.Context, publish devices.Publisher) error {
	p := d.planned()
	if p == nil {
		return d.learn(ctx)
	}
	if d.polls++; d.polls%askAgain == 0 && p.outdated(d.driver.named) {
		return d.replan(p.profile.Name)
	}
	if err := d.session.get(ctx, p.objects, d.answers); err != nil {
		return err
	}
	now := d.observe()
	if reshaped, err := d.relearn(ctx); reshaped || err != nil {
		return err
	}
	publish.Publish(d.values(p, now))
	problems, err := d.pollTables(ctx, publish)
	if err != nil {
		return err
	}
	publish.Publish([]devices.Update{{Variable: variableProblems, Value: model.String(problems), Source: model.TimeOf(now.wall)}})
	return nil
}

// replan follows a change in the files of the profile.
func (d *device) replan(name string) error {
	p, err := d.driver.named(name)
	if err != nil {
		return err
	}
	made, err := newPlan(p, d.driver.named)
	if err != nil {
		return err
	}
	d.use(made)
	return devices.ErrReshaped
}

// observe takes over the device's clock.
func (d *device) observe() *moment {
	wall := d.session.now()
	uptime := d.answers[objectUptime]
	if uptime.form != ticks {
		return &moment{wall: wall}
	}
	engineTime, _ := d.answers[objectEngineTime].signed()
	engineBoots, _ := d.answers[objectEngineBoots].signed()
	if d.clock.observe(uint32(uptime.number), engineTime, engineBoots, wall) {
		for _, t := range d.tables {
			t.wakeAll()
		}
		d.objectID = ""
	}
	return d.clock.at(uptime, wall)
}

// values are the device's own variables.
func (d *device) values(p *plan, now *moment) []devices.Update {
	at := model.TimeOf(now.wall)
	batch := make([]devices.Update, 0, len(p.schema.Variables))
	add := func(variable int, v model.Value, q model.Quality) {
		if q.Level == model.Bad {
			v = model.Value{}
		}
		batch = append(batch, devices.Update{Variable: variable, Value: v, Quality: q, Source: at})
	}
	clocked := model.QualityGood
	if !now.timed {
		clocked = qualityUnsupported
	}
	add(variableUptime, model.Duration(tickDuration(now.ticks)), clocked)
	add(variableBootTime, model.Instant(model.TimeOf(d.clock.boot)), clocked)
	add(variableRestarts, model.Int64(d.clock.restarts), model.QualityGood)
	name := ""
	if p.profile != nil {
		name = p.profile.Name
	}
	add(variableProfile, model.String(name), model.QualityGood)
	for i := range p.points {
		pt := &p.points[i]
		r, which := pt.first(d.answers)
		if pt.declared.Rate && r.numeric() {
			v, q := pt.rate(&d.counters[i], r, which, now, 0)
			batch = append(batch, devices.Update{Variable: pt.variable, Value: v, Quality: q, Source: at})
			continue
		}
		v, q := pt.convert(r)
		batch = append(batch, devices.Update{Variable: pt.variable, Value: v, Quality: q, Source: at})
	}
	return batch
}

// Limits of what problems says.
const (
	maxProblems     = 8
	maxProblemBytes = 200
)

// pollTables reads and publishes one table after the other.
func (d *device) pollTables(ctx context.Context, publish devices.Publisher) (problems string, err error) {
	clear(d.lookups)
	var told, keep []string
	for _, t := range d.tables {
		some, err := d.pollTable(ctx, t, publish)
		if err != nil {
			return "", err
		}
		told = append(told, some...)
		if t.shown {
			keep = append(keep, t.declared.Name)
		}
	}
	publish.Keep(keep)
	told = told[:min(len(told), maxProblems)]
	for i, text := range told {
		told[i] = strings.ToValidUTF8(text[:min(len(text), maxProblemBytes)], "")
	}
	return strings.Join(told, "; "), nil
}

func (d *device) pollTable(ctx context.Context, t *tableState, publish devices.Publisher) (problems []string, err error) {
	t.scratch = scratches.Get().(*scratch)
	defer func() {
		scratches.Put(t.scratch)
		t.scratch = nil
	}()
	if problems, err = t.read(ctx, d.session); err != nil {
		return nil, err
	}
	if err := d.lookUp(ctx, t); err != nil {
		return nil, err
	}
	if err := t.publish(d, publish); err != nil {
		return nil, err
	}
	d.remember(t)
	return problems, nil
}

// remember notes where the rows are, for writing.
func (d *device) remember(t *tableState) {
	if !t.moved {
		return
	}
	rows := make(map[string]place, len(t.order))
	for _, w := range t.order {
		if !w.hidden {
			rows[t.children.SegmentOf(w.label)] = place{table: t.tablePlan, index: w.index, label: w.label}
		}
	}
	d.mu.Lock()
	d.places[t.declared.Name] = rows
	d.mu.Unlock()
}

// lookUp reads the columns of other tables that a table needs, once in a poll.
func (d *device) lookUp(ctx context.Context, t *tableState) error {
	if len(t.order) == 0 {
		return nil
	}
	for _, column := range t.lookups {
		if _, done := d.lookups[column]; done {
			continue
		}
		found := &lookup{values: map[string]reading{}, most: mostMaxRows}
		if _, err := d.session.walkColumns(ctx, []oid{column}, "", found); err != nil {
			return err
		}
		d.lookups[column] = found.values
	}
	return nil
}

// lookup collects a column of another table.
type lookup struct {
	values map[string]reading
	most   int
}

func (*lookup) stamp(reading, time.Time) {}

func (l *lookup) take(_ int, index string, r reading) bool {
	l.values[index] = r
	return len(l.values) < l.most
}

// Close gives the socket back.
func (d *device) Close() error {
	d.session.close()
	return nil
}
