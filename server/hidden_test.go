package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/proto/apiv1/apiv1connect"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
)

// asked is every way to ask about something, as JSON.
var asked = []struct{ procedure, body string }{
	{apiv1connect.TreeServiceGetProcedure, `{"address":"/devices/hall/sim:step"}`},
	{apiv1connect.TreeServiceGetProcedure, `{"address":"/devices/hall/sim:nothing"}`},
	{apiv1connect.TreeServiceDescribeProcedure, `{"path":"/devices/hall/sim"}`},
	{apiv1connect.TreeServiceListProcedure, `{"path":"/devices/hall"}`},
	{apiv1connect.TreeServiceListProcedure, `{"path":"/devices/hall/sim"}`},
	{apiv1connect.TreeServiceListProcedure, `{"path":"/devices"}`},
	{apiv1connect.TreeServiceListProcedure, `{"path":"/"}`},
	{apiv1connect.TreeServiceSetProcedure, `{"address":"/devices/hall/sim:step","value":3}`},
	{apiv1connect.TreeServiceSetProcedure, `{"address":"/devices/hall/sim:step","value":"no number"}`},
	{apiv1connect.TreeServiceSetProcedure, `{"address":"/devices/hall/sim:setpoint","value":3}`},
	{apiv1connect.TreeServiceCallProcedure, `{"path":"/devices/hall/sim","function":"poll_now"}`},
	{apiv1connect.TreeServiceCallProcedure, `{"path":"/devices/hall/sim","function":"poll_now","texts":{"x":"y"}}`},
	{apiv1connect.TreeServiceCreateProcedure, `{"path":"/devices/hall/sim","kind":"simulator"}`},
	{apiv1connect.TreeServiceCreateProcedure, `{"path":"/devices/hall/sim/x","kind":"nothing"}`},
	{apiv1connect.TreeServiceRemoveProcedure, `{"path":"/devices/hall/sim","below":true}`},
}

// everything asks all of it as somebody, over JSON, gRPC and the streams, and returns the bytes of all answers.
func (r *running) everything(token string) [][]byte {
	r.t.Helper()
	answers := r.answers(token)
	api := r.api(token, connect.WithGRPC())
	watch, err := api.Watch(r.t.Context(), &apiv1.WatchRequest{Addresses: []string{"/devices/hall/sim"}})
	if err == nil {
		watch.Receive()
		err = watch.Err()
	}
	answers = append(answers, wholeError(r.t, err))
	follow, err := api.Follow(r.t.Context(), &apiv1.FollowRequest{Path: "/devices/hall"})
	if err == nil {
		follow.Receive()
		err = follow.Err()
	}
	return append(answers, wholeError(r.t, err))
}

// answers are those over JSON.
func (r *running) answers(token string) [][]byte {
	r.t.Helper()
	var answers [][]byte
	for _, q := range asked {
		status, raw := r.post(q.procedure, token, q.body)
		answers = append(answers, append([]byte(http.StatusText(status)+" "), canonical(r.t, raw)...))
	}
	return answers
}

// canonical takes out the white space that protojson puts in at random.
func canonical(t *testing.T, raw []byte) []byte {
	t.Helper()
	var to bytes.Buffer
	if err := json.Compact(&to, raw); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return to.Bytes()
}

func wholeError(t *testing.T, err error) []byte {
	t.Helper()
	if err == nil {
		t.Fatal("it was answered")
	}
	raw := []byte(err.Error())
	var e *connect.Error
	if errors.As(err, &e) {
		for _, d := range e.Details() {
			value, failed := d.Value()
			if failed != nil {
				t.Fatal(failed)
			}
			bytes, failed := proto.MarshalOptions{Deterministic: true}.Marshal(value)
			if failed != nil {
				t.Fatal(failed)
			}
			raw = append(raw, bytes...)
		}
	}
	return raw
}

// TestHiddenIsAbsent: who may see nothing of it gets the same bytes before something is there and when it is.
func TestHiddenIsAbsent(t *testing.T) {
	n := startNode(t)
	n.user("eve", rule("/devices/hall/**", model.RightNone), rule("/devices/**", model.RightConfigure), rule("/system/**", model.RightView))
	token := n.login("eve", "correct horse")
	absent := n.everything(token)
	n.must(Request{Op: OpCreate, Path: model.MustPath("/devices/hall"), Kind: KindFolder})
	n.simulator("/devices/hall/sim")
	hidden := n.everything(token)
	for i := range absent {
		if !bytes.Equal(absent[i], hidden[i]) {
			what := "a stream"
			if i < len(asked) {
				what = asked[i].procedure + " " + asked[i].body
			}
			t.Errorf("%s\nabsent: %s\nhidden: %s", what, absent[i], hidden[i])
		}
	}
	if _, there := n.Tree().Lookup(model.MustPath("/devices/hall/sim")); !there {
		t.Error("it was removed by somebody who may not see it")
	}
	// The same questions of somebody who may: the test must be able to fail.
	for i, answer := range n.answers(n.token) {
		if bytes.Equal(answer, absent[i]) && asked[i].body != `{"address":"/devices/hall/sim:nothing"}` {
			t.Errorf("%s %s: the administrator gets what a stranger gets", asked[i].procedure, asked[i].body)
		}
	}
}

// TestListShowsTheWay: what may be seen can be reached from the root, over places of which nothing else is told.
func TestListShowsTheWay(t *testing.T) {
	n := startNode(t)
	n.must(Request{Op: OpCreate, Path: model.MustPath("/devices/hall"), Kind: KindFolder, Label: "The hall"})
	n.simulator("/devices/hall/a")
	n.simulator("/devices/hall/b")
	n.user("bob", rule("/devices/hall/b", model.RightView))
	api := n.api(n.login("bob", "correct horse"))
	for _, test := range []struct{ path, child, kind, label string }{
		{"/", "/devices", "", ""}, {"/devices", "/devices/hall", "", ""}, {"/devices/hall", "/devices/hall/b", "simulator", ""},
	} {
		list, err := api.List(t.Context(), &apiv1.ListRequest{Path: test.path})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Entries) != 1 || list.Entries[0].Path != test.child || list.Entries[0].Kind != test.kind || list.Entries[0].Label != test.label || list.More {
			t.Errorf("below %s: %v", test.path, list)
		}
	}
	for _, path := range []string{"/devices/hall/a", "/users"} {
		if _, err := api.List(t.Context(), &apiv1.ListRequest{Path: path}); connect.CodeOf(err) != connect.CodeNotFound {
			t.Errorf("below %s: %v", path, err)
		}
	}
}

// TestListGoesOn pages through children of which some are hidden.
func TestListGoesOn(t *testing.T) {
	n := startNode(t)
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		n.must(Request{Op: OpCreate, Path: model.MustPath("/place/" + name), Kind: KindFolder})
	}
	n.user("bob", rule("/place/c", model.RightNone), rule("/place/g", model.RightNone), rule("/place/**", model.RightView))
	api := n.api(n.login("bob", "correct horse"))
	var got, after string
	for pages := 0; ; pages++ {
		list, err := api.List(t.Context(), &apiv1.ListRequest{Path: "/place", After: after, Limit: 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Entries {
			after = model.MustPath(e.Path).Base()
			got += after
		}
		if !list.More || pages > 9 {
			break
		}
	}
	if got != "abdef" {
		t.Errorf("got %s", got)
	}
	for _, limit := range []int32{-1, 1001} {
		if _, err := api.List(t.Context(), &apiv1.ListRequest{Path: "/place", Limit: limit}); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}
