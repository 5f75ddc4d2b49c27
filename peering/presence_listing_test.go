package peering

import (
	"fmt"
	"testing"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/tree"

	pb "google.golang.org/protobuf/proto"
)

// TestHiddenDoesNotCutListings: how a long listing is cut into frames, and whether it wants a connection of its own, depends on what is shown and on nothing else:
// not on how much lies between, after or instead of it that is hidden, there or removed.
func TestHiddenDoesNotCutListings(t *testing.T) {
	list := func(shown, hidden int) (frames []string) {
		north, berlin := newNode("north"), newNode("berlin")
		for _, n := range []*node{north, berlin} {
			n.now = func() time.Time { return time.Unix(100, 0) }
			n.start(nil, 1)
		}
		shownKind, other := kindWith(t, "plain", "canary"), kindWith(t, "canary-kind", "plain")
		berlin.view = follow.NewView(berlin.tree, model.Root, withoutCanaries{})
		secretly := func(from int) {
			next := berlin.next
			berlin.next = 100_000 + uint64(from)
			for i := range hidden {
				path := fmt.Sprintf("/canary-%d", from+i)
				berlin.fill(path, "canary-label", "canary", other)
				if i%2 == 0 {
					berlin.tree.Apply(nil, []tree.Removal{{Path: model.MustPath(path)}})
				}
			}
			berlin.next = next
		}
		secretly(0)
		for i := range shown {
			berlin.fill(fmt.Sprintf("/shown-%d", i), "Shown", "plain", shownKind)
		}
		secretly(hidden)
		hear := func(frame pb.Message) { frames = append(frames, plain(frame)) }
		m := mirrorOf(north, berlin, "/b")
		w := joinHeard(t, m, berlin, 100*second, hear)
		secretly(2 * hidden) // and once while nobody is there
		w.provider.Close()
		joinHeard(t, m, berlin, 200*second, hear).provider.Close()
		return frames
	}
	// A node without any context there is not.
	for _, shown := range []int{1, chunkEntries - 1, chunkEntries, chunkEntries + 1, 2 * chunkEntries} {
		without := list(shown, 0)
		for _, hidden := range []int{1, chunkEntries, 3 * chunkEntries} {
			with := list(shown, hidden)
			for at := range max(len(without), len(with)) {
				if at >= len(without) || at >= len(with) || without[at] != with[at] {
					told := func(frames []string) string {
						return fmt.Sprintf("%.300s", frames[min(at, len(frames)):min(at+1, len(frames))])
					}
					t.Errorf("%d shown: frame %d of %d without and %d with %d hidden:\n%s\n%s", shown, at, len(without), len(with), hidden, told(without), told(with))
					break
				}
			}
		}
	}
}
