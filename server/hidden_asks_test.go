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
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/rest"

	"connectrpc.com/connect"
)

// hiddenAsks are the questions about something hidden with which each method of the API is asked. A method without any fails the test: whoever adds it
// writes here how it can be asked, or says in hiddenNowhere why it tells of no place.
var hiddenAsks = map[string][]string{
	"Get":           {`{"address":"/devices/hall/sim:step"}`, `{"address":"/devices/hall/sim:nothing"}`},
	"Describe":      {`{"path":"/devices/hall/sim"}`, `{"path":"/devices/hall"}`},
	"List":          {`{"path":"/devices/hall/sim"}`, `{"path":"/devices/hall"}`, `{"path":"/devices"}`, `{"path":"/"}`, `{"path":"/devices","limit":1}`, `{"path":"/devices","after":"hall"}`},
	"Set":           {`{"address":"/devices/hall/sim:step","value":3}`, `{"address":"/devices/hall/sim:step","value":"no number"}`, `{"address":"/devices/hall/sim:setpoint","value":3}`, `{"address":"/devices/hall/sim:step","value":3,"until":"1m","id":"0a000000000000000000000000000001"}`, `{"address":"/devices/hall/sim:step","value":3,"until":"1m","async":true,"id":"0a000000000000000000000000000002"}`, `{"address":"/devices/hall/sim:step","value":3,"expected":"1-1"}`},
	"Call":          {`{"path":"/devices/hall/sim","function":"poll_now"}`, `{"path":"/devices/hall/sim","function":"poll_now","texts":{"x":"y"}}`, `{"path":"/devices/hall/sim","function":"poll_now","until":"1m","id":"0a000000000000000000000000000003"}`, `{"path":"/devices/hall/sim","function":"nothing"}`},
	"Create":        {`{"path":"/devices/hall/sim","kind":"simulator"}`, `{"path":"/devices/hall/sim/x","kind":"nothing"}`, `{"path":"/devices/hall/sim/x","kind":"folder","until":"1m","id":"0a000000000000000000000000000004"}`},
	"Remove":        {`{"path":"/devices/hall/sim","below":true}`, `{"path":"/devices/hall/sim","until":"1m","id":"0a000000000000000000000000000005"}`},
	"Apply":         {`{"dryRun":true,"edits":[{"path":"/devices/hall/sim","change":{"texts":{"step":"3"}}}]}`, `{"edits":[{"path":"/devices/open","change":{"texts":{"step":"3"}}},{"path":"/devices/hall/sim","remove":{}}]}`, `{"edits":[{"path":"/devices/hall/sim","create":{"kind":"folder"}}],"until":"1m","id":"0a000000000000000000000000000006"}`},
	"Requests":      {`{}`, `{"ended":true}`, `{"id":"0b000000000000000000000000000001"}`, `{"ended":true,"limit":1}`},
	"CancelRequest": {`{"id":"0b000000000000000000000000000001"}`},
	"Export":        {`{"path":"/devices/hall"}`, `{"path":"/devices/hall/sim"}`},
	"Watch":         {`{"addresses":["/devices/hall/sim"]}`, `{"addresses":["/devices/hall/sim:step"]}`, `{"addresses":["/devices/hall"]}`},
	"Follow":        {`{"path":"/devices/hall"}`, `{"path":"/devices/hall/sim"}`},
	"Who":           {`{"address":"/devices/hall/sim:step"}`, `{"address":"/devices/hall/sim","right":"operate"}`, `{"address":"/devices/hall/sim:nothing"}`},
	"Info":          {`{}`},
}

// hiddenNowhere are the methods that tell of no place in the tree.
var hiddenNowhere = map[string]string{
	"Login": "of a name it says the same whether there is such a user or not, which is tried with the sessions", "Logout": "it ends what the caller has",
	"ServerReflectionInfo": "it tells of the protocol",
}

