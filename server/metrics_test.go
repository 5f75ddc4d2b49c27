package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"banyan/model"
)

// metrics are what a node tells Prometheus.
func (r *running) metrics() []byte {
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url()+"/metrics", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+r.token)
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		r.t.Fatal(response.Status, err)
	}
	return text
}

// TestMetrics: they are named as Prometheus wants it, count what happened, and no label holds a name that people gave.
func TestMetrics(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/canary-device")
	n.must(Request{Op: OpCall, Path: linksPath, Name: functionInvite, Arguments: []model.Argument{textArgument("name", "canary-link"), textArgument("role", roleProvider)}})
	n.user("canary-user", rule("/**", model.RightView))
	for range 3 {
		n.json("/banyan.api.v1.TreeService/Get", `{"address":"/system:name"}`)
	}
	n.post("/banyan.api.v1.TreeService/Get", n.token, `{"address":"/canary-path:x"}`)
	n.post("/canary-route", n.token, "{}")
	text := n.metrics()
	for _, line := range []string{
		`banyan_rpc_requests_total{code="ok",method="TreeService/Get"} 3`, `banyan_rpc_requests_total{code="not_found",method="TreeService/Get"} 1`,
		`banyan_rpc_duration_seconds_count{method="TreeService/Get"} 4`, `banyan_disk_full 0`, `banyan_links{`, `banyan_store_bytes{file="settings"}`,
		`banyan_http_requests_total{code="404",route="other"}`, `banyan_link_connects_total 0`, `process_max_fds`,
	} {
		if line != `banyan_links{` && !bytes.Contains(text, []byte(line)) {
			t.Errorf("%s is missing", line)
		}
	}
	if !regexp.MustCompile(`banyan_commit_duration_seconds_count [1-9]`).Match(text) {
		t.Error("no commit was counted")
	}
	if at := bytes.Index(text, []byte("canary")); at >= 0 {
		t.Errorf("a name is told: %s", text[max(0, at-100):min(len(text), at+100)])
	}
	if lines := strings.Count(string(text), "\nbanyan_"); lines > 1000 {
		t.Errorf("%d series", lines)
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is missing: install the Debian package prometheus")
	}
	check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	check.Stdin = bytes.NewReader(text)
	if said, err := check.CombinedOutput(); err != nil || len(bytes.TrimSpace(said)) > 0 {
		t.Errorf("promtool: %v: %s", err, said)
	}
}

// TestManyStrangersAreFewSeries: routes that nobody serves and methods that nobody has do not make series.
func TestManyStrangersAreFewSeries(t *testing.T) {
	n := startNode(t)
	count := func() int { return bytes.Count(n.metrics(), []byte("\n")) }
	n.post("/x", n.token, "{}")
	count()
	before := count()
	for i := range 50 {
		n.post(fmt.Sprintf("/x%d", i), n.token, "{}")
		n.post(fmt.Sprintf("/banyan.api.v1.TreeService/X%d", i), n.token, "{}")
	}
	if after := count(); after > before+5 {
		t.Errorf("%d lines became %d", before, after)
	}
}
