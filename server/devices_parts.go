package server

import (
	"context"
	"slices"

	"banyan/devices"
	"banyan/model"
	"banyan/tree"
)

// parts is the controller of what devices have found: contexts that nobody configures. A value for a writable variable goes to the device.
type parts struct {
	passive
	hub *deviceHub
}

// Write hands a value to the device that made the context.
func (p parts) Write(ctx context.Context, at *tree.Context, variable string, value model.Value) error {
	device, there := p.hub.deviceAbove(at)
	if !there {
		return model.Errorf(model.KindNotFound, "the device was removed")
	}
	below, _ := device.Path.Below(at.Path)
	p.hub.reconcile(ctx)
	return p.hub.manager.WriteChild(ctx, device.ID, slices.Collect(below.Segments()), variable, value)
}

// deviceAbove is the device that an own context is a part of, whatever its kind: one that lies above it.
func (h *deviceHub) deviceAbove(at *tree.Context) (tree.Context, bool) {
	if !own(at) || !devicesPath.Contains(at.Path) {
		return tree.Context{}, false
	}
	for above := at.Path.Parent(); above != devicesPath && !above.IsRoot(); above = above.Parent() {
		if c, there := h.tree.Lookup(above); there && own(&c) && h.kinds[c.Schema.Kind] {
			return c, true
		}
	}
	return tree.Context{}, false
}

// part is the kind of a context that a device has made; false where none has.
func (h *deviceHub) part(at *tree.Context) (Kind, bool) {
	_, inside := h.deviceAbove(at)
	return Kind{Schema: at.Schema, Controller: parts{hub: h}, Fixed: true}, inside
}

// checkPart refuses what a device cannot find: settings, which nobody would act by, and kinds that have a meaning of their own.
func (h *deviceHub) checkPart(schema *model.Schema) error {
	if len(schema.Settings) > 0 {
		return model.Errorf(model.KindInvalid, "a %s is found and not configured: it has no settings", schema.Kind)
	}
	if _, taken := h.all[schema.Kind]; taken && schema.Kind != KindFolder {
		return model.Errorf(model.KindInvalid, "what a device finds is not of the kind %s, which people make", schema.Kind)
	}
	return nil
}

// fits reports whether an own context keeps the schema that it has at a start: a part of a device, and a device that has a shape of its own. When the
// device is opened, what it consists of now is settled.
func (h *deviceHub) fits(at *tree.Context, kind *model.Schema) bool {
	_, part := h.deviceAbove(at)
	return part || h.kinds[kind.Kind] && devices.Fits(kind, at.Schema)
}
