package rest

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"banyan/model"
	"banyan/proto"
	"banyan/proto/modelv1"

	"github.com/danielgtaylor/huma/v2"
)

// statusOf is the one table from kinds of errors to HTTP statuses. A conflict is 412 where the request named a revision with If-Match.
var statusOf = map[model.ErrorKind]int{
	model.KindInternal:        http.StatusInternalServerError,
	model.KindInvalid:         http.StatusBadRequest,
	model.KindUnauthenticated: http.StatusUnauthorized,
	model.KindDenied:          http.StatusForbidden,
	model.KindNotFound:        http.StatusNotFound,
	model.KindExists:          http.StatusConflict,
	model.KindConflict:        http.StatusConflict,
	model.KindUnavailable:     http.StatusServiceUnavailable,
	model.KindTimeout:         http.StatusGatewayTimeout,
	model.KindCanceled:        statusCanceled,
	model.KindExhausted:       http.StatusTooManyRequests,
	// Not 501: the request was understood, and what is wrong is what it names.
	model.KindUnsupported: http.StatusUnprocessableEntity,
	model.KindCorrupt:     http.StatusInternalServerError,
	model.KindUnknownFate: http.StatusBadGateway,
}

// statusCanceled is for the log of a proxy in between: who gave up reads no answer.
const statusCanceled = 499

// kindOf is the way back, for what net/http and huma refuse by a status.
func kindOf(status int) model.ErrorKind {
	switch {
	case status == http.StatusNotFound:
		return model.KindNotFound
	case status == http.StatusTooManyRequests:
		return model.KindExhausted
	case status >= 500:
		return model.KindInternal
	}
	return model.KindInvalid
}

// Problem is an error as RFC 9457 writes it: what happened, where, and what to do. Programs decide on kind; people read detail and remedy.
type Problem struct {
	Type      string         `json:"type" format:"uri" example:"urn:banyan:problem:denied" doc:"urn:banyan:problem: and the kind."`
	Title     string         `json:"title" example:"Forbidden" doc:"The meaning of the status, the same for each problem of it."`
	Status    int            `json:"status" example:"403" doc:"The HTTP status."`
	Kind      KindName       `json:"kind" example:"denied" doc:"The class of the error, stable, the same in all interfaces of the node. What is absent and what is hidden from the caller are both not-found, with the same bytes."`
	Detail    string         `json:"detail,omitempty" example:"denied by berlin, rule 3: alice has operate, configure is needed" doc:"What happened, for a person."`
	Remedy    string         `json:"remedy,omitempty" example:"log in, and send the header Authorization: Bearer TOKEN" doc:"What to do next, for a person."`
	Operation string         `json:"operation,omitempty" example:"set" doc:"What was being done."`
	Path      string         `json:"path,omitempty" example:"/devices/local" doc:"The context that it is about, as the request named it."`
	Name      string         `json:"name,omitempty" example:"poll_interval" doc:"The setting, variable or function."`
	Node      string         `json:"node,omitempty" example:"berlin" doc:"The node that refused, where that is known: behind a link it is another one than was asked."`
	Rule      string         `json:"rule,omitempty" example:"denied by berlin, rule 3: alice has operate, configure is needed" doc:"Who denied it and by which rule (kind denied)."`
	Revision  string         `json:"revision,omitempty" example:"7-0123456789abcdef@42" doc:"The revision that the context has now (status 412); it is in the header ETag, too."`
	Current   *Reading       `json:"current,omitempty" doc:"What a setting is now that was to be set (status 412)."`
	Errors    []ProblemField `json:"errors,omitempty" nullable:"false" doc:"What is wrong with the parts of a request that could not be read."`

	header http.Header
}

// ProblemField is what is wrong with one part of a request. What was sent there is not repeated: it may be a password.
type ProblemField struct {
	Location string `json:"location,omitempty" example:"body.settings" doc:"Where: body, query, path or header, and the field."`
	Message  string `json:"message" example:"expected object" doc:"What is wrong."`
}

