package peering

import (
	"fmt"
	"math"
	"testing"
	"time"

	"banyan/model"
	"banyan/proto"
	"banyan/tree"
)

// The newest acknowledgement stands for all before it, and wakes where something can be told that could not before.
func TestAcknowledgementsWait(t *testing.T) {
	var box ackBox
	if _, _, some := box.take(); some {
		t.Error("there is one that nobody has sent")
	}
	if box.put(proto.Ack{Samples: 1, Bytes: 10}, 1) || box.put(proto.Ack{Samples: 2, Bytes: 20}, 2) {
		t.Error("one that changes nothing wakes the session")
	}
	if box.await() {
		t.Error("the session waits for what is there already")
	}
	if ack, at, some := box.take(); !some || at != 2 || ack != (proto.Ack{Samples: 2, Bytes: 20}) {
		t.Errorf("%+v of %d was taken, %v", ack, at, some)
	}
	if _, _, some := box.take(); some {
		t.Error("one is taken twice")
	}
	if !box.await() || !box.put(proto.Ack{Samples: 3, Bytes: 30}, 3) {
		t.Error("one that is waited for wakes nobody")
	}
	if box.put(proto.Ack{Samples: 4, Bytes: 40}, 4) {
		t.Error("the next one wakes, too")
	}
	if !box.put(proto.Ack{Changes: 1, Samples: 4, Bytes: 50}, 5) {
		t.Error("that definitions have arrived wakes nobody")
	}
}

// Heartbeats that come too late to help: all that lets a session go on must come from acknowledgements.
func TestAcknowledgementsLetASessionGoOn(t *testing.T) {
	known := pins{}
	hq, berlin := newLinkedBeating(t, "hq", known, time.Minute), newLinkedBeating(t, "berlin", known, time.Minute)
	berlin.put("/a")
	hq.hub.Reconcile([]LinkConfig{consume(hq, berlin, true, berlin.address)})
	berlin.hub.Reconcile([]LinkConfig{provide(berlin, hq, false)})
	berlin.publish("/a", 1, "one", 1)
	until(t, "the first value is there", hq.reads("/m/a:load", "1 good"))
	c, _ := berlin.tree.Lookup(model.MustPath("/a"))
	var b tree.Batch
	for i := range 4096 {
		b.Add(c.Slots.First, model.Sample{Value: model.Float64(float64(i)), Source: model.Time(i + 1)})
	}
	const batches = 50 // ten times what may be on its way
	for i := range batches {
		b.Bits[4095] = math.Float64bits(float64(i))
		berlin.publishBatch(&b)
		if i%10 == 9 {
			path := fmt.Sprintf("/d%d", i)
			berlin.put(path)
			berlin.publish(path, 7, "seven", 2)
			until(t, "a definition and its sample are there", hq.reads("/m"+path+":load", "7 good"))
		}
	}
	until(t, "all is there", hq.reads("/m/a:load", fmt.Sprintf("%d good", batches-1)))
}
