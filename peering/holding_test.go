package peering

import (
	"fmt"
	"testing"

	"banyan/model"
	"banyan/proto"
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

// Somebody who does not read lets the ring of samples grow: by what one mount publishes no more than it may take, by the node's own as far as there is room.
func TestMountsShareOfTheRing(t *testing.T) {
	hq, c := victim(t)
	c.mirror.Bound(4 << 20)
	hq.put("/own")
	own, _ := hq.tree.Lookup(model.MustPath("/own"))
	tell(t, c, schemaFrame(probeSchema))
	if err := send(c, deltaIn(deltaOf("/a", "/b", "/c"))); err != nil {
		t.Fatal(err)
	}
	shown, _ := hq.tree.Lookup(model.MustPath("/m/a"))
	c.mirror.keys.set(1, shown.Slots)
	lags := hq.tree.NewReader()
	defer lags.Close()
	holds := func() (samples int) {
		head := hq.tree.Head()
		for at := head; at > 1 && hq.tree.Holds(at-1); at-- {
			samples++
		}
		return samples
	}
	s := proto.Samples{}
	for i := range 4096 {
		s.Keys, s.Bits, s.Source = append(s.Keys, 1), append(s.Bits, uint64(i)), append(s.Source, 1)
	}
	encoded := s.Append(nil)
	for i := range uint64(200) {
		if err := c.mirror.publish(encoded, i); err != nil {
			t.Fatal(err)
		}
	}
	if got := holds(); got > 4<<20/tree.SampleCost+2*4096 || got < 64<<10 {
		t.Errorf("the ring holds %d samples of a mount that may take 4 MiB", got)
	}
	var b tree.Batch
	for i := range 4096 {
		b.Add(own.Slots.First, model.Sample{Value: model.Float64(float64(i)), Source: 1})
	}
	for range 200 {
		hq.tree.Publish(&b)
	}
	if got := holds(); got < 200*4096 {
		t.Errorf("the ring holds %d samples where the node's own are %d", got, 200*4096)
	}
}
