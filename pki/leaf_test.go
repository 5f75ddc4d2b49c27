package pki

import (
	"testing"
	"time"
)

// A node whose clock is an hour off is taken by peers whose clock is right, and takes them: also one that was made and renewed while it was.
func TestClockAnHourOffBreaksNoLink(t *testing.T) {
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		wrong := testNow.Add(off)
		a, err := Create(t.TempDir(), "berlin", wrong)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := a.LinkLeaf(LeafConfig{Clock: func() time.Time { return wrong }})
		if err != nil {
			t.Fatal(err)
		}
		c := leaf.Current().Leaf
		for _, now := range []time.Time{testNow, testNow.Add(10 * time.Hour)} {
			if err := checkTime(c, a.Root(), a.ID(), now); err != nil {
				t.Errorf("off by %s: %v", off, err)
			}
		}
		if due := renewAt(c); !due.Equal(wrong.Add(16 * time.Hour)) {
			t.Errorf("off by %s: it is renewed at %s", off, due)
		}
		if err := checkTime(c, a.Root(), a.ID(), wrong.Add(-13*time.Hour)); err == nil {
			t.Error("it reaches back by more than half of its life")
		}
	}
	short, err := mustAuthority(t).LinkLeaf(LeafConfig{Lifetime: 9 * time.Second, Clock: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	if due := renewAt(short.Current().Leaf); !due.Equal(testNow.Add(6 * time.Second)) {
		t.Errorf("a short one is renewed at %s", due)
	}
}

func mustAuthority(t *testing.T) *Authority {
	t.Helper()
	a, err := Create(t.TempDir(), "hq", testNow)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
