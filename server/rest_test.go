package server

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"banyan/access"
	"banyan/model"
	"banyan/rest"
)

// restAnswer is what REST answered.
type restAnswer struct {
	status int
	header http.Header
	raw    []byte
}

// problem is the answer as a problem.
func (a restAnswer) problem(t *testing.T) rest.Problem {
	t.Helper()
	var p rest.Problem
	if err := json.Unmarshal(a.raw, &p); err != nil || a.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%d %v %s: %v", a.status, a.header, a.raw, err)
	}
	return p
}

// rest asks as curl would; headers are "Name: value".
func (r *running) rest(token, method, target, body string, headers ...string) restAnswer {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.url()+rest.Prefix+target, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if body == "" {
		request.Body = http.NoBody
	} else {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header.Set(name, value)
	}
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return restAnswer{response.StatusCode, response.Header, raw}
}

// TestRESTHidesWhatIsAbsent: hidden and absent are the same bytes and headers, in each operation on contexts.
func TestRESTHidesWhatIsAbsent(t *testing.T) {
	n := startNode(t)
	n.user("bob", rule("/devices/**", model.RightView))
	token := n.login("bob", "correct horse")
	for _, target := range []string{"/contexts/system", "/children/system", "/values/system:name"} {
		there := n.rest(n.token, http.MethodGet, target, "")
		if there.status != http.StatusOK && !strings.HasPrefix(target, "/children") {
			t.Errorf("%s: %d %s", target, there.status, there.raw)
		}
		hidden := n.rest(token, http.MethodGet, target, "")
		absent := n.rest(token, http.MethodGet, strings.Replace(target, "system", "sysxem", 1), "")
		if hidden.status != http.StatusNotFound || absent.status != hidden.status ||
			strings.Replace(string(absent.raw), "sysxem", "system", 1) != string(hidden.raw) || len(absent.header) != len(hidden.header) {
			t.Errorf("%s: %d %s %v, absent %d %s %v", target, hidden.status, hidden.raw, hidden.header, absent.status, absent.raw, absent.header)
		}
	}
}

// TestRESTDenies by default: each operation that is not for strangers, without a token and with wrong ones.
func TestRESTDenies(t *testing.T) {
	n := startNode(t)
	for route, requirement := range rest.Routes {
		n.limits.mu.Lock()
		clear(n.limits.strangers) // there are more of them than a stranger may ask at once
		n.limits.mu.Unlock()
		method, target, _ := strings.Cut(route, " ")
		target = strings.TrimPrefix(target, rest.Prefix)
		target = strings.NewReplacer("{path}", "system", "{address}", "system:name").Replace(target)
		for _, token := range []string{"", "x", sessionPrefix + "x", tokenPrefix + "x", n.token + "x"} {
			answer := n.rest(token, method, target, "")
			if requirement.Who == access.Public {
				if answer.status == http.StatusUnauthorized || answer.status >= 500 {
					t.Errorf("%s: %d %s", route, answer.status, answer.raw)
				}
				continue
			}
			if p := answer.problem(t); p.Status != http.StatusUnauthorized || p.Kind != "unauthenticated" || answer.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s with the token %q: %d %s", route, token, answer.status, answer.raw)
			}
		}
	}
}

