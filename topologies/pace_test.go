package topologies

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const paces = `
network: paces
nodes:
  hq: {}
  berlin: {devices: {/devices/sim: {kind: simulator, points: 2, poll_interval: 1s}}}
links:
  - provider: berlin
    consumer: hq
    mount: /berlin
    interval: 10m
    deadband: 0.5
    beat: 1m
    also:
      - {name: plant, export: {paths: ["/devices/**"]}, mount: /plant, interval: never}
`

// TestPaces: mounts and links get the pace that the file has, and the usual one again when the file has none any more.
func TestPaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
		s := simulate(t, paces)
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		says := func(wanted map[string]string) {
			t.Helper()
			time.Sleep(5 * time.Minute)
			for at, want := range wanted {
				node, address, _ := strings.Cut(at, " ")
				if got := read(t, s, node, address).GetValue().GetStringValue(); got != want {
					t.Errorf("%s at %s is %q, not %q", address, node, got, want)
				}
			}
		}
		says(map[string]string{
			"hq /mounts/berlin:wanted": "10m0s", "hq /mounts/berlin-plant:wanted": "never", "hq /links/berlin:detection": "2m0s", "berlin /links/hq:detection": "2m0s",
			"hq /links/berlin:beat": "1m0s", "berlin /links/hq:beat": "1m0s",
		})
		if got := read(t, s, "hq", "/mounts/berlin:deadband").GetValue().GetNumberValue(); got != 0.5 {
			t.Errorf("the deadband is %v", got)
		}
		changed := strings.NewReplacer("    interval: 10m\n", "", "    deadband: 0.5\n", "", "    beat: 1m\n", "", ", interval: never", "").Replace(paces)
		topology, err := Check("paces.yaml", []byte(changed), drivers)
		if err != nil {
			t.Fatal(err)
		}
		s.topology = topology
		if err := s.configure(context.Background()); err != nil {
			t.Fatal(err)
		}
		says(map[string]string{
			"hq /mounts/berlin:wanted": "live", "hq /mounts/berlin-plant:wanted": "live", "hq /links/berlin:detection": "4s", "berlin /links/hq:detection": "4s",
		})
	})
}
