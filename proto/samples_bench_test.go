package proto

import (
	"testing"

	"banyan/model"
)

// benchBatch is what a busy node sends: neighbouring keys, floats that differ, times some microseconds apart, one owner offset.
func benchBatch(n int) *Samples {
	var s Samples
	at := model.Time(1_767_323_045_678_000_000)
	for i := range n {
		at += model.Time(900 + i%300)
		s.Keys = append(s.Keys, uint32(17+i+i/10))
		s.Bits = append(s.Bits, model.Float64(float64(i)*1.1).Bits())
		s.Source = append(s.Source, at)
		s.Owner = append(s.Owner, at+1500)
	}
	return &s
}

func perSample(b *testing.B, encoded []byte, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/sample")
	b.ReportMetric(float64(len(encoded))/float64(n), "B/sample")
}

func BenchmarkSamplesAppend(b *testing.B) {
	s := benchBatch(4096)
	encoded := s.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		encoded = s.Append(encoded[:0])
	}
	perSample(b, encoded, len(s.Keys))
}

func BenchmarkSamplesDecode(b *testing.B) {
	var s Samples
	encoded := benchBatch(4096).Append(nil)
	if err := s.Decode(encoded); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Decode(encoded); err != nil {
			b.Fatal(err)
		}
	}
	perSample(b, encoded, len(s.Keys))
}
