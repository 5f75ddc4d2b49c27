package rest

import (
	"context"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"banyan/model"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/hashicorp/go-hclog"
)

// Config is what a Handler is made from.
type Config struct {
	Core  Core
	Enter Enter
	// Logger gets what went wrong in here; nothing is logged when nil.
	Logger hclog.Logger
	// MaxBody bounds the body of a request in bytes, default 4 MiB; what answers strangers takes 64 KiB.
	MaxBody int64
	// Heartbeat is the time between comments on a silent event stream, default 15 s. Proxies cut streams off that say nothing for a minute or so.
	Heartbeat time.Duration
}

// Limits of requests.
const (
	defaultBody   = 4 << 20
	strangersBody = 64 << 10
	bodyWithin    = 30 * time.Second
	heartbeat     = 15 * time.Second
)

// Handler answers everything below /api/.
type Handler struct {
	cfg      Config
	mux      *http.ServeMux
	api      huma.API
	document document
}

// New makes a handler. Core may be nil for whoever only wants the document.
func New(cfg Config) *Handler {
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = defaultBody
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = heartbeat
	}
	adopt()
	h := &Handler{cfg: cfg, mux: http.NewServeMux()}
	h.api = humago.NewWithPrefix(router{h.mux}, Prefix, configuration())
	h.addContexts()
	h.addSettings()
	h.addChanges()
	h.addEdits()
	h.addExport()
	h.addValues()
	h.addFunctions()
	h.addRequests()
	h.addWatch()
	h.addSession()
	h.addNode()
	h.serveDocument()
	return h
}

// adopt makes huma speak in problems. It asks for that by variables of its own, which nobody else in this program uses.
var adopt = sync.OnceFunc(func() {
	huma.DefaultArrayNullable = false
	huma.NewError = func(status int, detail string, errs ...error) huma.StatusError {
		return problemOfStatus(status, detail, errs...)
	}
	huma.NewErrorWithContext = func(_ huma.Context, status int, detail string, errs ...error) huma.StatusError {
		return problemOfStatus(status, detail, errs...)
	}
})

// ServeHTTP finds the operation, asks whether the caller may have it, and has it answered; with a problem whatever happens.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer h.recovered(w, r)
	r, direct := canonical(r)
	if !direct {
		absent().write(w)
		return
	}
	found, pattern := h.mux.Handler(r)
	switch {
	case pattern == "":
		h.unknown(w, r, found)
		return
	case redirects(r, pattern):
		absent().write(w)
		return
	}
	requirement, err := Routes.Of(routeName(pattern))
	if err != nil {
		problemOf(err).write(w)
		return
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		p := newProblem(model.KindInvalid, http.StatusUnsupportedMediaType, "the body is encoded, and is not unpacked here", "send it as it is")
		p.header.Set("Accept-Encoding", "identity")
		p.write(w)
		return
	}
	ctx, err := h.cfg.Enter(r, requirement)
	if err != nil {
		problemOf(err).write(w)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	h.mux.ServeHTTP(w, r.WithContext(ctx))
}

// unknown answers where there is no such operation: net/http knows whether the URL is there with another method.
func (h *Handler) unknown(w http.ResponseWriter, r *http.Request, found http.Handler) {
	seen := &statusOnly{header: http.Header{}}
	found.ServeHTTP(seen, r)
	if allow := seen.header.Get("Allow"); seen.status == http.StatusMethodNotAllowed {
		p := newProblem(model.KindInvalid, seen.status, "this URL does not take "+strconv.QuoteToASCII(shortened(r.Method)), "use one of "+allow)
		p.header.Set("Allow", allow)
		p.write(w)
		return
	}
	absent().write(w)
}

func absent() *Problem {
	return newProblem(model.KindNotFound, http.StatusNotFound, "there is no such resource", "see "+Prefix+"/openapi.json for what there is")
}

func shortened(text string) string { return text[:min(len(text), 32)] }

// statusOnly takes what a handler answers by itself, for its status and header.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) Write(p []byte) (int, error) { return len(p), nil }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }

// recovered answers for an operation that panicked: the log has all of it, the caller that it happened.
func (h *Handler) recovered(w http.ResponseWriter, r *http.Request) {
	what := recover()
	if what == nil {
		return
	}
	if what == http.ErrAbortHandler { //nolint:errorlint // whoever gives up panics with it as it is
		panic(what)
	}
	h.cfg.Logger.Error("an operation panicked", "method", r.Method, "url", r.URL.Path, "panic", what, "stack", string(debug.Stack()))
	problemOf(model.Errorf(model.KindInternal, "an internal error; the node's log has the detail")).write(w)
}

// register adds an operation.
func register[I, O any](h *Handler, o operation, answer func(context.Context, *I) (*O, error)) {
	op := huma.Operation{
		OperationID: o.id, Method: o.method, Path: o.path, Summary: o.summary, Description: o.description, Tags: []string{o.tag},
		DefaultStatus: o.status, MaxBodyBytes: h.cfg.MaxBody, BodyReadTimeout: bodyWithin, RejectUnknownQueryParameters: true,
	}
	requirement := Routes[o.method+" "+Prefix+o.path]
	if public(requirement) {
		op.Security, op.MaxBodyBytes = []map[string][]string{}, min(strangersBody, h.cfg.MaxBody)
	}
	op.Responses = problems(o, requirement)
	if o.success != nil {
		op.Responses["200"] = o.success
	}
	huma.Register(h.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := answer(ctx, in)
		if err != nil {
			p := problemOf(err)
			if p.Status == http.StatusInternalServerError {
				h.cfg.Logger.Error("a request failed", "operation", o.id, "error", err)
			}
			return nil, p
		}
		return out, nil
	})
	if _, keeps := any(new(I)).(keeping); keeps {
		h.accepted(o)
	}
}
