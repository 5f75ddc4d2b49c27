package trials

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"banyan/proto/apiv1"
)

// Two heartbeats of 2 s, and a second for each further hop and for what the test itself takes.
const (
	seenAtNorth = 5 * time.Second
	seenAtHQ    = 6 * time.Second
)

// When a site is stopped or killed, all of it is stale at both tiers above within two heartbeats, nothing of the other site is, and it comes
// back by itself.
func TestSiteThatIsSilentIsStale(t *testing.T) {
	tr := start(t, threeTiers, nil)
	hq, north := at("berlin", "/devices/sim:updates"), "/sites/berlin/devices/sim:updates"
	other := at("hamburg", "/devices/sim:updates")
	good := func() bool { // and HQ is told that the hop from berlin is up: else it still has what was said of the cut before
		return quality(tr.get("hq", hq)) == "good" && quality(tr.get("north", north)) == "good" && quality(tr.get("hq", other)) == "good" &&
			!slices.ContainsFunc(tr.freshness(hq).GetHops(), func(h *apiv1.FreshnessHop) bool { return h.GetState() != "up" })
	}
	tr.until("everything is good", 30*time.Second, good)
	for _, cause := range []struct {
		name  string
		end   func(pid int)
		start func(pid int)
	}{
		{"stopped", func(pid int) { tr.signal(pid, syscall.SIGSTOP) }, func(pid int) { tr.signal(pid, syscall.SIGCONT) }},
		{"killed", tr.kill, func(int) { tr.restart("berlin") }},
	} {
		t.Run(cause.name, func(*testing.T) {
			pid := tr.pid("berlin")
			began := time.Now()
			cause.end(pid)
			atNorth := tr.until("north shows it stale", seenAtNorth, func() bool { return quality(tr.get("north", north)) == "uncertain/stale" })
			atHQ := tr.until("HQ shows it stale", seenAtHQ-atNorth, func() bool { return quality(tr.get("hq", hq)) == "uncertain/stale" })
			before := tr.get("hq", hq)
			if before.GetSince() == "" || before.GetTime() == "" {
				t.Errorf("a stale reading says neither since when nor of when it is: %v", before)
			}
			if q := quality(tr.get("hq", other)); q != "good" {
				t.Errorf("hamburg is %s because berlin is silent", q)
			}
			list, err := tr.at("hq").Tree.List(tr.Context(), &apiv1.ListRequest{Path: at("berlin", "/devices")})
			if err != nil || len(list.GetEntries()) != 2 {
				t.Fatalf("listing of what is stale: %v, %v", list, err)
			}
			for _, e := range list.GetEntries() {
				if e.GetStale() == "" {
					t.Errorf("%s does not show that it is stale", e.GetPath())
				}
			}
			if after := tr.get("hq", hq); after.GetTime() != before.GetTime() {
				t.Errorf("the source time of a stale value moved from %s to %s", before.GetTime(), after.GetTime())
			}
			tr.cutAt(hq, began)
			cause.start(pid)
			back := tr.until("everything is good again", 60*time.Second, good)
			t.Logf("%s: stale at north after %s, at HQ after %s, good again after %s", cause.name, atNorth, atNorth+atHQ, back)
		})
	}
}

// freshness is how fresh HQ says that the context of an address is.
func (t *trial) freshness(address string) *apiv1.Freshness {
	t.Helper()
	path, _, _ := strings.Cut(address, ":")
	info, err := t.at("hq").Tree.Describe(t.Context(), &apiv1.DescribeRequest{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return info.GetFreshness()
}

// cutAt asks HQ how fresh berlin is: which hop is cut and which is not, and that nothing is claimed of after the cut.
func (t *trial) cutAt(address string, began time.Time) {
	t.Helper()
	var freshness *apiv1.Freshness
	t.until("HQ is told that the hop from berlin is cut", 3*time.Second, func() (told bool) { // how a hop is, is told once a beat at most
		freshness = t.freshness(address)
		hops := freshness.GetHops()
		return len(hops) == 2 && hops[1].GetState() != "up"
	})
	hops := freshness.GetHops()
	if len(hops) != 2 || hops[0].GetFrom() != "north" || hops[0].GetState() != "up" || hops[1].GetFrom() != "berlin" || hops[1].GetTo() != "north" || hops[1].GetState() == "up" {
		t.Fatalf("with berlin away HQ says %v", freshness)
	}
	for what, said := range map[string]string{"all of it": freshness.GetAsOf(), "a value": t.get("hq", address).GetAsOf(), "the hop from berlin": hops[1].GetAsOf()} {
		asOf, err := time.Parse(time.RFC3339Nano, said)
		if err != nil || asOf.After(began.Add(time.Second)) || asOf.Before(began.Add(-6*time.Second)) {
			t.Errorf("berlin went at %s, and %s is said to be true as of %s", began.UTC().Format(time.RFC3339Nano), what, said)
		}
	}
	if asOf, err := time.Parse(time.RFC3339Nano, hops[0].GetAsOf()); err != nil || time.Since(asOf) > 5*time.Second {
		t.Errorf("north is up, and as of %s", hops[0].GetAsOf())
	}
}

// After a restart of the tier in between, with the site away, the site's tree is there, stale.
func TestTreeOutlivesTheTierBetween(t *testing.T) {
	tr := start(t, threeTiers, nil)
	hq := at("berlin", "/devices/slow:all_int64")
	tr.until("everything is good", 30*time.Second, func() bool { return quality(tr.get("hq", hq)) == "good" })
	want := tr.get("hq", hq).GetValue().GetStringValue()
	if err := tr.network.Stop(tr.Context(), "berlin"); err != nil {
		t.Fatal(err)
	}
	if err := tr.network.Stop(tr.Context(), "north"); err != nil {
		t.Fatal(err)
	}
	tr.restart("north")
	r := tr.get("north", "/sites/berlin/devices/slow:all_int64")
	if r.GetValue().GetStringValue() != want || quality(r) != "uncertain/stale" {
		t.Errorf("after the restart it reads %v, %s", r.GetValue(), quality(r))
	}
	tr.until("HQ has it, stale", 30*time.Second, func() bool {
		r := tr.get("hq", hq)
		return r.GetValue().GetStringValue() == want && quality(r) == "uncertain/stale"
	})
}