// hiddenRoutes are the same for routes. One that is not here is asked with the place as its path or address.
var hiddenRoutes = map[string]struct{ query, body string }{
	"PUT /api/v1/settings/{path}":      {body: `{"kind":"simulator","settings":{"step":1}}`},
	"PATCH /api/v1/settings/{path}":    {body: `{"settings":{"step":2}}`},
	"POST /api/v1/edits":               {body: `{"dry_run":true,"edits":[{"path":"/devices/hall/sim","change":{"settings":{"step":3}}}]}`},
	"POST /api/v1/contexts":            {body: `{"path":"/devices/hall/sim","kind":"simulator"}`},
	"PUT /api/v1/values/{address}":     {body: `{"value":1}`},
	"POST /api/v1/functions/{address}": {body: `{}`},
	"GET /api/v1/watch":                {query: "?address=/devices/hall/sim:step"},
}

// hiddenNot are the routes that have no place in them, or that give nothing to who may not see the node.
var hiddenNot = []string{"POST /api/v1/session", "GET /api/v1/session", "DELETE /api/v1/session", "GET /api/v1/openapi.json", "GET /api/v1/openapi.yaml", "GET /healthz"}

// wholeAnswer is all of an answer that somebody gets: status, headers, body and trailers, as they came, but for what tells the time.
func (r *running) wholeAnswer(method, path, token, contentType string, body []byte) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, r.url()+path, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("If-Match", "*")
	if len(body) > 0 {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatal(method, path, err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(method, path, err)
	}
	var all strings.Builder
	fmt.Fprintln(&all, response.Status)
	for _, headers := range []http.Header{response.Header, response.Trailer} {
		for _, name := range slices.Sorted(maps.Keys(headers)) {
			if name != "Date" && name != "Content-Length" { // the length is that of the body, before white space is taken out
				fmt.Fprintln(&all, name, headers[name])
			}
		}
	}
	return lastUsed.ReplaceAllString(all.String()+compacted(raw), "")
}

// lastUsed is when a session asked last, which is now.
var lastUsed = regexp.MustCompile(`"used":"[^"]*",`)

// compacted takes out the white space that protojson puts in at random, of one message or of a stream of them.
func compacted(raw []byte) string {
	var all bytes.Buffer
	for len(raw) > 5 && raw[0]&^2 == 0 {
		size := int(binary.BigEndian.Uint32(raw[1:5]))
		fmt.Fprint(&all, "\nflags ", raw[0], " ")
		_ = json.Compact(&all, raw[5:5+size])
		raw = raw[5+size:]
	}
	if json.Compact(&all, raw) != nil {
		all.Write(raw)
	}
	return all.String()
}

// hiddenAnswers are all answers to all questions, by question: over JSON, over gRPC as errors with their details, and over REST. Streams are asked for by whom
// they tell nothing, since they would not end.
func (r *running) hiddenAnswers(token string, streams bool) map[string]string {
	r.t.Helper()
	answers := map[string]string{}
	for _, method := range served() {
		name := method[strings.LastIndexByte(method, '/')+1:]
		if hiddenNowhere[name] != "" {
			continue
		}
		if len(hiddenAsks[name]) == 0 {
			r.t.Errorf("nothing says how %s is asked for what is hidden: write it into hiddenAsks", method)
		}
		for _, body := range hiddenAsks[name] {
			kind, raw := "application/json", []byte(body)
			if slices.Contains([]string{"Export", "Watch", "Follow"}, name) {
				if !streams {
					continue
				}
				kind, raw = "application/connect+json", append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
			}
			answers[name+" "+body] = r.wholeAnswer(http.MethodPost, method, token, kind, raw)
		}
	}
	for _, pattern := range slices.Sorted(maps.Keys(rest.Routes)) {
		if slices.Contains(hiddenNot, pattern) || strings.HasSuffix(pattern, "/watch") && !streams {
			continue
		}
		method, path, _ := strings.Cut(pattern, " ")
		address := "/devices/hall/sim:step"
		if strings.Contains(path, "/functions/") {
			address = "/devices/hall/sim:poll_now"
		}
		path = strings.NewReplacer("/{path}", "/devices/hall/sim", "/{address}", address, "{id}", "0b000000000000000000000000000001").Replace(path)
		of := hiddenRoutes[pattern]
		answers[pattern] = r.wholeAnswer(method, path+of.query, token, "application/json", []byte(of.body))
	}
	if !streams {
		return answers
	}
	api := r.api(token, connect.WithGRPC())
	_, err := api.Get(r.t.Context(), &apiv1.GetRequest{Address: "/devices/hall/sim:step"})
	answers["gRPC Get"] = string(wholeError(r.t, err))
	_, err = api.Call(r.t.Context(), &apiv1.CallRequest{Path: "/devices/hall/sim", Function: "poll_now", Until: "1m", Id: "0a000000000000000000000000000007"})
	answers["gRPC Call"] = string(wholeError(r.t, err))
	return answers
}

