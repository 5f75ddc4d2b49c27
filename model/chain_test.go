package model

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// history is one process with a numbered log in the simulation: entry i has number i+1 and says in which epoch it was made, so that two logs
// tell the same story exactly as far as their entries are equal.
type history struct {
	chain Chain
	log   []Epoch
}

func (h history) clone() history { return history{slices.Clone(h.chain), slices.Clone(h.log)} }

// begin is what a start does: a new epoch, from the next number on.
func (h *history) begin(random uint64) {
	h.chain = append(h.chain, Begin{Epoch{h.chain.Last().Epoch.Ordinal + 1, random}, uint64(len(h.log)) + 1})
}

func (h *history) append(n int) {
	for range n {
		h.log = append(h.log, h.chain.Last().Epoch)
	}
}

// loseTail is a crash of which the last n entries did not reach the disk; the record of the epoch did, and so did all before it.
func (h *history) loseTail(n int) {
	h.log = h.log[:max(len(h.log)-n, int(h.chain.Last().First)-1)]
}

func common(a, b []Epoch) uint64 {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return uint64(n)
}

// TestChainsTellCommonHistory plays processes that append, crash, are copied and restored, and receivers that followed one of them for a while. What
// Common says from the chains alone must be what a comparison of the logs shows.
func TestChainsTellCommonHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		first := history{}
		first.begin(random.Uint64())
		nodes, receivers := []history{first}, []history{{}} // one receiver has nothing
		copies := []history{first.clone()}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			node := &nodes[rapid.IntRange(0, len(nodes)-1).Draw(t, "node")]
			switch rapid.SampledFrom([]string{"append", "append", "crash", "copy", "clone", "restore", "follow"}).Draw(t, "step") {
			case "append":
				node.append(rapid.IntRange(1, 5).Draw(t, "entries"))
			case "crash":
				node.loseTail(rapid.IntRange(0, 8).Draw(t, "lost"))
				node.begin(random.Uint64())
			case "copy":
				copies = append(copies, node.clone())
			case "restore", "clone":
				from := copies[rapid.IntRange(0, len(copies)-1).Draw(t, "copy")].clone()
				from.begin(random.Uint64())
				nodes = append(nodes, from)
			case "follow": // a receiver takes over a part of the log
				seen := node.clone()
				seen.log = seen.log[:rapid.IntRange(0, len(seen.log)).Draw(t, "upto")]
				receivers = append(receivers, seen)
			}
		}
		for _, node := range nodes {
			if err := node.chain.Validate(); err != nil {
				t.Fatal(err)
			}
			for i, epoch := range node.log {
				number := uint64(i) + 1
				if got, ok := node.chain.EpochOf(number); !ok || got != epoch || !node.chain.Holds(Position{epoch, number}) {
					t.Fatalf("number %d was given in %s, the chain says %s: %v", number, epoch, got, node.chain)
				}
			}
			for _, r := range receivers {
				at := uint64(len(r.log))
				want := common(r.log, node.log)
				if got := r.chain.Common(at, node.chain); got != want {
					t.Fatalf("receiver %v at %d, sender %v: got %d, common are %d", r.chain, at, node.chain, got, want)
				}
				if at > 0 {
					onChain := node.chain.Holds(Position{r.log[at-1], at})
					if onChain != (want == at) {
						t.Fatalf("receiver %v at %d: Holds says %v, common are %d", r.chain, at, onChain, want)
					}
				}
			}
		}
	})
}

