package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"banyan/model"
	"banyan/proto"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
)

// counts are what is counted where it happens. Labels have few values each: methods and routes of this program, codes, kinds of errors; never a
// name that people gave.
type counts struct {
	requests *prometheus.CounterVec   // of HTTP, by route and status
	calls    *prometheus.CounterVec   // of methods, by code
	took     *prometheus.HistogramVec // methods that answer once
	commits  prometheus.Histogram
	refused  *prometheus.CounterVec // commits, by kind of error
}

// Buckets reach from what a look into memory takes to what a person gives up on; a commit takes an fsync at least.
var (
	callBuckets   = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	commitBuckets = []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

func newCounts() *counts {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "banyan", Name: name, Help: help}, labels)
	}
	return &counts{
		requests: counter("http_requests_total", "Requests over HTTP that were answered, streams when they ended, by route and status.", "route", "code"),
		calls:    counter("rpc_requests_total", "Calls of methods of the API that were answered, streams when they ended, by code.", "method", "code"),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "banyan", Name: "rpc_duration_seconds", Help: "How long methods of the API took that answer once, without reading the request and writing the answer.", Buckets: callBuckets,
		}, []string{"method"}),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "banyan", Name: "commit_duration_seconds", Help: "From handing a commit in to its confirmation, waiting for others included.", Buckets: commitBuckets,
		}),
		refused: counter("commits_refused_total", "Commits that were not confirmed, by the kind of the error.", "kind"),
	}
}

func (c *counts) collectors() []prometheus.Collector {
	return []prometheus.Collector{c.requests, c.calls, c.took, c.commits, c.refused}
}

// commit counts one that has ended.
func (c *counts) commit(took time.Duration, err error) {
	if err != nil {
		c.refused.WithLabelValues(model.KindOf(err).String()).Inc()
		return
	}
	c.commits.Observe(took.Seconds())
}

// counted counts requests by their route, which is known once they were served: what has no route is "other".
func (c *counts) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		watched := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() { c.requests.WithLabelValues(routeClass(r.Pattern), strconv.Itoa(watched.status)).Inc() }()
		next.ServeHTTP(watched, r)
	})
}

// routeClass is a route by its pattern.
func routeClass(pattern string) string {
	_, path, found := strings.Cut(pattern, " ")
	if !found {
		path = pattern
	}
	switch {
	case strings.HasPrefix(path, "/banyan."), strings.HasPrefix(path, "/grpc."):
		return "rpc"
	case strings.HasPrefix(path, "/api/"):
		return "rest"
	case path == "", path == "/":
		return "other"
	}
	return path
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
	told   bool
}

// WriteHeader notes the status.
func (w *statusWriter) WriteHeader(status int) {
	if !w.told && status >= http.StatusOK {
		w.told, w.status = true, status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write writes.
func (w *statusWriter) Write(p []byte) (int, error) {
	w.told = true
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach what lies below.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush sends what was written.
func (w *statusWriter) Flush() {
	if below, can := w.ResponseWriter.(http.Flusher); can {
		w.told = true
		below.Flush()
	}
}

// calls counts methods of the API.
type countCalls struct{ to *counts }

var _ connect.Interceptor = countCalls{}

// WrapUnary counts an answer, and how long it took.
func (c countCalls) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		began := time.Now()
		response, err := next(ctx, request)
		method := methodName(request.Spec().Procedure)
		c.to.took.WithLabelValues(method).Observe(time.Since(began).Seconds())
		c.to.calls.WithLabelValues(method, codeName(err)).Inc()
		return response, err
	}
}

// WrapStreamingClient does nothing: this is a server.
func (c countCalls) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler counts a stream that has ended.
func (c countCalls) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		err := next(ctx, conn)
		c.to.calls.WithLabelValues(methodName(conn.Spec().Procedure), codeName(err)).Inc()
		return err
	}
}

// methodName is a method without the package: TreeService/Get.
func methodName(procedure string) string {
	at := strings.LastIndexByte(procedure[:max(strings.LastIndexByte(procedure, '/'), 0)], '.')
	return strings.TrimPrefix(procedure[at+1:], "/")
}

// codeName is the code of an error as gRPC names it, ok for none.
func codeName(err error) string {
	if err == nil {
		return "ok"
	}
	var sent *connect.Error
	if errors.As(err, &sent) {
		return sent.Code().String()
	}
	return connect.Code(proto.Code(err)).String()
}
