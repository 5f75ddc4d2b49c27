package rest

import (
	"context"
	"net/http"
	"strings"

	"banyan/proto/apiv1"
)

// PathParameter is where an operation is about a context.
type PathParameter struct {
	Path string `path:"path" maxLength:"1025" example:"/devices/local" doc:"The path of a context in this node's tree, like /devices/local. The slash at its beginning may be left out, and slashes may be sent as they are or as %2F: /contexts/devices/local and /contexts/%2Fdevices%2Flocal are the same. The root is %2F, or nothing. Segments have the characters A-Z a-z 0-9 _ . -, 1 to 255 of them; there are at most 64 of them and 1,024 bytes in all."`
}

func (p *PathParameter) path() string { return rooted(p.Path) }

// etag is a revision as HTTP writes one.
func etag(revision string) string {
	if revision == "" {
		return ""
	}
	return `"` + revision + `"`
}

// base is the last segment of a path.
func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

type contextAnswer struct {
	ETag string `header:"ETag" example:"\"7-0123456789abcdef@42\"" doc:"The revision: of the settings, the kind and the label. Values of variables change without it."`
	Body Context
}

type childrenQuery struct {
	PathParameter
	After string `query:"after" maxLength:"255" example:"local" doc:"The last segment of the path after which to go on: next of the page before."`
	Limit int32  `query:"limit" minimum:"1" maximum:"1000" default:"200" doc:"How many at most."`
}

type childrenAnswer struct{ Body Children }

// addContexts adds the operations on contexts.
func (h *Handler) addContexts() {
	register(h, operation{
		id: "getContext", tag: "contexts", method: http.MethodGet, path: "/contexts/{path}", summary: "Read a context with everything of it",
		description: "Settings, variables and functions, with what is declared of each, as far as the caller may see them.",
		problems:    []problemCase{badRequest, notThere},
	}, func(ctx context.Context, in *PathParameter) (*contextAnswer, error) {
		info, err := h.cfg.Core.Describe(ctx, &apiv1.DescribeRequest{Path: in.path()})
		if err != nil {
			return nil, err
		}
		return &contextAnswer{ETag: etag(info.GetRevision()), Body: contextOf(info)}, nil
	})
	register(h, operation{
		id: "listChildren", tag: "contexts", method: http.MethodGet, path: "/children/{path}", summary: "List what lies directly below a path",
		description: "Page by page, in the order of names. The root can always be listed; any other path must be one that may be seen, or lie on the way to one.",
		problems:    []problemCase{badRequest, notThere},
	}, func(ctx context.Context, in *childrenQuery) (*childrenAnswer, error) {
		list, err := h.cfg.Core.List(ctx, &apiv1.ListRequest{Path: in.path(), After: in.After, Limit: in.Limit})
		if err != nil {
			return nil, err
		}
		return &childrenAnswer{Body: childrenOf(list)}, nil
	})
}
