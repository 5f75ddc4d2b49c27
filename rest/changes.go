package rest

import (
	"context"
	"net/http"

	"banyan/proto/apiv1"
)

// Problems of what changes something.
var (
	conflict    = problemCase{http.StatusConflict, "Something of that name is there already, or something is in the way."}
	cannot      = problemCase{http.StatusUnprocessableEntity, "This kind of context cannot do that, or the owner's version cannot."}
	unreachable = problemCase{http.StatusServiceUnavailable, "The owner cannot be reached now; trying later can help."}
	tooLate     = problemCase{http.StatusGatewayTimeout, "The owner did not answer in time."}
	unknownFate = problemCase{http.StatusBadGateway, "It may have been done or not: the connection to the owner ended. Sent again with the same Idempotency-Key it is not done twice."}
	tooLarge    = problemCase{http.StatusRequestEntityTooLarge, "The body is too large."}
	wrongType   = problemCase{http.StatusUnsupportedMediaType, "The body is not JSON, or is packed."}
)

// changing are the problems of every operation that changes something, and those given.
func changing(more ...problemCase) []problemCase {
	return append([]problemCase{badRequest, denied, notThere, conflict, cannot, unreachable, tooLate, unknownFate}, more...)
}

// Done is what became of a change.
type Done struct {
	Revision string   `json:"revision,omitempty" example:"7-0123456789abcdef@43" doc:"That the context has now at its owner, where a setting was changed."`
	Mirrored bool     `json:"mirrored" doc:"The tree of this node shows it already. Where it does not, the owner has done it all the same."`
	Via      []string `json:"via,omitempty" nullable:"false" doc:"The nodes that the request went through, the owner last."`
	// Request is nil where it was not kept.
	Request *KeptRequest `json:"request,omitempty" doc:"With until: what is known of it."`
}

type doneAnswer struct {
	Status   int
	ETag     string `header:"ETag" example:"\"7-0123456789abcdef@43\"" doc:"The revision that the context has now, where a setting was changed."`
	Location string `header:"Location" doc:"Where a request is that has not ended (202)."`
	Body     Done
}

// doneOf is the answer to a change.
func doneOf(revision string, mirrored bool, via []string, info *apiv1.RequestInfo) *doneAnswer {
	kept := keptOf(info)
	status, location := placeOf(kept, http.StatusOK)
	return &doneAnswer{Status: status, ETag: etag(revision), Location: location, Body: Done{Revision: revision, Mirrored: mirrored, Via: via, Request: kept}}
}

// NewContext is a context to be created.
type NewContext struct {
	_        struct{}          `additionalProperties:"false"`
	Path     string            `json:"path" maxLength:"1024" example:"/devices/local" doc:"Where: below a folder of this node, or at or below a mount point, where the owner of that creates it."`
	Kind     string            `json:"kind" maxLength:"255" example:"host" doc:"What sort of context."`
	Label    string            `json:"label,omitempty" example:"The gateway itself" doc:"For people; any text."`
	Settings map[string]Value  `json:"settings,omitempty" example:"{\"poll_interval\":\"10s\"}" doc:"By name, each in the JSON form of its type. What is left out has its default."`
	Texts    map[string]string `json:"texts,omitempty" doc:"Settings by name as a person types them, in place of settings."`
}

type createRequest struct {
	Once
	Keep
	Body NewContext
}

// Created is a context that was created.
type Created struct {
	ID       string   `json:"id" doc:"Of the context, for life."`
	Revision string   `json:"revision" example:"7-0123456789abcdef@43" doc:"That it has."`
	Mirrored bool     `json:"mirrored" doc:"The tree of this node shows it already."`
	Via      []string `json:"via,omitempty" nullable:"false" doc:"The nodes that the request went through, the owner last."`
	// Request is nil where it was not kept.
	Request *KeptRequest `json:"request,omitempty" doc:"With until: what is known of it."`
}

type createdAnswer struct {
	Status   int
	ETag     string `header:"ETag" example:"\"7-0123456789abcdef@43\"" doc:"The revision that it has."`
	Location string `header:"Location" example:"/api/v1/contexts/devices/local" doc:"Where it can be read; where it is not done yet (202), the request."`
	Body     Created
}

type removeRequest struct {
	PathParameter
	Precondition
	Once
	Keep
	Below bool `query:"below" doc:"Everything below it, too. Without it a context with something below it is not removed."`
}

// addChanges adds what creates and removes contexts.
func (h *Handler) addChanges() {
	register(h, operation{
		id: "createContext", tag: "contexts", method: http.MethodPost, path: "/contexts", summary: "Create a context", status: http.StatusCreated,
		description: "At the owner of the path. It needs the right configure there, and for each setting the right that is declared for it.",
		problems:    changing(tooLarge, wrongType),
	}, h.create)
	register(h, operation{
		id: "removeContext", tag: "contexts", method: http.MethodDelete, path: "/contexts/{path}", summary: "Remove a context",
		description: "At its owner. It needs the right configure.", problems: changing(preconditionFailed),
	}, h.remove)
}

func (h *Handler) create(ctx context.Context, in *createRequest) (*createdAnswer, error) {
	path := rooted(in.Body.Path)
	done, err := h.cfg.Core.Create(ctx, &apiv1.CreateRequest{
		Path: path, Kind: in.Body.Kind, Label: in.Body.Label, Settings: values(in.Body.Settings), Texts: in.Body.Texts, Id: in.id(), Until: in.Until, Async: in.async(),
	})
	if err != nil {
		return nil, err
	}
	kept := keptOf(done.GetRequest())
	status, location := placeOf(kept, http.StatusCreated)
	if location == "" {
		location = Prefix + "/contexts" + path
	}
	return &createdAnswer{
		Status: status, ETag: etag(done.GetRevision()), Location: location,
		Body: Created{ID: done.GetId(), Revision: done.GetRevision(), Mirrored: done.GetMirrored(), Via: done.GetVia(), Request: kept},
	}, nil
}

func (h *Handler) remove(ctx context.Context, in *removeRequest) (*doneAnswer, error) {
	expected, err := in.revision()
	if err != nil {
		return nil, err
	}
	done, err := h.cfg.Core.Remove(ctx, &apiv1.RemoveRequest{Path: in.path(), Expected: expected, Below: in.Below, Id: in.id(), Until: in.Until, Async: in.async()})
	if err != nil {
		return nil, h.stale(ctx, in.path(), expected, err)
	}
	return doneOf("", done.GetMirrored(), done.GetVia(), done.GetRequest()), nil
}
