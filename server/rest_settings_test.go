package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"banyan/model"
	"banyan/rest"
)

// TestRESTSettingsDocument: it is read, edited and put back; what differs is one commit, and what two put back only the first one gets through.
func TestRESTSettingsDocument(t *testing.T) {
	n := startNode(t)
	n.must(Request{Op: OpCreate, Path: model.MustPath("/devices/sim"), Kind: "simulator", Label: "before"})
	get := func() (rest.SettingsDocument, string) {
		answer := n.rest(n.token, http.MethodGet, "/settings/devices/sim", "")
		var doc rest.SettingsDocument
		if err := json.Unmarshal(answer.raw, &doc); err != nil || answer.status != http.StatusOK {
			t.Fatalf("%d %s", answer.status, answer.raw)
		}
		return doc, answer.header.Get("ETag")
	}
	put := func(doc rest.SettingsDocument, tag string) restAnswer {
		raw, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		return n.rest(n.token, http.MethodPut, "/settings/devices/sim", string(raw), "If-Match: "+tag)
	}
	doc, tag := get()
	if same := put(doc, tag); same.status != http.StatusOK || same.header.Get("ETag") != tag {
		t.Errorf("what was read is put back: %d %v %s", same.status, same.header, same.raw)
	}
	if without := n.rest(n.token, http.MethodPut, "/settings/devices/sim", `{"settings":{}}`); without.status != http.StatusPreconditionRequired || without.problem(t).Remedy == "" {
		t.Errorf("without If-Match: %d %s", without.status, without.raw)
	}
	text := func(v any) rest.Value {
		var value rest.Value
		raw, _ := json.Marshal(v)
		if err := json.Unmarshal(raw, &value); err != nil {
			t.Fatal(err)
		}
		return value
	}
	after := "after"
	doc.Settings["poll_interval"], doc.Settings["points"], doc.Label = text("1h0m0s"), text("7"), &after
	first := put(doc, tag)
	if first.status != http.StatusOK || first.header.Get("ETag") == tag {
		t.Fatalf("%d %s", first.status, first.raw)
	}
	now, second := get()
	if second != first.header.Get("ETag") || *now.Label != "after" || !strings.Contains(string(n.rest(n.token, http.MethodGet, "/settings/devices/sim", "").raw), `"poll_interval":"1h0m0s"`) {
		t.Errorf("%+v %s", now, second)
	}
	late := put(doc, tag)
	if p := late.problem(t); late.status != http.StatusPreconditionFailed || `"`+p.Revision+`"` != second || p.Errors != nil {
		t.Errorf("%d %s", late.status, late.raw)
	}
	// One wrong setting and nothing happens.
	doc.Settings["poll_interval"], doc.Settings["points"] = text("2h0m0s"), text("-7")
	if bad := put(doc, second); bad.status != http.StatusBadRequest || bad.problem(t).Errors != nil {
		t.Errorf("%d %s", bad.status, bad.raw)
	}
	if _, still := get(); still != second {
		t.Error("a refused document changed something")
	}
	// What is left out has its default again.
	delete(doc.Settings, "poll_interval")
	doc.Settings["points"], doc.Kind = text("8"), ""
	if replaced := put(doc, "*"); replaced.status != http.StatusOK {
		t.Errorf("%d %s", replaced.status, replaced.raw)
	}
	if raw := string(n.rest(n.token, http.MethodGet, "/settings/devices/sim", "").raw); strings.Contains(raw, `"poll_interval":"1h0m0s"`) || !strings.Contains(raw, `"points":"8"`) {
		t.Errorf("%s", raw)
	}
	doc.Kind = "host"
	if other := put(doc, "*"); other.status != http.StatusBadRequest {
		t.Errorf("%d %s", other.status, other.raw)
	}
}

