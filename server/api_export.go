package server

import (
	"context"
	"maps"
	"slices"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/tree"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/structpb"
)

// Limits of one part of an export.
const (
	exportContexts = 500
	exportBytes    = 512 << 10
)

// Export sends everything at and below a path that the caller may see, with its settings and without its variables, as of one change number:
// the tree stands still while it is read, and is sent from what was read. Which secrets are set is looked up right after that.
func (a *api) Export(ctx context.Context, q *apiv1.ExportRequest, to *connect.ServerStream[apiv1.ExportResponse]) error {
	return a.export(ctx, q, to.Send)
}

// export is Export, whoever the parts go to.
func (a *api) export(ctx context.Context, q *apiv1.ExportRequest, send func(*apiv1.ExportResponse) error) error {
	ctx, leave, err := a.enterStream(ctx)
	if err != nil {
		return err
	}
	defer leave()
	path, err := model.ParsePath(q.GetPath())
	if err != nil {
		return err
	}
	contexts, head := a.node.tree.Snapshot(path)
	secrets, err := a.node.store.SecretsSet(ctx)
	if err != nil {
		return err
	}
	e := &exporter{
		api: a, who: callerOf(ctx).Principal, decider: a.router.policies.Decider(), secrets: secrets, send: send,
		keys: map[model.SchemaHash]uint32{}, own: map[string]uint32{}, whole: map[model.Path]bool{},
	}
	e.tellKinds()
	for i := range contexts {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if sees(e.decider, e.who, &contexts[i]) {
			if err := e.tell(&contexts[i]); err != nil {
				return err
			}
		}
	}
	if e.told == 0 && !path.IsRoot() {
		return access.NotFound("export", model.Address{Path: path})
	}
	e.part.Node, e.part.Change, e.part.Complete = a.node.cfg.Name, head, true
	return send(&e.part)
}

// exporter is one export under way.
type exporter struct {
	api     *api
	who     access.Principal
	decider *access.Decider
	secrets map[model.ContextID][]string
	send    func(*apiv1.ExportResponse) error

	keys  map[model.SchemaHash]uint32 // of the kinds of other nodes
	own   map[string]uint32           // of this node's kinds
	last  uint32
	whole map[model.Path]bool // contexts of which what lies below is a part
	part  apiv1.ExportResponse
	bytes int
	told  int
}

// tellKinds puts all kinds of this node first, so that a file can be checked before anything was made of them.
func (e *exporter) tellKinds() {
	for _, name := range slices.Sorted(maps.Keys(e.api.router.kinds)) {
		kind := e.api.router.kinds[name]
		e.own[name] = e.tellKind(kind.Schema, creatable(&kind), kind.Whole)
	}
}

// creatable reports whether a request can create contexts of a kind: links and tokens are drawn by functions.
func creatable(k *Kind) bool {
	return !k.Fixed && k.Schema.Kind != KindLink && k.Schema.Kind != KindToken
}

func (e *exporter) tellKind(s *model.Schema, creatable, whole bool) uint32 {
	e.last++
	kind := &apiv1.ExportKind{Key: e.last, Name: s.Kind, Description: s.Description, Creatable: creatable, Whole: whole}
	for i := range s.Settings {
		d := &s.Settings[i]
		setting := &apiv1.ExportSetting{
			Name: d.Name, Type: d.Type.String(), Unit: d.Unit, Description: d.Description, Right: d.Right.String(), Secret: d.Secret, Local: d.Local,
		}
		if !d.Default.IsNone() {
			setting.Default = toValue(d.Default)
		}
		kind.Settings = append(kind.Settings, setting)
		e.bytes += 64 + len(d.Description) + d.Default.Size()
	}
	e.part.Kinds = append(e.part.Kinds, kind)
	return e.last
}

// kindOf is the key of a context's kind.
func (e *exporter) kindOf(c *tree.Context) uint32 {
	known := e.api.router.kinds[c.Schema.Kind]
	if key, there := e.own[c.Schema.Kind]; there && own(c) {
		return key
	}
	key, there := e.keys[c.Schema.Hash]
	if !there {
		key = e.tellKind(c.Schema, known.Schema != nil && !own(c) && creatable(&known), known.Whole)
		e.keys[c.Schema.Hash] = key
	}
	return key
}

func (e *exporter) tell(c *tree.Context) error {
	kind, known := e.api.router.kinds[c.Schema.Kind]
	if known && kind.Whole {
		e.whole[c.Path] = true
	}
	out := &apiv1.ExportContext{
		Path: c.Path.String(), Kind: e.kindOf(c), Label: c.Label, Revision: c.Version.String(), Via: c.Route.Names(),
		Fixed: known && kind.Fixed, Found: !known || e.partOf(c.Path),
	}
	if place, is := e.placeAt(c.Path); is {
		out.Fixed, out.UsualLabel = true, place.label
	}
	e.bytes += 128 + len(out.Path) + len(c.Label)
	for i := range c.Schema.Settings {
		d := &c.Schema.Settings[i]
		if !seesEntry(e.decider, e.who, c, d.Name, &entry{secret: d.Secret, local: d.Local}) {
			continue
		}
		if d.Secret {
			if e.maySet(c, d) && slices.Contains(e.secrets[c.ID], d.Name) && own(c) {
				out.Secrets = append(out.Secrets, d.Name)
			}
			continue
		}
		if i >= len(c.Settings) || c.Settings[i].IsNone() {
			continue
		}
		if out.Settings == nil {
			out.Settings = map[string]*structpb.Value{}
		}
		out.Settings[d.Name] = toValue(e.api.router.shown(e.who, c.Settings[i]))
		e.bytes += 64 + len(d.Name) + c.Settings[i].Size()
	}
	e.part.Contexts = append(e.part.Contexts, out)
	e.told++
	if len(e.part.Contexts) < exportContexts && e.bytes < exportBytes {
		return nil
	}
	err := e.send(&e.part)
	e.part.Reset()
	e.bytes = 0
	return err
}

// maySet reports whether the caller may set a setting: whether a secret is set is told to no one else.
func (e *exporter) maySet(c *tree.Context, d *model.Setting) bool {
	entity := access.Entity{Path: c.Path, Kind: c.Schema.Kind, Name: d.Name, Sort: model.EntrySetting, Secret: d.Secret, Local: d.Local}
	return e.decider.Decide(access.Question{Principal: e.who, Entity: entity, Need: d.Right, Acting: true}).Allowed
}

// placeAt finds what every node has at a path: this one, or one that is mounted whole.
func (e *exporter) placeAt(path model.Path) (ownPlace, bool) {
	if point, mounted := e.api.router.forward.MountPoint(path); mounted {
		path, _ = point.Below(path)
	}
	i := slices.IndexFunc(ownPlaces, func(p ownPlace) bool { return p.path == path })
	if i < 0 {
		return ownPlace{}, false
	}
	return ownPlaces[i], true
}

// partOf reports whether a context is a part of one above it.
func (e *exporter) partOf(path model.Path) bool {
	for above := path.Parent(); !above.IsRoot(); above = above.Parent() {
		if e.whole[above] {
			return true
		}
	}
	return false
}
