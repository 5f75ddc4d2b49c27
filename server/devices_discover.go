package server

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"banyan/access"
	"banyan/devices"
	"banyan/model"
	"banyan/tree"
)

// How a discovery goes and ends.
const (
	discoveryIdle      = "idle"
	discoveryRunning   = "running"
	discoveryComplete  = "complete"
	discoveryDeadline  = "deadline"
	discoveryCancelled = "cancelled"
)

// longestDiscovery is when one ends whose caller would wait for ever.
const longestDiscovery = time.Hour

// progressEvery is how often what is done shows while a discovery runs.
const progressEvery = 200 * time.Millisecond

var errDiscoveryCancelled = errors.New("the discovery was cancelled")

// discovery is the one that runs, if any.
type discovery struct {
	mu   sync.Mutex // guards stop
	stop context.CancelCauseFunc
}

func (d *discovery) runs() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stop != nil
}

func (d *discovery) cancel() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stop != nil {
		d.stop(errDiscoveryCancelled)
	}
}

// begin takes the one place for a discovery.
func (d *discovery) begin(ctx context.Context) (context.Context, func(), error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stop != nil {
		return ctx, nil, &model.Error{
			Kind: model.KindUnavailable, Detail: "a discovery runs already, one at a time does", Remedy: "wait for it to end, or call " + functionCancelDiscovery,
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	d.stop = stop
	return ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.stop = nil
		stop(nil)
	}, nil
}

// wish is what somebody wants to be discovered. The hints can be secret: they are in no text.
type wish struct {
	addresses []netip.Addr
	drivers   []devices.Discoverer
	hints     map[string]devices.Settings // by kind
	timeout   time.Duration
	create    bool
	under     model.Path
}

// discover runs a discovery and answers what was found.
func (k *devicesKeeper) discover(ctx context.Context, arguments []model.Argument, by access.Principal) ([]model.Argument, error) {
	w, err := k.node.devices.wish(arguments)
	if err != nil {
		return nil, err
	}
	asking, end, err := k.discovery.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	asking, stop := context.WithDeadline(asking, discoverUntil(ctx, time.Now()))
	defer stop()
	hub := k.node.devices
	now := model.TimeOf(time.Now())
	show := func(state string, done, found int) {
		hub.publish(variableDiscoveryState, model.String(state), model.Instant(now),
			model.Int64(int64(done)), model.Int64(int64(len(w.addresses))), model.Int64(int64(found)))
	}
	show(discoveryRunning, 0, 0)
	var shown time.Time
	sweep := &devices.Sweep{Drivers: w.drivers, Hints: w.hints, Timeout: w.timeout, Log: hub.log, Progress: func(done, found int) {
		if at := time.Now(); at.Sub(shown) >= progressEvery {
			shown = at
			show(discoveryRunning, done, found)
		}
	}}
	swept := sweep.Run(asking, w.addresses)
	ended := discoveryComplete
	switch {
	case errors.Is(context.Cause(asking), errDiscoveryCancelled), errors.Is(ctx.Err(), context.Canceled):
		ended = discoveryCancelled
	case asking.Err() != nil:
		ended = discoveryDeadline
	}
	table := k.sightings(ctx, w, swept.Found, by)
	now = model.TimeOf(time.Now())
	show(ended, swept.Done, len(swept.Found))
	hub.log.Info("discovery ended", "how", ended, "asked", swept.Done, "of", len(w.addresses), "found", len(swept.Found))
	return []model.Argument{
		{Name: "ended", Value: model.String(ended)}, {Name: "done", Value: model.Int64(int64(swept.Done))},
		{Name: "total", Value: model.Int64(int64(len(w.addresses)))}, {Name: "found", Value: table},
		{Name: "problems", Value: model.String(strings.Join(swept.Problems, "; "))},
	}, nil
}

// discoverUntil is when asking has to end so that the answer comes before the caller's deadline.
func discoverUntil(ctx context.Context, now time.Time) time.Time {
	until := now.Add(longestDiscovery)
	if deadline, set := ctx.Deadline(); set {
		until = slices.MinFunc([]time.Time{until, deadline.Add(-min(deadline.Sub(now)/10, 2*time.Second))}, time.Time.Compare)
	}
	return until
}

// wish reads the arguments.
func (h *deviceHub) wish(arguments []model.Argument) (*wish, error) {
	given := func(name string) model.Value { return devices.Argument(arguments, name) }
	w := &wish{timeout: 2 * time.Second, create: given("create").Bool(), under: devicesPath}
	var err error
	if w.addresses, err = devices.Addresses(given("subnet").Text()); err != nil {
		return nil, err
	}
	if v := given("timeout"); !v.IsNone() {
		w.timeout = v.Duration()
	}
	if w.timeout < 100*time.Millisecond || w.timeout > 30*time.Second {
		return nil, model.Errorf(model.KindInvalid, "timeout is outside of 100ms to 30s")
	}
	if v := given("under"); !v.IsNone() {
		if w.under, err = model.ParsePath(v.Text()); err != nil || !devicesPath.Contains(w.under) {
			return nil, model.Errorf(model.KindInvalid, "under is no path below %s", devicesPath)
		}
	}
	if w.drivers, err = h.discoverers(given("kinds").Text()); err != nil {
		return nil, err
	}
	hints, err := hintTexts(given("hints"), given("community"))
	if err != nil {
		return nil, err
	}
	w.hints, err = h.hints(w.drivers, hints)
	return w, err
}

// discoverers are the drivers of the named kinds that can find devices; all of them where none is named.
func (h *deviceHub) discoverers(kinds string) ([]devices.Discoverer, error) {
	able := map[string]devices.Discoverer{}
	for _, d := range h.drivers {
		if discoverer, can := d.(devices.Discoverer); can {
			able[d.Kind()] = discoverer
		}
	}
	if len(able) == 0 {
		return nil, model.Errorf(model.KindUnsupported, "no driver of this node can find devices")
	}
	names := sortedKeys(able)
	if kinds = strings.TrimSpace(kinds); kinds != "" {
		names = strings.FieldsFunc(kinds, func(c rune) bool { return c == ',' || c == ' ' })
		slices.Sort(names)
		names = slices.Compact(names)
	}
	var chosen []devices.Discoverer
	for _, name := range names {
		d := able[name]
		if d == nil {
			return nil, &model.Error{
				Kind: model.KindInvalid, Detail: "devices of the kind " + name + " cannot be found", Remedy: "the kinds that can are " + strings.Join(sortedKeys(able), ", "),
			}
		}
		chosen = append(chosen, d)
	}
	return chosen, nil
}

// hintTexts are the hints as they were given.
func hintTexts(table, community model.Value) (map[string]string, error) {
	texts := map[string]string{}
	if !table.IsNone() {
		t := table.Table()
		if len(t.Columns) != 2 || t.Columns[0] != (model.Column{Name: "name", Type: model.TypeString}) || t.Columns[1] != (model.Column{Name: "value", Type: model.TypeString}) {
			return nil, model.Errorf(model.KindInvalid, "hints has the columns name and value, both of the type string")
		}
		for _, row := range t.Rows {
			texts[row[0].Text()] = row[1].Text()
		}
	}
	if !community.IsNone() {
		texts["community"] = community.Text()
	}
	return texts, nil
}

// hints gives each hint to the kinds that have a setting of its name. One that no kind has is refused, and so is one that only the node itself may set.
func (h *deviceHub) hints(drivers []devices.Discoverer, texts map[string]string) (map[string]devices.Settings, error) {
	hints := map[string]devices.Settings{}
	used := map[string]bool{}
	for _, d := range drivers {
		schema := h.all[d.Kind()].Schema
		hints[d.Kind()] = devices.Settings{}
		for name, text := range texts {
			at := schema.SettingIndex(name)
			if at < 0 {
				continue
			}
			if schema.Settings[at].Local {
				return nil, model.Errorf(model.KindDenied, "the setting %s can only be set at the node itself", name)
			}
			v, err := model.ParseText(schema.Settings[at].Type, text)
			if err != nil { // whose text may repeat what was given
				return nil, model.Errorf(model.KindInvalid, "the hint %s is no %s", name, schema.Settings[at].Type)
			}
			used[name], hints[d.Kind()][name] = true, v
		}
	}
	for _, name := range sortedKeys(texts) {
		if !used[name] {
			return nil, model.Errorf(model.KindInvalid, "no kind of devices that is looked for has a setting %.64q", name)
		}
	}
	return hints, nil
}

// knownAddresses are the devices by their kind and the addresses that stand in their settings.
func (h *deviceHub) knownAddresses() map[string]model.Path {
	known := map[string]model.Path{}
	h.tree.Walk(devicesPath, nil, func(c *tree.Context) bool {
		if own(c) && h.kinds[c.Schema.Kind] {
			for _, v := range c.Settings {
				if at, yes := addressIn(v); yes {
					known[c.Schema.Kind+" "+at.String()] = c.Path
				}
			}
		}
		return true
	})
	return known
}

// addressIn is the IP address in a setting: ADDRESS, ADDRESS:PORT, or a URL with one of them.
func addressIn(v model.Value) (netip.Addr, bool) {
	if v.Type() != model.TypeString {
		return netip.Addr{}, false
	}
	text := v.Text()
	if u, err := url.Parse(text); err == nil && u.Host != "" {
		text = u.Host
	}
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	at, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return at, err == nil
}

// sightings is the table of what was found, and creates devices where that is wanted.
func (k *devicesKeeper) sightings(ctx context.Context, w *wish, found []devices.Sighting, by access.Principal) model.Value {
	table := &model.Table{Columns: []model.Column{
		{Name: "address", Type: model.TypeString}, {Name: "kind", Type: model.TypeString}, {Name: "profile", Type: model.TypeString},
		{Name: "name", Type: model.TypeString}, {Name: "description", Type: model.TypeString}, {Name: "settings", Type: model.TypeString},
		{Name: "device", Type: model.TypeRef}, {Name: "problem", Type: model.TypeString},
	}}
	known := k.node.devices.knownAddresses()
	for i := range found {
		s := &found[i]
		device, problem := model.Value{}, ""
		path, there := known[s.Kind+" "+s.At.String()]
		if !there && w.create {
			var err error
			if path, err = k.create(ctx, w, s, by); err != nil {
				problem = err.Error()
			} else {
				there = true
			}
		}
		if there {
			device = model.Ref(model.Address{Path: path})
		}
		table.Rows = append(table.Rows, []model.Value{
			model.String(s.At.String()), model.String(s.Kind), model.String(s.Profile), model.String(s.Name), model.String(s.Description),
			model.String(k.node.devices.shownSettings(s)), device, model.String(problem),
		})
	}
	if v := model.TableValue(table); table.Validate() == nil {
		return v
	}
	for i := range table.Rows {
		table.Rows[i][4] = model.String("")
	}
	return model.TableValue(table)
}

// shownSettings are what creating the device would need, as they stand on a command line; those that are secret are left out.
func (h *deviceHub) shownSettings(s *devices.Sighting) string {
	schema := h.all[s.Kind].Schema
	var texts []string
	for _, name := range sortedKeys(s.Settings) {
		if at := schema.SettingIndex(name); at >= 0 && !schema.Settings[at].Secret {
			texts = append(texts, name+"="+s.Settings[name].String())
		}
	}
	return strings.Join(texts, " ")
}

// create makes a device of what was found, on behalf of who asked for it, with the hints that led to it.
func (k *devicesKeeper) create(ctx context.Context, w *wish, s *devices.Sighting, by access.Principal) (model.Path, error) {
	settings := maps.Clone(w.hints[s.Kind])
	maps.Copy(settings, s.Settings)
	q := Request{Op: OpCreate, Kind: s.Kind, Label: s.Name}
	for _, name := range sortedKeys(settings) {
		q.Arguments = append(q.Arguments, model.Argument{Name: name, Value: settings[name]})
	}
	if s.Name == "" {
		q.Label = s.At.String()
	}
	var err error
	for _, name := range []string{q.Label, q.Label + "-" + s.At.String(), s.Kind + "-" + s.At.String()} {
		var namer devices.Namer
		if q.Path, err = w.under.Child(namer.Segment(name)); err != nil {
			return q.Path, err
		}
		if _, taken := k.node.tree.Lookup(q.Path); taken {
			continue
		}
		if _, err = k.node.router.Execute(ctx, by, q); model.KindOf(err) != model.KindExists {
			return q.Path, err
		}
	}
	return q.Path, err
}

func sortedKeys[V any](of map[string]V) []string { return slices.Sorted(maps.Keys(of)) }
