package server

import (
	"context"

	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/rest"
	"banyan/tree"

	"connectrpc.com/connect"
)

// mostUpdates bounds the readings of one message.
const mostUpdates = 1000

// Watch sends the readings of some addresses, first as they are and then whenever they change: each sample of a variable while the caller keeps up,
// the latest one and `conflated` where it does not. It ends when an address goes, or when the caller may no longer see it.
func (a *api) Watch(ctx context.Context, q *apiv1.WatchRequest, to *connect.ServerStream[apiv1.WatchResponse]) error {
	return a.watch(ctx, q, func(m *apiv1.WatchResponse, _ rest.Phase) error {
		if len(m.GetReadings()) == 0 {
			return nil
		}
		return to.Send(m)
	})
}

// watch is Watch, whoever the messages go to. It calls send from its own goroutine.
func (a *api) watch(ctx context.Context, q *apiv1.WatchRequest, send sink) error {
	ctx, leave, err := a.enterStream(ctx)
	if err != nil {
		return err
	}
	defer leave()
	w := &watch{api: a, caller: callerOf(ctx)}
	if len(q.GetAddresses()) == 0 || len(q.GetAddresses()) > maxAddresses {
		return model.Errorf(model.KindInvalid, "%d addresses: 1 to %d can be watched at once", len(q.GetAddresses()), maxAddresses)
	}
	for _, text := range q.GetAddresses() {
		address, err := model.ParseAddress(text)
		if err != nil {
			return err
		}
		w.asked = append(w.asked, address)
	}
	return w.run(ctx, send)
}

// watch is one stream of Watch.
type watch struct {
	api    *api
	caller Caller
	asked  []model.Address

	addresses []model.Address // asked ones, with contexts resolved into what they consist of
	slots     map[tree.Slot]int
	told      []model.Reading // by address
	watcher   *tree.Watcher
	fresh     bool // the watcher has told nothing yet
	unlook    func()
	updates   []tree.Update
}

