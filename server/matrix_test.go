package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/rest"
	"banyan/tree"
)

// asker is a column of the table: somebody with one right on everything, or in another way.
type asker struct {
	name  string
	token string
	has   model.Right
	known bool
	who   access.Principal
}

// askers are all who ask; that of the scoped token may administer, narrowed to seeing.
func (r *running) askers() []asker {
	r.t.Helper()
	all := []asker{{name: "a stranger"}, {name: "a neighbour without an identity here", token: "not-a-token"}}
	for right := model.RightNone; right <= model.RightAdminister; right++ {
		name := "may-" + right.String()
		who := r.user(name, rule("/**", right))
		all = append(all, asker{name, r.login(name, "correct horse"), right, true, who})
	}
	made := r.must(Request{Op: OpCall, Path: model.MustPath("/users/may-administer"), Name: functionCreateToken, Arguments: []model.Argument{
		textArgument("name", "x"), {Name: "scope", Value: RulesValue([]access.Rule{rule("/**", model.RightView)})},
	}})
	scoped := principal("may-administer", "berlin")
	scoped.Scope, _ = access.NewScope("token x", []access.Rule{rule("/**", model.RightView)})
	return append(all, asker{"a token that may view", made.Results[0].Value.Text(), model.RightView, true, scoped})
}

// The outcomes that the table tells apart. What was let through may still be wrong for another reason.
const (
	through         = "through"
	unauthenticated = "unauthenticated"
	hidden          = "not-found"
	denied          = "denied"
)

// wants is what a requirement means for who asks: need is the right that what is asked for declares, where the requirement leaves it to that.
func wants(requirement access.Requirement, a asker, need model.Right) string {
	switch {
	case requirement.Who == access.Public:
		return through
	case !a.known:
		return unauthenticated
	case requirement.Who == access.Authenticated || requirement.Who == access.Filtered:
		return through
	case strings.HasPrefix(requirement.Field, "/") && a.has < requirement.Right:
		return denied // a place that everybody knows of
	case a.has < model.RightView:
		return hidden
	case requirement.Who == access.Declared && a.has < max(need, requirement.Right) || requirement.Who == access.Entitled && a.has < requirement.Right:
		return denied
	}
	return through
}

// ask is a request for a method or a route.
type ask struct {
	body  string
	need  model.Right // what the thing that it is about declares
	hides bool        // it names a place, which is hidden from who may not see it, too
	scope string      // the outcome for a token with a scope, where that is another one
}

// methodAsks are what each method is asked for. A method without one fails the test: whoever adds it says here what it is tried with.
var methodAsks = map[string]ask{
	"Get":                  {body: `{"address":"/devices/sim:step"}`},
	"Describe":             {body: `{"path":"/devices/sim"}`},
	"List":                 {body: `{"path":"/devices"}`, hides: true},
	"Set":                  {body: `{"address":"/devices/sim:setpoint","value":1}`, need: model.RightOperate},
	"Call":                 {body: `{"path":"/devices/sim","function":"poll_now"}`, need: model.RightOperate},
	"Create":               {body: `{"path":"/devices/new%d","kind":"simulator"}`},
	"Remove":               {body: `{"path":"/devices/old%d"}`},
	"Apply":                {body: `{"dryRun":true,"edits":[{"path":"/devices/sim","change":{"texts":{"step":"3"}}}]}`, need: model.RightConfigure},
	"Requests":             {body: `{}`},
	"CancelRequest":        {body: `{}`},
	"Export":               {body: `{"path":"/"}`},
	"Watch":                {body: `{"addresses":["/devices/sim:step"]}`},
	"Follow":               {body: `{"path":"/"}`},
	"Login":                {body: `{"name":"may-view","password":"correct horse"}`},
	"Logout":               {body: `{"session":"000000000000"}`, scope: denied},
	"Who":                  {body: `{}`},
	"Info":                 {body: `{}`},
	"ServerReflectionInfo": {body: `{"listServices":""}`},
}

// routeAsks are the same for routes.
var routeAsks = map[string]ask{
	"GET /healthz": {}, "GET /metrics": {}, "GET /backup": {},
	"GET /api/v1/export/{path}":   {hides: true},
	"GET /api/v1/contexts/{path}": {}, "GET /api/v1/children/{path}": {hides: true}, "GET /api/v1/settings/{path}": {},
	"PUT /api/v1/settings/{path}":      {body: `{"kind":"simulator","settings":{"step":1}}`, need: model.RightConfigure},
	"PATCH /api/v1/settings/{path}":    {body: `{"settings":{"step":2}}`, need: model.RightConfigure},
	"POST /api/v1/edits":               {body: `{"dry_run":true,"edits":[{"path":"/devices/sim","change":{"settings":{"step":3}}}]}`, need: model.RightConfigure},
	"POST /api/v1/contexts":            {body: `{"path":"/devices/new%d","kind":"simulator"}`},
	"DELETE /api/v1/contexts/{path}":   {},
	"GET /api/v1/values/{address}":     {},
	"PUT /api/v1/values/{address}":     {body: `{"value":1}`, need: model.RightOperate},
	"POST /api/v1/functions/{address}": {body: `{}`, need: model.RightOperate},
	"GET /api/v1/watch":                {},
	"GET /api/v1/requests":             {}, "GET /api/v1/requests/{id}": {}, "DELETE /api/v1/requests/{id}": {},
	"POST /api/v1/session": {body: `{"name":"may-view","password":"correct horse"}`},
	"GET /api/v1/session":  {}, "DELETE /api/v1/session": {}, "GET /api/v1/node": {}, "GET /api/v1/openapi.json": {}, "GET /api/v1/openapi.yaml": {},
}

