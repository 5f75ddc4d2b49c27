package peering

import (
	"testing"

	"banyan/follow"
	"banyan/model"
	"banyan/tree"
)

// What walks through random graphs found (see folder graphs), each as small as it can be.

// renamed selects everything, and is another view.
type renamed struct{ everything }

func (renamed) Key() string { return "renamed" }

// restarted is the node after a restart with the contexts that it had.
func (n *node) restarted() {
	contexts := n.tree.ChangesSince(0, 100, nil).Contexts
	n.start(n.chain, n.tree.ChangeHead()+1)
	for _, c := range contexts {
		n.tree.Apply([]tree.Put{{ID: c.ID, Path: c.Path, Schema: c.Schema, Version: c.Version, Number: c.Change}}, nil)
	}
}

// A provider whose export became another one tells the latest of everything again: what a restart behind it left unconfirmed does not come to be good by it.
func TestNewViewConfirmsNothing(t *testing.T) {
	hq, north, berlin := newNode("hq"), newNode("north"), newNode("berlin")
	berlin.put("/slow")
	berlin.publish("/slow", 1, "one", 5)
	below, above := mirrorOf(north, berlin, "/berlin"), mirrorOf(hq, north, "/north")
	lower, upper := join(t, below, berlin, 100*second), join(t, above, north, 100*second)
	lower.consumer.Cut()
	berlin.restarted()
	join(t, below, berlin, 200*second)
	upper.settle()
	want(t, hq, "/north/berlin/slow:load", "1 uncertain/stale")

	upper.consumer.Cut()
	north.view = follow.NewView(north.tree, model.Root, renamed{})
	joinWatched(t, above, north, 300*second, func() {}) // what was compared is acknowledged before any sample is told
	want(t, hq, "/north/berlin/slow:load", "1 uncertain/stale")
}
