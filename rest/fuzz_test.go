package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"banyan/model"
	"banyan/proto/apiv1"
)

// careful is a core that answers nothing, and looks at what it is asked: a path or address that it gets is one as the tree writes it, or would be
// refused by the model's parser.
type careful struct {
	Core
	t *testing.T
}

var errNothing = model.Errorf(model.KindNotFound, "nothing is there that you may see")

func (c *careful) rooted(text string) error {
	if !strings.HasPrefix(text, "/") {
		c.t.Errorf("the core is asked for %q", text)
	}
	return errNothing
}

func (c *careful) Get(_ context.Context, q *apiv1.GetRequest) (*apiv1.Reading, error) {
	return nil, c.rooted(q.GetAddress())
}
func (c *careful) Describe(_ context.Context, q *apiv1.DescribeRequest) (*apiv1.ContextInfo, error) {
	return nil, c.rooted(q.GetPath())
}
func (c *careful) List(_ context.Context, q *apiv1.ListRequest) (*apiv1.ListResponse, error) {
	if q.GetLimit() < 1 || q.GetLimit() > 1000 {
		c.t.Errorf("a limit of %d", q.GetLimit())
	}
	return nil, c.rooted(q.GetPath())
}
func (c *careful) Watch(_ context.Context, q *apiv1.WatchRequest, _ func(*apiv1.WatchResponse, Phase) error) error {
	if len(q.GetAddresses()) == 0 || len(q.GetAddresses()) > 1000 {
		c.t.Errorf("%d addresses", len(q.GetAddresses()))
	}
	return c.rooted(q.GetAddresses()[0])
}
func (c *careful) Export(_ context.Context, q *apiv1.ExportRequest, _ func(*apiv1.ExportResponse) error) error {
	return c.rooted(q.GetPath())
}
func (c *careful) Set(_ context.Context, q *apiv1.SetRequest) (*apiv1.SetResponse, error) {
	return nil, c.expected(q.GetAddress(), q.GetExpected())
}
func (c *careful) Call(_ context.Context, q *apiv1.CallRequest) (*apiv1.CallResponse, error) {
	return nil, c.rooted(q.GetPath())
}
func (c *careful) Create(_ context.Context, q *apiv1.CreateRequest) (*apiv1.CreateResponse, error) {
	return nil, c.rooted(q.GetPath())
}
func (c *careful) Remove(_ context.Context, q *apiv1.RemoveRequest) (*apiv1.RemoveResponse, error) {
	return nil, c.expected(q.GetPath(), q.GetExpected())
}
func (c *careful) Apply(_ context.Context, q *apiv1.ApplyRequest) (*apiv1.ApplyResponse, error) {
	for _, e := range q.GetEdits() {
		_ = c.rooted(e.GetPath())
	}
	return nil, errNothing
}
func (c *careful) Login(context.Context, *apiv1.LoginRequest) (*apiv1.LoginResponse, error) {
	return nil, errNothing
}
func (c *careful) Logout(context.Context, *apiv1.LogoutRequest) (*apiv1.LogoutResponse, error) {
	return &apiv1.LogoutResponse{}, nil
}
func (c *careful) Who(context.Context, *apiv1.WhoRequest) (*apiv1.WhoResponse, error) {
	return &apiv1.WhoResponse{}, nil
}
func (c *careful) Info(context.Context, *apiv1.InfoRequest) (*apiv1.InfoResponse, error) {
	return &apiv1.InfoResponse{}, nil
}

// expected is a revision in the form that the model writes.
func (c *careful) expected(path, revision string) error {
	if at, err := model.ParsePosition(revision); err != nil || at.String() != revision {
		c.t.Errorf("the core is to expect the revision %q: %v", revision, err)
	}
	return c.rooted(path)
}

// FuzzRequest: whatever is sent, the answer is a document or a problem of the caller's making, never one of ours.
func FuzzRequest(f *testing.F) {
	for _, seed := range [][4]string{
		{"GET", "/contexts/devices/local", "", ""}, {"GET", "/children/%2F?limit=5&after=a", "", ""}, {"GET", "/watch?address=/a:b&address=c", "", ""},
		{"PUT", "/values/a:b", `"7-0123456789abcdef@42"`, `{"value":1}`}, {"PUT", "/settings/a", "*", `{"settings":{"a":{"columns":[],"rows":[]}}}`},
		{"PATCH", "/settings/a", "", `{"settings":{"a":null},"texts":{"b":"1"}}`}, {"POST", "/edits", "", `{"edits":[{"path":"/a","remove":{"below":true}}]}`},
		{"POST", "/contexts", "", `{"path":"a","kind":"b","settings":{"x":[1,"2",null]}}`}, {"POST", "/functions/a:b", "", `{"arguments":{"a":1e999}}`},
		{"DELETE", "/contexts/a?below=maybe", "W/\"\"", ""}, {"POST", "/session", "", `{"name":"a","password":"b"}`}, {"GET", "/export/", "", ""}, {"HEAD", "/node", "", ""}, {"PATCH", "/settings", "", `{}`},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	core := &careful{}
	h := New(Config{Core: core, Enter: letIn})
	f.Fuzz(func(t *testing.T, method, target, ifMatch, body string) {
		core.t = t
		u, err := url.ParseRequestURI(Prefix + target)
		if err != nil {
			return // net/http has refused it
		}
		request := httptest.NewRequest(http.MethodGet, "/", strings.NewReader(body))
		request.Method, request.URL = method, u
		request.Header.Set("If-Match", ifMatch)
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, request)
		if answer.Code >= http.StatusInternalServerError {
			t.Errorf("%s %s: %d %s", method, target, answer.Code, answer.Body)
		}
		if kind := answer.Header().Get("Content-Type"); kind != "application/openapi+yaml" && method != http.MethodHead && !json.Valid(answer.Body.Bytes()) {
			t.Errorf("%s %s: %d %s %s", method, target, answer.Code, kind, answer.Body)
		}
	})
}
