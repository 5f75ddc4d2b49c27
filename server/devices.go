package server

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"banyan/access"
	"banyan/devices"
	"banyan/model"
	"banyan/store"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
)

// deviceHub is the controller of devices: it keeps what runs the same as what the tree says is set, and gives each device the place where it
// publishes.
type deviceHub struct {
	tree    *tree.Tree
	store   *store.Store
	commits *Commits
	manager *devices.Manager
	drivers []devices.Driver
	kinds   map[string]bool // of devices
	all     Kinds           // of the node
	log     hclog.Logger

	discovery discovery

	wake   chan struct{}
	wanted atomic.Uint64 // counts changes
	done   atomic.Uint64 // how many of them are reconciled

	running sync.Mutex                       // one reconciliation at a time; guards specs
	specs   map[model.ContextID]devices.Spec // of the devices, as they were reconciled last

	mu      sync.Mutex               // guards the rest
	touched map[model.ContextID]bool // devices that came, changed or went since then
	places  map[model.ContextID]*place
	broods  map[model.ContextID]*brood
	schemas map[*model.Schema]*model.Schema // of children, encoded
}

func newDeviceHub(drivers []devices.Driver, t *tree.Tree, s *store.Store, c *Commits, log hclog.Logger) (*deviceHub, error) {
	h := &deviceHub{
		tree: t, store: s, commits: c, log: log, drivers: drivers, wake: make(chan struct{}, 1), kinds: map[string]bool{},
		specs: map[model.ContextID]devices.Spec{}, touched: map[model.ContextID]bool{},
		places: map[model.ContextID]*place{}, broods: map[model.ContextID]*brood{}, schemas: map[*model.Schema]*model.Schema{},
	}
	var err error
	h.manager, err = devices.New(devices.Config{Drivers: drivers, Sink: h.sink, Log: log})
	return h, err
}

// addKinds makes each driver's kind one of the node's.
func (h *deviceHub) addKinds(kinds Kinds) error {
	h.all = kinds
	for _, schema := range h.manager.Schemas() {
		h.kinds[schema.Kind] = true
		if err := kinds.Add(*schema, Kind{Controller: h, Whole: true}); err != nil {
			return err
		}
	}
	return nil
}

// Run runs devices until ctx ends.
func (h *deviceHub) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- h.manager.Run(ctx) }()
	h.wanted.Add(1)
	h.publish(variableDiscoveryState, model.String(discoveryIdle), model.Instant(model.TimeOf(time.Now())), model.Int64(0), model.Int64(0), model.Int64(0))
	measuring, stop := context.WithCancel(ctx)
	var measured sync.WaitGroup
	measured.Go(func() { h.measure(measuring) })
	defer measured.Wait()
	defer stop()
	for {
		h.reconcile(ctx)
		select {
		case <-h.wake:
		case err := <-ended:
			return err
		}
	}
}

// observe hears of own contexts that changed.
func (h *deviceHub) observe(changed []tree.Context, removed []tree.Tombstone) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := len(h.touched)
	for i := range removed {
		id := removed[i].ID
		if p := h.places[id]; p != nil {
			p.slots.Store(nil)
			delete(h.places, id)
			delete(h.broods, id)
		}
		if h.kinds[removed[i].Kind] {
			h.touched[id] = true
		}
	}
	for i := range changed {
		if p := h.places[changed[i].ID]; p != nil {
			p.bind(&changed[i])
		}
		if h.kinds[changed[i].Schema.Kind] {
			h.touched[changed[i].ID] = true
		}
	}
	if len(h.touched) == before && before == 0 {
		return
	}
	h.wanted.Add(1)
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// reconcile makes what runs the same as what is set, where that may differ. Whoever calls a device comes through here first, so that one that
// was just created is there. It looks at the devices that were touched only: a thousand that are created one by one are no million looks.
func (h *deviceHub) reconcile(ctx context.Context) {
	if h.done.Load() == h.wanted.Load() {
		return
	}
	h.running.Lock()
	defer h.running.Unlock()
	changes := h.wanted.Load()
	if h.done.Load() == changes {
		return
	}
	defer h.done.Store(changes)
	h.mu.Lock()
	touched := h.touched
	h.touched = map[model.ContextID]bool{}
	h.mu.Unlock()
	differs := false
	for id := range touched {
		before, ran := h.specs[id]
		spec, there := h.specOf(ctx, id)
		if there {
			h.specs[id] = spec
		} else {
			delete(h.specs, id)
		}
		differs = differs || there != ran || there && (spec.Path != before.Path || !maps.EqualFunc(spec.Settings, before.Settings, model.Value.Equal))
	}
	if !differs {
		return
	}
	if err := h.manager.Reconcile(slices.Collect(maps.Values(h.specs))); err != nil && ctx.Err() == nil {
		h.log.Error("some devices cannot be run", "error", err)
	}
}

