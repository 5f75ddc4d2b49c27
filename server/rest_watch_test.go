package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/rest"
)

// event is one server-sent event.
type event struct{ name, id, data string }

// eventStream is a watch over REST.
type eventStream struct {
	t      *testing.T
	body   io.ReadCloser
	lines  *bufio.Scanner
	status int
	header http.Header
}

// events opens a watch with a client of its own, so that its connection can be of any version.
func (r *running) events(client *http.Client, token string, addresses ...string) *eventStream {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	r.t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url()+rest.Prefix+"/watch?address="+strings.Join(addresses, "&address="), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = response.Body.Close() })
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 4<<20)
	return &eventStream{t: r.t, body: response.Body, lines: lines, status: response.StatusCode, header: response.Header}
}

// next is the next event; the zero one at the end.
func (s *eventStream) next() event {
	s.t.Helper()
	var e event
	for s.lines.Scan() {
		field, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch field {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "":
			if e.name != "" {
				return e
			}
		}
	}
	if err := s.lines.Err(); err != nil {
		s.t.Fatal(err)
	}
	return e
}

// until reads until an event that holds text.
func (s *eventStream) until(text string) event {
	s.t.Helper()
	for {
		e := s.next()
		if e.name == "" || strings.Contains(e.data, text) {
			return e
		}
	}
}

// TestRESTWatch over both versions of HTTP: a snapshot, changes in order, hidden things never, and an end that says why.
func TestRESTWatch(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim")
	n.user("bob", rule("/devices/**", model.RightView))
	old := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: n.roots, NextProtos: []string{"http/1.1"}}}}
	t.Cleanup(old.CloseIdleConnections)
	for version, client := range map[string]*http.Client{"1.1": old, "2": n.client} {
		token := n.login("bob", "correct horse")
		s := n.events(client, token, "devices/sim:step", "/devices/sim:points")
		first := s.next()
		if s.status != http.StatusOK || s.header.Get("Content-Type") != "text/event-stream" || first.name != "snapshot" || first.id != "1" || !strings.Contains(first.data, `"complete":true`) {
			t.Fatalf("HTTP/%s: %d %v %+v", version, s.status, s.header, first)
		}
		n.must(setRequest("/devices/sim", "step", model.Float64(4)))
		if e := s.next(); e.name != "change" || e.id != "2" || !strings.Contains(e.data, `"value":4,`) {
			t.Errorf("HTTP/%s: %+v", version, e)
		}
		n.must(setRequest("/devices/sim", "step", model.Float64(5)))
		n.must(setRequest("/devices/sim", "step", model.Float64(6)))
		if e := s.until(`"value":6,`); e.name != "change" {
			t.Errorf("HTTP/%s: %+v", version, e)
		}
		began := time.Now()
		if left := n.rest(token, http.MethodDelete, "/session", ""); left.status != http.StatusOK {
			t.Errorf("%d %s", left.status, left.raw)
		}
		e := s.next()
		var p rest.Problem
		if err := json.Unmarshal([]byte(e.data), &p); err != nil || e.name != "problem" || p.Status != http.StatusUnauthorized || time.Since(began) > time.Second {
			t.Errorf("HTTP/%s: %+v after %s", version, e, time.Since(began))
		}
		if e := s.next(); e.name != "" {
			t.Errorf("HTTP/%s goes on with %+v", version, e)
		}
		n.must(setRequest("/devices/sim", "step", model.Float64(1)))
	}
	token := n.login("bob", "correct horse")
	hidden, absent := n.rest(token, http.MethodGet, "/watch?address=/system", ""), n.rest(token, http.MethodGet, "/watch?address=/sysxem", "")
	if hidden.status != http.StatusNotFound || strings.Replace(string(absent.raw), "sysxem", "system", 1) != string(hidden.raw) {
		t.Errorf("%d %s, %s", hidden.status, hidden.raw, absent.raw)
	}
	s := n.events(n.client, token, "/devices/sim")
	s.next()
	n.must(setRequest("/users/bob", settingRules, RulesValue([]access.Rule{rule("/x", model.RightView)})))
	if e := s.until("not-found"); e.name != "problem" {
		t.Errorf("%+v", e)
	}
	if streams := n.Node.api.streams.Load(); streams != 0 {
		t.Errorf("%d streams are counted", streams)
	}
}

// TestSilentStreamLives: a request without a body has none to be waited for, so that the deadline for it cannot end what answers it, over HTTP/1.1 too.
func TestSilentStreamLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newPipes()
		var lived error
		server := &http.Server{Handler: limitBody(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			time.Sleep(10 * time.Minute)
			lived = r.Context().Err()
		}))}
		go func() { _ = server.Serve(listener) }()
		client := &http.Client{Transport: &http.Transport{DialContext: listener.dial}}
		response, err := client.Get("http://node/")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(response.Body); err != nil || lived != nil {
			t.Errorf("%v, %v", err, lived)
		}
		_ = response.Body.Close()
		client.CloseIdleConnections()
		if err := server.Close(); err != nil && !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
}