// TestEveryWayInByEveryRole asks each method of the API and each route of HTTP, as the descriptors and the tables name them, as everybody, and
// compares with what the tables declare.
func TestEveryWayInByEveryRole(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim")
	asked := 0
	try := func(what string, requirement access.Requirement, of ask, a asker, do func(body string, number int) string) {
		t.Helper()
		asked++
		n.must(Request{Op: OpCreate, Path: model.MustPath(fmt.Sprintf("/devices/old%d", asked)), Kind: KindFolder})
		body := of.body
		if strings.Contains(body, "%d") {
			body = fmt.Sprintf(body, asked)
		}
		want := wants(requirement, a, of.need)
		switch {
		case of.hides && a.known && a.has < model.RightView:
			want = hidden
		case of.scope != "" && a.who.Scope != nil:
			want = of.scope
		}
		if got := do(body, asked); got != want {
			t.Errorf("%s, asked by %s: %s, want %s", what, a.name, got, want)
		}
	}
	askers := n.askers()
	for _, method := range served() {
		name := method[strings.LastIndexByte(method, '/')+1:]
		of, known := methodAsks[name]
		requirement, err := Methods.Of(method)
		if err != nil || !known {
			t.Errorf("%s is not declared, or nothing says what it is tried with (%v)", method, err)
			continue
		}
		for _, a := range askers {
			try(method, requirement, of, a, func(body string, _ int) string { return n.callMethod(method, a.token, body) })
		}
	}
	table := maps.Clone(Routes)
	maps.Copy(table, rest.Routes)
	for _, pattern := range slices.Sorted(maps.Keys(table)) {
		of, known := routeAsks[pattern]
		if !known {
			t.Errorf("nothing says what %s is tried with: write it into routeAsks", pattern)
			continue
		}
		for _, a := range askers {
			if pattern == "DELETE /api/v1/session" && a.known {
				continue // it would end who asks
			}
			try(pattern, table[pattern], of, a, func(body string, number int) string { return n.callRoute(pattern, a.token, body, number) })
		}
	}
	t.Logf("asked %d times", asked)
}

// callMethod calls a method in the protocol of Connect, and takes the first answer of a stream.
func (r *running) callMethod(method, token, body string) string {
	r.t.Helper()
	streaming := slices.ContainsFunc([]string{"/Watch", "/Follow", "/Export", "/ServerReflectionInfo"}, func(s string) bool { return strings.HasSuffix(method, s) })
	if !streaming {
		status, raw := r.post(method, token, body)
		return outcomeOf(status, raw)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	framed := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body)))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url()+method, bytes.NewReader(append(framed, body...)))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/connect+json")
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatal(method, err)
	}
	defer response.Body.Close()
	var head [5]byte
	if _, err := io.ReadFull(response.Body, head[:]); err != nil {
		r.t.Fatalf("%s: %d, %v", method, response.StatusCode, err)
	}
	message := make([]byte, binary.BigEndian.Uint32(head[1:]))
	if _, err := io.ReadFull(response.Body, message); err != nil {
		r.t.Fatal(err)
	}
	if head[0]&2 == 0 {
		return through
	}
	var end struct{ Error struct{ Code string } }
	if err := json.Unmarshal(message, &end); err != nil {
		r.t.Fatal(err)
	}
	return outcomeNamed(end.Error.Code)
}

func outcomeNamed(code string) string {
	switch code {
	case "unauthenticated":
		return unauthenticated
	case "permission_denied":
		return denied
	case "not_found":
		return hidden
	}
	return through
}

func outcomeOf(status int, raw []byte) string {
	switch status {
	case http.StatusUnauthorized:
		return unauthenticated
	case http.StatusForbidden:
		return denied
	case http.StatusNotFound:
		return hidden
	case http.StatusInternalServerError:
		return "internal: " + string(raw)
	}
	return through
}

// callRoute asks for a route, with a context in it that every administrator may remove.
func (r *running) callRoute(pattern, token, body string, number int) string {
	r.t.Helper()
	method, path, _ := strings.Cut(pattern, " ")
	at := "/devices/sim"
	if method == http.MethodDelete {
		at = fmt.Sprintf("/devices/old%d", number)
	}
	address := "/devices/sim:step"
	if strings.Contains(path, "/functions/") {
		address = "/devices/sim:poll_now"
	} else if method == http.MethodPut {
		address = "/devices/sim:setpoint"
	}
	path = strings.ReplaceAll(strings.ReplaceAll(path, "/{path}", at), "/{address}", address)
	if strings.HasSuffix(path, "/watch") {
		path += "?address=/devices/sim:step"
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, r.url()+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("If-Match", "*")
	}
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatal(pattern, err)
	}
	defer response.Body.Close()
	raw := make([]byte, 500)
	read, _ := io.ReadAtLeast(response.Body, raw, 1)
	return outcomeOf(response.StatusCode, raw[:read])
}

