package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"
)

func letIn(r *http.Request, _ access.Requirement) (context.Context, error) { return r.Context(), nil }

// fails is a core of which each method fails, and Get panics.
type fails struct {
	Core
	err error
}

func (f fails) Describe(context.Context, *apiv1.DescribeRequest) (*apiv1.ContextInfo, error) {
	return nil, f.err
}

func (f fails) Get(context.Context, *apiv1.GetRequest) (*apiv1.Reading, error) { panic("here it is") }

func ask(h http.Handler, method, target string) (*httptest.ResponseRecorder, Problem) {
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest(method, target, nil))
	var p Problem
	_ = json.Unmarshal(answer.Body.Bytes(), &p)
	return answer, p
}

// TestEveryKindHasAStatus, and the problem has the same words as the error.
func TestEveryKindHasAStatus(t *testing.T) {
	for kind := model.KindInternal; !strings.HasPrefix(kind.String(), "kind-"); kind++ {
		err := &model.Error{
			Kind: kind, Op: "describe", Path: model.MustPath("/a"), Name: "b", Node: "berlin", Detail: "no", Remedy: "ask",
		}
		answer, p := ask(New(Config{Core: fails{err: err}, Enter: letIn}), http.MethodGet, Prefix+"/contexts/a")
		want := Problem{
			Type: "urn:banyan:problem:" + kind.String(), Title: p.Title, Status: statusOf[kind], Kind: KindName(kind.String()), Detail: "no", Remedy: "ask",
			Operation: "describe", Path: "/a", Name: "b", Node: "berlin",
		}
		if kind == model.KindDenied {
			want.Rule = "no"
		}
		got, _ := json.Marshal(p)
		wanted, _ := json.Marshal(want)
		if answer.Code == 0 || answer.Code != statusOf[kind] || string(got) != string(wanted) || p.Title == "" || answer.Header().Get("Content-Type") != problemType {
			t.Errorf("%s: %d %v\n%s\n%s", kind, answer.Code, answer.Header(), got, wanted)
		}
	}
}

// TestProblemsKeepSecrets: the text of an error without a kind, and what was sent, stay where they are.
func TestProblemsKeepSecrets(t *testing.T) {
	answer, p := ask(New(Config{Core: fails{err: errors.New("the canary")}, Enter: letIn}), http.MethodGet, Prefix+"/contexts/a")
	if answer.Code != http.StatusInternalServerError || strings.Contains(answer.Body.String(), "canary") || p.Kind != "internal" {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
	if p := problemOfStatus(http.StatusInternalServerError, "canary", errors.New("canary")); strings.Contains(p.Detail, "canary") || p.Errors != nil {
		t.Errorf("%+v", p)
	}
}

type later struct{ error }

func (l later) Unwrap() error { return l.error }

func (later) RetryAfter() time.Duration { return 1500 * time.Millisecond }

// TestEverythingIsAProblem that is not an answer.
func TestEverythingIsAProblem(t *testing.T) {
	h := New(Config{Core: fails{}, Enter: func(r *http.Request, _ access.Requirement) (context.Context, error) {
		switch r.Header.Get("Authorization") {
		case "late":
			return nil, later{model.Errorf(model.KindExhausted, "too many")}
		case "":
			return nil, model.Errorf(model.KindUnauthenticated, "who?")
		}
		return r.Context(), nil
	}})
	for name, test := range map[string]struct {
		method, target, token, encoding string
		status                          int
		header, value                   string
	}{
		"no token":            {http.MethodGet, "/api/v1/contexts/a", "", "", 401, "WWW-Authenticate", "Bearer"},
		"too many":            {http.MethodGet, "/api/v1/contexts/a", "late", "", 429, "Retry-After", "2"},
		"a panic":             {http.MethodGet, "/api/v1/values/a:b", "x", "", 500, "", ""},
		"no resource":         {http.MethodGet, "/api/v1/other", "x", "", 404, "", ""},
		"another version":     {http.MethodGet, "/api/v2/contexts/a", "x", "", 404, "", ""},
		"nothing":             {http.MethodGet, "/api/", "x", "", 404, "", ""},
		"two slashes":         {http.MethodGet, "/api//v1/node", "x", "", 404, "", ""},
		"dots":                {http.MethodGet, "/api/v1/../v1/node", "x", "", 404, "", ""},
		"a method":            {http.MethodTrace, "/api/v1/contexts/a", "x", "", 405, "Allow", "DELETE, GET, HEAD"},
		"a made up method":    {"<script>", "/api/v1/node", "x", "", 405, "Allow", "GET, HEAD"},
		"a query":             {http.MethodGet, "/api/v1/contexts/a?colour=red", "x", "", 400, "", ""},
		"a limit":             {http.MethodGet, "/api/v1/children/a?limit=many", "x", "", 400, "", ""},
		"a limit beyond":      {http.MethodGet, "/api/v1/children/a?limit=1001", "x", "", 400, "", ""},
		"something in a pack": {http.MethodGet, "/api/v1/contexts/a", "x", "gzip", 415, "", ""},
		"cross origin":        {http.MethodOptions, "/api/v1/contexts/a", "x", "", 405, "", ""},
	} {
		request := httptest.NewRequest(http.MethodGet, test.target, nil)
		request.Method = test.method
		request.Header.Set("Authorization", test.token)
		request.Header.Set("Content-Encoding", test.encoding)
		request.Header.Set("Origin", "https://elsewhere.example")
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, request)
		var p Problem
		err := json.Unmarshal(answer.Body.Bytes(), &p)
		if err != nil || answer.Code != test.status || p.Status != test.status || p.Kind == "" || p.Title == "" || answer.Header().Get("Content-Type") != problemType {
			t.Errorf("%s: %d %v %s", name, answer.Code, answer.Header(), answer.Body)
		}
		if test.header != "" && answer.Header().Get(test.header) != test.value {
			t.Errorf("%s: %s is %q", name, test.header, answer.Header().Get(test.header))
		}
		if answer.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s opens the door to other origins", name)
		}
	}
}

// TestUndeclaredOperationAnswersNobody, though it is served.
func TestUndeclaredOperationAnswersNobody(t *testing.T) {
	h := New(Config{Core: fails{}, Enter: letIn})
	h.mux.HandleFunc("GET /api/v1/forgotten", func(http.ResponseWriter, *http.Request) { t.Error("it answers") })
	if answer, p := ask(h, http.MethodGet, "/api/v1/forgotten"); answer.Code != http.StatusForbidden || p.Kind != "denied" {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}