func (w *watch) run(ctx context.Context, to sink) error {
	defer w.close()
	defer func() {
		if w.unlook != nil {
			w.unlook()
		}
	}()
	changed := w.api.node.pulse.next()
	if err := w.resolve(); err != nil {
		return err
	}
	if err := w.tell(to, true); err != nil {
		return err
	}
	for {
		select {
		case <-w.watcher.Wake():
			if err := w.samples(to); err != nil {
				return err
			}
		case <-changed:
			changed = w.api.node.pulse.next()
			if err := w.resolve(); err != nil {
				return err
			}
			if err := w.tell(to, false); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (w *watch) close() {
	if w.watcher != nil {
		w.watcher.Close()
	}
}

// resolve finds what is watched, and decides anew. The slots of a context change with its kind.
func (w *watch) resolve() error {
	who := w.caller.Principal
	var addresses []model.Address
	slots := map[tree.Slot]int{}
	for _, address := range w.asked {
		c, err := w.api.router.look(who, "watch", address)
		if err != nil {
			return err
		}
		names, err := w.names(&c, address)
		if err != nil {
			return err
		}
		for _, name := range names {
			if i := c.Schema.VariableIndex(name); i >= 0 {
				slots[c.Slots.First+tree.Slot(i)] = len(addresses)
			}
			addresses = append(addresses, model.Address{Path: c.Path, Name: name})
		}
	}
	if len(addresses) > maxAddresses*10 {
		return model.Errorf(model.KindExhausted, "more than %d settings and variables are watched", maxAddresses*10)
	}
	if w.watcher != nil && sameSlots(slots, w.slots) && sameAddresses(addresses, w.addresses) {
		return nil
	}
	w.close()
	w.look(addresses)
	list := make([]tree.Slot, 0, len(slots))
	for slot := range slots {
		list = append(list, slot)
	}
	w.addresses, w.slots, w.told = addresses, slots, make([]model.Reading, len(addresses))
	w.watcher, w.fresh = w.api.node.tree.Watch(list), true
	return nil
}

// look wants live what is watched, wherever it comes from.
func (w *watch) look(addresses []model.Address) {
	var paths []model.Path
	for _, a := range addresses {
		if n := len(paths); n == 0 || paths[n-1] != a.Path {
			paths = append(paths, a.Path)
		}
	}
	before := w.unlook
	w.unlook = w.api.node.peers.Look(paths, nil)
	if before != nil {
		before()
	}
}

// names are what an address means in its context.
func (w *watch) names(c *tree.Context, address model.Address) ([]string, error) {
	if address.Name != "" {
		_, err := w.api.read(w.caller.Principal, "watch", address)
		return []string{address.Name}, err
	}
	var names []string
	entries := make([]string, 0, len(c.Schema.Settings)+len(c.Schema.Variables))
	for i := range c.Schema.Settings {
		entries = append(entries, c.Schema.Settings[i].Name)
	}
	for i := range c.Schema.Variables {
		entries = append(entries, c.Schema.Variables[i].Name)
	}
	for _, name := range entries {
		if _, err := w.api.read(w.caller.Principal, "watch", model.Address{Path: c.Path, Name: name}); err == nil {
			names = append(names, name)
		}
	}
	return names, nil
}

func sameSlots(a, b map[tree.Slot]int) bool {
	if len(a) != len(b) {
		return false
	}
	for slot, i := range a {
		if j, there := b[slot]; !there || i != j {
			return false
		}
	}
	return true
}

func sameAddresses(a, b []model.Address) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// tell sends the readings that are not what was told last; all of them where that is asked for.
func (w *watch) tell(to sink, all bool) error {
	var out []*apiv1.Reading
	for i, address := range w.addresses {
		r, err := w.api.read(w.caller.Principal, "watch", address)
		if err != nil {
			return err
		}
		if all || !sameReading(&r, &w.told[i]) {
			out = append(out, toReading(r))
		}
		w.told[i] = r
	}
	phase := rest.Changes
	if all {
		phase = rest.Complete
	}
	return send(to, out, false, phase)
}

// sameReading reports whether nothing that was told has changed.
func sameReading(a, b *model.Reading) bool {
	return a.Path == b.Path && a.Name == b.Name && a.Sample.Value.Equal(b.Sample.Value) && a.Sample.Quality == b.Sample.Quality &&
		a.Sample.Source == b.Sample.Source && a.Sample.Owner == b.Sample.Owner && a.Since == b.Since && a.Revision == b.Revision
}

// sink takes the messages of a watch.
type sink func(*apiv1.WatchResponse, rest.Phase) error

// send sends readings in messages of a bounded size. The phase is that of the last of them: a snapshot is sent even where there is nothing in it.
func send(to sink, readings []*apiv1.Reading, conflated bool, last rest.Phase) error {
	for len(readings) > 0 || last == rest.Complete {
		n := min(len(readings), mostUpdates)
		phase := last
		if last == rest.Complete && n < len(readings) {
			phase = rest.Snapshot
		}
		if err := to(&apiv1.WatchResponse{Readings: readings[:n], Conflated: conflated}, phase); err != nil {
			return err
		}
		if readings, conflated = readings[n:], false; len(readings) == 0 {
			break
		}
	}
	return nil
}

// samples sends what came, each sample with the staleness that holds now. Rights need no look here: a change of them comes as a change of the tree.
func (w *watch) samples(to sink) error {
	var conflated bool
	w.updates, conflated = w.watcher.Next(w.updates[:0])
	first := w.fresh // its latest samples were told already, or are told now for the first time: nothing is left out
	w.fresh = false
	var out []*apiv1.Reading
	for i := range w.updates {
		u := &w.updates[i]
		at, known := w.slots[u.Slot]
		if !known {
			continue
		}
		r := w.told[at]
		r.Sample, r.Received, r.Since = u.Sample, u.Received, 0
		if conflated {
			if now, there := w.api.node.tree.Read(w.addresses[at]); there {
				r = now
			}
		} else if o, stale := w.api.node.tree.Staleness(r.Path); stale {
			r.Since = o.Since
			if r.Sample.Quality.Level == model.Good {
				r.Sample.Quality = model.QualityStale
			}
		}
		if r.Sample.Value = w.api.router.shown(w.caller.Principal, r.Sample.Value); !sameReading(&r, &w.told[at]) {
			w.told[at] = r
			out = append(out, toReading(r))
		}
	}
	return send(to, out, conflated && !first, rest.Changes)
}
