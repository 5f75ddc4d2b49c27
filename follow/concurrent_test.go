package follow_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"banyan/follow"
	"banyan/model"
	"banyan/proto"
	"banyan/tree"
)

// all selects everything.
type all struct{}

func (all) Key() string                                   { return "all" }
func (all) Selects(model.Path, string) bool               { return true }
func (all) Schema(s *model.Schema) (*model.Schema, error) { return s, nil }

// A context that comes while a follower is told of others is told next, however the two meet.
func TestNothingIsLostWhileTheTreeGoesOn(t *testing.T) {
	schema, err := proto.NewSchema(model.Schema{Kind: "probe", Variables: []model.Variable{{Name: "v", Type: model.TypeInt64}}})
	if err != nil {
		t.Fatal(err)
	}
	tr := tree.New(tree.Config{})
	view := follow.NewView(tr, model.Root, all{})
	f := view.NewFollower(follow.Start{})
	defer f.Close()
	const count = 20_000
	var done atomic.Bool
	go func() {
		defer done.Store(true)
		for n := range uint64(count) {
			tr.Apply([]tree.Put{{
				ID: model.ContextID{Node: model.NodeID{1}, Epoch: model.Epoch{Ordinal: 1}, Number: n + 1}, Path: model.MustPath(fmt.Sprintf("/c%d", n)),
				Schema: schema, Version: model.Version{Epoch: model.Epoch{Ordinal: 1}, Number: n + 1},
			}}, nil)
		}
	}()
	told := make(map[model.ContextID]bool)
	for finished := false; ; {
		changes, some := f.Changes(100)
		for i := range changes.Entries {
			told[changes.Entries[i].Context.ID] = true
		}
		if !some && finished {
			break
		}
		finished = finished || !some && done.Load()
	}
	if len(told) != count {
		t.Errorf("%d of %d contexts were told", len(told), count)
	}
}
