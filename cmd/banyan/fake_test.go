package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/model"
	"banyan/proto"
	"banyan/proto/apiv1"
	"banyan/proto/apiv1/apiv1connect"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/structpb"
)

const fakePassword = "open sesame"

// fakeNode is a node that does what a real one would not do at the wish of a test: answer late or never, end sessions, and tell what no
// parser lets through.
type fakeNode struct {
	apiv1connect.UnimplementedTreeServiceHandler
	server *httptest.Server
	over   chan struct{} // closed at the end

	mu       sync.Mutex // guards the rest
	sessions map[string]bool
	logins   int
	asked    []string // what was set, called, created and removed
}

func startFake(t testing.TB) *fakeNode {
	f := &fakeNode{sessions: map[string]bool{}, over: make(chan struct{})}
	mux := http.NewServeMux()
	guard := connect.WithInterceptors(connect.UnaryInterceptorFunc(f.guard))
	mux.Handle(apiv1connect.NewTreeServiceHandler(f, guard))
	mux.Handle(apiv1connect.NewSessionServiceHandler(fakeSessions{f}, guard))
	f.server = httptest.NewUnstartedServer(mux)
	f.server.EnableHTTP2 = true
	f.server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that refuse its certificate are part of the tests
	f.server.StartTLS()
	t.Cleanup(func() {
		close(f.over)
		f.server.Close()
	})
	return f
}

func (f *fakeNode) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.server.Certificate().Raw})
}

// api is an error as a node sends it.
func apiError(e *model.Error) error {
	out := connect.NewError(connect.Code(proto.Code(e)), fmt.Errorf("the detail says more"))
	if detail, err := connect.NewErrorDetail(proto.FromError(e)); err == nil {
		out.AddDetail(detail)
	}
	return out
}

func (f *fakeNode) guard(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, q connect.AnyRequest) (connect.AnyResponse, error) {
		f.mu.Lock()
		known := f.sessions[strings.TrimPrefix(q.Header().Get("Authorization"), "Bearer ")]
		f.mu.Unlock()
		if !known && !strings.HasSuffix(q.Spec().Procedure, "/Login") {
			return nil, apiError(&model.Error{Kind: model.KindUnauthenticated, Detail: "no valid token was given"})
		}
		return next(ctx, q)
	}
}

func (f *fakeNode) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
}

type fakeSessions struct{ *fakeNode }

func (f fakeSessions) Login(_ context.Context, q *apiv1.LoginRequest) (*apiv1.LoginResponse, error) {
	if q.GetPassword() != fakePassword {
		return nil, apiError(&model.Error{Kind: model.KindUnauthenticated, Op: "login", Detail: "name or password is wrong"})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logins++
	token := fmt.Sprintf("bsn_%s_%d", q.GetName(), f.logins)
	f.sessions[token] = true
	return &apiv1.LoginResponse{Token: token, Expires: "2030-01-02T03:04:05Z"}, nil
}

func (f fakeSessions) Logout(context.Context, *apiv1.LogoutRequest) (*apiv1.LogoutResponse, error) {
	f.forget()
	return &apiv1.LogoutResponse{}, nil
}

func (f fakeSessions) Who(context.Context, *apiv1.WhoRequest) (*apiv1.WhoResponse, error) {
	return &apiv1.WhoResponse{Name: "alice", Node: "hq"}, nil
}

// forget ends all sessions.
func (f *fakeNode) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sessions = map[string]bool{}
}

const hostileText = "\x1b[2J\x1b]0;owned\x07 red\r\nbanyan: all is well \u202egnp"

