package peering

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"banyan/pki"

	"github.com/hashicorp/go-hclog"
)

// Connections that come from two nodes by turns are noticed by their certificates or by where they come from, whatever version they are of; those of one
// node that renews its certificate, opens further connections or moves are not.
func TestTwinsAreNoticed(t *testing.T) {
	tests := []struct {
		arrivals string // each a certificate and an address
		apart    time.Duration
		twins    bool
	}{
		{"1a 2b 1a 2b", time.Second, true},
		{"1a 1a 2b 2b 1a 2b", time.Second, true},
		{"1a 1b 1a 1b", time.Second, true}, // a machine that was copied while it ran
		{"1a 2a 1a 2a", time.Second, true}, // behind one address
		{"1a 1a 1a 1a 1a", time.Second, false},
		{"1a 2a 3a 4a 5a", time.Second, false},
		{"1a 1b 1c 1d", time.Second, false},
		{"1a 2a 1a 2a", time.Minute, false},
		{"1a 2a 1a", time.Second, false}, // two connections at once beside a renewal
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			named := ""
			hub := NewHub(HubConfig{Logger: hclog.NewNullLogger(), Twins: func(_, address, other string) { named = address + " and " + other }})
			l := newLink(hub, LinkConfig{Name: "up"})
			for i, arrival := range strings.Fields(test.arrivals) {
				l.arrived(&provenConn{peer: pki.Peer{Serial: arrival[:1], Address: fmt.Sprintf("%s:%d", arrival[1:], 1000+i)}})
				time.Sleep(test.apart)
			}
			if (named != "") != test.twins {
				t.Errorf("%s, %s apart: named %q", test.arrivals, test.apart, named)
			}
			hub.server.Stop()
		})
	}
}