// specOf is a device as it is set; false where it is no more.
func (h *deviceHub) specOf(ctx context.Context, id model.ContextID) (devices.Spec, bool) {
	c, there := h.device(id)
	if !there {
		return devices.Spec{}, false
	}
	spec := devices.Spec{ID: id, Path: c.Path, Kind: c.Schema.Kind, Settings: settingsOf(&c)}
	// Whoever comes by here may be in a hurry, and the device needs its secrets all the same.
	if err := h.openSecrets(context.WithoutCancel(ctx), &spec); err != nil {
		h.log.Error("a device's secrets cannot be opened", "path", spec.Path, "error", err)
	}
	return spec, true
}

// device is the own context of a device.
func (h *deviceHub) device(id model.ContextID) (tree.Context, bool) {
	for _, path := range h.tree.ByID(id) {
		if c, there := h.tree.Lookup(path); there && own(&c) && c.ID == id && h.kinds[c.Schema.Kind] && devicesPath.Contains(path) {
			return c, true
		}
	}
	return tree.Context{}, false
}

// settingsOf are the settings of a context that are set.
func settingsOf(c *tree.Context) devices.Settings {
	settings := devices.Settings{}
	for i, v := range c.Settings {
		if !v.IsNone() {
			settings[c.Schema.Settings[i].Name] = v
		}
	}
	return settings
}

func (h *deviceHub) openSecrets(ctx context.Context, spec *devices.Spec) error {
	c, there := h.tree.Lookup(spec.Path)
	if !there {
		return nil
	}
	for i := range c.Schema.Settings {
		if !c.Schema.Settings[i].Secret {
			continue
		}
		value, err := h.store.Secret(ctx, spec.ID, c.Schema.Settings[i].Name)
		if err != nil {
			return err
		}
		if !value.IsNone() {
			spec.Settings[c.Schema.Settings[i].Name] = value
		}
	}
	return nil
}

// Check opens a device with what is proposed, without starting it, so that settings that it cannot use are refused.
func (h *deviceHub) Check(ctx context.Context, p *Proposal) error {
	if p.Op == OpRemove {
		return nil
	}
	if p.Op == OpCreate && (!devicesPath.Contains(p.Path) || p.Path == devicesPath) {
		return model.Errorf(model.KindInvalid, "a device is below %s", devicesPath)
	}
	spec := devices.Spec{Path: p.Path, Settings: devices.Settings{}}
	if p.At != nil {
		spec.ID, spec.Settings = p.At.ID, settingsOf(p.At)
		if err := h.openSecrets(ctx, &spec); err != nil {
			return err
		}
		if err := h.checkSecretsStay(p, spec.Settings); err != nil {
			return err
		}
	}
	for _, s := range p.Settings {
		if s.Value.IsNone() {
			delete(spec.Settings, s.Name)
		} else {
			maps.Copy(spec.Settings, devices.Settings{s.Name: s.Value})
		}
	}
	if err := h.manager.Check(p.Schema.Kind, spec.Settings); err != nil {
		return err
	}
	return h.checkParent(p, spec.Settings[devices.SettingParent])
}

// checkParent refuses a parent that is known to be none: what is no device of this node, and one that depends on the device itself. One that is not
// there may come in the same stroke: until then the device is misconfigured.
func (h *deviceHub) checkParent(p *Proposal, parent model.Value) error {
	if err := checkParentShown(p); err != nil {
		return err
	}
	for range mostParents {
		to, named := parent.Ref()
		if parent.IsNone() || !named {
			return nil
		}
		if to.Path == p.Path {
			return devices.BadSetting(devices.SettingParent, "the device would depend on itself")
		}
		c, there := p.Tree.Lookup(to.Path)
		if !there {
			return nil
		}
		if !own(&c) || !h.kinds[c.Schema.Kind] {
			return devices.BadSetting(devices.SettingParent, "%s is no device of this node", to.Path)
		}
		parent = c.SettingNamed(devices.SettingParent)
	}
	return devices.BadSetting(devices.SettingParent, "more than %d devices are above each other", mostParents)
}

// checkParentShown refuses a parent that who asks may not see, whether or not it is there: the device's state would tell them of it.
func checkParentShown(p *Proposal) error {
	for _, s := range p.Settings {
		to, named := s.Value.Ref()
		if s.Name != devices.SettingParent || !named {
			continue
		}
		seen := access.Question{Principal: p.By, Entity: access.Entity{Path: to.Path}, Need: model.RightView}
		if c, there := p.Tree.Lookup(to.Path); there {
			seen.Entity.Kind = c.Schema.Kind
		}
		if !p.Rights.Decide(seen).Allowed {
			return devices.BadSetting(devices.SettingParent, "%s is nothing that you may see", to.Path)
		}
	}
	return nil
}

// mostParents is how many devices can be above each other.
const mostParents = 32

// Call runs a function of the device.
func (h *deviceHub) Call(
	ctx context.Context, at *tree.Context, function string, arguments []model.Argument, _ access.Principal,
) ([]model.Argument, error) {
	h.reconcile(ctx)
	return h.manager.Call(ctx, at.ID, function, arguments)
}

// Write sets a variable of the device.
func (h *deviceHub) Write(ctx context.Context, at *tree.Context, variable string, value model.Value) error {
	h.reconcile(ctx)
	return h.manager.Write(ctx, at.ID, variable, value)
}