func (f *fakeNode) List(_ context.Context, q *apiv1.ListRequest) (*apiv1.ListResponse, error) {
	old := model.TimeOf(time.Now().Add(-3 * time.Hour)).String()
	switch q.GetPath() {
	case "/":
		return &apiv1.ListResponse{Entries: []*apiv1.Entry{
			{Path: "/devices", Kind: "folder", Label: "Geräte", Parent: true},
			{Path: "/hostile", Kind: "folder", Label: hostileText, State: hostileText, Quality: hostileText, Reason: hostileText, Newest: hostileText},
			{Path: "/many", Parent: true},
		}}, nil
	case "/devices":
		return &apiv1.ListResponse{Entries: []*apiv1.Entry{
			{Path: "/devices/hall", Kind: "simulator", Label: "大厅", State: "ok", Quality: "good", Newest: model.TimeOf(time.Now()).String()},
			{Path: "/devices/local", Kind: "host", State: "ok", Quality: "uncertain", Reason: "stale", Newest: old, Stale: old, Via: []string{"berlin"}},
		}}, nil
	case "/many": // 2500 of them
		response := &apiv1.ListResponse{}
		for i := range 2500 {
			name := fmt.Sprintf("%04d", i)
			if name <= q.GetAfter() {
				continue
			}
			if len(response.Entries) == int(q.GetLimit()) {
				response.More = true
				break
			}
			response.Entries = append(response.Entries, &apiv1.Entry{Path: "/many/" + name, Kind: "point"})
		}
		return response, nil
	}
	return nil, apiError(&model.Error{Kind: model.KindNotFound, Op: "list", Detail: "nothing is there that you may see"})
}

func fakeReading(path, name string, value *structpb.Value) *apiv1.Reading {
	return &apiv1.Reading{
		Path: path, Name: name, Type: "float64", Value: value, Unit: "%", Quality: "uncertain", Reason: "stale", Since: "2026-01-02T03:04:06Z",
		Time: "2026-01-02T03:04:05.5Z", Published: "2026-01-02T03:04:05.6Z", Received: "2026-01-02T03:04:05.7Z", Via: []string{"north", "berlin"},
	}
}

func (f *fakeNode) Get(_ context.Context, q *apiv1.GetRequest) (*apiv1.Reading, error) {
	switch q.GetAddress() {
	case "/devices/local:cpu_percent":
		return fakeReading("/devices/local", "cpu_percent", structpb.NewNumberValue(12.5)), nil
	case "/hostile:text":
		r := fakeReading("/hostile", "text", structpb.NewStringValue(hostileText))
		r.Type, r.Unit = "string", hostileText
		return r, nil
	case "/hostile:error":
		return nil, apiError(&model.Error{Kind: model.KindInternal, Detail: hostileText, Remedy: hostileText, Node: hostileText})
	}
	return nil, apiError(&model.Error{Kind: model.KindNotFound, Detail: "nothing is there that you may see"})
}

func (f *fakeNode) Describe(_ context.Context, q *apiv1.DescribeRequest) (*apiv1.ContextInfo, error) {
	if q.GetPath() != "/devices/local" {
		return nil, apiError(&model.Error{Kind: model.KindNotFound, Detail: "nothing is there that you may see"})
	}
	interval := &apiv1.Reading{Path: q.GetPath(), Name: "poll_interval", Type: "duration", Value: structpb.NewStringValue("1s"), Quality: "good", Revision: "1-02@3"}
	return &apiv1.ContextInfo{
		Path: q.GetPath(), Id: "1/2/3", Kind: "host", Label: "This machine", Via: []string{"berlin"}, Stale: "2026-01-02T03:04:06Z", Hop: "north",
		Settings: []*apiv1.SettingInfo{
			{Reading: interval, Right: "configure", Description: "How often."},
			{Reading: &apiv1.Reading{Path: q.GetPath(), Name: "password", Type: "none"}, Right: "administer", Secret: true},
		},
		Variables: []*apiv1.VariableInfo{{Reading: fakeReading(q.GetPath(), "cpu_percent", structpb.NewNumberValue(12.5)), Description: hostileText}},
		Functions: []*apiv1.FunctionInfo{{Name: "poll_now", Right: "operate", Parameters: []*apiv1.FieldInfo{{Name: "depth", Type: "int64", Optional: true}}}},
	}, nil
}

func (f *fakeNode) Set(_ context.Context, q *apiv1.SetRequest) (*apiv1.SetResponse, error) {
	f.note("set %s text=%q value=%s expected=%s", q.GetAddress(), q.GetText(), valueJSON("", q.GetValue()), q.GetExpected())
	if q.GetAddress() == "/devices/local:poll_interval" {
		return nil, apiError(&model.Error{
			Kind: model.KindDenied, Op: "set", Path: model.MustPath("/devices/local"), Name: "poll_interval", Node: "berlin",
			Detail: "denied by berlin, rule 3: alice@hq has operate, configure is needed",
		})
	}
	return &apiv1.SetResponse{Revision: "1-0000000000000002@4", Via: []string{"north", "berlin"}}, nil
}

