package snmp

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"banyan/devices"
	"banyan/devices/devicetest"
	"banyan/model"
)

// TestRealData serves recordings of real devices and reads them as a node does. DATA, a folder, comes from `make realdata`.
func TestRealData(t *testing.T) {
	data := os.Getenv("BANYAN_REALDATA")
	if data == "" {
		t.Skip("it is run by make realdata DATA=folder")
	}
	if below := filepath.Join(data, "snmp"); isFolder(below) {
		data = below
	}
	readRecordings(t, data)
}

// TestRecording does the same with recordings of a few lines, and looks at values by hand.
func TestRecording(t *testing.T) {
	t.Parallel()
	want := map[string]map[string]string{
		"small-switch": {
			"profile_used": "generic-switch", "location": "Küche", "bridge_address": "00:1b:2c:0d:0e:00", "interfaces/p1:in_bytes": "9223372036854775807",
			"interfaces/Port-20:in_bytes": "7", "interfaces/Port-20:type": "9999", "interfaces/Port-20:speed": "10000000000", "ports/Port-20:interface_index": "20",
			"vlans/default:egress_ports": "0 1", "sensors/5:value": "-35", "sensors/5:kind": "celsius",
		},
		"ups": {
			"profile_used": "ups", "battery_status": "normal", "time_left": "42m0s", "battery_voltage": "54.1", "inputs/1:frequency": "50", "output_source": "normal",
		},
		"computer": {
			"profile_used": "host-resources", "system_time": "2024-02-29T10:30:15.3Z", "storage/C---Label:size": "8796093022208", "storage/C---Label:used": "4398046511104",
			"storage/C---Label:used_percent": "50", "processors/A-processor:load": "17", "interfaces/Nic:index": "7", "interfaces/Nic--8:index": "8",
		},
		"printer": {
			"profile_used": "printer", "printer_errors": "1 7", "printer_status": "idle", "pages": "4711", "supplies/Black:level": "40", "supplies/Waste:level": "-3",
		},
		"nearly-nothing": {"profile_used": "generic-snmp", "name": "nearly nothing", "description": ""},
	}
	results := readRecordings(t, filepath.Join("testdata", "recordings"))
	if len(results) != len(want) {
		t.Errorf("%d recordings were read, %d are expected", len(results), len(want))
	}
	for _, r := range results {
		for name, value := range want[r.name] {
			if got := r.record.All()[name].Value.String(); got != value {
				t.Errorf("%s: %s is %q, expected %q", r.name, name, got, value)
			}
		}
	}
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// opened is a driver that keeps the device that it opened, so that a test can look into it.
type opened struct {
	Driver
	last *device
}

func (o *opened) Open(settings devices.Settings) (devices.Device, error) {
	d, err := o.Driver.Open(settings)
	if err == nil {
		o.last = d.(*device)
	}
	return d, err
}

// result is what came of reading a recording.
type result struct {
	recording
	profile         string
	record          *devicetest.Recorder
	points, tables  int
	rows            int
	covered, missed int // objects in the subtrees that the plan names
	beside          int // objects of its tables that no column names
	walked          int
	polls           int64
	took            time.Duration
	faults          []string
}

func readRecordings(t *testing.T, folder string) []result {
	served := t.TempDir()
	recordings := recordingsBelow(t, folder, served)
	for _, r := range recordings {
		if r.unread > 0 {
			t.Logf("%s: %d lines are not what snmpsim understands, and were left out", r.name, r.unread)
		}
	}
	if len(recordings) == 0 {
		t.Fatalf("there is no recording below %s", folder)
	}
	address := startSnmpsim(t, served)
	var results []result
	for i, r := range recordings {
		results = append(results, readRecording(t, r, address, fmt.Sprintf("r%d", i)))
	}
	out := &strings.Builder{}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RECORDING\tPROFILE\tPOINTS\tTABLES\tROWS\tCOVERED\tMISSED\tBESIDE\tOBJECTS\tWALKED\tPOLLS\tLAST POLL")
	for _, r := range results {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", r.name, r.profile, r.points, r.tables, r.rows, r.covered, r.missed, r.beside, len(r.objects), r.walked, r.polls, r.took.Round(time.Millisecond))
		for i, fault := range r.faults {
			if i == 20 {
				t.Errorf("%s: and %d more", r.name, len(r.faults)-i)
				break
			}
			t.Errorf("%s: %s", r.name, fault)
		}
	}
	_ = table.Flush()
	t.Logf("\n%s", out)
	return results
}

// readRecording has a manager poll the device twice, and compares what was published with the recording.
func readRecording(t *testing.T, r recording, address, community string) result {
	got := result{recording: r}
	driver := &opened{Driver: Driver{Profiles: shippedProfiles(t)}}
	got.record = devicetest.NewRecorder(devices.Complete(driverSchema))
	m, err := devices.New(devices.Config{Drivers: []devices.Driver{driver}, Sink: func(model.ContextID) devices.Sink { return got.record }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	id := model.ContextID{Number: 1}
	given := devices.Settings{
		"address": model.String(address), "community": model.String(community), "max_rows": model.Int64(mostMaxRows),
		devices.SettingPollInterval: model.Duration(24 * time.Hour), devices.SettingTimeout: model.Duration(5 * time.Minute),
	}
	if err := m.Reconcile([]devices.Spec{{ID: id, Path: model.MustPath("/devices/recorded"), Kind: Kind, Settings: given}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		poll, err := m.PollNow(ctx, id)
		if err != nil {
			got.faults = append(got.faults, err.Error())
			return got
		}
		got.polls, got.took = poll.Polls, poll.Took
	}
	d := driver.last
	got.profile = got.record.Named("profile_used").Value.Text()
	if state := got.record.Named(devices.VariableState).Value.Text(); state != devices.StateOK {
		got.fault("the state is %s", state)
	}
	if problems := got.record.Named("problems").Value.Text(); problems != "" {
		got.fault("problems: %s", problems)
	}
	got.faults = append(got.faults, got.record.Complaints()...)
	got.comparePoints(d)
	for _, table := range d.tables {
		got.compareTable(d, table)
	}
	got.compareWalk(t, d)
	return got
}

func (r *result) fault(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// expect are the recorded answers for a list of objects.
func (r *result) expect(list []oid, suffix string) []reading {
	answers := make([]reading, len(list))
	for i, o := range list {
		if answers[i] = r.objects[o+oid(suffix)]; answers[i].form == nothing {
			answers[i].form = absent
		}
	}
	return answers
}

func (r *result) comparePoints(d *device) {
	seen := map[oid]bool{}
	answers := r.expect(d.plan.objects, "")
	for i := range d.plan.points {
		p := &d.plan.points[i]
		want, which := p.first(answers)
		u, published := r.record.Last(p.variable)
		if which >= 0 && !seen[p.oids[which]] {
			seen[p.oids[which]] = true
			r.points++
		}
		if !published {
			r.fault("%s is not published", p.declared.Name)
			r.missed++
			continue
		}
		if which >= 0 {
			r.covered++
		}
		if which >= 0 && r.varies[p.oids[which]] || p.declared.Rate {
			continue
		}
		r.compare(p.declared.Name, p, want, u)
	}
}

// compare compares a value with what the recording says, by the conversion that the device uses, and for plain ones by hand as well.
func (r *result) compare(name string, p *point, want reading, got devices.Update) {
	value, quality := p.convert(want)
	r.equal(name, got, value, quality)
	plain := p.declared.Scale == 1 && p.declared.Offset == 0 && p.declared.Values == nil && p.as == asAuto
	if plain && p.declared.Type == model.TypeInt64 && want.numeric() && want.number < 1<<63 && got.Value.Int64() != int64(want.number) {
		r.fault("%s is %s, recorded is %d", name, got.Value, want.number)
	}
	if plain && p.declared.Type == model.TypeString && want.form == octets && isText(want.text) && got.Value.Text() != want.text {
		r.fault("%s is %q, recorded is %q", name, got.Value, want.text)
	}
}

func (r *result) equal(name string, got devices.Update, value model.Value, quality model.Quality) {
	if !got.Value.Equal(value) || got.Quality != quality {
		r.fault("%s is %s (%s), recorded is %s (%s)", name, got.Value, got.Quality, value, quality)
	}
}

// compareTable looks for each object of the recording that is below a column.
func (r *result) compareTable(d *device, t *tableState) {
	indexes := map[string]bool{}
	must := t.columns
	if len(t.rowsFrom) > 0 {
		must = pick(t.columns, t.rowsFrom)
	}
	for o := range r.objects {
		for _, column := range must {
			if index, ok := o.below(column); ok {
				indexes[index] = true
			}
		}
	}
	if len(indexes) > 0 {
		r.tables++
	}
	r.countBeside(t)
	for _, index := range slices.Sorted(maps.Keys(indexes)) {
		row := t.rows[index]
		var child *devicetest.Recorder
		if row != nil && t.children != nil {
			child = r.record.At(t.declared.Name, t.children.SegmentOf(row.label))
		}
		cells := r.expect(t.columns, "."+index)
		if child == nil {
			r.missed++
			r.fault("%s has no row for %s", t.declared.Name, index)
			continue
		}
		r.rows++
		for i := range t.points {
			r.compareCell(d, t, index, &t.points[i], cells, child)
		}
	}
}

// countBeside counts what the recording has in the tables of the columns, in columns that are not read.
func (r *result) countBeside(t *tableState) {
	entries := map[oid]bool{}
	for _, column := range t.columns {
		entries[column[:strings.LastIndexByte(string(column), '.')]] = true
	}
	for o := range r.objects {
		for entry := range entries {
			if below, ok := o.below(entry); ok {
				column, _, _ := strings.Cut(below, ".")
				if !slices.Contains(t.columns, entry+oid("."+column)) {
					r.beside++
				}
			}
		}
	}
}

func (r *result) compareCell(d *device, t *tableState, index string, p *point, cells []reading, child *devicetest.Recorder) {
	name := t.declared.Name + "/" + child.Label() + ":" + p.declared.Name
	u, published := child.Last(p.variable)
	if !published {
		r.missed++
		r.fault("%s is not published", name)
		return
	}
	switch {
	case p.part >= 0:
		parts, err := decodeIndex(t.index, index)
		if err != nil {
			r.fault("%s: %v", name, err)
			return
		}
		r.compare(name, p, parts[p.part].value, u)
		return
	case p.lookup >= 0:
		r.compareLookup(name, t, index, p, cells, u)
		return
	}
	want, which := p.first(cells)
	for _, at := range p.from {
		if cells[at].there() {
			r.covered++
		}
	}
	switch {
	case p.declared.Rate, which >= 0 && r.varies[p.oids[which]+oid("."+index)]:
	case p.times >= 0 || p.percentOf >= 0:
		value, quality := p.related(want, cells, t.points)
		r.equal(name, u, value, quality)
	default:
		r.compare(name, p, want, u)
	}
}

func (r *result) compareLookup(name string, t *tableState, index string, p *point, cells []reading, u devices.Update) {
	var key string
	if p.by < len(t.index) {
		parts, _ := decodeIndex(t.index, index)
		key = parts[p.by].arcs
	} else {
		by, _ := t.points[p.by-len(t.index)].first(cells)
		key = by.plain()
	}
	want := r.objects[p.oids[0]+oid("."+key)]
	if want.there() {
		r.covered++
	}
	value, quality := p.convert(want)
	r.equal(name, u, value, quality)
}

// compareWalk walks all that there is, with the session of the device, and compares each answer.
func (r *result) compareWalk(t *testing.T, d *device) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	roots := []oid{".1.0", ".1.1", ".1.2", ".1.3"}
	found := &everything{roots: roots, objects: map[oid]reading{}}
	errs, err := d.session.walkColumns(ctx, roots, "", found)
	for _, e := range append(errs, err) {
		if e != nil {
			r.fault("walking everything: %v", e)
		}
	}
	r.walked = len(found.objects)
	for o, want := range r.objects {
		if got := found.objects[o]; got != want && !r.varies[o] {
			r.fault("%s is %+v, recorded is %+v", o, got, want)
		}
	}
}

// everything collects a walk.
type everything struct {
	roots   []oid
	objects map[oid]reading
}

func (*everything) stamp(reading, time.Time) {}

func (e *everything) take(column int, index string, r reading) bool {
	e.objects[e.roots[column]+oid("."+index)] = r
	return true
}
