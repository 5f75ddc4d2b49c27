package server

import (
	"slices"

	"banyan/access"
	"banyan/follow"
	"banyan/model"
	"banyan/peering"
	"banyan/tree"
)

const (
	functionPreview = "preview"

	defaultPreview = 1000
	mostPreviewed  = 20_000
)

var previewFunction = model.Function{
	Name: functionPreview, Right: model.RightAdminister, Local: true, Idempotent: true,
	Description: "Shows exactly what the other node sees by this export, and what is left out and why.",
	Parameters: []model.Field{
		{Name: "link", Type: model.TypeString, Optional: true, Description: "Of the node for which it is shown; by default the first one of the export."},
		{Name: "below", Type: model.TypeString, Optional: true, Description: "Only contexts at and below this path, as the other node sees it; by default /."},
		{Name: "limit", Type: model.TypeInt64, Optional: true, Description: "How many contexts are listed at most, by default 1000; everything is counted."},
	},
	Results: []model.Field{
		{Name: "peer", Type: model.TypeString, Description: "Name of the other node."},
		{Name: "right", Type: model.TypeString, Description: "The highest right that is granted."},
		{Name: "root", Type: model.TypeString, Description: "The path of this node that the other one sees as /."},
		{Name: "events", Type: model.TypeString, Description: "From which severity up events are shown, or none."},
		{Name: "shown", Type: model.TypeInt64, Description: "Contexts that are shown."},
		{Name: "omitted", Type: model.TypeInt64, Description: "Contexts of this node that are not."},
		{Name: "contexts", Type: model.TypeTable, Description: "What is shown, in the order of paths: path as the other node sees it, kind, label, right, own path."},
		{Name: "more", Type: model.TypeBool, Description: "There are more contexts than are listed."},
		{Name: "kinds", Type: model.TypeTable, Description: "What of the contexts is shown: kind, how many there are, settings, variables, functions, events, and what is hidden."},
		{Name: "left_out", Type: model.TypeTable, Description: "What is left out: why, how many contexts, and one of them."},
	},
}

// preview is what one node is shown by an export.
type preview struct {
	links     *links
	by        access.Principal // who looks
	decider   *access.Decider
	view      *follow.View
	selection *access.Selection
	peer      model.NodeID
	peerName  string
	below     model.Path
	limit     int

	shown, omitted int
	listed         []previewed
	kinds          map[previewedKind]*previewedEntries
	leftOut        map[string]*previewedOmission
}

type previewed struct {
	path, own   model.Path
	kind, label string
	right       model.Right
}

// previewedKind is one form of a kind: contexts of one kind may have different schemas.
type previewedKind struct {
	kind string
	full model.SchemaHash
}

type previewedEntries struct {
	full, shown *model.Schema
	contexts    int
}

type previewedOmission struct {
	contexts int
	named    bool // who looks may see one of them
	example  model.Path
}

// Reasons why a context is left out that are not the export's.
const (
	omittedOutside = "it is outside of the root of the export"
	omittedLoop    = "it came from there"
	omittedFar     = "it has passed as many nodes as are allowed"
	omittedSchema  = "its schema cannot be shown in part"
)

// preview answers the function preview of an export.
func (l *links) preview(at *tree.Context, g given, by access.Principal) ([]model.Argument, error) {
	p, err := l.newPreview(at, g, by)
	if err != nil {
		return nil, err
	}
	p.takeAll()
	p.trim()
	return p.results(at), nil
}

func (l *links) newPreview(at *tree.Context, g given, by access.Principal) (*preview, error) {
	link, err := l.linkOfExport(at, g.text("link", ""))
	if err != nil {
		return nil, err
	}
	p := &preview{
		links: l, by: by, decider: l.node.policies.Decider(), peerName: link.SettingNamed(settingPeerName).Text(), limit: defaultPreview,
		kinds: make(map[previewedKind]*previewedEntries), leftOut: make(map[string]*previewedOmission),
	}
	p.peer, _ = model.ParseNodeID(link.SettingNamed(settingPeer).Text()) // none while nobody has joined
	if p.below, err = model.ParsePath(g.text("below", "/")); err != nil {
		return nil, err
	}
	if n := g["limit"]; !n.IsNone() {
		if n.Int64() < 0 || n.Int64() > mostPreviewed {
			return nil, model.Errorf(model.KindInvalid, "limit is 0 to %d contexts", mostPreviewed)
		}
		p.limit = int(n.Int64())
	}
	p.view, p.selection, err = l.exported(at)
	return p, err
}

