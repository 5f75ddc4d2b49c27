package server

import (
	"context"
	"net/http"
	"strings"

	"banyan/access"
	"banyan/model"
	"banyan/store"
)

// Routes says whom each route of plain HTTP answers, by its pattern with its method, as in "GET /metrics". The field of one that is entitled is the
// wildcard of the pattern that holds a path, or a path itself, which begins with a slash. A route that is not here answers nobody, and fails the
// test that compares this table with what is served. The methods of the API have a table of their own, Methods.
var Routes = access.Methods{
	"GET /healthz": {Who: access.Public},
	"GET /metrics": {Who: access.Entitled, Right: model.RightView, Field: "/system"},
	"GET /backup":  {Who: access.Entitled, Right: model.RightAdminister, Field: "/system"},
}

// routes is what the API's listener serves, each route behind its line of the table: whoever is to be known is known before the handler runs, and who
// it is stands in the request's context (callerOf). Where the line names a path of its own, the right there is decided here, too; where it names a
// part of the request, what the caller may do with that is decided by who reads it, through the Router or the decider.
type routes struct {
	node   *Node
	mux    *http.ServeMux
	table  access.Methods
	served []string
	// refuse answers for a handler that is not to run; as plain text when nil.
	refuse func(w http.ResponseWriter, r *http.Request, err error)
}

func newRoutes(n *Node, table access.Methods) *routes {
	return &routes{node: n, mux: http.NewServeMux(), table: table}
}

// Handle serves a route.
func (r *routes) Handle(pattern string, h http.Handler) {
	r.served = append(r.served, pattern)
	requirement, err := r.table.Of(pattern)
	if err != nil {
		r.node.log.Error("a route is not declared, and answers nobody", "route", pattern)
		requirement = access.Requirement{}
	}
	r.mux.Handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		ctx, err := r.gate(q.Context(), requirement, q.Header, q.RemoteAddr)
		if err == nil || model.KindOf(err) == model.KindDenied {
			err = r.recorded(ctx, requirement, pattern, err)
		}
		if err != nil {
			r.refused(w, q, err)
			return
		}
		h.ServeHTTP(w, q.WithContext(ctx))
	}))
}

// operationFetch is the operation of a row about a route.
const operationFetch = "fetch"

// recorded tells the audit log of a route for which seeing is not enough, before it runs, or that it was refused.
func (r *routes) recorded(ctx context.Context, requirement access.Requirement, pattern string, refusal error) error {
	if requirement.Right <= model.RightView {
		return refusal
	}
	caller := callerOf(ctx)
	row := store.Audit{
		Who: auditText(caller.Principal.Chain.String()), From: auditText(caller.From), Operation: operationFetch, Path: requirement.Field, What: auditText(pattern), Outcome: outcomeBegun,
	}
	if refusal != nil {
		row.Outcome = auditText(failedText(refusal))
		r.node.audit.refused(ctx, row)
		return refusal
	}
	return r.node.audit.write(ctx, row)
}

// HandleFunc serves a route by a function.
func (r *routes) HandleFunc(pattern string, f func(http.ResponseWriter, *http.Request)) {
	r.Handle(pattern, http.HandlerFunc(f))
}

// methods serves the methods of the API, which look into their own table, for every path that no route has.
func (r *routes) methods(h http.Handler) { r.mux.Handle("/", h) }

// resources serves what lies below the prefix of package rest, whose table says whom each operation answers.
func (r *routes) resources(h http.Handler) { r.mux.Handle("/api/", h) }

// ServeHTTP serves the routes.
func (r *routes) ServeHTTP(w http.ResponseWriter, q *http.Request) { r.mux.ServeHTTP(w, q) }

// gate lets in whom a requirement says.
func (r *routes) gate(ctx context.Context, requirement access.Requirement, header http.Header, address string) (context.Context, error) {
	ctx, err := r.node.api.enter(ctx, requirement, header, address)
	if err != nil || requirement.Who != access.Entitled || !strings.HasPrefix(requirement.Field, "/") {
		return ctx, err
	}
	at, err := model.ParsePath(requirement.Field)
	if err != nil {
		return ctx, err
	}
	entity := access.Entity{Path: at}
	if c, there := r.node.tree.Lookup(at); there {
		entity.Kind = c.Schema.Kind
	}
	if !r.node.router.decide(callerOf(ctx).Principal, entity, requirement.Right, false).Allowed {
		return ctx, model.Errorf(model.KindDenied, "%s on %s is needed", requirement.Right, at)
	}
	return ctx, nil
}

func (r *routes) refused(w http.ResponseWriter, q *http.Request, err error) {
	status := http.StatusForbidden
	switch model.KindOf(err) {
	case model.KindUnauthenticated:
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", "Bearer")
	case model.KindExhausted:
		status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", retryAfter(err))
	}
	if r.refuse != nil {
		r.refuse(w, q, err)
		return
	}
	http.Error(w, err.Error(), status)
}
