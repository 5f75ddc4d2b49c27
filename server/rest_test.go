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
