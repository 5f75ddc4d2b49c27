package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"banyan/proto/apiv1"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"google.golang.org/protobuf/types/known/structpb"
)

// jsonLines is the type of an answer of several documents, each on a line.
const jsonLines = "application/jsonl"

// ExportPart is one line of an export. Kinds come before the contexts that have them.
type ExportPart struct {
	Kinds    []ExportKind    `json:"kinds,omitempty" nullable:"false" doc:"Kinds of contexts, and what they can be set to."`
	Contexts []ExportContext `json:"contexts,omitempty" nullable:"false" doc:"In no particular order."`
	Node     string          `json:"node,omitempty" example:"berlin" doc:"In the last line: the node that answers."`
	Change   uint64          `json:"change,omitempty" doc:"In the last line: the number of the node's change as of which all of it is true."`
	Complete bool            `json:"complete,omitempty" doc:"This is the last line. Where none says so, the export broke off."`
	Problem  *Problem        `json:"problem,omitempty" doc:"Why it broke off, where that can be told."`
}

// ExportKind is what a kind of context can be set to.
type ExportKind struct {
	Key         uint32          `json:"key" doc:"By which contexts name it: kinds of the same name at different owners can differ."`
	Name        string          `json:"name" example:"host" doc:"Of the kind."`
	Description string          `json:"description,omitempty" doc:"Of the kind."`
	Settings    []ExportSetting `json:"settings" nullable:"false" doc:"That it has."`
	Creatable   bool            `json:"creatable,omitempty" doc:"Contexts of this kind can be created at this node."`
	Whole       bool            `json:"whole,omitempty" doc:"What lies below such a context is part of it."`
}

// ExportSetting is a setting of a kind.
type ExportSetting struct {
	Name        string    `json:"name" example:"poll_interval" doc:"Of the setting."`
	Type        TypeName  `json:"type" doc:"Of its value."`
	Unit        string    `json:"unit,omitempty" doc:"Of its value."`
	Description string    `json:"description,omitempty" doc:"What it is for."`
	Default     *Value    `json:"default,omitempty" doc:"Where there is one."`
	Right       RightName `json:"right" doc:"Needed to set it."`
	Secret      bool      `json:"secret,omitempty" doc:"It can be written and never be read."`
	Local       bool      `json:"local,omitempty" doc:"It can be set at its owner only, not over a link."`
}

// ExportContext is a context with the settings that are set.
type ExportContext struct {
	Path     string           `json:"path" example:"/devices/local" doc:"In this node's tree."`
	Kind     uint32           `json:"kind" doc:"The key of its kind."`
	Label    string           `json:"label,omitempty" doc:"For people."`
	Revision string           `json:"revision" example:"7-0123456789abcdef@42" doc:"Of the context."`
	Via      []string         `json:"via,omitempty" nullable:"false" doc:"The nodes between this one and the owner, the owner last."`
	Settings map[string]Value `json:"settings,omitempty" doc:"Those that are set, by name, each in the JSON form of its type."`
	Secrets  []string         `json:"secrets,omitempty" nullable:"false" doc:"Names of secret settings that are set, where this node owns the context."`
	Fixed    bool             `json:"fixed,omitempty" doc:"People neither create nor remove it."`
	Found    bool             `json:"found,omitempty" doc:"It only shows what was found, or is part of the context above it."`
}

// addExport adds the export.
func (h *Handler) addExport() {
	part := h.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[ExportPart](), true, "")
	register(h, operation{
		id: "exportTree", tag: "contexts", method: http.MethodGet, path: "/export/{path}", summary: "Export everything below a path with its settings",
		description: "As of one moment, as far as the caller may see it: for who keeps settings in files. The answer is JSON lines (" + jsonLines + "), each an ExportPart; it is whole where the last line says complete.",
		problems:    []problemCase{badRequest, notThere},
		success:     &huma.Response{Description: "The lines.", Content: map[string]*huma.MediaType{jsonLines: {Schema: part}}},
	}, func(ctx context.Context, in *PathParameter) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(around huma.Context) {
			_, w := humago.Unwrap(around)
			h.export(ctx, w, in.path())
		}}, nil
	})
}

// export writes line by line; what is wrong before the first one is answered as for any other operation.
func (h *Handler) export(ctx context.Context, w http.ResponseWriter, path string) {
	control, begun := http.NewResponseController(w), false
	line := func(p ExportPart) error {
		if !begun {
			w.Header().Set("Content-Type", jsonLines)
			begun = true
		}
		_ = control.SetWriteDeadline(time.Now().Add(writeWithin)) // a writer that has none is one that cannot stall
		return json.NewEncoder(w).Encode(p)
	}
	err := h.cfg.Core.Export(ctx, &apiv1.ExportRequest{Path: path}, func(m *apiv1.ExportResponse) error { return line(exportPartOf(m)) })
	switch {
	case err == nil || ctx.Err() != nil:
	case !begun:
		problemOf(err).write(w)
	default:
		_ = line(ExportPart{Problem: problemOf(err)}) // whoever is gone does not hear it
	}
}

func exportPartOf(m *apiv1.ExportResponse) ExportPart {
	out := ExportPart{Node: m.GetNode(), Change: m.GetChange(), Complete: m.GetComplete()}
	for _, k := range m.GetKinds() {
		kind := ExportKind{
			Key: k.GetKey(), Name: k.GetName(), Description: k.GetDescription(), Creatable: k.GetCreatable(), Whole: k.GetWhole(), Settings: []ExportSetting{},
		}
		for _, s := range k.GetSettings() {
			setting := ExportSetting{
				Name: s.GetName(), Type: TypeName(s.GetType()), Unit: s.GetUnit(), Description: s.GetDescription(), Right: RightName(s.GetRight()),
				Secret: s.GetSecret(), Local: s.GetLocal(),
			}
			if s.GetDefault() != nil {
				setting.Default = &Value{s.GetDefault()}
			}
			kind.Settings = append(kind.Settings, setting)
		}
		out.Kinds = append(out.Kinds, kind)
	}
	for _, c := range m.GetContexts() {
		out.Contexts = append(out.Contexts, ExportContext{
			Path: c.GetPath(), Kind: c.GetKind(), Label: c.GetLabel(), Revision: c.GetRevision(), Via: c.GetVia(), Settings: valuesOf(c.GetSettings()),
			Secrets: c.GetSecrets(), Fixed: c.GetFixed(), Found: c.GetFound(),
		})
	}
	return out
}

func valuesOf(wire map[string]*structpb.Value) map[string]Value {
	if len(wire) == 0 {
		return nil
	}
	out := make(map[string]Value, len(wire))
	for name, v := range wire {
		out[name] = Value{v}
	}
	return out
}