const problemType = "application/problem+json"

var (
	_ huma.StatusError       = (*Problem)(nil)
	_ huma.HeadersError      = (*Problem)(nil)
	_ huma.ContentTypeFilter = (*Problem)(nil)
)

// Error is what happened.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders are the headers that belong to the problem.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType is that of a problem.
func (p *Problem) ContentType(string) string { return problemType }

func newProblem(kind model.ErrorKind, status int, detail, remedy string) *Problem {
	title := http.StatusText(status)
	if title == "" {
		title = kind.String()
	}
	p := &Problem{
		Type: "urn:banyan:problem:" + kind.String(), Title: title, Status: status, Kind: KindName(kind.String()), Detail: detail, Remedy: remedy,
		header: http.Header{"Cache-Control": {"no-store"}},
	}
	if status == http.StatusUnauthorized {
		p.header.Set("WWW-Authenticate", "Bearer")
	}
	return p
}

// problemOf is an error as a problem. The text of one without a kind is for the log.
func problemOf(err error) *Problem {
	var already *Problem
	if errors.As(err, &already) {
		return already
	}
	wire := proto.FromError(err)
	kind := model.KindOf(proto.ToError(wire))
	status, known := statusOf[kind]
	if !known {
		status = http.StatusInternalServerError
	}
	p := newProblem(kind, status, wire.GetDetail(), wire.GetRemedy())
	p.Operation, p.Path, p.Name, p.Node = wire.GetOperation(), wire.GetPath(), wire.GetName(), wire.GetNode()
	if kind == model.KindDenied {
		p.Rule = p.Detail
	}
	for _, refused := range append([]*modelv1.Error{wire}, wire.GetAlso()...) {
		if edit := refused.GetEdit(); edit > 0 {
			alone := modelv1.Error{
				Kind: refused.GetKind(), Operation: refused.GetOperation(), Path: refused.GetPath(), Name: refused.GetName(),
				Detail: refused.GetDetail(), Remedy: refused.GetRemedy(),
			}
			p.Errors = append(p.Errors, ProblemField{
				Location: "body.edits[" + strconv.FormatUint(uint64(edit)-1, 10) + "]", Message: proto.ToError(&alone).Error(),
			})
		}
	}
	var later interface{ RetryAfter() time.Duration }
	if errors.As(err, &later) {
		seconds := max(1, int(math.Ceil(later.RetryAfter().Seconds())))
		p.header.Set("Retry-After", strconv.Itoa(seconds))
	}
	return p
}

// problemOfStatus is what huma says of a request that it cannot read. Its own status for that is 422, which here means something else.
func problemOfStatus(status int, detail string, errs ...error) *Problem {
	if status == http.StatusUnprocessableEntity {
		status = http.StatusBadRequest
	}
	p := newProblem(kindOf(status), status, detail, "")
	if status == http.StatusUnsupportedMediaType {
		p.Detail, p.Remedy = "the body is not of a type that is read here", "send JSON, with the header Content-Type: application/json"
		return p
	}
	if status >= http.StatusInternalServerError {
		p.Detail = "an internal error; the node's log has the detail"
		return p
	}
	for _, err := range errs {
		var detailed huma.ErrorDetailer
		switch {
		case err == nil:
		case errors.As(err, &detailed):
			d := detailed.ErrorDetail()
			p.Errors = append(p.Errors, ProblemField{Location: d.Location, Message: d.Message})
		default:
			p.Errors = append(p.Errors, ProblemField{Message: err.Error()})
		}
	}
	return p
}

// write answers with the problem, where nothing was answered yet.
func (p *Problem) write(w http.ResponseWriter) {
	for name, values := range p.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	encoded, _ := json.Marshal(p) // text and numbers always encode
	_, _ = w.Write(append(encoded, '\n'))
}

// Refuse answers a request outside of the resources with an error, in the same form.
func Refuse(w http.ResponseWriter, err error) { problemOf(err).write(w) }
