package server

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/access"
	"banyan/model"
	wire "banyan/proto"
	"banyan/proto/apiv1"
	"banyan/proto/apiv1/apiv1connect"
	"banyan/store"
	"banyan/tree"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// plainGRPC is a client of grpc-go, with a context that carries the token.
func (r *running) plainGRPC() (apiv1.TreeServiceClient, context.Context) {
	r.t.Helper()
	conn, err := grpc.NewClient(r.APIAddress(), grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(r.roots, "")))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return apiv1.NewTreeServiceClient(conn), metadata.AppendToOutgoingContext(r.t.Context(), "authorization", "Bearer "+r.token)
}

// TestAllWaysToReadAgree: JSON, REST, gRPC by connect, gRPC by grpc-go, Describe, Watch and Follow say the same of a variable of every type, field by
// field, and the same as the tree.
func TestAllWaysToReadAgree(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim")
	n.must(Request{Op: OpCall, Path: model.MustPath("/devices/sim"), Name: "poll_now"})
	c, _ := n.Tree().Lookup(model.MustPath("/devices/sim"))
	plain, ctx := n.plainGRPC()
	viaConnect := n.api(n.token, connect.WithGRPC())
	followed := n.followOnce(t, "/devices/sim", false)
	followedJSON := n.followOnce(t, "/devices/sim", true)
	watched := n.watchOnce(t, "/devices/sim")
	described, err := plain.Describe(ctx, &apiv1.DescribeRequest{Path: "/devices/sim"})
	if err != nil {
		t.Fatal(err)
	}
	if len(described.Variables) != len(c.Schema.Variables) || len(described.Settings) != len(c.Schema.Settings) || len(watched) != len(c.Schema.Variables)+len(c.Schema.Settings) {
		t.Fatalf("%d, %d, %d", len(described.Variables), len(described.Settings), len(watched))
	}
	types := map[string]bool{}
	for i := range c.Schema.Variables {
		name := c.Schema.Variables[i].Name
		address := "/devices/sim:" + name
		reading, _ := n.Tree().Read(model.Address{Path: c.Path, Name: name})
		want, err := json.Marshal(reading)
		if err != nil {
			t.Fatal(err)
		}
		types[reading.Sample.Value.Type().String()] = true
		byConnect, err := viaConnect.Get(t.Context(), &apiv1.GetRequest{Address: address})
		if err != nil {
			t.Fatal(err)
		}
		byPlain, err := plain.Get(ctx, &apiv1.GetRequest{Address: address})
		if err != nil {
			t.Fatal(err)
		}
		_, byJSON := n.post("/banyan.api.v1.TreeService/Get", n.token, `{"address":"`+address+`"}`)
		for way, raw := range map[string][]byte{
			"connect": toJSON(t, byConnect), "grpc-go": toJSON(t, byPlain), "json": byJSON, "describe": toJSON(t, described.Variables[i].Reading),
			"watch": toJSON(t, watched[name]), "rest": n.rest(n.token, "GET", "/values"+address, "").raw,
		} {
			if !equalJSON(t, raw, want) {
				t.Errorf("%s by %s is\n%s\nnot\n%s", name, way, raw, want)
			}
		}
		for way, sample := range map[string]model.Sample{"follow": followed[name], "follow in JSON": followedJSON[name]} {
			if s := reading.Sample; !sample.Value.Equal(s.Value) || sample.Quality != s.Quality || sample.Source != s.Source || sample.Owner != s.Owner {
				t.Errorf("%s by %s is %v, not %v", name, way, sample, s)
			}
		}
	}
	if len(types) != 9 {
		t.Errorf("only %v were tried", types)
	}
}

func toJSON(t *testing.T, m proto.Message) []byte {
	t.Helper()
	raw, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func equalJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		t.Fatalf("not JSON: %s, %s", a, b)
	}
	return reflect.DeepEqual(x, y)
}

// followed is what a follower knows.
type followed struct {
	names  map[uint32]string // by key: PATH:NAME
	types  map[uint32]model.Type
	paths  map[string]bool
	values map[string]model.Sample
	stale  []string
	listed bool
	order  []string // in which samples came
}

func newFollowed() *followed {
	return &followed{names: map[uint32]string{}, types: map[uint32]model.Type{}, paths: map[string]bool{}, values: map[string]model.Sample{}}
}

