package tree

import (
	"fmt"
	"strings"
	"testing"

	"banyan/model"
)

func wideKind(name string, variables int, of model.Type) *model.Schema {
	s := &model.Schema{Kind: name, Hash: model.SchemaHash{byte(variables), byte(variables >> 8), byte(of)}}
	for i := range variables {
		s.Variables = append(s.Variables, model.Variable{Name: fmt.Sprintf("v%d", i), Type: of})
	}
	return s
}

// TestLongTextsDoNotFillTheRing: the ring keeps 65,536 samples whatever there is in them, which of texts of 1 MiB would be 64 GiB.
func TestLongTextsDoNotFillTheRing(t *testing.T) {
	tr := New(Config{})
	puts := []Put{{ID: model.ContextID{Number: 1}, Path: model.MustPath("/a"), Schema: wideKind("text", 2, model.TypeString)}}
	tr.Apply(puts, nil)
	reader := tr.NewReader()
	defer reader.Close()
	text := strings.Repeat("x", 1<<20-4)
	var b Batch
	for i := range 200 {
		b.Reset()
		b.Add(puts[0].Slots.First, model.Sample{Value: model.String(fmt.Sprintf("%04d", i) + text), Source: 1})
		b.Add(puts[0].Slots.First+1, model.Sample{Value: model.String("short"), Source: 1})
		tr.Publish(&b)
	}
	held := 0
	for _, c := range tr.ring.chunks {
		for _, v := range c.boxed.Load()[:c.filled.Load()] { // what is there, not what the ring says
			if size := footprint(v); size > 8 {
				held += size
			}
		}
	}
	if held != tr.ring.bytes || held > mostRingBytes+2*mostChunkBytes {
		t.Errorf("the ring holds %d bytes, and says %d", held, tr.ring.bytes)
	}
	if r, _ := tr.Read(model.Address{Path: model.MustPath("/a"), Name: "v0"}); !strings.HasPrefix(r.Sample.Value.Text(), "0199") {
		t.Errorf("the latest is %.10q", r.Sample.Value.Text())
	}
	if r, _ := tr.Read(model.Address{Path: model.MustPath("/a"), Name: "v1"}); r.Sample.Value.Text() != "short" {
		t.Errorf("the other variable is %.10q", r.Sample.Value.Text())
	}
}

// TestSlotsOfEverOtherLengthsAreUsedAgain: each kind of another number of variables would leave the slots of the one before for ever.
func TestSlotsOfEverOtherLengthsAreUsedAgain(t *testing.T) {
	tr := New(Config{RingFor: 1})
	for n := 1; n <= 1024; n++ {
		s := wideKind("k", n, model.TypeFloat64)
		var puts []Put
		var gone []Removal
		for i := range 10 {
			path := model.MustPath(fmt.Sprintf("/c%d", i))
			puts = append(puts, Put{ID: model.ContextID{Number: uint64(n*10 + i)}, Path: path, Schema: s})
			gone = append(gone, Removal{Path: path})
		}
		tr.Apply(puts, nil)
		seen := make(map[Slot]bool)
		for _, p := range puts {
			for v := range p.Slots.Count {
				if slot := p.Slots.First + Slot(v); seen[slot] {
					t.Fatalf("slot %d is given twice", slot)
				} else {
					seen[slot] = true
				}
			}
		}
		tr.Apply(nil, gone)
	}
	if got := len(tr.slots.pages) * pageSlots; got > 500_000 {
		t.Errorf("there are %d slots, where 10,240 were in use at a time", got)
	}
}

// TestNamesOfNobodyAreForgotten: who comes and goes under ever other IDs leaves none.
func TestNamesOfNobodyAreForgotten(t *testing.T) {
	tr := New(Config{})
	path, s := model.MustPath("/a"), wideKind("k", 1, model.TypeFloat64)
	for i := range uint64(5000) {
		epoch := model.Epoch{Ordinal: 1, Random: i}
		id := model.ContextID{Node: model.NodeID{byte(i), byte(i >> 8)}, Epoch: epoch, Number: 1}
		tr.Apply([]Put{{ID: id, Path: path, Schema: s, Version: model.Version{Epoch: epoch, Number: 1}}}, nil)
		tr.Apply([]Put{{ID: id, Path: path, Schema: s, Version: model.Version{Epoch: epoch, Number: 2}}}, nil)
		if i%2 == 0 {
			tr.Apply(nil, []Removal{{Path: path}})
		}
		if c, there := tr.Lookup(path); there != (i%2 == 1) || there && (c.ID != id || c.Version.Epoch != epoch) {
			t.Fatalf("after %d: %v %+v", i, there, c)
		}
	}
	if n, m := len(tr.contexts.origins.values), len(tr.contexts.epochs.values); n > 4 || m > 4 {
		t.Errorf("%d origins and %d epochs are remembered", n, m)
	}
}
