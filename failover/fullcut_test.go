package failover_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"banyan/fault/disk"
)

// TestPowerCutsOfAFullDisk: a disk that has room for a while and none for a while, under writers that try again what it refused, and then the power goes.
// What was confirmed is there, what was refused was not done by halves, and the node goes on when there is room. 6 cuts, or as often as the environment
// variable CUTS says.
func TestPowerCutsOfAFullDisk(t *testing.T) {
	cuts := int(number(t, "CUTS", 6))
	seed := number(t, "BANYAN_SEED", rand.Uint64())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var l *lossy
	confirmed, refused := 0, 0
	for cut := range cuts {
		if cut%3 == 0 {
			if l != nil {
				confirmed, refused = confirmed+l.ledger.Count(), refused+l.refused
			}
			l = newLossy(t, random)
		}
		before := int(math.Pow(10, 2.6+random.Float64())) // 400 to 4,000
		longLog := 32 << (10 + 3*random.IntN(3))
		stop := l.fillAndFree(rand.New(rand.NewPCG(seed, uint64(cut))))
		output, err := l.life(disk.Plan{CutBefore: before}, fmt.Sprint(killLog, "=", longLog), killFull+"=1")
		stop()
		if l.disk.Steps() < before {
			t.Fatalf("cut %d: the process ended by itself: %v\n%s", cut, err, output)
		}
		l.disk.Cut()
		if l.look(); t.Failed() {
			t.Fatalf("after cut %d before step %d, with %d operations confirmed and %d refused", cut+1, before, l.ledger.Count(), l.refused)
		}
	}
	confirmed, refused = confirmed+l.ledger.Count(), refused+l.refused
	t.Logf("%d cuts, %d operations confirmed, %d times refused", cuts, confirmed, refused)
	if confirmed < cuts || refused < cuts {
		t.Error("hardly anything was confirmed, or refused: this proves nothing")
	}
}

// fillAndFree lets the disk have little room and no end of it by turns, once a node has begun on it. stop gives it room for good.
func (l *lossy) fillAndFree(random *rand.Rand) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer l.disk.SetRoom(0)
		for full := false; ; full = !full {
			select {
			case <-done:
				return
			case <-time.After(time.Duration(1+random.IntN(30)) * time.Millisecond):
			}
			switch {
			case full:
				l.disk.SetRoom(0)
			case l.disk.Steps() > 200: // what a start on a full disk says is tried elsewhere
				l.disk.SetRoom(l.disk.Taken() + random.Int64N(64<<10))
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
