package pki

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// TestGlance: who looks sees what Connect would think of the other end, which admits nobody, learns nobody's name, and has nothing to log.
func TestGlance(t *testing.T) {
	for name, c := range map[string]struct {
		put     func(*scene)
		refusal Refusal
	}{
		"the peer":     {put: func(*scene) {}},
		"another node": {func(s *scene) { s.connect.Node = s.dialler.ID() }, WrongFingerprint},
		"another root": {func(s *scene) { s.accept.Certificate = show(s.t, impersonate(s.t, s.acceptor), s.acceptAs, testNow) }, WrongFingerprint},
		"too old":      {func(s *scene) { s.connect.Clock = func() time.Time { return testNow.AddDate(0, 0, 7) } }, ExpiredLeaf},
		"no link":      {func(s *scene) { s.accept.Protocols = []string{ProtocolMember} }, WrongProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "link")
			c.put(s)
			var log strings.Builder
			s.accept.Logger = hclog.New(&hclog.LoggerOptions{Output: &log})
			s.accept.Admit = func(Peer) error {
				t.Error("it was admitted")
				return nil
			}
			here, there := net.Pipe()
			var claimed Peer
			var work sync.WaitGroup
			work.Go(func() { _, claimed, _ = Accept(context.Background(), there, s.accept) })
			seen, err := Glance(t.Context(), here, s.connect)
			work.Wait()
			reason, refused := RefusalOf(err)
			if refused != (c.refusal != 0) || reason != c.refusal || err != nil && !refused {
				t.Errorf("it thinks %v", err)
			}
			if err == nil && (seen.Peer.Node != s.acceptor.ID() || len(seen.Certificates) == 0) {
				t.Errorf("it saw %v", seen)
			}
			if !claimed.Node.IsZero() {
				t.Errorf("the other end learns who looks: %v", claimed)
			}
			if log.Len() > 0 && c.refusal != WrongProtocol {
				t.Errorf("the other end logs %s", log.String())
			}
		})
	}
}
