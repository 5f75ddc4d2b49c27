package server

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/proto/modelv1"

	"google.golang.org/grpc/status"
	pb "google.golang.org/protobuf/proto"
)

// hiddenOperations are the operations that a request over a link can carry, each with what it does to a setting, a function or a context. An operation
// without one fails the test: whoever adds it writes here how it is tried.
var hiddenOperations = map[string]func(q *linkv1.ExecuteRequest, name string){
	"set": func(q *linkv1.ExecuteRequest, name string) {
		q.Operation = &linkv1.ExecuteRequest_Set{Set: &linkv1.SetOperation{Name: name, Value: proto.FromValue(model.Float64(3))}}
	},
	"call": func(q *linkv1.ExecuteRequest, name string) {
		q.Operation = &linkv1.ExecuteRequest_Call{Call: &linkv1.CallOperation{Function: name}}
	},
	"create": func(q *linkv1.ExecuteRequest, _ string) { // where something hidden stands a creation is refused, and tells it: so below it only
		q.Path += "/x"
		q.Operation = &linkv1.ExecuteRequest_Create{Create: &linkv1.CreateOperation{Kind: KindFolder}}
	},
	"remove": func(q *linkv1.ExecuteRequest, _ string) {
		q.Operation = &linkv1.ExecuteRequest_Remove{Remove: &linkv1.RemoveOperation{Below: true}}
	},
	"apply": func(q *linkv1.ExecuteRequest, name string) {
		edit := &linkv1.Edit{Path: q.GetPath(), Operation: &linkv1.Edit_Change{Change: &linkv1.ChangeOperation{Settings: proto.FromArguments([]model.Argument{{Name: name, Value: model.Float64(3)}})}}}
		q.Path, q.Operation = "/", &linkv1.ExecuteRequest_Apply{Apply: &linkv1.ApplyOperation{Edits: []*linkv1.Edit{edit}}}
	},
}

// hiddenCalls are the methods of links that answer once. A method that is neither here nor in hiddenSilent fails the test.
var hiddenCalls = []string{"Execute", "Look", "Explain", "Inspect"}

// hiddenSilent are the methods in which nobody asks about a place.
var hiddenSilent = map[string]string{"Meet": "two nodes tell which life they are in", "Follow": "its frames are compared in package peering", "Bulk": "its frames are", "Keep": "backups are sealed"}

// hiddenLink is a node that shows a part of itself to another one.
type hiddenLink struct {
	*testing.T
	hq, berlin *linkedNode
	made       int
}

func startHidden(t *testing.T) *hiddenLink {
	t.Helper()
	h := &hiddenLink{T: t, hq: makeNode(t, "hq"), berlin: makeNode(t, "berlin")}
	linkUp(h.berlin, h.hq, "berlin", "/berlin", "configure")
	h.simulator("/devices/open")
	h.simulator("/devices/halla")
	h.berlin.call("/links", "invite", textArgument("name", "canary"), textArgument("role", "provider"))
	for name, value := range map[string]string{settingPaths: "/devices/open,/system/**", settingHide: "simulator:step,simulator:poll_now,simulator:setpoint"} {
		h.berlin.must(Request{Op: OpSet, Path: model.MustPath("/exports/hq"), Name: name, Value: model.String(value)})
	}
	h.hq.waits("/berlin/devices/open:poll_interval", is("1h0m0s good"))
	h.hq.waits("/berlin/devices/open:step", is("absent"))
	return h
}

func (h *hiddenLink) simulator(path string) {
	h.Helper()
	h.berlin.must(Request{Op: OpCreate, Path: model.MustPath(path), Kind: "simulator", Arguments: []model.Argument{{Name: "poll_interval", Value: model.Duration(time.Hour)}}})
}

// request is one over the link, with an ID of its own.
func (h *hiddenLink) request(operation, path, name string) *linkv1.ExecuteRequest {
	h.made++
	q := &linkv1.ExecuteRequest{Path: path, Id: []byte(fmt.Sprintf("hidden %09d", h.made)), Principal: &linkv1.Principal{Person: "alice", Node: "hq"}}
	hiddenOperations[operation](q, name)
	return q
}

// said is all that comes over the link as an answer: the message, and the error as gRPC sends it, with its details. The owner's newest revision is a change
// number, which is told.
func said(answer pb.Message, err error) string {
	if executed, is := answer.(*linkv1.ExecuteResponse); is && executed != nil {
		executed.Owner = nil
	}
	raw, failed := pb.MarshalOptions{Deterministic: true}.Marshal(answer)
	wire, failed2 := pb.MarshalOptions{Deterministic: true}.Marshal(status.Convert(proto.Status(err)).Proto())
	return fmt.Sprintf("%q %q %v %v", raw, wire, failed, failed2)
}

// twins are something hidden and something of the same length that is not there.
type twins struct {
	what           string
	hidden, absent model.Address
	operations     []string // that can be tried with it
}

func address(path, name string) model.Address {
	return model.Address{Path: model.MustPath(path), Name: name}
}