// TestRESTOfTwoWhoEdit: the second one is told, and by what to go on.
func TestRESTOfTwoWhoEdit(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim")
	read := n.rest(n.token, http.MethodGet, "/contexts/devices/sim", "")
	tag := read.header.Get("ETag")
	if read.status != http.StatusOK || !strings.HasPrefix(tag, `"`) || !strings.Contains(string(read.raw), strings.Trim(tag, `"`)) {
		t.Fatalf("%d %v %s", read.status, read.header, read.raw)
	}
	first := n.rest(n.token, http.MethodPut, "/values/devices/sim:poll_interval", `{"value":"30s"}`, "If-Match: "+tag)
	if first.status != http.StatusOK || first.header.Get("ETag") == tag || first.header.Get("ETag") == "" {
		t.Fatalf("%d %v %s", first.status, first.header, first.raw)
	}
	second := n.rest(n.token, http.MethodPut, "/values/devices/sim:poll_interval", `{"text":"40s"}`, "If-Match: "+tag)
	p := second.problem(t)
	if second.status != http.StatusPreconditionFailed || p.Kind != "conflict" || second.header.Get("ETag") != first.header.Get("ETag") ||
		`"`+p.Revision+`"` != first.header.Get("ETag") || p.Current == nil || !strings.Contains(string(second.raw), `"value":"30s"`) || p.Path != "/devices/sim" || p.Name != "poll_interval" {
		t.Errorf("%d %v %s", second.status, second.header, second.raw)
	}
	gone := n.rest(n.token, http.MethodDelete, "/contexts/devices/sim", "", "If-Match: "+tag)
	if gone.status != http.StatusPreconditionFailed {
		t.Errorf("%d %s", gone.status, gone.raw)
	}
	now := n.rest(n.token, http.MethodGet, "/values/devices/sim:poll_interval", "")
	if !strings.Contains(string(now.raw), `"value":"30s"`) || now.header.Get("ETag") != first.header.Get("ETag") {
		t.Errorf("%v %s", now.header, now.raw)
	}
	for _, form := range []string{`R`, `"R"`, `W/"R"`, "*"} {
		again := strings.Replace(form, "R", p.Revision, 1)
		answer := n.rest(n.token, http.MethodPut, "/values/devices/sim:poll_interval", `{"text":"40s"}`, "If-Match: "+again)
		if answer.status != http.StatusOK {
			t.Errorf("If-Match: %s: %d %s", again, answer.status, answer.raw)
		}
		p.Revision = strings.Trim(answer.header.Get("ETag"), `"`)
	}
	for _, bad := range []string{"x", `"x"`, `"`, `""`, `"7-0123456789abcdef@42", "7-0123456789abcdef@43"`, "7-0123456789abcdef"} {
		if answer := n.rest(n.token, http.MethodPut, "/values/devices/sim:poll_interval", `{"text":"50s"}`, "If-Match: "+bad); answer.status != http.StatusBadRequest {
			t.Errorf("If-Match: %s: %d %s", bad, answer.status, answer.raw)
		}
	}
}

