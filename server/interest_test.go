package server

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/peering"
	"banyan/tree"
)

// ticking publishes a number that counts up for each of some devices until stop is called.
func (n *linkedNode) ticking(every time.Duration, paths ...string) (stop func()) {
	n.t.Helper()
	done := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for count := 1000.0; ; count++ {
			var b tree.Batch
			for _, p := range paths {
				if c, there := n.Tree().Lookup(model.MustPath(p)); there {
					b.Add(c.Slots.First+tree.Slot(c.Schema.VariableIndex("setpoint")), model.Sample{Value: model.Float64(count), Source: model.TimeOf(time.Now())})
				}
			}
			n.Tree().Publish(&b)
			select {
			case <-ticker.C:
			case <-done:
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		work.Wait()
	})
}

func (n *linkedNode) source(address string) model.Time {
	a, err := model.ParseAddress(address)
	if err != nil {
		n.t.Fatal(err)
	}
	r, _ := n.Tree().Read(a)
	return r.Sample.Source
}

func (n *linkedNode) still(path string) {
	n.t.Helper()
	if _, err := n.execute(Request{Op: OpCreate, Path: model.MustPath(path), Kind: "simulator", Arguments: []model.Argument{
		{Name: "points", Value: model.Int64(10)}, {Name: "poll_interval", Value: model.Duration(time.Hour)},
	}}); err != nil {
		n.t.Fatal(err)
	}
}

// Through three tiers on which nobody looks nothing is told, a look at the top makes what it is about live, and its end ends that.
func TestALookReachesTheOwner(t *testing.T) {
	hq, north, berlin := makeNode(t, "hq"), makeNode(t, "north"), makeNode(t, "berlin")
	linkUp(north, hq, "north", "/regions/north", "view")
	linkUp(berlin, north, "berlin", "/sites/berlin", "view")
	berlin.still("/devices/one")
	berlin.still("/devices/two")
	const one, two = "/regions/north/sites/berlin/devices/one", "/regions/north/sites/berlin/devices/two"
	hq.waits(one+":all_bool", is("true good"))
	hq.waits(two+":all_bool", is("true good"))
	hq.waits("/links/north:state", is("up good"))
	hq.set("/mounts/north", settingInterval, model.String("never"))
	north.set("/mounts/berlin", settingInterval, model.String("never"))
	hq.waits("/mounts/north:wanted", is("never good"))
	north.waits("/mounts/berlin:wanted", is("never good"))

	// The settings of links: heartbeats are as far apart as one of the two wants them, and what passes is counted.
	hq.set("/links/north", settingBeat, model.Duration(time.Second))
	hq.waits("/links/north:detection", is("2s good"))
	north.waits("/links/hq:detection", is("2s good"))
	if _, err := hq.execute(Request{Op: OpSet, Path: model.MustPath("/links/north"), Name: settingBeat, Value: model.Duration(time.Hour)}); err == nil {
		t.Error("heartbeats every hour are taken")
	}
	for _, name := range []string{variableBytesIn, variableBytesOut} {
		hq.waits("/links/north:"+name, func(got string) bool {
			var n int
			_, _ = fmt.Sscan(got, &n)
			return n > 2000 // a handshake alone is more
		})
	}

	stop := berlin.ticking(20*time.Millisecond, "/devices/one", "/devices/two")
	withheld := func() uint64 { return berlin.peers.Traffic().Withheld }
	berlin.until("samples are held back", func() bool { return withheld() > 20 })
	before := north.source("/sites/berlin/devices/one:setpoint")
	from := withheld()
	berlin.until("samples are held back", func() bool { return withheld() > from+50 })
	if now := north.source("/sites/berlin/devices/one:setpoint"); now != before {
		t.Error("a sample was told though nobody looks")
	}

	began := time.Now()
	end := hq.peers.Look([]model.Path{model.MustPath(one)}, nil)
	hq.until("it is live at the top", func() bool { return hq.source(one+":setpoint") > model.TimeOf(began) })
	t.Logf("live through three tiers after %v", time.Since(began))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if now := hq.source(two + ":setpoint"); now > model.TimeOf(began) {
		t.Error("what nobody looks at is told as well")
	}
	if got := north.read("/mounts/berlin:wanted"); !strings.HasPrefix(got, "never, live at /devices/one") {
		t.Errorf("north wants %s", got)
	}
	end()
	north.waits("/mounts/berlin:wanted", is("never good"))
	was := hq.source(one + ":setpoint")
	from = withheld()
	berlin.until("samples are held back again", func() bool { return withheld() > from+50 })
	if now := hq.source(one + ":setpoint"); now != was {
		t.Error("a sample was told after the look had ended")
	}
	stop()
	hq.set("/mounts/north", settingInterval, model.String("live"))
	north.set("/mounts/berlin", settingInterval, model.String("live"))
	hq.until("everything is as at its owner", func() bool {
		return hq.read(one+":setpoint") == berlin.read("/devices/one:setpoint") && hq.read(two+":setpoint") == berlin.read("/devices/two:setpoint")
	})
}

