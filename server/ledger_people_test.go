package server

import (
	"context"
	"testing"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/store"
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

// The first digits of a request's ID are enough where no other request that who asks may see begins so; what is hidden from them makes nothing ambiguous.
func TestRequestsByTheirFirstDigits(t *testing.T) {
	n := makeNode(t, "hq")
	asks := newAPI(n.Node)
	as := func(name string) context.Context {
		if _, there := n.tree.Lookup(model.MustPath("/users/" + name)); !there {
			n.must(Request{Op: OpCreate, Path: model.MustPath("/users/" + name), Kind: KindUser, Arguments: []model.Argument{
				{Name: settingRules, Value: RulesValue([]access.Rule{rule("/system/**", model.RightOperate)})},
			}})
		}
		return context.WithValue(t.Context(), callerKey{}, Caller{Principal: principal(name, "hq")})
	}
	put := func(name, id string) {
		raw, err := parseID(id)
		if err != nil {
			t.Fatal(err)
		}
		q := Request{Op: OpCall, ID: raw, Path: model.MustPath("/devices/none"), Name: "reset", Until: model.TimeOf(time.Now().Add(time.Minute))}
		row := n.ledger.rowOf(principal(name, "hq"), &q, store.RoleMade, model.FatePending)
		user, _ := n.tree.Lookup(model.MustPath("/users/" + name))
		row.Account = user.ID.String()
		if err := n.ledger.put(t.Context(), row); err != nil {
			t.Fatal(err)
		}
	}
	alice := as("alice")
	put("alice", "abcd1000000000000000000000000001")
	put("alice", "abce1000000000000000000000000001")
	put("alice", "abce2000000000000000000000000001")
	as("bob")
	put("bob", "abcd2000000000000000000000000001")
	for text, want := range map[string]string{
		"abcd": "abcd1000000000000000000000000001", "ABCE1": "abce1000000000000000000000000001", "abce2000000000000000000000000001": "abce2000000000000000000000000001",
	} {
		if list, err := asks.Requests(alice, &apiv1.RequestsRequest{Id: text}); err != nil || list.GetRequests()[0].GetId() != want {
			t.Errorf("%s: %v, %v", text, list, err)
		}
	}
	for text, want := range map[string]model.ErrorKind{
		"abce": model.KindInvalid, "abcd2": model.KindNotFound, "abc": model.KindInvalid, "abcg": model.KindInvalid, "1234": model.KindNotFound,
	} {
		if _, err := asks.Requests(alice, &apiv1.RequestsRequest{Id: text}); model.KindOf(err) != want {
			t.Errorf("show %s: %v", text, err)
		}
		if _, err := asks.CancelRequest(alice, &apiv1.CancelRequestRequest{Id: text}); model.KindOf(err) != want {
			t.Errorf("cancel %s: %v", text, err)
		}
	}
}
