package follow

import (
	"testing"

	"banyan/model"
)

// Only after a batch of many samples is there a moment before the next one is asked for, once; where little comes nothing waits.
func TestOnlyManySamplesAreGathered(t *testing.T) {
	f := newFixture(t)
	f.put("/a")
	follower := NewView(f.tree, model.Root, part{}).NewFollower(Start{})
	defer follower.Close()
	f.drain(follower)
	for _, c := range []struct {
		samples int
		waits   bool
	}{{1, false}, {gatherFrom - 1, false}, {gatherFrom, true}, {1, false}, {20_000, true}} {
		f.publish("/a", "load", c.samples)
		f.drain(follower)
		if first, second := follower.Gather(), follower.Gather(); (first > 0) != c.waits || second > 0 {
			t.Errorf("after %d samples it waits for %s, and then for %s", c.samples, first, second)
		}
	}
}
