package peering

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"banyan/model"
	"banyan/proto"
	"banyan/tree"
)

var wideSchema = func() *model.Schema {
	s := model.Schema{Kind: "wide"}
	for i := range 100 {
		s.Variables = append(s.Variables, model.Variable{Name: fmt.Sprintf("v%02d", i), Type: model.TypeFloat64})
	}
	made, err := proto.NewSchema(s)
	if err != nil {
		panic(err)
	}
	return made
}()

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLink sends counters of 100,000 variables over one link, publisher and reader in this process, and counts what was left out.
func BenchmarkLink(b *testing.B) {
	t := &testing.T{}
	known := pins{}
	hq, berlin := newLinked(t, "hq", known), newLinked(t, "berlin", known)
	defer hq.stop()
	defer berlin.stop()
	var slots []tree.Slot
	for i := range 1000 {
		p := tree.Put{ID: model.ContextID{Node: berlin.hop.Node, Epoch: berlin.epoch, Number: uint64(i + 1)},
			Path: model.MustPath(fmt.Sprintf("/d%04d", i)), Schema: wideSchema, Version: model.Version{Epoch: berlin.epoch, Number: 1}}
		puts := []tree.Put{p}
		berlin.tree.Apply(puts, nil)
		for v := range 100 {
			slots = append(slots, puts[0].Slots.First+tree.Slot(v))
		}
	}
	hq.hub.Reconcile([]LinkConfig{consume(hq, berlin, false)})
	berlin.hub.Reconcile([]LinkConfig{provide(berlin, hq, true, hq.address)})
	for {
		if n, _ := hq.tree.Count(); n == 1000 {
			break
		}
		<-time.After(time.Millisecond)
	}
	<-time.After(200 * time.Millisecond)
	reader := hq.tree.NewReader()
	defer reader.Close()
	batch := tree.Batch{}
	sent, received, round, first := 0, 0, uint64(0), reader.Position()
	passed := func() int { return int(reader.Position() - first) } // what was conflated away as well
	start, cpu := time.Now(), cpuTime()
	b.ResetTimer()
	for sent < b.N {
		round++
		for i := 0; i < len(slots) && sent < b.N; i += 4096 {
			part := slots[i:min(i+4096, len(slots))]
			batch.Reset()
			now := model.TimeOf(time.Now())
			for range part {
				batch.Bits = append(batch.Bits, round)
				batch.Source = append(batch.Source, now)
			}
			batch.Slots = append(batch.Slots, part...)
			berlin.tree.Publish(&batch)
			sent += len(part)
			for sent-passed() > 400_000 {
				received = drain(reader, received)
			}
		}
	}
	deadline := time.Now().Add(2 * time.Second)
	for passed() < sent && time.Now().Before(deadline) {
		received = drain(reader, received)
	}
	took, used := time.Since(start), cpuTime()-cpu
	b.ReportMetric(float64(received)/took.Seconds(), "updates/s")
	b.ReportMetric(float64(used.Nanoseconds())/float64(received), "cpu-ns/update")
	b.ReportMetric(float64(sent-received), "missed")
	b.ReportMetric(float64(passed()-received), "lapped")
}

func drain(reader *tree.Reader, received int) int {
	run, ok := reader.Next()
	for ; ok; run, ok = reader.Next() {
		received += len(run.Slots)
	}
	select {
	case <-reader.Wake():
	case <-time.After(time.Millisecond):
	}
	return received
}
