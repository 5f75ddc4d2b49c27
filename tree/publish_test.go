package tree

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"banyan/model"
)

// published is one sample as it is to be found again.
type published struct {
	slot    Slot
	bits    uint64
	source  model.Time
	owner   model.Time
	quality uint16
}

// Batches of all forms (slots in a row or not, across pages and chunks, beyond the last slot, of other types in between, watched, with and without the
// columns that may be left out) are found again as they were published, each sample in the ring and the latest of each slot.
func TestPublishInAnyForm(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	now := time.Unix(1000, 0)
	tr := New(Config{Now: func() time.Time { return now }})
	types := make([]model.Type, 100)
	for i := range types {
		types[i] = model.TypeFloat64
	}
	types[40] = model.TypeString
	s := schemaOf("wide", types...)
	puts := make([]Put, 90) // two pages and a bit
	for i := range puts {
		puts[i] = put(uint64(i+1), "/d"+string(rune('a'+i/26))+string(rune('a'+i%26)), s)
	}
	tr.Apply(puts, nil)
	end := tr.slots.next
	watcher := tr.Watch([]Slot{end / 2})
	defer watcher.Close()
	watcher.Next(nil)
	reader := tr.NewReader()
	defer reader.Close()
	latest := make(map[Slot]published)
	watched := 0
	for round := range 100 {
		var b Batch
		var want []published
		owners, qualities := r.IntN(3), r.IntN(3)
		for len(b.Slots) < 1+r.IntN(6000) {
			slot := Slot(r.IntN(int(end) + 20))
			for range 1 + r.IntN(1+r.IntN(3000)) { // a row, which may go beyond the last slot
				p := published{slot, r.Uint64(), model.Time(r.IntN(1000)), model.TimeOf(now), 0}
				b.Slots, b.Bits, b.Source = append(b.Slots, slot), append(b.Bits, p.bits), append(b.Source, p.source)
				if told := model.Time(r.IntN(3)); owners > 0 && len(b.Owner) == len(b.Slots)-1 && (owners == 1 || len(b.Slots) < 50) {
					if b.Owner = append(b.Owner, told); told != 0 {
						p.owner = told
					}
				}
				if qualities > 0 && len(b.Quality) == len(b.Slots)-1 && (qualities == 1 || len(b.Slots) < 50) {
					p.quality = uint16(r.IntN(5))
					b.Quality = append(b.Quality, p.quality)
				}
				if slot < end {
					if slot%100 == 40 {
						p.quality |= flagNone // a string that is none
					}
					want = append(want, p)
					latest[slot] = p
					watched += map[bool]int{true: 1}[slot == end/2]
				}
				slot++
			}
		}
		tr.Publish(&b)
		for run, some := reader.Next(); some; run, some = reader.Next() {
			for i := range run.Slots {
				if got := (published{run.Slots[i], run.Bits[i], run.Source[i], run.Owner[i], run.Quality[i]}); len(want) == 0 || got != want[0] {
					t.Fatalf("round %d: the ring has %+v, want %+v", round, got, want[:min(1, len(want))])
				}
				want = want[1:]
			}
		}
		if len(want) > 0 {
			t.Fatalf("round %d: %d samples are not in the ring", round, len(want))
		}
		if seen := len(watcher.pending); !watcher.overflown && seen != watched {
			t.Fatalf("round %d: the watcher was told %d samples of %d", round, seen, watched)
		}
	}
	for slot, want := range latest {
		p, at := tr.slots.page(slot)
		got := published{slot, p.bits[at], p.source[at], p.owner[at], p.quality[at]}
		if got != want || p.received[at] != model.TimeOf(now) || p.newest < p.version[at] {
			t.Fatalf("slot %d is %+v, want %+v", slot, got, want)
		}
		if c := tr.ring.at(p.version[at] - 1); c != nil && c.slots[p.version[at]-1-c.first] != slot {
			t.Fatalf("slot %d has the position of slot %d", slot, c.slots[p.version[at]-1-c.first])
		}
	}
}

// A chunk of the ring is used again when it has left it, but not while a reader has a run of it, however far the ring has gone on meanwhile.
func TestChunksAreUsedAgainWhenNobodyReadsThem(t *testing.T) {
	tr := New(Config{RingFor: time.Nanosecond})
	tr.Apply([]Put{put(1, "/d", schemaOf("p", slices.Repeat([]model.Type{model.TypeFloat64}, 64)...))}, nil)
	c, _ := tr.Lookup(model.MustPath("/d"))
	reader, resting := tr.NewReader(), tr.NewReader()
	defer reader.Close()
	defer resting.Close()
	resting.Rest()
	value := uint64(0)
	publish := func(quality uint16) {
		for done := 0; done < 3*keepChunks*chunkSamples; done += chunkSamples {
			b := Batch{Quality: make([]uint16, chunkSamples)}
			for i := range chunkSamples {
				value++
				b.Slots, b.Bits, b.Source = append(b.Slots, c.Slots.First+Slot(i%64)), append(b.Bits, value), append(b.Source, model.Time(value))
				b.Quality[i] = quality
			}
			if quality == 0 {
				b.Quality = nil
			}
			tr.Publish(&b)
		}
	}
	publish(1)
	reader.ReadFrom(tr.Head() - chunkSamples)
	run, _ := reader.Next()
	publish(2)
	for i := range run.Bits {
		if want := run.First + uint64(i) - firstPosition + 1; run.Bits[i] != want || run.Source[i] != model.Time(want) || run.Quality[i] != 1 {
			t.Fatalf("sample %d has become %d of %d with quality %d", want, run.Bits[i], run.Source[i], run.Quality[i])
		}
	}
	used := make(map[*chunk]bool)
	for _, c := range tr.ring.chunks {
		used[c] = true
	}
	reader.Rest()
	publish(0)
	if !slices.ContainsFunc(tr.ring.chunks, func(c *chunk) bool { return used[c] }) {
		t.Error("no chunk is used again")
	}
	reader.ReadFrom(tr.ring.oldest())
	for run, some := reader.Next(); some; run, some = reader.Next() {
		for i := range run.Bits {
			if at := run.First + uint64(i); run.Bits[i] != at-firstPosition+1 || run.Quality[i] != 0 {
				t.Fatalf("sample %d is %d with quality %d", at, run.Bits[i], run.Quality[i])
			}
		}
	}
}