// allTwins are one of a whole context, and one for each sort of single entry.
func allTwins() []twins {
	every := slices.Sorted(maps.Keys(hiddenOperations))
	return []twins{
		{"a setting of a context", address("/devices/halla", "step"), address("/devices/hallb", "step"), every},
		{"a function of a context", address("/devices/halla", "poll_now"), address("/devices/hallb", "poll_now"), every},
		{"a single setting", address("/devices/open", "step"), address("/devices/open", "stex"), []string{"set", "apply"}},
		{"a single variable", address("/devices/open", "setpoint"), address("/devices/open", "setpoinx"), []string{"set", "apply"}},
		{"a single function", address("/devices/open", "poll_now"), address("/devices/open", "poll_nox"), []string{"call"}},
		{"a user", address("/users/admin", "roles"), address("/users/nimda", "roles"), every},
		{"another consumer's link", address("/links/canary", "enabled"), address("/links/yranac", "enabled"), every},
	}
}

// answers are those to everything that the neighbour can ask about a place, and a name there.
func (h *hiddenLink) answers(at model.Address, operations []string) map[string]string {
	h.Helper()
	links, all, path := h.berlin.peers.(*links), map[string]string{}, at.Path.String()
	for _, operation := range operations {
		for _, kept := range []bool{false, true} {
			what, q := fmt.Sprintf("%s, kept %v", operation, kept), h.request(operation, path, at.Name)
			if kept {
				q.Until = int64(model.TimeOf(time.Now().Add(time.Minute)))
				all["look for "+what] = said(links.look(h.Context(), "hq", q))
			}
			all[what] = said(links.serve(h.Context(), "hq", q))
		}
	}
	for right := range model.RightAdminister + 1 {
		answer, err := links.explainTo(h.Context(), "hq", &linkv1.ExplainRequest{
			Principal: &linkv1.Principal{Person: "alice", Node: "hq"}, Path: path, Name: at.Name, Right: modelv1.Right(right),
		})
		all[fmt.Sprint("explain ", right)] = said(answer, err)
	}
	told := &linkv1.InspectResponse{}
	links.inspect("hq", told)
	all["inspect"] = said(told, nil)
	for what := range all { // what was asked for stands in answers
		all[what] = strings.NewReplacer(path, "PATH", at.Name, "NAME").Replace(all[what])
	}
	return all
}

// TestEveryAnswerOverALinkHidesAlike: what a neighbour is not shown, whole contexts and single entries of others, is answered in the same bytes as what is not
// there: each operation, once and kept, looked for, and explained with each right.
func TestEveryAnswerOverALinkHidesAlike(t *testing.T) {
	for i, methods := 0, linkv1.File_banyan_link_v1_link_proto.Services().ByName("LinkService").Methods(); i < methods.Len(); i++ {
		if name := string(methods.Get(i).Name()); !slices.Contains(hiddenCalls, name) && hiddenSilent[name] == "" {
			t.Errorf("nothing says how %s is asked for what is hidden: write it into hiddenCalls, or why it is not into hiddenSilent", name)
		}
	}
	operations := (&linkv1.ExecuteRequest{}).ProtoReflect().Descriptor().Oneofs().ByName("operation").Fields()
	for i := range operations.Len() {
		if name := string(operations.Get(i).Name()); hiddenOperations[name] == nil {
			t.Errorf("nothing says how %s is asked for what is hidden: write it into hiddenOperations", name)
		}
	}
	h := startHidden(t)
	compared := 0
	for _, p := range allTwins() {
		hidden, absent := h.answers(p.hidden, p.operations), h.answers(p.absent, p.operations)
		for what, answer := range absent {
			compared++
			if hidden[what] != answer {
				t.Errorf("%s, %s:\nabsent: %s\nhidden: %s", p.what, what, answer, hidden[what])
			}
		}
	}
	open := h.answers(address("/devices/open", "poll_interval"), []string{"set"})
	for what, answer := range h.answers(address("/devices/halla", "poll_interval"), []string{"set"}) {
		if what != "inspect" && open[what] == answer {
			t.Errorf("%s: what is shown is answered as what is hidden: the test cannot find anything", what)
		}
	}
	t.Logf("%d answers compared", compared)
}

// spent is what an answer took: requests that went on to others, commits, and rows of the audit log.
type spent struct{ forwarded, revisions, audited uint64 }

// counting counts what a node hands on.
type counting struct {
	Forwarder
	count *uint64
}

func (c counting) Forward(ctx context.Context, who access.Principal, q Request) (Response, error) {
	*c.count++
	return c.Forwarder.Forward(ctx, who, q)
}

