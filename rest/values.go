package rest

import (
	"context"
	"net/http"

	"banyan/model"
	"banyan/proto/apiv1"
)

// AddressParameter is where an operation is about something of a context.
type AddressParameter struct {
	Address string `path:"address" maxLength:"1281" example:"/devices/local:cpu_percent" doc:"PATH:NAME, like /devices/local:cpu_percent: the path of a context, and the name of something of it. The slash at its beginning may be left out, and slashes and the colon may be sent as they are or as %2F and %3A."`
}

func (p *AddressParameter) address() string { return rooted(p.Address) }

// named are the path and the name.
func (p *AddressParameter) named(op string) (path, name string, err error) {
	at, err := model.ParseAddress(p.address())
	if err != nil {
		return "", "", err
	}
	if at.Name == "" {
		return "", "", &model.Error{Kind: model.KindInvalid, Op: op, Path: at.Path, Detail: "it names nothing of the context", Remedy: "write PATH:NAME"}
	}
	return at.Path.String(), at.Name, nil
}

type readingAnswer struct {
	ETag string `header:"ETag" example:"\"7-0123456789abcdef@42\"" doc:"Of a setting: the revision of its context. A variable has none."`
	Body Reading
}

// NewValue is what a setting or a variable is to be set to.
type NewValue struct {
	_     struct{} `additionalProperties:"false"`
	Value *Value   `json:"value,omitempty" doc:"In the JSON form of its type; null puts the default of a setting back."`
	Text  *string  `json:"text,omitempty" example:"2s" doc:"Or as a person types it, in place of value."`
}

type setRequest struct {
	AddressParameter
	Precondition
	Once
	Keep
	Body NewValue
}

// addValues adds the operations on single settings and variables.
func (h *Handler) addValues() {
	register(h, operation{
		id: "getValue", tag: "values", method: http.MethodGet, path: "/values/{address}", summary: "Read a setting or a variable",
		description: "What it is now, with its type, unit, quality and times.",
		problems:    []problemCase{badRequest, notThere},
	}, func(ctx context.Context, in *AddressParameter) (*readingAnswer, error) {
		reading, err := h.cfg.Core.Get(ctx, &apiv1.GetRequest{Address: in.address()})
		if err != nil {
			return nil, err
		}
		return &readingAnswer{ETag: etag(reading.GetRevision()), Body: readingOf(reading)}, nil
	})
	register(h, operation{
		id: "setValue", tag: "values", method: http.MethodPut, path: "/values/{address}", summary: "Set a setting or a writable variable",
		description: "At its owner, with the right that is declared for it. A setting is committed, and the answer has the new revision; with If-Match it is only while the context has that revision. What a variable is set to is passed to the device, and the effect comes back as a new value of it.",
		problems:    changing(preconditionFailed, tooLarge, wrongType),
	}, h.set)
}

func (h *Handler) set(ctx context.Context, in *setRequest) (*doneAnswer, error) {
	path, name, err := in.named("set")
	if err != nil {
		return nil, err
	}
	expected, err := in.revision()
	if err != nil {
		return nil, err
	}
	request := &apiv1.SetRequest{Address: path + ":" + name, Expected: expected, Id: in.id(), Until: in.Until, Async: in.async()}
	switch {
	case (in.Body.Value == nil) == (in.Body.Text == nil):
		return nil, model.Errorf(model.KindInvalid, `give either "value" or "text"`)
	case in.Body.Text != nil:
		request.Text = *in.Body.Text
	default:
		request.Value = in.Body.Value.wire()
	}
	done, err := h.cfg.Core.Set(ctx, request)
	if err != nil {
		p := problemOf(h.stale(ctx, path, expected, err))
		if p.Status == http.StatusPreconditionFailed {
			if now, failed := h.cfg.Core.Get(ctx, &apiv1.GetRequest{Address: request.GetAddress()}); failed == nil {
				reading := readingOf(now)
				p.Current = &reading
			}
		}
		return nil, p
	}
	return doneOf(done.GetRevision(), done.GetMirrored(), done.GetVia(), done.GetRequest()), nil
}
