package server

import (
	"context"
	"testing"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"
)

// TestRequestsAreNotInherited removes a user, and makes another one of the same name, who may see nothing: what the first one asked for is not theirs,
// neither what waits nor what was done, at this node or elsewhere.
func TestRequestsAreNotInherited(t *testing.T) {
	n := makeTiers(t)
	alice := func(r model.Right, pattern string) Request {
		return Request{Op: OpCreate, Path: model.MustPath("/users/alice"), Kind: KindUser, Arguments: []model.Argument{
			{Name: settingRules, Value: RulesValue([]access.Rule{rule(pattern, r)})},
		}}
	}
	as := context.WithValue(t.Context(), callerKey{}, Caller{Principal: principal("alice", "hq")})
	n.hq.must(alice(model.RightAdminister, "/**"))
	local := Request{Op: OpCall, Path: systemPath, Name: "doctor", Until: model.TimeOf(time.Now().Add(time.Minute))}
	ids := []string{}
	for _, q := range []Request{farSet("step", model.Float64(3), time.Minute), local} {
		made, err := n.hq.Router().Execute(as, principal("alice", "hq"), q)
		if err != nil {
			t.Fatal(err)
		}
		n.hq.fate(made.Kept, model.FateDone)
		ids = append(ids, idText(made.Kept))
	}
	n.berlin.stop()
	n.hq.waits(farDevice+":all_bool", is("true uncertain/stale"))
	waits, err := n.hq.Router().Execute(as, principal("alice", "hq"), farSet("step", model.Float64(4), time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	ids = append(ids, idText(waits.Kept))
	asks := newAPI(n.hq.Node)
	if list, err := asks.Requests(as, &apiv1.RequestsRequest{Ended: true}); err != nil || len(list.GetRequests()) != len(ids) {
		t.Fatalf("alice sees %v, %v", list, err)
	}
	n.hq.must(Request{Op: OpRemove, Path: model.MustPath("/users/alice"), Below: true})
	n.hq.must(alice(model.RightView, "/elsewhere/**"))
	if list, err := asks.Requests(as, &apiv1.RequestsRequest{Ended: true}); err != nil || len(list.GetRequests()) != 0 {
		t.Errorf("another alice sees %v, %v", list, err)
	}
	for _, id := range ids {
		if _, err := asks.Requests(as, &apiv1.RequestsRequest{Id: id}); model.KindOf(err) != model.KindNotFound {
			t.Errorf("another alice asks for %s: %v", id, err)
		}
		if _, err := asks.CancelRequest(as, &apiv1.CancelRequestRequest{Id: id}); model.KindOf(err) != model.KindNotFound {
			t.Errorf("another alice cancels %s: %v", id, err)
		}
	}
}
