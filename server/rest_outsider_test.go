package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// outsider is a client that knows nothing of a node but where its OpenAPI document is: it finds operations by their IDs, builds requests from what
// is said of parameters and bodies, and holds each answer against the schema that is told for it. What it cannot do, nobody can by the document.
type outsider struct {
	t        *testing.T
	client   *http.Client
	node     string
	document map[string]any
	token    string
	used     map[string]bool
}

// arrive reads the document of a node.
func arrive(t *testing.T, n *running) *outsider {
	t.Helper()
	response, err := n.client.Get(n.url() + "/api/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	o := &outsider{t: t, client: n.client, node: n.url(), used: map[string]bool{}}
	if err := json.NewDecoder(response.Body).Decode(&o.document); err != nil {
		t.Fatal(err)
	}
	return o
}

// member walks into the document.
func member(of any, names ...string) any {
	for _, name := range names {
		m, _ := of.(map[string]any)
		of = m[name]
	}
	return of
}

// operation finds one by its ID.
func (o *outsider) operation(id string) (method, path string, found map[string]any) {
	o.t.Helper()
	paths, _ := o.document["paths"].(map[string]any)
	for path, item := range paths {
		for method, operation := range item.(map[string]any) {
			if member(operation, "operationId") == id {
				o.used[id] = true
				return strings.ToUpper(method), path, operation.(map[string]any)
			}
		}
	}
	o.t.Fatalf("the document has no operation %s", id)
	return "", "", nil
}

// given are parameters and the body of a request, by the names that the document has for them.
type outsiderGiven map[string]any

// request builds one from what the document says.
func (o *outsider) request(id string, given outsiderGiven) (*http.Request, map[string]any) {
	o.t.Helper()
	method, path, operation := o.operation(id)
	query, header := url.Values{}, http.Header{}
	left := outsiderGiven{}
	for name, v := range given {
		left[name] = v
	}
	parameters, _ := operation["parameters"].([]any)
	for _, p := range parameters {
		name, _ := member(p, "name").(string)
		value, there := left[name]
		if !there {
			if member(p, "required") == true {
				o.t.Fatalf("%s needs %s", id, name)
			}
			continue
		}
		delete(left, name)
		o.conform(member(p, "schema"), asJSON(o.t, value), id+"."+name)
		switch member(p, "in") {
		case "path":
			path = strings.Replace(path, "{"+name+"}", url.PathEscape(fmt.Sprint(value)), 1)
		case "query":
			if list, many := value.([]string); many {
				query[name] = list // form, exploded: the default
			} else {
				query.Set(name, fmt.Sprint(value))
			}
		case "header":
			header.Set(name, fmt.Sprint(value))
		}
	}
	var body io.Reader
	if raw, there := left["body"]; there {
		delete(left, "body")
		o.conform(member(operation, "requestBody", "content", "application/json", "schema"), asJSON(o.t, raw), id+".body")
		encoded, _ := json.Marshal(raw)
		body = bytes.NewReader(encoded)
		header.Set("Content-Type", "application/json")
	}
	if len(left) > 0 {
		o.t.Fatalf("the document knows no %v of %s", left, id)
	}
	servers, _ := o.document["servers"].([]any)
	request, err := http.NewRequestWithContext(o.t.Context(), method, o.node+member(servers[0], "url").(string)+path+"?"+query.Encode(), body)
	if err != nil {
		o.t.Fatal(err)
	}
	request.Header = header
	if security, own := operation["security"].([]any); !own || len(security) > 0 {
		if member(o.document, "components", "securitySchemes", "token", "scheme") != "bearer" {
			o.t.Fatal("the document does not say how a token is sent")
		}
		request.Header.Set("Authorization", "Bearer "+o.token)
	}
	return request, operation
}

func asJSON(t *testing.T, of any) any {
	t.Helper()
	raw, err := json.Marshal(of)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// do asks, and holds the answer against the document.
func (o *outsider) do(id string, given outsiderGiven) (int, http.Header, map[string]any) {
	o.t.Helper()
	request, operation := o.request(id, given)
	response, err := o.client.Do(request)
	if err != nil {
		o.t.Fatal(err)
	}
	defer response.Body.Close()
	told := member(operation, "responses", fmt.Sprint(response.StatusCode))
	if told == nil {
		o.t.Errorf("%s answers %d, of which the document says nothing", id, response.StatusCode)
	}
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	kind, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	schema := member(told, "content", kind, "schema")
	if schema == nil {
		o.t.Fatalf("%s answers %d as %q, of which the document says nothing: %s", id, response.StatusCode, kind, raw)
	}
	if tag, told := response.Header.Get("ETag"), member(told, "headers", "ETag"); tag != "" && told == nil && response.StatusCode == http.StatusOK {
		o.t.Errorf("%s has an ETag, of which the document says nothing", id)
	}
	var answer map[string]any
	for line := range bytes.Lines(raw) {
		if err := json.Unmarshal(line, &answer); err != nil {
			o.t.Fatalf("%s: %v: %s", id, err, line)
		}
		o.conform(schema, answer, id)
	}
	return response.StatusCode, response.Header, answer
}

// good asks for what must succeed.
func (o *outsider) good(id string, given outsiderGiven) map[string]any {
	o.t.Helper()
	status, _, answer := o.do(id, given)
	if status >= 300 {
		o.t.Fatalf("%s %v: %d %v", id, given, status, answer)
	}
	return answer
}

// conform holds a value against a schema of the sort that the document has.
func (o *outsider) conform(schema, value any, where string) {
	o.t.Helper()
	for _, problem := range o.problems(schema, value, where) {
		o.t.Error(problem)
	}
}

func (o *outsider) problems(schema, value any, where string) []string {
	if ref, is := member(schema, "$ref").(string); is {
		schema = member(o.document, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	s, is := schema.(map[string]any)
	if !is {
		return []string{where + " has no schema"}
	}
	if any, is := s["anyOf"].([]any); is {
		for _, one := range any {
			if len(o.problems(one, value, where)) == 0 {
				return nil
			}
		}
		return []string{fmt.Sprintf("%s: %v is none of what it may be", where, value)}
	}
	var found []string
	if words, is := s["enum"].([]any); is && !slices.Contains(words, value) {
		found = append(found, fmt.Sprintf("%s: %v is none of %v", where, value, words))
	}
	switch kind := s["type"]; v := value.(type) {
	case map[string]any:
		if kind != nil && kind != "object" {
			return append(found, where+" is an object")
		}
		return append(found, o.problemsOfObject(s, v, where)...)
	case []any:
		if kind != "array" {
			return append(found, where+" is a list")
		}
		for i, item := range v {
			found = append(found, o.problems(s["items"], item, fmt.Sprint(where, "[", i, "]"))...)
		}
	default:
		names := map[string][]any{"string": {"string"}, "float64": {"number", "integer"}, "bool": {"boolean"}, "<nil>": {"null"}}
		if kind != nil && !slices.Contains(names[strings.TrimPrefix(fmt.Sprintf("%T", value), "interface ")], kind) {
			found = append(found, fmt.Sprintf("%s is a %T, not a %v", where, value, kind))
		}
	}
	return found
}

func (o *outsider) problemsOfObject(s, v map[string]any, where string) []string {
	var found []string
	properties, _ := s["properties"].(map[string]any)
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, there := v[name.(string)]; !there {
			found = append(found, fmt.Sprintf("%s has no %s", where, name))
		}
	}
	for name, inner := range v {
		switch sub, known := properties[name]; {
		case known:
			found = append(found, o.problems(sub, inner, where+"."+name)...)
		case s["additionalProperties"] != nil && s["additionalProperties"] != false:
			found = append(found, o.problems(s["additionalProperties"], inner, where+"."+name)...)
		case properties != nil:
			found = append(found, fmt.Sprintf("%s has a %s, of which the document says nothing", where, name))
		}
	}
	return found
}

// events opens the event stream, and hands on what each event holds.
func (o *outsider) events(given outsiderGiven) (next func() (string, map[string]any), stop func()) {
	o.t.Helper()
	request, operation := o.request("watch", given)
	response, err := o.client.Do(request) //nolint:bodyclose // the second function that is returned closes it
	if err != nil {
		o.t.Fatal(err)
	}
	items := member(operation, "responses", "200", "content", "text/event-stream", "schema", "items")
	kinds := map[string]any{}
	for _, one := range member(items, "oneOf").([]any) {
		kinds[member(one, "properties", "event", "enum").([]any)[0].(string)] = member(one, "properties", "data")
	}
	lines := bufio.NewScanner(response.Body)
	return func() (string, map[string]any) {
		event := ""
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch field {
			case "event":
				event = value
			case "data":
				var data map[string]any
				if err := json.Unmarshal([]byte(value), &data); err != nil {
					o.t.Fatal(err)
				}
				o.conform(kinds[event], data, "watch."+event)
				return event, data
			}
		}
		return "", nil
	}, func() { _ = response.Body.Close() }
}

// call calls a function, and returns its results by name.
func (o *outsider) call(address string, arguments map[string]any) map[string]any {
	o.t.Helper()
	given := outsiderGiven{"address": address}
	if arguments != nil {
		given["body"] = map[string]any{"arguments": arguments}
	}
	answer := o.good("callFunction", given)
	results := map[string]any{}
	for _, r := range answer["results"].([]any) {
		results[member(r, "name").(string)] = member(r, "value")
	}
	return results
}

func (o *outsider) login(password string) {
	o.t.Helper()
	o.token, _ = o.good("openSession", outsiderGiven{"body": map[string]any{"name": "admin", "password": password}})["token"].(string)
}

// keeps has the node keep a request for one that is away, finds it by where the answer says that it is, and gives it up.
func (o *outsider) keeps() {
	o.t.Helper()
	status, header, answer := o.do("callFunction", outsiderGiven{"address": "/sites/berlin/devices:profiles", "until": "10m", "Prefer": "respond-async"})
	id, _ := member(answer, "request", "id").(string)
	if status != http.StatusAccepted || header.Get("Location") == "" || !strings.HasSuffix(header.Get("Location"), id) {
		o.t.Fatalf("%d %v %v", status, header, answer)
	}
	if list := o.good("listRequests", nil)["requests"].([]any); len(list) != 1 || member(list[0], "id") != id {
		o.t.Errorf("%v", list)
	}
	if one := o.good("getRequest", outsiderGiven{"id": id}); one["fate"] != "pending" {
		o.t.Errorf("%v", one)
	}
	if ended := o.good("cancelRequest", outsiderGiven{"id": id}); ended["fate"] != "failed" && ended["fate"] != "expired" {
		o.t.Errorf("%v", ended)
	}
}

// TestOutsiderDoesEveryTask of the README, from the served document alone, and uses every operation that it has.
func TestOutsiderDoesEveryTask(t *testing.T) {
	hq, berlin := startNamed(t, "hq"), startNamed(t, "berlin")
	o, far := arrive(t, hq), arrive(t, berlin)
	if o.good("getNode", nil)["name"] != "hq" {
		t.Error("it is another node")
	}
	if status, _, refused := o.do("openSession", outsiderGiven{"body": map[string]any{"name": "admin", "password": "guess"}}); status != http.StatusUnauthorized || refused["kind"] != "unauthenticated" {
		t.Errorf("%d %v", status, refused)
	}
	o.login(hq.password)
	far.login(berlin.password)

	// Link two nodes, and create something beyond the link.
	invited := o.call("/links:invite", map[string]any{"name": "berlin", "role": "consumer", "mount": "/sites/berlin"})
	far.call("/links:join", map[string]any{"token": invited["token"], "paths": "/**", "right": "configure"})
	const local = "/sites/berlin/devices/local"
	for deadline := time.Now().Add(20 * time.Second); ; {
		status, _, answer := o.do("createContext", outsiderGiven{"body": map[string]any{"path": local, "kind": "simulator", "settings": map[string]any{"poll_interval": "1h0m0s"}}})
		if status == http.StatusCreated {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d %v", status, answer)
		}
		time.Sleep(50 * time.Millisecond)
	}
	o.readsAndWrites(local)
	o.twoWhoEdit(local)
	o.watches(local)
	o.administers(local)
	if err := berlin.stop(); err != nil {
		t.Fatal(err)
	}
	o.keeps()

	if gone := o.good("closeSession", nil); gone["ended"] != 1.0 {
		t.Errorf("%v", gone)
	}
	if status, _, _ := o.do("getSession", nil); status != http.StatusUnauthorized {
		t.Errorf("%d", status)
	}
	for path, item := range o.document["paths"].(map[string]any) {
		for method, operation := range item.(map[string]any) {
			if id := member(operation, "operationId").(string); !o.used[id] {
				t.Errorf("%s (%s %s) was not tried", id, method, path)
			}
		}
	}
}

// readsAndWrites walks the tree, reads, sets and calls.
func (o *outsider) readsAndWrites(local string) {
	o.t.Helper()
	seen := map[string]bool{}
	var walk func(path string)
	walk = func(path string) {
		after := ""
		for {
			given := outsiderGiven{"path": path, "limit": 2}
			if after != "" {
				given["after"] = after
			}
			page := o.good("listChildren", given)
			for _, child := range page["children"].([]any) {
				seen[member(child, "path").(string)] = true
				if member(child, "parent") == true {
					walk(member(child, "path").(string))
				}
			}
			if after, _ = page["next"].(string); after == "" {
				return
			}
		}
	}
	walk("/")
	if !seen["/system"] || !seen[local] {
		o.t.Errorf("the tree is %v", seen)
	}
	context := o.good("getContext", outsiderGiven{"path": local})
	if fmt.Sprint(context["via"]) != "[berlin]" || context["kind"] != "simulator" {
		o.t.Errorf("%v", context)
	}
	o.call(local+":poll_now", nil)
	o.good("setValue", outsiderGiven{"address": local + ":step", "body": map[string]any{"text": "2.5"}})
	if reading := o.good("getValue", outsiderGiven{"address": local + ":step"}); reading["value"] != 2.5 || reading["type"] != "float64" {
		o.t.Errorf("%v", reading)
	}
	if status, _, p := o.do("getValue", outsiderGiven{"address": local + ":none"}); status != http.StatusNotFound || p["kind"] != "not-found" {
		o.t.Errorf("%d %v", status, p)
	}
	last := o.good("exportTree", outsiderGiven{"path": "/sites"})
	if last["complete"] != true || last["node"] != "hq" {
		o.t.Errorf("%v", last)
	}
}

// twoWhoEdit the same document: the second is told.
func (o *outsider) twoWhoEdit(local string) {
	o.t.Helper()
	_, header, document := o.do("getSettings", outsiderGiven{"path": local})
	settings := document["settings"].(map[string]any)
	for i, want := range []int{http.StatusOK, http.StatusPreconditionFailed} {
		settings["step"] = float64(i + 5)
		status, _, answer := o.do("replaceSettings", outsiderGiven{"path": local, "If-Match": header.Get("ETag"), "body": document})
		if status != want || status != http.StatusOK && (answer["kind"] != "conflict" || answer["revision"] == nil) {
			o.t.Errorf("the editor number %d gets %d %v", i+1, status, answer)
		}
	}
	if status, _, answer := o.do("replaceSettings", outsiderGiven{"path": local, "body": document}); status != http.StatusPreconditionRequired {
		o.t.Errorf("%d %v", status, answer)
	}
	if reading := o.good("getValue", outsiderGiven{"address": local + ":step"}); reading["value"] != 5.0 {
		o.t.Errorf("%v", reading)
	}
	o.good("changeSettings", outsiderGiven{"path": local, "Idempotency-Key": strings.Repeat("1", 32), "body": map[string]any{"settings": map[string]any{"step": 6}, "label": "far"}})
}

// watches sees a change that it makes.
func (o *outsider) watches(local string) {
	o.t.Helper()
	next, stop := o.events(outsiderGiven{"address": []string{local + ":step", local + ":points"}})
	defer stop()
	event, data := next()
	if event != "snapshot" || data["complete"] != true || len(data["readings"].([]any)) != 2 {
		o.t.Errorf("%s %v", event, data)
	}
	o.good("setValue", outsiderGiven{"address": local + ":step", "body": map[string]any{"value": 7.5}})
	for range 10 { // the revision of the other setting changes as well
		if event, data = next(); strings.Contains(fmt.Sprint(data), "7.5") {
			break
		}
	}
	if event != "change" || !strings.Contains(fmt.Sprint(data), "7.5") {
		o.t.Errorf("%s %v", event, data)
	}
}

// administers makes a user with a token, asks what they may, and removes what was made.
func (o *outsider) administers(local string) {
	o.t.Helper()
	rules := map[string]any{"columns": []any{map[string]any{"name": "pattern", "type": "string"}, map[string]any{"name": "right", "type": "string"}},
		"rows": []any{[]any{"/sites/**", "view"}}}
	o.good("applyEdits", outsiderGiven{"body": map[string]any{"edits": []any{
		map[string]any{"path": "/users/eve", "create": map[string]any{"kind": "user", "settings": map[string]any{"rules": rules}}},
		map[string]any{"path": "/roles/none", "create": map[string]any{"kind": "role"}},
	}}})
	token := o.call("/users/eve:create_token", map[string]any{"name": "try", "lifetime": "1h0m0s"})
	own := o.token
	o.token, _ = token["token"].(string)
	who := o.good("getSession", outsiderGiven{"address": local + ":step", "right": "configure"})
	if member(who, "explanation", "allowed") != false || who["name"] != "eve" {
		o.t.Errorf("%v", who)
	}
	if status, _, p := o.do("removeContext", outsiderGiven{"path": local}); status != http.StatusForbidden || p["rule"] == nil || p["node"] != "hq" {
		o.t.Errorf("%d %v", status, p)
	}
	o.token = own
	o.good("removeContext", outsiderGiven{"path": "/users/eve", "below": true})
	o.good("removeContext", outsiderGiven{"path": local})
	if status, _, _ := o.do("getContext", outsiderGiven{"path": local}); status != http.StatusNotFound {
		o.t.Errorf("%d", status)
	}
}