// takeAll looks at every context of the tree, in the order of changes; what changes meanwhile is not counted twice.
func (p *preview) takeAll() {
	const chunk = 512
	seen := make(map[tree.Index]bool)
	for at := uint64(0); ; {
		d := p.links.tree.ChangesSince(at, chunk, nil)
		for i := range d.Contexts {
			if c := &d.Contexts[i]; !seen[c.Index] {
				seen[c.Index] = true
				p.take(c)
			}
		}
		if at = d.Through; at >= d.Head {
			return
		}
	}
}

// take puts a context among what is shown or among what is not. The view itself says which.
func (p *preview) take(c *tree.Context) {
	entry, shown := p.view.Shown(c)
	if why := p.omits(c, shown); why != "" {
		p.omit(c, why)
		return
	}
	p.shown++
	key := previewedKind{c.Schema.Kind, c.Schema.Hash}
	if p.kinds[key] == nil {
		p.kinds[key] = &previewedEntries{full: c.Schema, shown: entry.Schema}
	}
	p.kinds[key].contexts++
	if !p.below.Contains(entry.Path) || !sees(p.decider, p.by, c) {
		return
	}
	p.listed = append(p.listed, previewed{
		path: entry.Path, own: c.Path, kind: entry.Schema.Kind, label: c.Label, right: p.decider.MostOver(p.selection.Right(), c.Path, c.Schema.Kind),
	})
	if len(p.listed) > 4*p.limit+chunkPreviewed {
		p.trim()
	}
}

// chunkPreviewed is how many contexts are kept beyond the limit before the later ones are left out.
const chunkPreviewed = 1024

// trim keeps the first contexts by path, and one more, by which it is known that there are more.
func (p *preview) trim() {
	slices.SortFunc(p.listed, func(a, b previewed) int { return a.path.Compare(b.path) })
	p.listed = p.listed[:min(len(p.listed), p.limit+1)]
}

// omits is why a context does not reach the other node; empty where it does.
func (p *preview) omits(c *tree.Context, shown bool) string {
	switch {
	case !p.view.Root.Contains(c.Path):
		return omittedOutside
	case !shown && p.selection.Selects(c.Path, c.Schema.Kind):
		return omittedSchema
	case !shown:
		return string(p.selection.Omits(c.Path, c.Schema.Kind))
	case slices.ContainsFunc(c.Route, func(h tree.Hop) bool { return h.Node == p.peer }):
		return omittedLoop
	case len(c.Route) >= peering.MaxHops:
		return omittedFar
	}
	return ""
}

func (p *preview) omit(c *tree.Context, why string) {
	p.omitted++
	o := p.leftOut[why]
	if o == nil {
		o = &previewedOmission{}
		p.leftOut[why] = o
	}
	o.contexts++
	if sees(p.decider, p.by, c) && (!o.named || c.Path.Compare(o.example) < 0) {
		o.named, o.example = true, c.Path
	}
}

func (p *preview) results(at *tree.Context) []model.Argument {
	more := len(p.listed) > p.limit
	contexts := textTable("path", "kind", "label", "right", "own_path")
	for _, row := range p.listed[:min(len(p.listed), p.limit)] {
		addTexts(contexts, row.path.String(), row.kind, row.label, row.right.String(), row.own.String())
	}
	return []model.Argument{
		{Name: "peer", Value: model.String(p.peerName)},
		{Name: "right", Value: model.String(p.selection.Right().String())},
		{Name: "root", Value: model.String(p.view.Root.String())},
		{Name: "events", Value: at.SettingNamed(settingEvents)},
		{Name: "shown", Value: model.Int64(int64(p.shown))},
		{Name: "omitted", Value: model.Int64(int64(p.omitted))},
		{Name: "contexts", Value: model.TableValue(contexts)},
		{Name: "more", Value: model.Bool(more)},
		{Name: "kinds", Value: model.TableValue(p.kindTable())},
		{Name: "left_out", Value: model.TableValue(p.leftOutTable())},
	}
}