// TestHiddenCostsAsMuch: what an answer takes in steps that last is the same for what is hidden and for what is not there: nothing goes out over a link for one
// of them only, nothing waits for the disk for one of them only. That is what would make a class of times, whatever the machine does besides; steps in
// memory are within each other's spread, which TestHiddenTakesAsLong looks at.
func TestHiddenCostsAsMuch(t *testing.T) {
	h := startHidden(t)
	var forwarded uint64
	h.hq.router.forward = counting{h.hq.router.forward, &forwarded}
	during := func(do func()) spent {
		before := spent{forwarded, h.berlin.store.Revision().Number + h.hq.store.Revision().Number, h.berlin.store.AuditHead().Seq + h.hq.store.AuditHead().Seq}
		do()
		return spent{
			forwarded - before.forwarded, h.berlin.store.Revision().Number + h.hq.store.Revision().Number - before.revisions,
			h.berlin.store.AuditHead().Seq + h.hq.store.AuditHead().Seq - before.audited,
		}
	}
	links := h.berlin.peers.(*links)
	for _, p := range allTwins() {
		for _, operation := range p.operations {
			for where, ask := range map[string]func(at model.Address) error{
				"over the link": func(at model.Address) error {
					_, err := links.serve(t.Context(), "hq", h.request(operation, at.Path.String(), at.Name))
					return err
				},
				"at the node above": func(at model.Address) error {
					q, err := readRequest(h.request(operation, at.Path.String(), at.Name), model.MustPath("/berlin"), func(v model.Value) model.Value { return v })
					if err == nil {
						_, err = h.hq.execute(q)
					}
					return err
				},
			} {
				var errs [2]error
				hidden, absent := during(func() { errs[0] = ask(p.hidden) }), during(func() { errs[1] = ask(p.absent) })
				if hidden != absent || errs[0] == nil || errs[1] == nil {
					t.Errorf("%s %s, %s: hidden %+v, absent %+v, %v", where, operation, p.what, hidden, absent, errs)
				}
			}
		}
	}
	done := during(func() {
		if _, err := h.hq.execute(setRequest("/berlin/devices/open", "poll_interval", model.Duration(2*time.Hour))); err != nil {
			t.Error(err)
		}
	})
	if done.forwarded == 0 || done.revisions == 0 || done.audited == 0 {
		t.Errorf("what is done takes %+v: the test cannot find anything", done)
	}
}

// TestHiddenTakesAsLong asks for what is hidden and for what is not there in turn, many times, and compares how long it took by ranks: one is the slower of two in
// about half of the cases. A step more (a sleep, a hop, a walk through a tree) is told by that long before it shows in an average, and what else the
// machine does hits both alike. It looks again before it says so.
func TestHiddenTakesAsLong(t *testing.T) {
	h := startHidden(t)
	links := h.berlin.peers.(*links)
	for _, p := range allTwins() {
		for what, ask := range map[string]func(at model.Address){
			"over the link": func(at model.Address) {
				_, _ = links.serve(t.Context(), "hq", h.request(p.operations[0], at.Path.String(), at.Name))
			},
			"explained over the link": func(at model.Address) {
				_, _ = links.explainTo(t.Context(), "hq", &linkv1.ExplainRequest{Principal: &linkv1.Principal{Person: "alice", Node: "hq"}, Path: at.Path.String(), Name: at.Name})
			},
			"at the node above": func(at model.Address) {
				path, _ := model.MustPath("/berlin").Join(at.Path)
				_, _ = h.hq.execute(setRequest(path.String(), at.Name, model.Float64(1)))
			},
		} {
			var found string
			for range 3 {
				if found = slower(300, func() { ask(p.hidden) }, func() { ask(p.absent) }); found == "" {
					break
				}
			}
			if found != "" {
				t.Errorf("%s, %s: %s", p.what, what, found)
			}
		}
	}
	ask := func() { _, _ = links.serve(t.Context(), "hq", h.request("set", "/devices/hallb", "step")) }
	longer := func() {
		ask()
		for began := time.Now(); time.Since(began) < 200*time.Microsecond; { // a look at the disk, or a good half of a hop on this machine
		}
	}
	if slower(300, longer, ask) == "" {
		t.Error("200 microseconds more are not seen: the test cannot find anything")
	}
}

// slower says by how much one of two takes another time than the other; nothing where they do not differ by a class. Of pairs one after the other, the one of
// whose members is the slower in three quarters or more is a class: by chance that comes once in 10^17 with 300.
func slower(pairs int, one, other func()) string {
	var ones, others []time.Duration
	ahead := 0
	took := func(do func()) time.Duration {
		began := time.Now()
		do()
		return time.Since(began)
	}
	for i := range pairs {
		var a, b time.Duration
		if i%2 == 0 {
			a, b = took(one), took(other)
		} else {
			b, a = took(other), took(one)
		}
		if a > b {
			ahead++
		}
		ones, others = append(ones, a), append(others, b)
	}
	slices.Sort(ones)
	slices.Sort(others)
	ratio, share := float64(ones[pairs/2])/float64(others[pairs/2]), float64(ahead)/float64(pairs)
	if math.Abs(share-0.5) > 0.25 && max(ratio, 1/ratio) > 1.25 {
		return fmt.Sprintf("the first is the slower in %.0f %% of the cases, and takes %.2f times as long: medians %s and %s", 100*share, ratio, ones[pairs/2], others[pairs/2])
	}
	return ""
}