func TestChainEdges(t *testing.T) {
	e := func(ordinal uint64) Epoch { return Epoch{ordinal, ordinal * 77} }
	var empty Chain
	chain := Chain{{e(1), 5}, {e(2), 8}, {e(4), 8}} // the second epoch gave no number
	if empty.Validate() != nil || chain.Validate() != nil || empty.Last() != (Begin{}) || chain.Last().Epoch != e(4) {
		t.Error("a good chain is refused, or its last is wrong")
	}
	for name, bad := range map[string]Chain{
		"no epoch": {{Epoch{}, 1}}, "no first": {{e(1), 0}}, "ordinal stays": {{e(1), 1}, {Epoch{1, 2}, 2}},
		"ordinal falls": {{e(2), 1}, {e(1), 2}}, "first falls": {{e(1), 2}, {e(2), 1}}, "twice": {{e(1), 1}, {e(1), 1}},
	} {
		if err := bad.Validate(); err == nil || KindOf(err) != KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, test := range []struct {
		epoch  Epoch
		number uint64
		holds  bool
	}{
		{e(1), 4, false}, {e(1), 5, true}, {e(1), 7, true}, {e(1), 8, false}, {e(2), 8, false}, {e(4), 8, true}, {e(4), 1<<64 - 1, true},
		{e(3), 8, false}, {Epoch{}, 0, false},
	} {
		if chain.Holds(Position{test.epoch, test.number}) != test.holds {
			t.Errorf("%s@%d: want %v", test.epoch, test.number, test.holds)
		}
	}
	if _, ok := chain.EpochOf(4); ok {
		t.Error("a number from before the chain has an epoch")
	}
	for _, test := range []struct {
		c, sender Chain
		at, want  uint64
	}{
		{empty, chain, 9, 0}, {chain, empty, 9, 0}, {chain, chain, 1<<64 - 1, 1<<64 - 1}, {chain, chain[:2], 9, 7},
		{chain[:1], chain, 6, 6}, {chain[:1], chain, 9, 7}, {chain, Chain{{e(1), 4}}, 9, 0},
	} {
		if got := test.c.Common(test.at, test.sender); got != test.want {
			t.Errorf("%v at %d with %v: got %d, want %d", test.c, test.at, test.sender, got, test.want)
		}
	}
}

// chainFrom makes a chain of three bytes for each epoch: steps of ordinal, first and random.
func chainFrom(raw []byte) Chain {
	var c Chain
	last := Begin{}
	for ; len(raw) >= 3; raw = raw[3:] {
		last = Begin{Epoch{last.Epoch.Ordinal + uint64(raw[0]%4), uint64(raw[2] % 4)}, last.First + uint64(raw[1]%8)}
		c = append(c, last)
	}
	return c
}

func FuzzChain(f *testing.F) {
	f.Add([]byte{1, 1, 0, 1, 4, 0}, []byte{1, 1, 0, 1, 4, 1}, uint64(9))
	f.Add([]byte{1, 1, 0}, []byte{1, 1, 0, 1, 0, 0}, uint64(0))
	f.Add([]byte{0, 0, 0}, []byte{}, binary.LittleEndian.Uint64([]byte("12345678")))
	f.Fuzz(func(t *testing.T, rawReceiver, rawSender []byte, at uint64) {
		receiver, sender := chainFrom(rawReceiver), chainFrom(rawSender)
		if receiver.Validate() != nil || sender.Validate() != nil {
			return
		}
		agreed := receiver.Common(at, sender)
		if agreed > at || agreed != sender.Common(at, receiver) || receiver.Common(agreed, sender) != agreed {
			t.Fatalf("%v at %d with %v: %d", receiver, at, sender, agreed)
		}
		if len(receiver) > 0 && receiver.Common(at, receiver) != at {
			t.Fatal("a chain does not agree with itself")
		}
		a, okA := receiver.EpochOf(agreed)
		b, okB := sender.EpochOf(agreed)
		if a != b || okA != okB || okA && !(receiver.Holds(Position{a, agreed}) && sender.Holds(Position{a, agreed})) {
			t.Fatalf("%v and %v agree up to %d, which is of %s and %s", receiver, sender, agreed, a, b)
		}
		if after, ok := receiver.EpochOf(at); ok && sender.Holds(Position{after, at}) && agreed != at && slices.Equal(receiver[:receiver.Index(after)+1], sender[:min(len(sender), receiver.Index(after)+1)]) {
			t.Fatalf("%v and %v both hold %d, but agree up to %d", receiver, sender, at, agreed)
		}
	})
}