// TestEveryAnswerHidesAlike: each method of the API and each route is asked about something that is not there, and in the same words once it is there and
// hidden, with requests of others for it that are kept: status, headers, code, message, details and trailers are the same bytes.
func TestEveryAnswerHidesAlike(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/open")
	n.user("eve", rule("/devices/hall/**", model.RightNone), rule("/devices/**", model.RightConfigure))
	token := n.login("eve", "correct horse")
	absent := n.hiddenAnswers(token, true)
	n.must(Request{Op: OpCreate, Path: model.MustPath("/devices/hall"), Kind: KindFolder})
	n.simulator("/devices/hall/sim")
	if status, raw := n.post("/banyan.api.v1.TreeService/Call", n.token, `{"path":"/devices/hall/sim","function":"poll_now","until":"1m","id":"0b000000000000000000000000000001"}`); status != http.StatusOK {
		t.Fatalf("%d %s", status, raw)
	}
	hiddenThere := n.hiddenAnswers(token, true)
	for question, answer := range absent {
		if hiddenThere[question] != answer {
			t.Errorf("%s\nabsent: %s\nhidden: %s", question, answer, hiddenThere[question])
		}
	}
	all := n.hiddenAnswers(n.token, false) // the test must be able to see a difference
	alike := 0
	for question, answer := range absent {
		if all[question] == answer {
			alike++
		}
	}
	if alike > len(absent)/3 {
		t.Errorf("the administrator gets the same to %d of %d questions", alike, len(absent))
	}
	t.Logf("%d questions", len(absent))
}

// TestExplainingForOthersHidesAlike: who administers people, and may not see a place, is told of what others may do there as if nothing were there.
func TestExplainingForOthersHidesAlike(t *testing.T) {
	n := startNode(t)
	n.user("eve", rule("/devices/hall/**", model.RightNone), rule("/**", model.RightAdminister))
	token := n.login("eve", "correct horse")
	ask := func() (all string) {
		for _, address := range []string{"/devices/hall/sim", "/devices/hall/sim:step", "/devices/hall/sim:poll_now", "/devices/hall/sim:nothing"} {
			for _, user := range []string{AdminName, "eve"} {
				all += n.wholeAnswer(http.MethodPost, "/banyan.api.v1.TreeService/Call", token, "application/json",
					[]byte(`{"path":"/system","function":"explain_right","texts":{"user":"`+user+`","address":"`+address+`"}}`)) + "\n"
			}
		}
		return all
	}
	absent := ask()
	n.must(Request{Op: OpCreate, Path: model.MustPath("/devices/hall"), Kind: KindFolder})
	n.simulator("/devices/hall/sim")
	if there := ask(); there != absent {
		t.Errorf("absent: %s\nhidden: %s", absent, there)
	}
	if !strings.Contains(absent, "200 OK") {
		t.Errorf("it was not answered: %s", absent)
	}
}
