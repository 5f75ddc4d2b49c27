package store

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"banyan/model"
	wire "banyan/proto"
	"banyan/tree"
)

// fillNode makes a directory with so many contexts, two settings each.
func fillNode(b *testing.B, contexts int) string {
	n := openNode(b, Config{Dir: b.TempDir()})
	schema := deviceSchema(b)
	n.do(PutSchema{schema})
	for made := 0; made < contexts; made += 5000 {
		c := Commit{}
		for i := made; i < made+5000; i++ {
			c.Changes = append(c.Changes, Create{
				ID: n.NewID(), Path: model.MustPath(fmt.Sprintf("/devices/line%d/device%d", i/1000, i)), Label: fmt.Sprint("device ", i), Schema: schema.Hash,
				Settings: []Setting{{Name: "points", Value: model.Int64(int64(i))}, {Name: "note", Value: model.String("somewhere")}},
			})
		}
		n.submit(c)
	}
	if err := n.Close(); err != nil {
		b.Fatal(err)
	}
	return n.cfg.Dir
}

// BenchmarkStart100k is opening a node of 100,000 own contexts and building its tree; the bar for a whole node's cold start is 2 s.
func BenchmarkStart100k(b *testing.B) {
	dir := fillNode(b, 100_000)
	for b.Loop() {
		n := openNode(b, Config{Dir: dir})
		if contexts, _ := n.tree.Count(); contexts != 100_000 {
			b.Fatalf("%d contexts", contexts)
		}
		if err := n.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMirror100k is writing a listing of 100,000 contexts, and reading it back.
func BenchmarkMirror100k(b *testing.B) {
	n := openNode(b, Config{Dir: b.TempDir()})
	schema := deviceSchema(b)
	id := n.create("/mount", schema)
	m, err := n.Mirror(b.Context(), id, mountPath)
	if err != nil {
		b.Fatal(err)
	}
	rows := make([]MirrorRow, 100_000)
	change := uint64(1000)
	listing := func() {
		for i := range rows {
			change++
			rows[i] = MirrorRow{
				ID: model.ContextID{Node: remoteNode, Epoch: remoteEpoch, Number: uint64(i + 1)}, Path: model.MustPath(fmt.Sprintf("/line%d/d%d", i/1000, i)),
				Schema: schema, Settings: []model.Value{{}, model.Int64(7)}, Version: model.Version{Epoch: remoteEpoch, Number: 1},
				Change: change, Route: tree.Route{{Node: remoteNode, Name: "berlin"}},
			}
		}
		m.Keep(nil, rows, remoteState(change))
		m.flush()
	}
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			listing()
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			found, _, err := m.read(b.Context(), Mount{ID: id, Path: mountPath})
			if err != nil || len(found.puts) != len(rows) {
				b.Fatal(len(found.puts), err)
			}
		}
	})
}

// BenchmarkFirstMount is writing a listing of 100,000 contexts into a new file, as it comes from a provider, and then the values of ten variables of each:
// processor time of a context, whatever else the machine does.
func BenchmarkFirstMount(b *testing.B) {
	n := openNode(b, Config{Dir: b.TempDir()})
	schema := deviceSchema(b)
	const contexts, told = 100_000, 512
	var rows []MirrorRow
	var values []sampleRow
	packed := wire.Samples{}
	for i := range 10 {
		addLatest(&packed, &tree.Run{Bits: []uint64{7}, Source: []model.Time{1 << 60}, Owner: []model.Time{1 << 60}, Quality: []uint16{0}}, 0, uint32(i))
	}
	for i := range contexts {
		rows = append(rows, MirrorRow{
			ID: model.ContextID{Node: remoteNode, Epoch: remoteEpoch, Number: uint64(i + 1)}, Path: model.MustPath(fmt.Sprintf("/line%d/d%03d", i/1000, i%1000)),
			Schema: schema, Version: model.Version{Epoch: remoteEpoch, Number: 1}, Change: uint64(i + 1000), Route: tree.Route{{Node: remoteNode, Name: "berlin"}},
		})
		values = append(values, sampleRow{rows[i].Path, rows[i].ID, schema.Hash, packed.Append(nil)})
	}
	taken := map[string]time.Duration{}
	measured := func(what string, do func()) {
		before := used(b)
		do()
		taken[what] += used(b) - before
	}
	for round := 0; b.Loop(); round++ {
		id := n.create(model.MustPath(fmt.Sprintf("/mount%d", round)).String(), schema)
		m, err := n.Mirror(b.Context(), id, mountPath)
		if err != nil {
			b.Fatal(err)
		}
		measured("definitions", func() {
			for i := 0; i < contexts; i += told {
				m.Keep(nil, rows[i:min(i+told, contexts)], remoteState(uint64(i+1000)))
				if !m.few() {
					m.flush()
				}
			}
			m.flush()
		})
		measured("values", func() {
			for i := 0; i < contexts; i += loadChunk {
				m.saveSamples(values[i:min(i+loadChunk, contexts)])
			}
		})
		measured("scrub", m.scrub)
	}
	for what, took := range taken {
		b.ReportMetric(float64(took.Microseconds())/contexts/float64(b.N), "us-"+what+"/context")
	}
}

// used is the processor time that this process has used.
func used(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
