package peering

import (
	"fmt"
	"testing"

	"banyan/model"
	"banyan/proto/linkv1"
	"banyan/tree"
)

// churned tells contexts and takes them back, so many rounds, with a mount that may take 1 MiB, and is the first refusal. After each round so many samples of
// the consumer's own move its ring on.
func churned(t *testing.T, rounds, samples int) error {
	t.Helper()
	hq, c := victim(t)
	c.mirror.Bound(1 << 20)
	hq.put("/own")
	own, _ := hq.tree.Lookup(model.MustPath("/own"))
	tell(t, c, schemaFrame(probeSchema))
	var before []*linkv1.Definition
	number := uint64(0)
	for range rounds {
		d := deltaOf("/a", "/b", "/c")
		for _, def := range d.Definitions {
			number++
			def.Number, def.Change, def.Defined, def.Path = number, number, number, fmt.Sprintf("/x%d", number)
		}
		for _, def := range before {
			d.Removals = append(d.Removals, &linkv1.Removal{Number: def.GetNumber(), Change: number, Path: def.GetPath()})
		}
		before = d.Definitions
		if err := send(c, deltaIn(d)); err != nil {
			return err
		}
		var b tree.Batch
		for i := range samples {
			b.Add(own.Slots.First, model.Sample{Value: model.Float64(float64(i)), Source: 1})
		}
		hq.tree.Publish(&b)
	}
	return nil
}

// Contexts that come and go leave variables behind that cannot be used again before the ring has moved on: they count, also where each delta takes back as
// much as it tells.
func TestComingAndGoingIsCounted(t *testing.T) {
	if err := churned(t, 2000, 1); model.KindOf(err) != model.KindExhausted {
		t.Errorf("6,000 contexts that came and went, one after the other, in a mount of 1 MiB: %v", err)
	}
}

// A mount where something comes and goes all the time does not fill up: what went is counted no more when the ring has moved on, though others went since.
func TestComingAndGoingForLong(t *testing.T) {
	if err := churned(t, 2000, 1000); err != nil {
		t.Error(err)
	}
}
