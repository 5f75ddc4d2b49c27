package peering

import (
	"context"
	"testing"

	"banyan/model"
	"banyan/proto/linkv1"
)

// A connection that ends while a request is being done leaves open whether it was: whoever asked is not told that it was not.
func TestConnectionThatEndsInARequestLeavesItsFateOpen(t *testing.T) {
	known := pins{}
	hq, berlin := newLinked(t, "hq", known), newLinked(t, "berlin", known)
	berlin.put("/pump")
	begun := make(chan struct{})
	berlin.hub.cfg.Execute = func(ctx context.Context, _ string, _ *linkv1.ExecuteRequest) (*linkv1.ExecuteResponse, error) {
		close(begun)
		<-ctx.Done()
		return &linkv1.ExecuteResponse{}, nil // done, and nobody is there to be told
	}
	hq.hub.Reconcile([]LinkConfig{consume(hq, berlin, true, berlin.address)})
	up := provide(berlin, hq, false)
	berlin.hub.Reconcile([]LinkConfig{up})
	until(t, "the context is listed", func() bool { contexts, _ := hq.tree.Count(); return contexts == 1 })
	answered := make(chan error, 1)
	go func() {
		_, err := hq.hub.Ask(t.Context(), "down", &linkv1.ExecuteRequest{Export: "", Path: "/pump"})
		answered <- err
	}()
	<-begun
	berlin.hub.Reconcile([]LinkConfig{off(up)})
	if err := <-answered; model.KindOf(err) != model.KindUnknownFate || NotSent(err) {
		t.Errorf("got %v (%s), wanted an unknown fate", err, model.KindOf(err))
	}
	until(t, "the link is down", func() bool { status, _ := hq.hub.Status("down"); return status.State != StateUp })
	if _, err := hq.hub.Ask(t.Context(), "down", &linkv1.ExecuteRequest{Path: "/pump"}); model.KindOf(err) != model.KindUnavailable || !NotSent(err) {
		t.Errorf("a request over a link that is down: %v", err)
	}
}
