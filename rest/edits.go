package rest

import (
	"context"
	"net/http"

	"banyan/model"
	"banyan/proto/apiv1"
)

// Edits are several changes that are done as one.
type Edits struct {
	_      struct{} `additionalProperties:"false"`
	Edits  []Edit   `json:"edits" nullable:"false" minItems:"1" maxItems:"10000" doc:"Judged and done in this order; all of what one node owns. A context is created, changed or removed once; one that was removed may be created again."`
	DryRun bool     `json:"dry_run,omitempty" doc:"Judge them, and do nothing."`
}

// Edit is one of them: exactly one of create, change and remove.
type Edit struct {
	_        struct{}        `additionalProperties:"false"`
	Path     string          `json:"path" maxLength:"1024" example:"/devices/local" doc:"Of the context."`
	Expected string          `json:"expected,omitempty" example:"7-0123456789abcdef@42" doc:"The revision that it must have (change and remove)."`
	Create   *CreateEdit     `json:"create,omitempty" doc:"Create it."`
	Change   *SettingsChange `json:"change,omitempty" doc:"Change its settings or its label."`
	Remove   *RemoveEdit     `json:"remove,omitempty" doc:"Remove it."`
}

// CreateEdit is a context to be created.
type CreateEdit struct {
	_        struct{}          `additionalProperties:"false"`
	Kind     string            `json:"kind" maxLength:"255" example:"host" doc:"What sort of context."`
	Label    string            `json:"label,omitempty" doc:"For people; any text."`
	Settings map[string]Value  `json:"settings,omitempty" doc:"By name, each in the JSON form of its type."`
	Texts    map[string]string `json:"texts,omitempty" doc:"Settings by name as a person types them, in place of settings."`
}

// RemoveEdit is a context to be removed.
type RemoveEdit struct {
	_     struct{} `additionalProperties:"false"`
	Below bool     `json:"below,omitempty" doc:"Everything below it, too."`
}

type editsRequest struct {
	Once
	Keep
	Body Edits
}

// addEdits adds the batch.
func (h *Handler) addEdits() {
	register(h, operation{
		id: "applyEdits", tag: "contexts", method: http.MethodPost, path: "/edits", summary: "Do several changes as one",
		description: "All of them in one commit, or, where one is refused, none; the problem tells of up to 20 that were refused. Each is judged like a request of its own, as if those before it had been done.",
		problems:    changing(tooLarge, wrongType),
	}, func(ctx context.Context, in *editsRequest) (*doneAnswer, error) {
		request := &apiv1.ApplyRequest{DryRun: in.Body.DryRun, Id: in.id(), Until: in.Until, Async: in.async()}
		for i := range in.Body.Edits {
			edit, err := in.Body.Edits[i].wire()
			if err != nil {
				return nil, model.Errorf(model.KindInvalid, "edit %d: %w", i+1, err)
			}
			request.Edits = append(request.Edits, edit)
		}
		done, err := h.cfg.Core.Apply(ctx, request)
		if err != nil {
			return nil, err
		}
		return doneOf(done.GetRevision(), done.GetMirrored(), done.GetVia(), done.GetRequest()), nil
	})
}

// wire is the edit as the messages have it.
func (e *Edit) wire() (*apiv1.Edit, error) {
	out := &apiv1.Edit{Path: rooted(e.Path), Expected: e.Expected}
	operations := 0
	if c := e.Create; c != nil {
		operations++
		out.Operation = &apiv1.Edit_Create{Create: &apiv1.CreateEdit{Kind: c.Kind, Label: c.Label, Settings: values(c.Settings), Texts: c.Texts}}
	}
	if c := e.Change; c != nil {
		operations++
		out.Operation = &apiv1.Edit_Change{Change: &apiv1.ChangeEdit{Settings: values(c.Settings), Texts: c.Texts, Label: c.Label}}
	}
	if e.Remove != nil {
		operations++
		out.Operation = &apiv1.Edit_Remove{Remove: &apiv1.RemoveEdit{Below: e.Remove.Below}}
	}
	if operations != 1 {
		return nil, model.Errorf(model.KindInvalid, "give exactly one of create, change and remove")
	}
	return out, nil
}
