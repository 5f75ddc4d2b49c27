package peering

import (
	"context"
	"strings"
	"testing"

	"banyan/model"
	"banyan/proto/linkv1"
	"banyan/proto/modelv1"
)

// An answer that unfolds to too much ends the link with that as the reason, and who asked is told that it is not known what was done.
func TestAnswerThatUnfoldsEndsTheLink(t *testing.T) {
	known := pins{}
	hq, berlin := newLinked(t, "hq", known), newLinked(t, "berlin", known)
	berlin.put("/pump")
	berlin.hub.cfg.Execute = func(context.Context, string, *linkv1.ExecuteRequest) (*linkv1.ExecuteResponse, error) {
		response := &linkv1.ExecuteResponse{}
		for range 40_000 {
			response.Results = append(response.Results, &modelv1.Argument{})
		}
		return response, nil
	}
	hq.hub.Reconcile([]LinkConfig{consume(hq, berlin, true, berlin.address)})
	berlin.hub.Reconcile([]LinkConfig{provide(berlin, hq, false)})
	until(t, "the context is listed", func() bool { contexts, _ := hq.tree.Count(); return contexts == 1 })
	if _, err := hq.hub.Ask(t.Context(), "down", &linkv1.ExecuteRequest{Path: "/pump"}); model.KindOf(err) != model.KindUnknownFate || !strings.Contains(err.Error(), "more than") {
		t.Errorf("who asked is told %v", err)
	}
	until(t, "the link says why it was ended", func() bool {
		status, _ := hq.hub.Status("down")
		return strings.Contains(status.Problem, "more than")
	})
}