func (f *fakeNode) Call(ctx context.Context, q *apiv1.CallRequest) (*apiv1.CallResponse, error) {
	f.note("call %s:%s %v %d", q.GetPath(), q.GetFunction(), q.GetTexts(), len(q.GetArguments()))
	switch q.GetFunction() {
	case "forget":
		f.forget()
	case "hang": // the owner's work ends at the deadline, and says so
		<-ctx.Done()
		return nil, apiError(&model.Error{Kind: model.KindTimeout, Op: "call", Path: model.MustPath("/devices/sim"), Name: "hang", Node: "berlin", Detail: "device sim did not answer in time"})
	case "dead": // nobody ever answers
		<-f.over
	case "discover":
		return f.discovered(), nil
	case "asked":
		f.mu.Lock()
		defer f.mu.Unlock()
		return &apiv1.CallResponse{Results: []*apiv1.Result{
			{Name: "asked", Type: "string", Value: structpb.NewStringValue(strings.Join(f.asked, "; "))},
			{Name: "logins", Type: "int64", Value: structpb.NewStringValue(fmt.Sprint(f.logins)), Unit: "times"},
		}}, nil
	}
	return &apiv1.CallResponse{Via: []string{"berlin"}}, nil
}

// discovered is what a subnet with an evil machine in it looks like.
func (f *fakeNode) discovered() *apiv1.CallResponse {
	text := structpb.NewStringValue
	list := func(values ...*structpb.Value) *structpb.Value {
		return structpb.NewListValue(&structpb.ListValue{Values: values})
	}
	var columns []*structpb.Value
	for _, name := range []string{"address", "kind", "profile", "name", "description", "settings", "device", "problem"} {
		columns = append(columns, structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"name": text(name), "type": text("string")}}))
	}
	rows := list(
		list(text("10.0.0.1"), text("snmp"), text("switch"), text("sw1"), text("A switch."), text("address=10.0.0.1"), text("/devices/sw1"), text("")),
		list(text("10.0.0.2"), text("snmp"), text(""), text(hostileText), text("x"), text("address=10.0.0.2"), structpb.NewNullValue(), text("denied by berlin")),
	)
	return &apiv1.CallResponse{Results: []*apiv1.Result{
		{Name: "ended", Type: "string", Value: text("deadline")}, {Name: "done", Type: "int64", Value: text("100")}, {Name: "total", Type: "int64", Value: text("254")},
		{Name: "found", Type: "table", Value: structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"columns": list(columns...), "rows": rows}})},
		{Name: "problems", Type: "string", Value: text("")},
	}}
}

func (f *fakeNode) Create(_ context.Context, q *apiv1.CreateRequest) (*apiv1.CreateResponse, error) {
	f.note("create %s %s %q %v %d", q.GetPath(), q.GetKind(), q.GetLabel(), q.GetTexts(), len(q.GetSettings()))
	return &apiv1.CreateResponse{Id: "1/2/3", Revision: "1-0000000000000002@5", Mirrored: true}, nil
}

func (f *fakeNode) Remove(_ context.Context, q *apiv1.RemoveRequest) (*apiv1.RemoveResponse, error) {
	f.note("remove %s %v %q", q.GetPath(), q.GetBelow(), q.GetExpected())
	return &apiv1.RemoveResponse{Mirrored: true}, nil
}

func (f *fakeNode) Watch(ctx context.Context, q *apiv1.WatchRequest, to *connect.ServerStream[apiv1.WatchResponse]) error {
	switch q.GetAddresses()[0] {
	case "/gone:x":
		return apiError(&model.Error{Kind: model.KindNotFound, Op: "watch", Path: model.MustPath("/gone"), Name: "x", Detail: "nothing is there that you may see"})
	case "/silent:x":
		<-ctx.Done()
		return ctx.Err()
	}
	for i := range 3 {
		r := fakeReading("/devices/local", "cpu_percent", structpb.NewNumberValue(float64(i)))
		if err := to.Send(&apiv1.WatchResponse{Readings: []*apiv1.Reading{r}, Conflated: i == 1}); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}
