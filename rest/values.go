package rest

import (
	"context"
	"net/http"

	"banyan/proto/apiv1"
)

// AddressParameter is where an operation is about something of a context.
type AddressParameter struct {
	Address string `path:"address" maxLength:"1281" example:"/devices/local:cpu_percent" doc:"PATH:NAME, like /devices/local:cpu_percent: the path of a context, and the name of something of it. The slash at its beginning may be left out, and slashes and the colon may be sent as they are or as %2F and %3A."`
}

func (p *AddressParameter) address() string { return rooted(p.Address) }

type readingAnswer struct {
	ETag string `header:"ETag" example:"\"7-0123456789abcdef@42\"" doc:"Of a setting: the revision of its context. A variable has none."`
	Body Reading
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
}
