package topologies

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"
)

// graph has a diamond (berlin is seen at hq over left and over right), two parents (berlin's), several parts over one link, two nodes that are
// provider and consumer to each other for different parts, and by them a loop.
const graph = `
network: graph
nodes:
  hq: {devices: {/devices/clock: {kind: simulator, points: 1, poll_interval: 1s}}}
  left: {}
  right: {}
  berlin: {devices: {/devices/sim: {kind: simulator, points: 2, poll_interval: 1s}}}
links:
  - {provider: left, consumer: hq, export: {right: configure}, mount: /left}
  - {provider: right, consumer: hq, dials: consumer, export: {right: configure}, mount: /right}
  - provider: berlin
    consumer: left
    export: {paths: ["/system/**"]}
    mount: /berlin
    also:
      - {name: plant, export: {paths: ["/devices/**"], root: /devices, right: configure}, mount: /plants/berlin}
  - {provider: berlin, consumer: right, export: {paths: ["/devices/**"], root: /devices, right: view}, mount: /plants/berlin}
  - {provider: hq, consumer: left, export: {right: configure}, mount: /hq}
`

// inGraph runs f over the graph in fake time.
func inGraph(t *testing.T, f func(s *Simulation)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
		s := simulate(t, graph)
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(5 * time.Second)
		f(s)
	})
}

// there reports whether a context is at a path of a node.
func there(s *Simulation, node, path string) bool {
	_, there := s.Node(node).Tree().Lookup(model.MustPath(path))
	return there
}

func stateAt(t *testing.T, s *Simulation, node, path string) string {
	t.Helper()
	return read(t, s, node, path+":state").GetValue().GetStringValue()
}

// TestGraph: each context comes on every way that leads to it, once, and is one and the same; nothing comes back to its owner.
func TestGraph(t *testing.T) {
	inGraph(t, func(s *Simulation) {
		for node, paths := range map[string][]string{
			"hq":   {"/left/plants/berlin/sim", "/right/plants/berlin/sim", "/left/berlin/system", "/left/hq/devices/clock"},
			"left": {"/hq/devices/clock", "/plants/berlin/sim", "/hq/right/plants/berlin/sim"},
		} {
			for _, path := range paths {
				if want := path != "/left/hq/devices/clock"; there(s, node, path) != want {
					t.Errorf("%s is there at %s: %v", path, node, !want)
				}
			}
		}
		hq := s.Node("hq").Tree()
		c, _ := hq.Lookup(model.MustPath("/left/plants/berlin/sim"))
		ways := hq.ByID(c.ID)
		slices.SortFunc(ways, model.Path.Compare)
		if want := []model.Path{model.MustPath("/left/plants/berlin/sim"), model.MustPath("/right/plants/berlin/sim")}; !slices.Equal(ways, want) {
			t.Errorf("one context is at %v", ways)
		}
		if contexts, identities := hq.Count(); identities >= contexts {
			t.Errorf("%d contexts count as %d", contexts, identities)
		}
		for _, at := range []string{"/links/left-provider", "/links/left-consumer", "/links/right"} {
			if got := stateAt(t, s, "hq", at); got != "up" {
				t.Errorf("%s is %s", at, got)
			}
		}
		// The same device by both ways, with the right of each.
		for address, want := range map[string]model.ErrorKind{
			"/left/plants/berlin/sim:poll_interval": 0, "/right/plants/berlin/sim:poll_interval": model.KindDenied,
		} {
			client, err := s.Client(context.Background(), "hq", "admin")
			if err != nil {
				t.Fatal(err)
			}
			_, err = ask(context.Background(), client, client.Tree.Set, &apiv1.SetRequest{Address: address, Text: "2s"})
			client.Close()
			if model.KindOf(err) != want || want == 0 && err != nil {
				t.Errorf("setting %s: %v", address, err)
			}
		}
		time.Sleep(2 * time.Second)
		for _, address := range []string{"/left/plants/berlin/sim:poll_interval", "/right/plants/berlin/sim:poll_interval"} {
			if got := read(t, s, "hq", address).GetValue().GetStringValue(); got != "2s" {
				t.Errorf("%s is %s", address, got)
			}
		}
		// One way that is cut leaves the other one good.
		s.Cut("left", "hq")
		time.Sleep(10 * time.Second)
		if l, r := read(t, s, "hq", "/left/plants/berlin/sim:updates"), read(t, s, "hq", "/right/plants/berlin/sim:updates"); l.GetQuality() != "uncertain" || r.GetQuality() != "good" {
			t.Errorf("on the way that is cut it is %s, on the other %s", l.GetQuality(), r.GetQuality())
		}
	})
}

// TestWithdrawalReachesEveryTier: what an owner takes back from one way is gone from all that lies behind it, at once while they are linked, at the next
// contact otherwise; on the other way it stays.
func TestWithdrawalReachesEveryTier(t *testing.T) {
	inGraph(t, func(s *Simulation) {
		set := func(node, address, text string) {
			t.Helper()
			client, err := s.Client(context.Background(), node, "admin")
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if _, err := ask(context.Background(), client, client.Tree.Set, &apiv1.SetRequest{Address: address, Text: text}); err != nil {
				t.Fatal(err)
			}
		}
		const leftWay, rightWay = "/left/plants/berlin/sim", "/right/plants/berlin/sim"
		set("berlin", "/exports/left-plant:links", "")
		time.Sleep(3 * time.Second)
		if there(s, "left", "/plants/berlin/sim") || there(s, "hq", leftWay) {
			t.Error("what was withdrawn is still there, at left or at hq")
		}
		if !there(s, "hq", rightWay) || !there(s, "hq", "/left/berlin/system") {
			t.Error("more is gone than was withdrawn")
		}
		if got := stateAt(t, s, "left", "/mounts/berlin-plant"); got != "withdrawn" {
			t.Errorf("the mount is %s", got)
		}
		if got := stateAt(t, s, "left", "/links/berlin"); got != "partial" {
			t.Errorf("the link is %s", got)
		}
		set("berlin", "/exports/left-plant:links", "left")
		time.Sleep(15 * time.Second) // the mount asks again at growing distances
		if !there(s, "hq", leftWay) || stateAt(t, s, "left", "/mounts/berlin-plant") != "good" {
			t.Error("what is shown again was not mounted again")
		}
		// While the tiers are cut from each other.
		s.Cut("left", "hq")
		s.Cut("berlin", "left")
		time.Sleep(10 * time.Second)
		set("berlin", "/exports/left-plant:links", "")
		set("right", "/links/hq:enabled", "false")
		time.Sleep(time.Minute)
		if !there(s, "hq", leftWay) || !there(s, "hq", rightWay) {
			t.Error("a link that is cut, or switched off, lost what it had")
		}
		s.Heal("berlin", "left")
		s.Heal("left", "hq")
		time.Sleep(time.Minute)
		if there(s, "left", "/plants/berlin/sim") || there(s, "hq", leftWay) {
			t.Error("what was withdrawn meanwhile is still there")
		}
		client, err := s.Client(context.Background(), "right", "admin")
		if err != nil {
			t.Fatal(err)
		}
		set("right", "/links/hq:enabled", "true")
		time.Sleep(15 * time.Second)
		if _, err := client.call(context.Background(), child(linksPath, "hq"), "revoke", nil); err != nil {
			t.Fatal(err)
		}
		client.Close()
		time.Sleep(3 * time.Second)
		if there(s, "hq", rightWay) {
			t.Error("what came over a link that was revoked is still there")
		}
	})
}
