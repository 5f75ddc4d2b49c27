package server

import (
	"context"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/tree"
)

// KindDevices is the kind of the one context below which devices are.
const KindDevices = "devices"

// Functions of the place of devices.
const (
	functionDiscover        = "discover"
	functionCancelDiscovery = "cancel_discovery"
	functionProfiles        = "profiles"
)

// Variables of the place of devices.
const (
	variableDiscoveryState = iota
	variableDiscoverySince
	variableDiscoveryDone
	variableDiscoveryTotal
	variableDiscoveryFound
	variableDevices // and behind it what is published together with it
	variableDevicesOK
	variableDevicesSilent
	variablePolls
	variableLateP99
	variableLateMax
	variableLateShare
)

var devicesSchema = model.Schema{
	Kind: KindDevices, Description: "The devices of this node, and what can be found out about others.",
	Variables: []model.Variable{
		variableDiscoveryState: {Name: "discovery_state", Type: model.TypeString, Description: "idle, running, or how the last discovery ended: complete, deadline, cancelled."},
		variableDiscoverySince: {Name: "discovery_since", Type: model.TypeTime, Description: "Since when."},
		variableDiscoveryDone:  {Name: "discovery_done", Type: model.TypeInt64, Description: "How many addresses were asked."},
		variableDiscoveryTotal: {Name: "discovery_total", Type: model.TypeInt64, Description: "How many are to be asked."},
		variableDiscoveryFound: {Name: "discovery_found", Type: model.TypeInt64, Description: "How many devices were found."},
		variableDevices:        {Name: "devices", Type: model.TypeInt64, Description: "How many devices this node has."},
		variableDevicesOK:      {Name: "devices_ok", Type: model.TypeInt64, Description: "How many of them are ok."},
		variableDevicesSilent:  {Name: "devices_silent", Type: model.TypeInt64, Description: "How many do not respond, or are suspended since what is in front of them does not."},
		variablePolls:          {Name: "polls", Type: model.TypeInt64, Description: "How many regular polls of devices that answer were begun since the start."},
		variableLateP99:        {Name: "poll_late_p99", Type: model.TypeDuration, Description: "99 of 100 of these polls began no later than this after they were due."},
		variableLateMax:        {Name: "poll_late_max", Type: model.TypeDuration, Description: "How late the latest of them began."},
		variableLateShare:      {Name: "poll_late_share", Type: model.TypeFloat64, Description: "The greatest part of its interval by which one of them began late."},
	},
	Functions: []model.Function{
		{Name: functionDiscover, Right: model.RightConfigure,
			Description: "Asks the addresses of a subnet what is there, one discovery at a time. It ends before the caller's deadline with what it has by then.",
			Parameters: []model.Field{
				{Name: "subnet", Type: model.TypeString, Description: "Prefixes, ranges and addresses, separated by commas; 4096 addresses at most."},
				{Name: "kinds", Type: model.TypeString, Optional: true, Description: "Kinds of devices, separated by commas; by default all that can be found."},
				{Name: "community", Type: model.TypeString, Optional: true, Secret: true, Description: "Short for the hint of this name."},
				{Name: "hints", Type: model.TypeTable, Optional: true, Secret: true, Description: "Settings that are the same for all addresses, by columns name and value; secrets are not kept."},
				{Name: "timeout", Type: model.TypeDuration, Optional: true, Description: "For each address and kind, 100ms to 30s, by default 2s."},
				{Name: "create", Type: model.TypeBool, Optional: true, Description: "Whether to create devices for what is found and not there yet; the hints are among their settings."},
				{Name: "under", Type: model.TypeString, Optional: true, Description: "Where to create them, by default /devices."},
			},
			Results: []model.Field{
				{Name: "ended", Type: model.TypeString, Description: "complete, deadline or cancelled."},
				{Name: "done", Type: model.TypeInt64, Description: "How many addresses were asked."},
				{Name: "total", Type: model.TypeInt64, Description: "How many were meant."},
				{Name: "found", Type: model.TypeTable, Description: "What was found: address, kind, profile, name, description, settings, device (that has it already, or was created), problem."},
				{Name: "problems", Type: model.TypeString, Description: "What kept drivers from asking, if anything did."},
			}},
		{Name: functionCancelDiscovery, Right: model.RightConfigure, Idempotent: true, Description: "Ends a discovery that runs; its caller gets what was found by then."},
		{Name: functionProfiles, Right: model.RightConfigure, Idempotent: true, Description: "Lists the device profiles that this node has.",
			Results: []model.Field{
				{Name: "profiles", Type: model.TypeTable, Description: "Name, kind of devices, title, origin (program or node), and what is wrong with the node's file."},
			}},
	},
}

// devicesKeeper is the controller of the place of devices.
type devicesKeeper struct {
	folders
	node      *Node
	discovery *discovery
}

// Call does what can be done with devices that are not there yet.
func (k *devicesKeeper) Call(
	ctx context.Context, _ *tree.Context, function string, arguments []model.Argument, by access.Principal,
) ([]model.Argument, error) {
	switch function {
	case functionDiscover:
		return k.discover(ctx, arguments, by)
	case functionCancelDiscovery:
		k.discovery.cancel()
		return nil, nil
	case functionProfiles:
		return []model.Argument{{Name: "profiles", Value: k.profiles()}}, nil
	}
	return nil, model.Errorf(model.KindUnsupported, "there is no function %s", function)
}

// profiles lists the profiles by kind and name, and after them the files that are none.
func (k *devicesKeeper) profiles() model.Value {
	table := &model.Table{Columns: []model.Column{
		{Name: "name", Type: model.TypeString}, {Name: "kind", Type: model.TypeString}, {Name: "title", Type: model.TypeString},
		{Name: "origin", Type: model.TypeString}, {Name: "problem", Type: model.TypeString},
	}}
	add := func(texts ...string) {
		row := make([]model.Value, len(texts))
		for i, text := range texts {
			row[i] = model.String(text)
		}
		table.Rows = append(table.Rows, row)
	}
	problems := k.node.profiles.Problems()
	for _, schema := range k.node.devices.manager.Schemas() {
		for _, p := range k.node.profiles.All(schema.Kind) {
			origin, problem := "node", ""
			if p.Shipped {
				origin = "program"
			}
			if err := problems[p.Name]; err != nil {
				problem = err.Error()
			}
			delete(problems, p.Name)
			add(p.Name, p.Kind, p.Title, origin, problem)
		}
	}
	for _, name := range sortedKeys(problems) {
		add(name, "", "", "node", problems[name].Error())
	}
	return model.TableValue(table)
}

// publish publishes variables of the place of devices, from first on.
func (h *deviceHub) publish(first int, values ...model.Value) {
	c, there := h.tree.Lookup(devicesPath)
	if !there || c.Schema.Hash != h.all[KindDevices].Schema.Hash {
		return
	}
	var batch tree.Batch
	for i, v := range values {
		batch.Add(c.Slots.First+tree.Slot(first+i), model.Sample{Value: v, Source: model.TimeOf(time.Now())})
	}
	h.tree.Publish(&batch)
}

// addDevicesKind makes the place of devices one of the node's kinds, and what can be in it.
func (n *Node) addDevicesKind() error {
	keeper := &devicesKeeper{node: n, discovery: &n.devices.discovery}
	if err := n.kinds.Add(devicesSchema, Kind{Controller: keeper, Fixed: true, Confidential: true}); err != nil {
		return err
	}
	return n.devices.addKinds(n.kinds)
}
