package server

import (
	"math/rand/v2"
	"testing"
	"time"

	"banyan/model"
)

// courseWorld is an owner, the network to it, and the disk of the node where the request was made, without any of the node's code: what TestCourses
// drives a course through.
type courseWorld struct {
	random  *rand.Rand
	owner   ownerState
	kept    []ownerState // states that the owner may be put back to
	effects int
	disk    course
	old     bool
	refuse  bool // a node on the way refuses from now on
	denies  bool // the owner does not want it
	broke   bool // the owner was put back to a state between saying that it is not done and doing it: nobody can notice that
}

type ownerState struct {
	epoch    uint64
	revision uint64
	begins   map[uint64]uint64 // first revision by epoch
	started  bool
	done     bool
}

func (s ownerState) clone() ownerState {
	begins := map[uint64]uint64{}
	for epoch, first := range s.begins {
		begins[epoch] = first
	}
	s.begins = begins
	return s
}

func (w *courseWorld) restart() {
	w.owner.epoch = w.random.Uint64()
	w.owner.revision++
	w.owner.begins[w.owner.epoch] = w.owner.revision
}

func (w *courseWorld) position() model.Position {
	return model.Position{Epoch: model.Epoch{Ordinal: 1, Random: w.owner.epoch}, Number: w.owner.revision}
}

// holds is model.Chain.Holds, over.
func (w *courseWorld) holds(p model.Position) bool {
	first, there := w.owner.begins[p.Epoch.Random]
	if !there || p.Number < first {
		return false
	}
	for _, next := range w.owner.begins {
		if next > first && p.Number >= next {
			return false
		}
	}
	return true
}

// atOwner is what the owner answers.
func (w *courseWorld) atOwner(owner model.Position, look bool) *heard {
	switch {
	case w.owner.done:
		return &heard{fate: model.FateDone, handed: true}
	case w.owner.started:
		return &heard{fate: model.FateUnknown, handed: true}
	case !owner.IsZero() && !w.holds(owner):
		return &heard{fate: model.FateUnknown, handed: true}
	case look || !w.old && owner.Epoch.Random != w.owner.epoch:
		return &heard{fate: model.FatePending, owner: w.position(), handed: true}
	case w.denies:
		return &heard{fate: model.FateFailed, err: model.Errorf(model.KindDenied, "no"), handed: true}
	}
	w.owner.started, w.owner.revision = true, w.owner.revision+1
	if w.random.IntN(6) == 0 { // killed before the effect
		w.restart()
		return lost()
	}
	w.effects++
	if w.random.IntN(6) == 0 { // killed after it
		w.restart()
		return lost()
	}
	w.owner.done, w.owner.revision = true, w.owner.revision+1
	return &heard{fate: model.FateDone, handed: true}
}

func lost() *heard {
	return &heard{handed: true, broken: true, err: model.Errorf(model.KindUnavailable, "the connection ended")}
}

// over the network: there, lost on the way, refused or lost on the way back.
func (w *courseWorld) over(owner model.Position, look bool) *heard {
	switch w.random.IntN(8) {
	case 0:
		return &heard{err: model.Errorf(model.KindUnavailable, "the link is down")}
	case 1:
		return &heard{fate: model.FatePending, handed: true, err: model.Errorf(model.KindUnavailable, "the next link is down")}
	case 2:
		return lost()
	}
	if w.refuse {
		return &heard{handed: true, err: model.Errorf(model.KindDenied, "denied on the way")}
	}
	if w.old && look {
		return &heard{handed: true, broken: true, err: model.Errorf(model.KindUnsupported, "unknown method")}
	}
	answer := w.atOwner(owner, look)
	if w.old {
		answer.fate = model.FateNone // an earlier version tells none
		if w.owner.started && !w.owner.done && answer.err == nil {
			answer.err = unknownFate()
		}
	}
	if w.random.IntN(5) == 0 {
		return lost()
	}
	return answer
}

// disturb does something to the owner or to the node where the request was made.
func (w *courseWorld) disturb(now course) course {
	switch w.random.IntN(12) {
	case 0:
		w.restart()
	case 1:
		w.kept = append(w.kept, w.owner.clone())
		w.owner.revision++ // something else is committed after it
	case 2:
		if len(w.kept) > 0 && w.random.IntN(3) == 0 && !w.old {
			back := w.kept[w.random.IntN(len(w.kept))].clone()
			w.broke = w.broke || w.effects > 0 && !back.started && back.revision >= now.owner.Number
			w.owner = back
			w.restart()
		}
	case 3:
		return w.disk // the node is killed
	case 4:
		w.refuse = w.random.IntN(4) == 0
	}
	return now
}

// TestCourses takes requests through networks and owners that lose, die, are put back and refuse. Whatever happens the effect comes once at most, and the
// fate says what became of it.
func TestCourses(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	fates := map[model.Fate]int{}
	for walk := range 20_000 {
		random := rand.New(rand.NewPCG(seed, uint64(walk)))
		w := &courseWorld{random: random, old: random.IntN(6) == 0, denies: random.IntN(6) == 0, owner: ownerState{begins: map[uint64]uint64{}}}
		w.restart()
		c := course{fate: model.FatePending}
		w.disk = c
		patience := 1 + random.IntN(12)
		for !c.fate.Ended() {
			if patience--; patience < 0 {
				c = c.over()
				break
			}
			c = w.disturb(c)
			c = walkOn(w, c)
		}
		fates[c.fate]++
		if w.broke {
			continue
		}
		switch {
		case w.effects > 1:
			t.Fatalf("seed %d, walk %d: done %d times", seed, walk, w.effects)
		case c.fate == model.FateDone && w.effects != 1:
			t.Fatalf("seed %d, walk %d: done, %d times", seed, walk, w.effects)
		case (c.fate == model.FateFailed || c.fate == model.FateExpired) && w.effects != 0:
			t.Fatalf("seed %d, walk %d: %s, and done", seed, walk, c.fate)
		case c.fate == model.FateUnknown && c.attempts == 0:
			t.Fatalf("seed %d, walk %d: unknown, and never sent", seed, walk)
		}
	}
	t.Log(fates)
	for fate := model.FateDone; fate <= model.FateUnknown; fate++ {
		if fates[fate] < 100 {
			t.Errorf("%s came out %d times: this proves nothing", fate, fates[fate])
		}
	}
}

// walkOn is one try, as ledger.try makes it.
func walkOn(w *courseWorld, c course) course {
	c, next := c.looked(w.over(c.owner, true))
	if next != strideSend {
		return w.keep(c, next)
	}
	c = c.sending()
	w.disk = c
	if w.random.IntN(8) == 0 {
		return c // killed before it was sent
	}
	if c = w.disturb(c); c.fate != model.FateSent {
		return c
	}
	c, next = c.sent(w.over(c.owner, false))
	if w.random.IntN(8) == 0 {
		return w.disk // killed before the answer was kept
	}
	return w.keep(c, next)
}

func (w *courseWorld) keep(c course, next stride) course {
	if next == strideEnd || c.fate != w.disk.fate || c.doubt != w.disk.doubt {
		w.disk = c
	}
	return c
}