// take takes a message in, and fails where it cannot be understood.
func (f *followed) take(t *testing.T, m *apiv1.FollowResponse) {
	t.Helper()
	for _, path := range m.GetDefinitions().GetRemoved() {
		delete(f.paths, path)
	}
	for _, c := range m.GetDefinitions().GetContexts() {
		f.paths[c.Path] = true
		for i, v := range c.Variables {
			f.names[c.Key+uint32(i)], f.types[c.Key+uint32(i)] = c.Path+":"+v.Name, model.Type(v.Type)
		}
	}
	f.listed = f.listed || m.GetDefinitions().GetListed()
	if m.GetStaleness() != nil {
		f.stale = nil
		for _, s := range m.GetStaleness().Stale {
			f.stale = append(f.stale, s.Path)
		}
	}
	if m.GetSamples() == nil {
		return
	}
	raw, err := proto.Marshal(m.GetSamples().Samples)
	if err != nil {
		t.Fatal(err)
	}
	var samples wire.Samples
	if err := samples.Decode(raw); err != nil {
		t.Fatal(err)
	}
	boxed := map[int]model.Value{}
	for _, b := range samples.Boxed {
		boxed[b.Index] = b.Value
	}
	for i, key := range samples.Keys {
		name, known := f.names[key]
		if !known {
			t.Fatalf("a sample of the key %d, which was not told", key)
		}
		s := model.Sample{Value: boxed[i], Source: samples.Source[i], Owner: samples.Owner[i]}
		code := uint16(0)
		if len(samples.Quality) > 0 {
			code = samples.Quality[i]
		}
		s.Quality = model.QualityFromCode(code &^ tree.NoValue)
		if f.types[key].IsScalar() && code&tree.NoValue == 0 {
			s.Value = model.Scalar(f.types[key], samples.Bits[i])
		}
		f.values[name] = s
		f.order = append(f.order, name)
	}
}