// TestRESTReplaceKeepsSecrets: a user's document that is put back without the password leaves it as it is.
func TestRESTReplaceKeepsSecrets(t *testing.T) {
	n := startNode(t)
	n.user("bob", rule("/devices/**", model.RightView))
	read := n.rest(n.token, http.MethodGet, "/settings/users/bob", "")
	if strings.Contains(string(read.raw), "password") {
		t.Errorf("%s", read.raw)
	}
	put := n.rest(n.token, http.MethodPut, "/settings/users/bob", strings.Replace(string(read.raw), `"/devices/**"`, `"/**"`, 1), "If-Match: "+read.header.Get("ETag"))
	if put.status != http.StatusOK {
		t.Errorf("%d %s", put.status, put.raw)
	}
	bob := n.login("bob", "correct horse")
	if seen := n.rest(bob, http.MethodGet, "/values/system:name", ""); seen.status != http.StatusOK {
		t.Errorf("%d %s", seen.status, seen.raw)
	}
}

// TestRESTChangesSeveral settings as one, and several contexts.
func TestRESTChangesSeveral(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim")
	n.user("viewer", rule("/devices/**", model.RightView))
	changed := n.rest(n.token, http.MethodPatch, "/settings/devices/sim", `{"settings":{"poll_interval":"30s"},"texts":{"step":"2.5"},"label":"x"}`)
	raw := string(n.rest(n.token, http.MethodGet, "/settings/devices/sim", "").raw)
	if changed.status != http.StatusOK || !strings.Contains(raw, `"poll_interval":"30s"`) || !strings.Contains(raw, `"step":2.5`) || !strings.Contains(raw, `"label":"x"`) {
		t.Errorf("%d %s, %s", changed.status, changed.raw, raw)
	}
	for body, status := range map[string]int{
		`{"settings":{"poll_interval":"31s","step":"many"}}`: 400, `{"settings":{"poll_interval":"31s","colour":"red"}}`: 400, `{"settings":[]}`: 400, `{"sittings":{}}`: 400,
	} {
		if bad := n.rest(n.token, http.MethodPatch, "/settings/devices/sim", body); bad.problem(t).Status != status {
			t.Errorf("%s: %d %s", body, bad.status, bad.raw)
		}
	}
	token := n.login("viewer", "correct horse")
	if refused := n.rest(token, http.MethodPatch, "/settings/devices/sim", `{"settings":{"poll_interval":"31s"}}`).problem(t); refused.Status != http.StatusForbidden ||
		refused.Node != "berlin" || !strings.Contains(refused.Rule, "denied by berlin, rule 1: viewer has view, configure is needed") {
		t.Errorf("%+v", refused)
	}
	if !strings.Contains(string(n.rest(n.token, http.MethodGet, "/settings/devices/sim", "").raw), `"poll_interval":"30s"`) {
		t.Error("a refused change changed something")
	}
	half := n.rest(n.token, http.MethodPost, "/edits", `{"edits":[{"path":"/devices/a","create":{"kind":"simulator"}},{"path":"/devices/sim","change":{"settings":{"points":"-1"}}},{"path":"/devices/none","remove":{}}]}`)
	if p := half.problem(t); p.Status < 400 || p.Status >= 500 || len(p.Errors) != 2 || p.Errors[0].Location != "body.edits[1]" || p.Errors[1].Location != "body.edits[2]" {
		t.Errorf("%d %s", half.status, half.raw)
	}
	if there := n.rest(n.token, http.MethodGet, "/contexts/devices/a", ""); there.status != http.StatusNotFound {
		t.Errorf("half of a batch was done: %s", there.raw)
	}
	dry := `{"edits":[{"path":"/devices/a","create":{"kind":"simulator"}},{"path":"/devices/sim","remove":{}}]`
	if tried := n.rest(n.token, http.MethodPost, "/edits", dry+`,"dry_run":true}`); tried.status != http.StatusOK {
		t.Errorf("%d %s", tried.status, tried.raw)
	}
	if done := n.rest(n.token, http.MethodPost, "/edits", dry+`}`); done.status != http.StatusOK || done.header.Get("ETag") == "" {
		t.Errorf("%d %s", done.status, done.raw)
	}
	if none := n.rest(n.token, http.MethodPost, "/edits", `{"edits":[{"path":"/devices/a"}]}`).problem(t); none.Status != http.StatusBadRequest {
		t.Errorf("%+v", none)
	}
}
