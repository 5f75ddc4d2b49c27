package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"banyan/model"
	"banyan/proto/apiv1"
)

// SettingsDocument is what is wanted of a context: the document that is read, edited and put back.
type SettingsDocument struct {
	_        struct{}         `additionalProperties:"false"`
	Kind     string           `json:"kind,omitempty" example:"host" doc:"Of the context. It cannot be changed: where a request has it, it must be the right one."`
	Label    *string          `json:"label,omitempty" example:"The gateway itself" doc:"For people; any text."`
	Settings map[string]Value `json:"settings" example:"{\"poll_interval\":\"10s\"}" doc:"By name, each in the JSON form of its type, which getContext tells. Secret ones are in no answer."`
}

// SettingsChange is what is to become different.
type SettingsChange struct {
	_        struct{}          `additionalProperties:"false"`
	Label    *string           `json:"label,omitempty" example:"The gateway itself" doc:"The new label; what is left out stays."`
	Settings map[string]Value  `json:"settings,omitempty" example:"{\"poll_interval\":\"10s\",\"timeout\":null}" doc:"By name, each in the JSON form of its type; null puts the default back. What is left out stays."`
	Texts    map[string]string `json:"texts,omitempty" doc:"Settings by name as a person types them, in place of settings."`
}

type settingsAnswer struct {
	ETag string `header:"ETag" example:"\"7-0123456789abcdef@42\"" doc:"The revision of the context: it changes when this document does, and when a secret setting is set."`
	Body SettingsDocument
}

type replaceRequest struct {
	PathParameter
	Precondition
	Once
	Body SettingsDocument
}

type changeRequest struct {
	PathParameter
	Precondition
	Once
	Body SettingsChange
}

var preconditionRequired = problemCase{http.StatusPreconditionRequired, "If-Match is missing: whoever replaces a document says which one they have read."}

// addSettings adds the settings of a context as one document.
func (h *Handler) addSettings() {
	register(h, operation{
		id: "getSettings", tag: "contexts", method: http.MethodGet, path: "/settings/{path}", summary: "Read the settings of a context as one document",
		description: "Every setting that the caller may see with the value that it has, whether it was set or is the default.",
		problems:    []problemCase{badRequest, notThere},
	}, func(ctx context.Context, in *PathParameter) (*settingsAnswer, error) {
		info, err := h.cfg.Core.Describe(ctx, &apiv1.DescribeRequest{Path: in.path()})
		if err != nil {
			return nil, err
		}
		label := info.GetLabel()
		out := SettingsDocument{Kind: info.GetKind(), Label: &label, Settings: map[string]Value{}}
		for _, s := range info.GetSettings() {
			if !s.GetSecret() {
				out.Settings[s.GetReading().GetName()] = Value{s.GetReading().GetValue()}
			}
		}
		return &settingsAnswer{ETag: etag(info.GetRevision()), Body: out}, nil
	})
	register(h, operation{
		id: "replaceSettings", tag: "contexts", method: http.MethodPut, path: "/settings/{path}", summary: "Replace the settings of a context",
		description: "All of them in one commit, or none: each setting gets the value that the document has, and one that the document leaves out gets its default back, but for secret ones, which stay. If-Match is required. The rights are those for each setting that becomes different.",
		problems:    changing(preconditionFailed, preconditionRequired, tooLarge, wrongType),
	}, h.replace)
	register(h, operation{
		id: "changeSettings", tag: "contexts", method: http.MethodPatch, path: "/settings/{path}", summary: "Change some settings of a context",
		description: "Those that the body names, in one commit or not at all, with the right that is declared for each.",
		problems:    changing(preconditionFailed, tooLarge, wrongType),
	}, func(ctx context.Context, in *changeRequest) (*doneAnswer, error) {
		expected, err := in.revision()
		if err != nil {
			return nil, err
		}
		return h.change(ctx, in.path(), expected, in.id(), &apiv1.ChangeEdit{
			Settings: values(in.Body.Settings), Texts: in.Body.Texts, Label: in.Body.Label,
		})
	})
}

// change changes settings of a context in one commit.
func (h *Handler) change(ctx context.Context, path, expected, id string, edit *apiv1.ChangeEdit) (*doneAnswer, error) {
	done, err := h.cfg.Core.Apply(ctx, &apiv1.ApplyRequest{
		Edits: []*apiv1.Edit{{Path: path, Expected: expected, Operation: &apiv1.Edit_Change{Change: edit}}}, Id: id,
	})
	if err != nil {
		p := problemOf(h.stale(ctx, path, expected, err))
		p.Errors = nil // the batch of one edit is ours, not the caller's
		return nil, p
	}
	return doneOf(done.GetRevision(), done.GetMirrored(), done.GetVia(), done.GetRequest()), nil
}

// triesOfReplace is how often a document that replaces whatever there is is tried anew, when others change the context all the while.
const triesOfReplace = 4

// replace sets what the document has different from what there is, at the revision that it was compared with.
func (h *Handler) replace(ctx context.Context, in *replaceRequest) (*doneAnswer, error) {
	expected, err := in.revision()
	if err != nil {
		return nil, err
	}
	if in.IfMatch == "" {
		return nil, newProblem(model.KindInvalid, http.StatusPreconditionRequired, "a document replaces the one that was read, and does not say which that was",
			"send the ETag of that answer as If-Match, or * for whatever there is now")
	}
	for try := 1; ; try++ {
		now, err := h.cfg.Core.Describe(ctx, &apiv1.DescribeRequest{Path: in.path()})
		if err != nil {
			return nil, err
		}
		if in.Body.Kind != "" && in.Body.Kind != now.GetKind() {
			return nil, model.Errorf(model.KindInvalid, "the context is a %s, not a %.64q: a kind cannot be changed", now.GetKind(), in.Body.Kind)
		}
		if expected != "" && expected != now.GetRevision() {
			return nil, h.stale(ctx, in.path(), expected, model.Errorf(model.KindConflict, "it has another revision"))
		}
		edit := difference(now, &in.Body)
		if len(edit.Settings) == 0 && edit.Label == nil {
			return doneOf(now.GetRevision(), true, nil, nil), nil
		}
		done, err := h.change(ctx, in.path(), now.GetRevision(), in.id(), edit)
		if err != nil && expected == "" && problemOf(err).Status == http.StatusPreconditionFailed && try < triesOfReplace {
			continue
		}
		return done, err
	}
}

// difference is what a document has otherwise than the context.
func difference(now *apiv1.ContextInfo, wanted *SettingsDocument) *apiv1.ChangeEdit {
	edit := &apiv1.ChangeEdit{Settings: values(wanted.Settings)}
	if wanted.Label != nil && *wanted.Label != now.GetLabel() {
		edit.Label = wanted.Label
	}
	for _, s := range now.GetSettings() {
		name := s.GetReading().GetName()
		value, named := wanted.Settings[name]
		switch {
		case !named && !s.GetSecret():
			edit.Settings[name] = Value{}.wire()
		case named && !s.GetSecret() && sameJSON(value, Value{s.GetReading().GetValue()}):
			delete(edit.Settings, name)
		}
	}
	return edit
}

func sameJSON(a, b Value) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