// entriesOf are all that people can act on of a kind, with the right that it declares.
func entriesOf(s *model.Schema) map[string]entry {
	entries := map[string]entry{}
	for i := range s.Settings {
		entries["setting "+s.Settings[i].Name], _ = settable(s, s.Settings[i].Name)
	}
	for i := range s.Variables {
		if e, _ := settable(s, s.Variables[i].Name); e.write {
			entries["variable "+s.Variables[i].Name] = e
		}
	}
	for i := range s.Functions {
		entries["function "+s.Functions[i].Name] = entry{right: s.Functions[i].Right, local: s.Functions[i].Local, write: true}
	}
	return entries
}

// placeOf is where a context of a kind would lie.
func placeOf(kind string) model.Path {
	for _, place := range ownPlaces {
		if place.kind == kind && kind != KindFolder {
			return place.path
		}
	}
	at := map[string]string{
		KindUser: "/users/x", KindForeign: "/users/x", KindToken: "/users/x/tokens/x", KindRole: "/roles/x", KindLink: "/links/x", KindExport: "/exports/x", KindMount: "/mounts/x",
	}[kind]
	if at == "" {
		at = "/devices/x"
	}
	return model.MustPath(at)
}

// guarded reports whether configuring a kind takes administer: people, and what is granted to other nodes.
func guarded(kind string) bool {
	return slices.Contains([]string{KindUser, KindRole, KindForeign, KindToken, KindLink, KindLinks, KindExport, KindMount}, kind)
}

// TestEveryEntryByEveryRole asks about each setting, each writable variable and each function of every kind, as everybody who can be logged in and as
// a neighbour, and compares with what the schema declares.
func TestEveryEntryByEveryRole(t *testing.T) {
	n := startNode(t)
	askers := n.askers()
	asked := 0
	for kind, k := range n.kinds {
		c := tree.Context{Path: placeOf(kind), Schema: k.Schema}
		for what, e := range entriesOf(k.Schema) {
			if e.right < model.RightView || e.right > model.RightAdminister {
				if what != "setting hash" && !strings.HasPrefix(what, "setting ") {
					t.Errorf("%s of the kind %s declares no right", what, kind)
				}
			}
			for _, a := range askers[2:] {
				asked++
				_, name, _ := strings.Cut(what, " ")
				err := n.router.may(a.who, OpCall, &c, name, &e)
				need := e.right
				if need == model.RightConfigure && guarded(kind) {
					need = model.RightAdminister
				}
				want := model.ErrorKind(0)
				switch {
				case a.has < model.RightView:
					want = model.KindNotFound
				case need < model.RightView || need > model.RightAdminister || a.has < need:
					want = model.KindDenied
				}
				if (err == nil) != (want == 0) || err != nil && model.KindOf(err) != want {
					t.Errorf("%s of the kind %s, asked by %s: %v", what, kind, a.name, err)
				}
			}
		}
	}
	t.Logf("asked %d times", asked)
}

// TestEveryEntryByNeighbours is the same over links, with each highest right that an export can have.
func TestEveryEntryByNeighbours(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/sites/berlin", "view")
	hq.waits("/sites/berlin/system:name", is("berlin good"))
	neighbours := access.Principal{Link: "hq", Chain: access.Chain{Person: access.Person{Name: "alice", Node: "hq"}, Hops: []access.Hop{{Node: "hq", ID: hq.ID()}}}}
	asked := 0
	for granted := model.RightView; granted <= model.RightAdminister; granted++ {
		if _, err := berlin.execute(setRequest("/exports/hq", settingRight, model.String(granted.String()))); err != nil {
			t.Fatal(err)
		}
		for kind, k := range berlin.kinds {
			c := tree.Context{Path: placeOf(kind), Schema: k.Schema}
			people := slices.Contains([]string{KindUser, KindRole, KindForeign, KindToken}, kind)
			never := slices.Contains([]string{KindLink, KindLinks, KindExport, KindMount, KindNode}, kind)
			for what, e := range entriesOf(k.Schema) {
				asked++
				_, name, _ := strings.Cut(what, " ")
				err := berlin.router.may(neighbours, OpCall, &c, name, &e)
				want := model.ErrorKind(0)
				switch {
				case people || e.secret: // neither is part of an export that does not say so
					want = model.KindNotFound
				case e.local || never || e.right < model.RightView || e.right > min(granted, model.RightConfigure) || e.right == model.RightView && granted < model.RightOperate:
					want = model.KindDenied
				}
				if (err == nil) != (want == 0) || err != nil && model.KindOf(err) != want {
					t.Errorf("%s of the kind %s over a link with %s: %v", what, kind, granted, err)
				}
			}
		}
	}
	t.Logf("asked %d times", asked)
}
