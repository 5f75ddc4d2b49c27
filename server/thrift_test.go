package server

import "testing"

// TestThrift: where little is made the heap may grow by little, where much is made by as much as ever, at once; and it falls only when it was quiet for a while.
func TestThrift(t *testing.T) {
	var made uint64
	second := uint64(thriftEvery.Seconds())
	var to thrift
	for i, step := range []struct {
		rate uint64 // bytes in a second
		want int
	}{
		{0, thriftLeast}, {1_000_000, thriftLeast}, {3_000_000, 30}, {3_000_001, 30}, {3_100_000, 40}, {500_000_000, thriftMost}, {0, thriftMost}, {0, thriftMost},
		{0, thriftMost}, {4_000_000, thriftMost}, {0, thriftMost}, {0, 40}, {0, 40}, {0, 40}, {0, 40}, {0, thriftLeast},
	} {
		made += step.rate * second
		if got := to.look(made); got != step.want {
			t.Errorf("look %d, after %d bytes in a second: %d percent, want %d", i, step.rate, got, step.want)
		}
	}
}
