package peering

import "testing"

// TestShortSessionIsRemembered: a session that begins and ends between two looks at its link was there all the same, and the life of the provider that
// comes next is judged by when it was last heard of.
func TestShortSessionIsRemembered(t *testing.T) {
	known := pins{}
	hq, berlin := newLinked(t, "hq", known), newLinked(t, "berlin", known)
	berlin.put("/a")
	hq.hub.Reconcile([]LinkConfig{consume(hq, berlin, false)})
	berlin.hub.Reconcile([]LinkConfig{provide(berlin, hq, true, hq.address)})
	until(t, "the value is there", hq.reads("/m/a:interval", "1s good"))
	hq.hub.mu.Lock()
	l := hq.hub.links["down"].link
	hq.hub.mu.Unlock()
	l.mu.Lock()
	l.feeds[0].session, l.feeds[0].status.Heard, l.status.Heard = nil, 0, 0 // as if nobody had looked since it began, and nobody looks before it ends
	l.mu.Unlock()
	berlin.hub.Reconcile([]LinkConfig{off(provide(berlin, hq, true, hq.address))})
	until(t, "it is stale", hq.reads("/m/a:interval", "1s uncertain/stale"))
	if s, _ := hq.hub.Status("down"); s.Heard == 0 {
		t.Error("it is not known when the provider was last heard of")
	}
}
