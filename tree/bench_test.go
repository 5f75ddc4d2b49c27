package tree

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"banyan/model"
)

// build makes a tree of count contexts with ten variables each, in folders of a thousand.
func build(count int) (*Tree, []Context) {
	tr := New(Config{})
	s := schemaOf("probe", model.TypeFloat64, model.TypeFloat64, model.TypeFloat64, model.TypeFloat64, model.TypeInt64,
		model.TypeInt64, model.TypeInt64, model.TypeBool, model.TypeTime, model.TypeDuration)
	puts := make([]Put, 0, 1000)
	for n := range count {
		p := put(uint64(n+1), fmt.Sprintf("/sites/s%04d/device-%06d", n/1000, n), s)
		p.Label = "Device"
		puts = append(puts, p)
		if len(puts) == cap(puts) || n == count-1 {
			tr.Apply(puts, nil)
			puts = puts[:0]
		}
	}
	contexts := tr.ChangesSince(0, count, nil).Contexts
	return tr, contexts
}

// peakResident is the process's greatest resident set in bytes.
func peakResident(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			return float64(kib) * 1024
		}
	}
	b.Fatal("no VmHWM")
	return 0
}

// BenchmarkMillionContexts builds the tree, publishes every variable once and says what it takes.
func BenchmarkMillionContexts(b *testing.B) {
	for b.Loop() {
		tr, contexts := build(1_000_000)
		var batch Batch
		for i := range contexts {
			for s := range contexts[i].Slots.Count {
				batch.Add(contexts[i].Slots.First+Slot(s), good(1, 1))
			}
			if len(batch.Slots) >= chunkSamples {
				tr.Publish(&batch)
				batch.Reset()
			}
		}
		tr.Publish(&batch)
		runtime.KeepAlive(tr)
	}
	b.ReportMetric(peakResident(b)/(1<<30), "GiB-peak-resident")
}

// BenchmarkPublish publishes scalars of 100,000 slots in batches of 512 with one reader at their heels.
func BenchmarkPublish(b *testing.B) {
	tr, contexts := build(10_000)
	reader := tr.NewReader()
	defer reader.Close()
	batch := Batch{}
	for i := range 512 {
		c := contexts[i*19%len(contexts)]
		batch.Slots = append(batch.Slots, c.Slots.First+Slot(i%10))
		batch.Bits = append(batch.Bits, uint64(i))
		batch.Source = append(batch.Source, model.Time(i))
	}
	var sum uint64
	for b.Loop() {
		tr.Publish(&batch)
		for run, ok := reader.Next(); ok; run, ok = reader.Next() {
			for _, bits := range run.Bits {
				sum += bits
			}
		}
	}
	b.ReportMetric(float64(b.N)*512/b.Elapsed().Seconds(), "samples/s")
	runtime.KeepAlive(sum)
}

// BenchmarkRead reads single variables by their path.
func BenchmarkRead(b *testing.B) {
	tr, contexts := build(100_000)
	i := 0
	for b.Loop() {
		if _, there := tr.Read(model.Address{Path: contexts[i%len(contexts)].Path, Name: "v3"}); !there {
			b.Fatal("absent")
		}
		i += 7919
	}
}