// followOnce follows until every variable has a value, and returns them by name.
func (r *running) followOnce(t *testing.T, path string, asJSON bool) map[string]model.Sample {
	t.Helper()
	options := []connect.ClientOption{connect.WithGRPC()}
	if asJSON {
		options = []connect.ClientOption{connect.WithProtoJSON()}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := r.api(r.token, options...).Follow(ctx, &apiv1.FollowRequest{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	f := newFollowed()
	for (!f.listed || len(f.values) < len(f.names) || f.stale == nil && len(f.names) == 0) && stream.Receive() {
		f.take(t, stream.Msg())
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	values := map[string]model.Sample{}
	for name, s := range f.values {
		values[strings.TrimPrefix(name, path+":")] = s
	}
	return values
}

// watchOnce is the first message of a watch of a whole context, by name.
func (r *running) watchOnce(t *testing.T, path string) map[string]*apiv1.Reading {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := r.api(r.token, connect.WithGRPC()).Watch(ctx, &apiv1.WatchRequest{Addresses: []string{path}})
	if err != nil {
		t.Fatal(err)
	}
	if !stream.Receive() {
		t.Fatal(stream.Err())
	}
	readings := map[string]*apiv1.Reading{}
	for _, reading := range stream.Msg().Readings {
		readings[reading.Name] = reading
	}
	return readings
}

// stream is a Watch or a Follow that goes on beside the test.
type stream[M any] struct {
	t        *testing.T
	messages chan *M
	ended    chan error
}

func (r *running) watch(token string, addresses ...string) *stream[apiv1.WatchResponse] {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	r.t.Cleanup(cancel)
	from, err := r.api(token, connect.WithGRPC()).Watch(ctx, &apiv1.WatchRequest{Addresses: addresses})
	if err != nil {
		r.t.Fatal(err)
	}
	return pump(r.t, from)
}

func (r *running) follow(token, path string) *stream[apiv1.FollowResponse] {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	r.t.Cleanup(cancel)
	from, err := r.api(token, connect.WithGRPC()).Follow(ctx, &apiv1.FollowRequest{Path: path})
	if err != nil {
		r.t.Fatal(err)
	}
	return pump(r.t, from)
}

func pump[M any](t *testing.T, from *connect.ServerStreamForClient[M]) *stream[M] {
	s := &stream[M]{t: t, messages: make(chan *M, 1000), ended: make(chan error, 1)}
	go func() {
		defer close(s.messages)
		for from.Receive() {
			// The client uses its message again.
			copied := proto.Clone(any(from.Msg()).(proto.Message))
			s.messages <- any(copied).(*M)
		}
		s.ended <- from.Err()
	}()
	return s
}

// next is the next message.
func (s *stream[M]) next() *M {
	s.t.Helper()
	m, more := <-s.messages
	if !more {
		s.t.Fatalf("the stream ended: %v", <-s.ended)
	}
	return m
}

// end is the error with which the stream ends, whatever comes before.
func (s *stream[M]) end() error {
	for range s.messages {
	}
	return <-s.ended
}

// until waits for a message that shows something.
func (s *stream[M]) until(what string, shows func(*M) bool) {
	s.t.Helper()
	for m := range s.messages {
		if shows(m) {
			return
		}
	}
	s.t.Fatalf("%s did not come: %v", what, <-s.ended)
}

func shows(name, value string) func(*apiv1.WatchResponse) bool {
	return func(m *apiv1.WatchResponse) bool {
		for _, r := range m.Readings {
			if r.Name == name && fmt.Sprint(r.Value.AsInterface())+" "+r.Quality == value {
				return true
			}
		}
		return false
	}
}

func TestWatch(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim")
	n.simulator("/devices/other")
	n.must(Request{Op: OpCall, Path: model.MustPath("/devices/sim"), Name: "poll_now"})
	w := n.watch(n.token, "/devices/sim:setpoint", "/devices/sim:step")
	first := w.next()
	if len(first.Readings) != 2 || first.Conflated {
		t.Fatalf("first: %v", first)
	}
	for i := 1; i <= 20; i++ {
		n.must(setRequest("/devices/other", "setpoint", model.Float64(99)))
		n.must(setRequest("/devices/sim", "setpoint", model.Float64(float64(i))))
		m := w.next()
		if shows("setpoint", fmt.Sprint(i-1, " good"))(m) {
			m = w.next() // the first regular poll, which comes within 2 s, told it again
		}
		if len(m.Readings) != 1 || m.Conflated || !shows("setpoint", fmt.Sprint(i, " good"))(m) {
			t.Fatalf("%d: %v", i, m)
		}
	}
	n.must(setRequest("/devices/other", "step", model.Float64(99)))
	done := n.must(setRequest("/devices/sim", "step", model.Float64(4)))
	if m := w.next(); !shows("step", "4 good")(m) || m.Readings[0].Revision != done.Revision.String() {
		t.Errorf("a setting: %v", m)
	}
	// Staleness that is laid over the place shows without any sample.
	n.Tree().SetOverlay(tree.Overlay{Path: devicesPath, Since: 7, Hop: "berlin > cellar"})
	w.until("staleness", shows("setpoint", "20 uncertain"))
	n.must(setRequest("/devices/sim", "setpoint", model.Float64(21)))
	w.until("a sample under staleness", shows("setpoint", "21 uncertain"))
	n.Tree().ClearOverlay(devicesPath)
	w.until("the end of staleness", shows("setpoint", "21 good"))

	n.must(Request{Op: OpRemove, Path: model.MustPath("/devices/sim")})
	if err := w.end(); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("after removal: %v", err)
	}
	for _, addresses := range [][]string{nil, make([]string, maxAddresses+1), {"sim"}} {
		if err := n.watch(n.token, addresses...).end(); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%d addresses: %v", len(addresses), err)
		}
	}
}

// TestStreamsEndWithRights: with the session, with the rule, and with the user.
func TestStreamsEndWithRights(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim")
	rules := RulesValue([]access.Rule{rule("/devices/**", model.RightView)})
	n.user("bob", rule("/devices/**", model.RightView))
	for name, test := range map[string]struct {
		end          func(token string)
		watch, other connect.Code
	}{
		"logout": {func(token string) { n.post("/banyan.api.v1.SessionService/Logout", token, "{}") }, connect.CodeUnauthenticated, connect.CodeUnauthenticated},
		"rules":  {func(string) { n.must(setRequest("/users/bob", settingRules, RulesValue(nil))) }, connect.CodeNotFound, connect.CodeUnavailable},
	} {
		n.must(setRequest("/users/bob", settingRules, rules))
		token := n.login("bob", "correct horse")
		w, f := n.watch(token, "/devices/sim"), n.follow(token, "/devices")
		w.next()
		f.next()
		test.end(token)
		if err := w.end(); connect.CodeOf(err) != test.watch {
			t.Errorf("%s: the watch ended with %v", name, err)
		}
		if err := f.end(); connect.CodeOf(err) != test.other {
			t.Errorf("%s: the follow ended with %v", name, err)
		}
	}
	if streams := n.Node.api.streams.Load(); streams != 0 {
		t.Errorf("%d streams are counted", streams)
	}
	if len(n.Node.api.follows.views) != 0 {
		t.Error("views are kept")
	}
}

// TestWatchThatLookedTooEarly: a watch looks when the tree shows a change of rights, and that may be before they are judged by.
func TestWatchThatLookedTooEarly(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim")
	n.user("bob", rule("/devices/**", model.RightView))
	w := n.watch(n.login("bob", "correct horse"), "/devices/sim:step")
	w.next()
	n.commits.mu.Lock()
	ended := make(chan error, 1)
	go func() { // not by the router, which hears of everything before it judges who gives rights
		bob, _ := n.Tree().Lookup(model.MustPath("/users/bob"))
		set := store.Set{Target: target(&bob), Settings: []store.Setting{{Name: settingRules, Value: RulesValue(nil)}}}
		_, err := n.commits.Do(n.t.Context(), store.Commit{Changes: []store.Change{set}})
		ended <- err
	}()
	shown := func() bool {
		bob, _ := n.Tree().Lookup(model.MustPath("/users/bob"))
		return len(bob.SettingNamed(settingRules).Table().Rows) == 0
	}
	if !n.pulse.until(t.Context(), shown) {
		t.Fatal("the tree does not show it")
	}
	n.Tree().SetOverlay(tree.Overlay{Path: devicesPath, Since: 7})
	w.until("a look after the change", shows("step", "1 uncertain"))
	n.commits.mu.Unlock()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := w.end(); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("it ended with %v", err)
	}
}

// TestFollow: what comes, goes, changes and is stale is told, hidden things are not, and a definition comes before its samples.
func TestFollow(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim", model.Argument{Name: "points", Value: model.Int64(10)})
	n.simulator("/devices/secret")
	n.user("bob", rule("/devices/secret", model.RightNone), rule("/devices/**", model.RightView))
	s := n.follow(n.login("bob", "correct horse"), "/devices")
	known := newFollowed()
	until := func(what string, holds func() bool) {
		t.Helper()
		s.until(what, func(m *apiv1.FollowResponse) bool { known.take(t, m); return holds() })
	}
	until("the listing", func() bool { return known.listed })
	n.must(Request{Op: OpCall, Path: model.MustPath("/devices/sim"), Name: "poll_now"})
	until("points", func() bool {
		return known.paths["/devices/sim/group-000"] && known.values["/devices/sim/group-000:p009"].Value.Type() != 0
	})
	n.must(setRequest("/devices/sim", "setpoint", model.Float64(5)))
	until("a sample", func() bool { return known.values["/devices/sim:setpoint"].Value.Float64() == 5 })
	n.simulator("/devices/late")
	n.must(setRequest("/devices/late", "setpoint", model.Float64(6)))
	until("a context that came late", func() bool { return known.values["/devices/late:setpoint"].Value.Float64() == 6 })
	n.Tree().SetOverlay(tree.Overlay{Path: model.MustPath("/devices/late"), Since: 7})
	n.Tree().SetOverlay(tree.Overlay{Path: model.MustPath("/devices/secret"), Since: 7})
	until("staleness", func() bool { return fmt.Sprint(known.stale) == "[/devices/late]" })
	n.Tree().ClearOverlay(model.MustPath("/devices/late"))
	until("its end", func() bool { return len(known.stale) == 0 })
	n.must(Request{Op: OpRemove, Path: model.MustPath("/devices/sim")})
	until("a removal", func() bool { return !known.paths["/devices/sim"] && !known.paths["/devices/sim/group-000"] })
	if known.paths["/devices/secret"] || known.paths["/users"] || !known.paths["/devices"] {
		t.Errorf("told: %v", known.paths)
	}
}

// TestFollowersShareAView where they may see the same.
func TestFollowersShareAView(t *testing.T) {
	n := startNode(t)
	n.user("bob", rule("/devices/**", model.RightView))
	n.user("carol", rule("/devices/**", model.RightOperate))
	n.user("dave", rule("/devices/x", model.RightNone), rule("/devices/**", model.RightView))
	n.user("eve", rule("/devices/x", model.RightView), rule("/devices/**", model.RightView))
	for _, name := range []string{"bob", "carol", "dave", "eve"} {
		n.follow(n.login(name, "correct horse"), "/devices").next()
	}
	n.Node.api.follows.mu.Lock()
	defer n.Node.api.follows.mu.Unlock()
	if views := len(n.Node.api.follows.views); views != 3 {
		t.Errorf("%d views", views)
	}
}

// TestReflection: a foreign client finds the services without a file, and before it has a token.
func TestReflection(t *testing.T) {
	n := startNode(t)
	stream := grpcreflect.NewClient(n.client, n.url(), connect.WithGRPC()).NewStream(t.Context())
	defer func() { _, _ = stream.Close() }()
	names, err := stream.ListServices()
	var got []string
	for _, name := range names {
		got = append(got, string(name))
	}
	slices.Sort(got)
	want := []string{apiv1connect.NodeServiceName, apiv1connect.SessionServiceName, apiv1connect.TreeServiceName}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, name := range names {
		files, err := stream.FileContainingSymbol(name)
		if err != nil || len(files) == 0 {
			t.Errorf("%s cannot be looked into: %v", name, err)
		}
	}
}