// What streams are about is what is wanted live while they stand.
func TestStreamsLook(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim")
	looks := func() (at, below []string) {
		i := n.peers.(*links).interests
		i.mu.Lock()
		defer i.mu.Unlock()
		for made := range i.looks {
			if made.until.IsZero() {
				for _, p := range made.at {
					at = append(at, p.String())
				}
				for _, p := range made.below {
					below = append(below, p.String())
				}
			}
		}
		return at, below
	}
	w, f := n.watch(n.token, "/devices/sim:setpoint", "/devices/sim:step"), n.follow(n.token, "/devices")
	w.next()
	f.next()
	if at, below := looks(); !slices.Equal(at, []string{"/devices/sim"}) || !slices.Equal(below, []string{"/devices"}) {
		t.Errorf("looked at are %v and %v", at, below)
	}
	n.must(Request{Op: OpRemove, Path: model.MustPath("/devices/sim")})
	_ = w.end()
	if at, _ := looks(); len(at) != 0 {
		t.Errorf("after the end %v is looked at", at)
	}
}

func TestPacesAreChecked(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "live": 0, "0": 0, "never": -1, "10m": 10 * time.Minute, "100ms": 100 * time.Millisecond} {
		if got, err := readInterval(text); err != nil || got != want {
			t.Errorf("%q is read as %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"often", "-5s", "1ms", "9000h", "10"} {
		if got, err := readInterval(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

// Three links on top of each other, with random settings and looks at each tier: what each asks of the next is, path by path, the sum of what it is set to,
// what is looked at there, and what the tier above asks of it.
func TestInterestsAddUpOverTiers(t *testing.T) {
	paces := []follow.Pace{{}, follow.Never, {Interval: time.Minute}, {Interval: time.Second, Deadband: 3}, {Deadband: 1}}
	leaves := []string{"", "/a", "/a/x", "/a/y", "/b", "/b/x"}
	mount := model.MustPath("/m")
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 9))
		asked, means := []*peering.Demand{nil}, make(map[string]follow.Pace) // the newest is what the tier above asks
		for tier := range 3 {
			base := paces[r.IntN(len(paces))]
			here := strings.Repeat("/m", 3-tier) // where the lowest tier's tree hangs
			demand, looked := peering.NewDemand(follow.Never), make(map[string]follow.Pace)
			for _, leaf := range leaves {
				looked[leaf] = base
			}
			for range r.IntN(4) {
				leaf, pace := leaves[r.IntN(len(leaves))], paces[r.IntN(len(paces))]
				if r.IntN(2) == 0 {
					demand.RaiseAt(model.MustPath(here+leaf), pace)
					looked[leaf] = looked[leaf].Or(pace)
					continue
				}
				demand.RaiseBelow(model.MustPath(here+leaf), pace)
				for _, other := range leaves {
					if model.MustPath(here + leaf).Contains(model.MustPath(here + other)) {
						looked[other] = looked[other].Or(pace)
					}
				}
			}
			if above := asked[tier]; above != nil {
				demand.Raise(wishOf(model.Root, above.Rules(), reach(model.Root, []model.Pattern{model.MustPattern("/m/**")})))
			}
			wanted := wantedOf(base, demand, mount)
			for _, leaf := range leaves {
				want := looked[leaf]
				if tier > 0 {
					want = want.Or(means[leaf])
				}
				if got := peering.DemandOf(wanted.Rules()).Of(orRoot(strings.Repeat("/m", 2-tier) + leaf)); got != want {
					t.Fatalf("seed %d, tier %d: %q is asked for at %v, not %v", seed, tier, leaf, got, want)
				}
				means[leaf] = want
			}
			asked = append(asked, wanted)
		}
	}
}

// Of what a consumer wants only that counts which lies where it is shown something: the rest is not its to want, and is told to nobody.
func TestInterestEndsAtTheExport(t *testing.T) {
	root := model.MustPath("/sites")
	patterns := []model.Pattern{model.MustPattern("/sites/berlin/**"), model.MustPattern("/secret/**")}
	demand := wishOf(root, nil, reach(root, patterns)) // one that says nothing wants all that it sees live
	for path, live := range map[string]bool{"/sites/berlin": true, "/sites/berlin/a": true, "/sites/bonn": false, "/secret": false, "/secret/a": false, "/": false} {
		if got := demand.Of(model.MustPath(path)).Live(); got != live {
			t.Errorf("%s is wanted live: %v", path, got)
		}
	}
	asked := demand.Below(model.MustPath("/secret")).Rules()
	if len(asked) != 1 || asked[0].Pace != follow.Never || asked[0].Pattern.String() != "/**" {
		t.Errorf("another mount is asked for %v", asked)
	}
}

func orRoot(text string) model.Path {
	if text == "" {
		return model.Root
	}
	return model.MustPath(text)
}