// TestRESTDoesEverything: creating, calling, setting, removing; and what is wrong with a request is told.
func TestRESTDoesEverything(t *testing.T) {
	n := startNode(t)
	const key = "Idempotency-Key: 00112233445566778899aabbccddeeff"
	made := n.rest(n.token, http.MethodPost, "/contexts", `{"path":"/devices/sim","kind":"simulator","settings":{"poll_interval":"1h0m0s"},"texts":{"points":"5"}}`, key)
	if made.status != http.StatusCreated || made.header.Get("Location") != "/api/v1/contexts/devices/sim" || made.header.Get("ETag") == "" {
		t.Fatalf("%d %v %s", made.status, made.header, made.raw)
	}
	if again := n.rest(n.token, http.MethodPost, "/contexts", `{"path":"/devices/sim","kind":"simulator","settings":{"poll_interval":"1h0m0s"},"texts":{"points":"5"}}`, key); again.status != http.StatusCreated || string(again.raw) != string(made.raw) {
		t.Errorf("the same again: %d %s", again.status, again.raw)
	}
	called := n.rest(n.token, http.MethodPost, "/functions/devices/sim:poll_now", "")
	if called.status != http.StatusOK || !strings.Contains(string(called.raw), `"type":"`) {
		t.Errorf("%d %s", called.status, called.raw)
	}
	children := n.rest(n.token, http.MethodGet, "/children/devices?limit=1", "")
	if children.status != http.StatusOK || !strings.Contains(string(children.raw), `"path":"/devices/sim"`) {
		t.Errorf("%d %s", children.status, children.raw)
	}
	const setting = "/values/devices/sim:points"
	for name, test := range map[string]struct {
		method, target, body string
		status               int
		says                 string
	}{
		"no body":                 {http.MethodPut, setting, "", 400, "body"},
		"half a body":             {http.MethodPut, setting, `{"value":`, 400, "JSON"},
		"another field":           {http.MethodPut, setting, `{"valve":1}`, 400, "valve"},
		"both forms":              {http.MethodPut, setting, `{"value":"1","text":"1"}`, 400, "either"},
		"neither form":            {http.MethodPut, setting, `{}`, 400, "either"},
		"another type":            {http.MethodPut, setting, `{"value":true}`, 400, "int64"},
		"a number without digits": {http.MethodPut, setting, `{"value":9007199254740993}`, 400, "string"},
		"no name":                 {http.MethodPut, "/values/devices/sim", `{"value":"1"}`, 400, "PATH:NAME"},
		"no function":             {http.MethodPost, "/functions/devices/sim:explode", "", 404, ""},
		"no such argument":        {http.MethodPost, "/functions/devices/sim:poll_now", `{"arguments":{"x":"1"}}`, 400, `\"x\"`},
		"no path":                 {http.MethodGet, "/contexts/a%2F..%2Fb", "", 400, "segment"},
		"there already":           {http.MethodPost, "/contexts", `{"path":"/devices/sim","kind":"simulator"}`, 409, ""},
		"no such kind":            {http.MethodPost, "/contexts", `{"path":"/devices/x","kind":"toaster"}`, 400, "toaster"},
		"something below":         {http.MethodDelete, "/contexts/users", "", 409, "below"},
		"read only":               {http.MethodPut, "/values/devices/sim:all_int64", `{"value":"1"}`, 422, "read"},
	} {
		answer := n.rest(n.token, test.method, test.target, test.body)
		if p := answer.problem(t); p.Status != test.status || !strings.Contains(string(answer.raw), test.says) {
			t.Errorf("%s: %d %s", name, answer.status, answer.raw)
		}
	}
	if plain := n.rest(n.token, http.MethodPut, setting, "value=1", "Content-Type: application/x-www-form-urlencoded"); plain.status != http.StatusUnsupportedMediaType {
		t.Errorf("a form: %d %s", plain.status, plain.raw)
	}
	if gone := n.rest(n.token, http.MethodDelete, "/contexts/devices?below=true", ""); gone.status == http.StatusOK {
		t.Errorf("%d %s", gone.status, gone.raw)
	}
	if gone := n.rest(n.token, http.MethodDelete, "/contexts/devices/sim", "", "If-Match: "+made.header.Get("ETag")); gone.status != http.StatusOK {
		t.Errorf("%d %s", gone.status, gone.raw)
	}
}

// TestRESTSessions: a session is opened, tells who it is, and ends; a password is in no answer.
func TestRESTSessions(t *testing.T) {
	n := startNode(t)
	opened := n.rest("", http.MethodPost, "/session", `{"name":"admin","password":"`+n.password+`"}`)
	var session rest.OpenedSession
	if err := json.Unmarshal(opened.raw, &session); err != nil || opened.status != http.StatusCreated || session.Token == "" {
		t.Fatalf("%d %s", opened.status, opened.raw)
	}
	if who := n.rest(session.Token, http.MethodGet, "/session", ""); who.status != http.StatusOK || !strings.Contains(string(who.raw), `"name":"admin"`) {
		t.Errorf("%d %s", who.status, who.raw)
	}
	if left := n.rest(session.Token, http.MethodDelete, "/session", ""); left.status != http.StatusOK || !strings.Contains(string(left.raw), `"ended":1`) {
		t.Errorf("%d %s", left.status, left.raw)
	}
	if after := n.rest(session.Token, http.MethodGet, "/session", ""); after.status != http.StatusUnauthorized {
		t.Errorf("%d %s", after.status, after.raw)
	}
	for _, body := range []string{
		`{"name":"admin","password":"the canary"}`, `{"name":"admin","password":["the canary"]}`, `{"name":"admin","password":"the canary"`, `{"name":"admin","pass":"the canary"}`,
		`{"name":"admin","password":"the canary` + strings.Repeat("x", 2000) + `"}`,
	} {
		answer := n.rest("", http.MethodPost, "/session", body)
		if p := answer.problem(t); p.Status < 400 || p.Status >= 500 || strings.Contains(string(answer.raw), "canary") {
			t.Errorf("%s: %d %s", body, answer.status, answer.raw)
		}
	}
	if large := n.rest("", http.MethodPost, "/session", `{"name":"`+strings.Repeat("x", 100<<10)+`"}`); large.status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", large.status, large.raw)
	}
}
