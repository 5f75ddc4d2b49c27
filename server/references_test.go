package server

import (
	"testing"
	"time"

	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
)

// TestAnswersNameNothingHidden: what a function answers over a link names only what the other node may see, in tables too. What is hidden by its path,
// by its kind or as a single entry is outside like what lies outside of the export's root.
func TestAnswersNameNothingHidden(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/berlin", "operate")
	for _, path := range []string{"/devices/sim", "/devices/canary"} {
		berlin.must(Request{Op: OpCreate, Path: model.MustPath(path), Kind: "simulator", Arguments: []model.Argument{
			{Name: "poll_interval", Value: model.Duration(time.Hour)},
		}})
	}
	berlin.must(Request{Op: OpCreate, Path: model.MustPath("/devices/folder"), Kind: KindFolder})
	berlin.must(Request{Op: OpCreate, Path: model.MustPath("/outside"), Kind: KindFolder})
	for name, value := range map[string]string{
		settingRoot: "/devices", settingPaths: "/devices/sim,/devices/folder,/devices/later,/outside", settingExceptKinds: "folder", settingHide: "simulator:step",
	} {
		berlin.must(Request{Op: OpSet, Path: model.MustPath("/exports/hq"), Name: name, Value: model.String(value)})
	}
	hq.waits("/berlin/sim:poll_interval", is("1h0m0s good"))
	for _, test := range []struct {
		to    model.Address // below the export's root
		named bool
	}{
		{model.Address{Path: model.MustPath("/sim")}, true},
		{model.Address{Path: model.MustPath("/sim"), Name: "setpoint"}, true},
		{model.Address{Path: model.MustPath("/sim"), Name: "echo"}, true},
		{model.Address{Path: model.MustPath("/later")}, true},
		{model.Address{Path: model.MustPath("/sim"), Name: "step"}, false},
		{model.Address{Path: model.MustPath("/sim"), Name: "nothing"}, false},
		{model.Address{Path: model.MustPath("/later"), Name: "step"}, false},
		{model.Address{Path: model.MustPath("/canary")}, false},
		{model.Address{Path: model.MustPath("/canary"), Name: "setpoint"}, false},
		{model.Address{Path: model.MustPath("/canary/deeper")}, false},
		{model.Address{Path: model.MustPath("/folder")}, false},
	} {
		table := &model.Table{Columns: []model.Column{{Name: "n", Type: model.TypeInt64}, {Name: "ref", Type: model.TypeRef}}, Rows: [][]model.Value{{model.Int64(1), model.Ref(test.to)}}}
		answer, err := berlin.peers.(*links).serve(t.Context(), "hq", &linkv1.ExecuteRequest{
			Id: []byte("0123456789abcdef"), Path: "/sim", Principal: &linkv1.Principal{Person: "alice", Node: "hq"},
			Operation: &linkv1.ExecuteRequest_Call{Call: &linkv1.CallOperation{Function: "echo", Arguments: proto.FromArguments([]model.Argument{
				{Name: "ref", Value: model.Ref(test.to)}, {Name: "table", Value: model.TableValue(table)},
			})}},
		})
		if err != nil {
			t.Fatal(err)
		}
		results, err := proto.ToArguments(answer.GetResults())
		if err != nil || len(results) != 2 {
			t.Fatal(results, err)
		}
		for where, v := range map[string]model.Value{"answered": results[0].Value, "in a table": results[1].Value.Table().Rows[0][1]} {
			to, inside := v.Ref()
			if inside != test.named || inside && to != test.to {
				t.Errorf("%s, %s: %v, to be named: %v", test.to, where, v, test.named)
			}
		}
	}
}
