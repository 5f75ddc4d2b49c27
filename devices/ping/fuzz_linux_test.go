package ping

import (
	"net/netip"
	"testing"
	"time"
)

// FuzzControl: whatever the kernel tells beside a message, the stamp is one that can be true.
func FuzzControl(f *testing.F) {
	f.Add([]byte{20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0}, false)
	f.Add([]byte{32, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 35, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 127, 0, 0, 0, 0, 0, 0, 0, 0}, true)
	f.Add([]byte{64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0}, false)
	f.Fuzz(func(t *testing.T, extra []byte, six bool) {
		now := time.Now()
		p := packet{at: now}
		p.read(extra, six)
		if p.at.After(now) || now.Sub(p.at) > time.Second {
			t.Errorf("it came at %s, and it is %s", p.at, now)
		}
		if p.speaker != (netip.Addr{}) && p.report == "" {
			t.Errorf("%s reports nothing", p.speaker)
		}
	})
}
